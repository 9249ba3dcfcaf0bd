// The timer clock as those see it who set timers: what it can have reached by now, at most.
//
// The stored clock V_k = (now, step_max) is written again with at most step_max more, and after that with no
// more than the time that really passes, counted from at most step_max before the writing (timer_driver.h).
// So whoever read V at a moment no earlier than `sent`, and adds twice its step_max and the time since
// `sent`, has a number that the stored clock reaches no sooner than now. What is due `delay` after that
// number is delivered when `delay` has really passed, or later.
//
// Strand only.
#pragma once

#include <cstdint>
#include <optional>

#include "base/status.h"
#include "base/task.h"
#include "base/time.h"
#include "service/context.h"
#include "service/timer/values.h"
#include "store/store.h"

namespace lockstep::service {

// What the first step may be, of a clock that nobody drives yet.
inline constexpr std::int64_t timer_step_ms_min = 300;

class TimerClockView {
 public:
  explicit TimerClockView(const Context& context) : context_(context) {}

  // In milliseconds of the timer clock. Reads it if that was long ago; makes it if there is none.
  Task<Result<std::int64_t>> at_most_now(store::CallOptions options);
  // Somebody has read it, by a request sent then.
  void learn(const TimerClockValue& value, TimePoint sent);

 private:
  Task<Status> read(store::CallOptions options);
  Task<Status> make(store::CallOptions options);

  Context context_;
  std::optional<TimerClockValue> value_;
  TimePoint sent_{};
};

}  // namespace lockstep::service
