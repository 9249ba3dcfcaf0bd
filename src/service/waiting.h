// How recipes wait: until something is announced, a moment comes, the deadline passes, or the caller gives
// up.
//
//   1. Nothing polls: a wait costs one timer if it has an end, and nothing while it lasts.
//   2. Stop tokens may be stopped from any thread; the wait ends on the strand, in a later turn.
//   3. A wait that ended leaves no timer and no stop callback behind.
//
// A task that has begun is awaited (or detached) to its end, never destroyed while it waits: its callback
// would find the frame gone. What must be able to go away early sets the signal its waiters wait for.
//
// Strand only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stop_token>

#include "base/status.h"
#include "base/task.h"
#include "base/time.h"
#include "service/context.h"
#include "store/store.h"

namespace lockstep::service {

enum class Wake : std::uint8_t { signalled, deadline, cancelled };

namespace errors {
Status wait_cancelled();      // cancelled
Status wait_deadline_over();  // deadline_exceeded
}  // namespace errors

// What one coroutine waits for and anybody on the strand may announce. Copies are the same signal, so whoever
// announces may outlive whoever waits.
class Signal {
 public:
  explicit Signal(const Context& context);
  // Wakes whoever waits, at once; if nobody does, the next wait ends at once. Announcing twice is announcing
  // once.
  void set() const;
  // One waiter at a time. A signal that is set wins over the deadline, and that over cancellation.
  [[nodiscard]] Task<Wake> wait(TimePoint deadline, std::stop_token cancellation) const;

 private:
  class State;
  std::shared_ptr<State> state_;
};

// ok at `when`; deadline_exceeded or cancelled if that comes first. Of the options, deadline and cancellation
// count.
Task<Status> pause_until(Context context, TimePoint when, store::CallOptions options);

// The next answer of a subscription, at most about `bytes_max` of events; or deadline_exceeded, or cancelled,
// after which it may be asked again. After an answer with `canceled` there is nothing more: do not ask again.
Task<Result<store::WatchResponse>> next_answer(Context context, store::Subscription& subscription,
                                               store::CallOptions options, std::size_t bytes_max = 64 * 1024);

// ok, or why the options say that this must end now.
Status still_wanted(const Context& context, const store::CallOptions& options);

}  // namespace lockstep::service
