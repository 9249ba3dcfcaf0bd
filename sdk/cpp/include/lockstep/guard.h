// Guard: something that is held with a session — a lock, a permit, a leadership — and its fencing token.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>

#include "lockstep/abi.h"
#include "lockstep/call_options.h"
#include "lockstep/kv.h"
#include "lockstep/operation.h"
#include "lockstep/session.h"

namespace lockstep::LOCKSTEP_INLINE v1 {

namespace detail {
class Holding;
}

// Destroying it gives back what it holds, without waiting for the answer.
class Guard {
 public:
  explicit Guard(std::shared_ptr<detail::Holding> holding);
  Guard(Guard&&) noexcept;
  Guard& operator=(Guard&& other) noexcept;
  ~Guard();

  [[nodiscard]] const std::string& name() const;
  // Larger than that of every holder before.
  [[nodiscard]] std::int64_t token() const;
  // The key that exists, created at revision token(), as long as it is held.
  [[nodiscard]] const std::string& key() const;
  [[nodiscard]] SessionId session() const;
  // Stopped when the session is over: stop what depends on this.
  [[nodiscard]] std::stop_token lost() const;

  // The transaction takes effect only while this is held, decided in the store; otherwise
  // failed_precondition, and no effect.
  Operation<TxnResult> commit(const Txn& txn, CallOptions options = {});
  // Waits until it is not held any more, however that comes, and says why: the session's end, or somebody
  // removed its key (a forced release). Costs a watch of one key.
  Operation<std::string> until_lost(CallOptions options = {});
  // Gives it back and waits for the answer. After an error the destructor tries once more. While another call
  // gives it back: failed_precondition.
  Operation<void> release(CallOptions options = {});

 private:
  std::shared_ptr<detail::Holding> holding_;
};

// Somebody who holds something, or waits for it.
struct Contender {
  bool holds = false;
  bool shared = false;
  SessionId session = 0;
  std::int64_t token = 0;
  std::string holder;  // what ClientOptions::name() said, and the rest of what it says about itself
  std::string host;
  std::int64_t pid = 0;
  std::string reason;
  std::chrono::system_clock::time_point since;
};

}  // namespace lockstep::LOCKSTEP_INLINEv1
