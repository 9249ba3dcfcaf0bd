// Session: somebody who is alive. Locks, permits and leaderships belong to one and end with it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <utility>

#include "lockstep/abi.h"
#include "lockstep/call_options.h"
#include "lockstep/operation.h"

namespace lockstep::LOCKSTEP_INLINE v1 {

namespace detail {
class SessionHolder;
}

using SessionId = std::int64_t;

class SessionOptions {
 public:
  using Duration = std::chrono::nanoseconds;

  SessionOptions() = default;
  // How long it lasts without being renewed. 10 s; at least 100 ms, on a stock etcd 2 s.
  SessionOptions& ttl(Duration ttl) {
    ttl_ = ttl;
    return *this;
  }
  // How much longer the locks of a lost session stay taken: time for what its holder sent to arrive or die.
  // None.
  SessionOptions& lock_delay(Duration delay) {
    lock_delay_ = delay;
    return *this;
  }
  // Over after so long, renewed or not.
  SessionOptions& life_max(Duration life) {
    life_max_ = life;
    return *this;
  }

  [[nodiscard]] Duration ttl() const { return ttl_; }
  [[nodiscard]] Duration lock_delay() const { return lock_delay_; }
  [[nodiscard]] const std::optional<Duration>& life_max() const { return life_max_; }

 private:
  Duration ttl_ = std::chrono::seconds(10);
  Duration lock_delay_{};
  std::optional<Duration> life_max_;
};

// A handle; copies are the same session. It is renewed by the client, and closed when the last handle, and
// the last guard of what it holds, is gone.
//
// Guarantee: the holder learns of its end before the store does: from its own clock, `ttl` after the last
// renewal that succeeded was sent. A process that was stopped for longer believes in its session until it has
// run again for a moment: only a fencing token protects against what it does then.
class Session {
 public:
  explicit Session(std::shared_ptr<detail::SessionHolder> holder) : holder_(std::move(holder)) {}

  // Whoever knows it may adopt the session.
  [[nodiscard]] SessionId id() const;
  [[nodiscard]] CallOptions::Duration ttl() const;
  // Stopped when it is over, for whatever reason. Callbacks run on the client's own thread and must not
  // block:
  //   std::stop_callback callback(session.over(), [] { … });
  [[nodiscard]] std::stop_token over() const;
  // Done as long as it lasts, by the clock of this moment; or refused with the reason why it is over.
  Operation<void> check(CallOptions options = {});
  // One renewal now; they happen by themselves.
  Operation<void> renew(CallOptions options = {});
  // Over at once, and all that belongs to it is given up.
  Operation<void> close(CallOptions options = {});
  // Stops renewing it and gives up nothing: another process may adopt it within its ttl.
  void leave();

  [[nodiscard]] const std::shared_ptr<detail::SessionHolder>& holder() const { return holder_; }

 private:
  std::shared_ptr<detail::SessionHolder> holder_;
};

}  // namespace lockstep::LOCKSTEP_INLINEv1
