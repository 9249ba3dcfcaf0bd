// Time as values. Nothing here reads a clock: env/clock.h does.
#pragma once

#include <chrono>
#include <cstdint>

namespace lockstep {

using Duration = std::chrono::nanoseconds;
using namespace std::chrono_literals;

// Tag of the monotonic clock of one member. Points of different members do not compare.
struct MonotonicClock {
  using rep = std::int64_t;
  using period = std::nano;
  using duration = Duration;
  using time_point = std::chrono::time_point<MonotonicClock>;
  static constexpr bool is_steady = true;
};
using TimePoint = MonotonicClock::time_point;

inline constexpr TimePoint no_deadline = TimePoint::max();

}  // namespace lockstep
