// Idempotency: work that is asked for again is not done again, and gets the first one's answer.
//
//   auto begun = client.idempotency("payment/4711").begin(fingerprint).wait();
//   switch (begun->kind()) {
//     case Begun::Kind::first:        do the work; begun->complete(answer).wait(); …
//     case Begun::Kind::done:         begun->answer() is what the first one answered
//     case Begun::Kind::in_progress:  somebody does it just now: come again
//     case Begun::Kind::mismatch:     the key was used for other work
//   }
//
// Guarantee: of all begins of one key one is first, until it abandons or its time is over; complete() takes
// effect only for a first whose time is not over.
//
// What can go wrong: a first that is slower than its time is forgotten, and the work may be done twice. What
// must not be belongs into one transaction with the completion: owned().
//
// Cost: one transaction each; complete() reads before. http_idempotency.h is the middleware on top.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "lockstep/abi.h"
#include "lockstep/call_options.h"
#include "lockstep/kv.h"
#include "lockstep/operation.h"

namespace lockstep::LOCKSTEP_INLINE v1 {

namespace detail {
class BegunWork;
class Runtime;
}  // namespace detail

// What begin() found. A first that is destroyed without complete() abandons: the next begin is first.
class Begun {
 public:
  enum class Kind : std::uint8_t { first, in_progress, done, mismatch };

  Begun(Kind kind, std::string answer, std::shared_ptr<detail::BegunWork> work);
  Begun(Begun&&) noexcept;
  Begun& operator=(Begun&&) noexcept;
  ~Begun();

  [[nodiscard]] Kind kind() const { return kind_; }
  // Of work that is done.
  [[nodiscard]] const std::string& answer() const { return answer_; }

  // ---- of a first only
  // The answer, at most 64 KiB, is given for `keep` from now on.
  Operation<void> complete(std::string answer, std::chrono::nanoseconds keep = std::chrono::hours(24),
                           CallOptions options = {});
  Operation<void> abandon(CallOptions options = {});
  // The transaction takes effect only while this is the first.
  Txn& owned(Txn& txn) const;
  // Destroying it does not abandon: the work may have had an effect, and nobody knows. The key stays in
  // progress for its time.
  void leave_in_progress();

 private:
  Kind kind_;
  std::string answer_;
  std::shared_ptr<detail::BegunWork> work_;
};

class Idempotency {
 public:
  Idempotency(std::shared_ptr<detail::Runtime> runtime, std::string key)
      : runtime_(std::move(runtime)), key_(std::move(key)) {}

  // How long the work may take. 60 s.
  Idempotency& in_progress_time(std::chrono::nanoseconds time) {
    time_ = time;
    return *this;
  }
  // `fingerprint`: of the work that is asked for, at most 256 bytes; another one under this key is a
  // mismatch.
  Operation<Begun> begin(std::string fingerprint, CallOptions options = {}) const;

 private:
  std::shared_ptr<detail::Runtime> runtime_;
  std::string key_;
  std::chrono::nanoseconds time_ = std::chrono::seconds(60);
};

}  // namespace lockstep::LOCKSTEP_INLINEv1
