// Drives the timer clock (timers.h, clock_view.h): writes it again, every timer_tick, as long as there are
// timers. One process drives at a time, elected through the store; every server is a candidate.
//
// V_k is what stands in the store after the k-th write, w_k when it was written, (now_k, step_k) its value.
//
//   1. now_{k+1} - now_k is at most step_k, and at most the time that passed, by the writer's monotonic
//   clock,
//      from b_k to the sending t_{k+1}. A process that finds V_k by reading has b_k = when it had read it.
//      One that wrote V_k itself has b_k = t_k, or step_{k-1} before it knew that V_k was written, if that is
//      later. So b_k >= w_k - step_{k-1} and b_{k+1} >= t_{k+1}: the stretches do not overlap.
//   2. Hence, for whoever read V_j at r, w_j <= r < w_{j+1}: now_n - now_j <= step_j + (t_n - b_{j+1})
//      < 2 step_j + (w_n - r). A timer due at now_j + 2 step_j + delay is not due before r + delay.
//   3. Each write is bound to the revision of the one before, so a driver that slept adds nothing; and to the
//      driver's leadership.
//
// The clock loses the time in which nobody drives and what steps cut off: timers are late by that, never
// early. Monotonic clocks are trusted to run at one rate.
//
// Permissions: reading and writing "lockstep/timers/clock" and the keys under "lockstep/timers/driver/",
// reading "lockstep/timers/q/". Ownership: destroying it stops the driving; what is under way ends by itself.
// Strand only.
#pragma once

#include <cstdint>
#include <memory>
#include <stop_token>

#include "base/time.h"
#include "env/executor.h"
#include "service/context.h"
#include "store/principal.h"

namespace lockstep::service {

inline constexpr Duration timer_tick = 200ms;

class TimerDriver {
 public:
  // In whose name it drives.
  explicit TimerDriver(const Context& context, store::Principal principal = {});
  ~TimerDriver();
  TimerDriver(const TimerDriver&) = delete;
  TimerDriver& operator=(const TimerDriver&) = delete;

  // As destroying it does. `ended` is called, on the strand, when it has given back what it held and nothing
  // of it is under way, which `give_up` hastens: then the next driver waits until this one's session is over.
  void stop(const std::stop_token& give_up, env::Closure ended);

  [[nodiscard]] bool drives() const;
  [[nodiscard]] std::uint64_t ticks() const;

 private:
  class Drive;
  std::shared_ptr<Drive> drive_;
};

}  // namespace lockstep::service
