// The leader's store clock: goes on from the newest entry's time at the rate of the member's monotonic clock.
//
// Only the leader stamps entries. A new leader starts where the last applied entry stood, so the time without
// a leader is given to every lease: nobody's ends early by an election (I6).
//
// Within a leadership it never jumps: where it was held back it goes on from there, and every lease has the
// time it stood still.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>

#include "base/time.h"

namespace lockstep::replica {

class StoreClock {
 public:
  static constexpr std::int64_t no_ceiling = std::numeric_limits<std::int64_t>::max();

  // The store stood at `store_time_ms` at `now`. Never moves the clock back. A clock that is ahead keeps its
  // fraction of a millisecond: entries are applied more often than once in one.
  void set(TimePoint now, std::int64_t store_time_ms) {
    if (read_ms(now) >= store_time_ms) return;
    base_ms_ = store_time_ms;
    base_at_ = now;
  }
  // Starts over at a new leadership: what an earlier one had counted is not the store's time.
  void restart(TimePoint now, std::int64_t store_time_ms) {
    base_ms_ = store_time_ms;
    base_at_ = now;
    ceiling_ms_ = no_ceiling;
  }
  // Does not reach `ceiling_ms` until another one is set. Requires one above what the clock reads.
  void hold_below(TimePoint now, std::int64_t ceiling_ms) {
    if (running_ms(now) >= ceiling_ms_) {
      base_ms_ = read_ms(now);
      base_at_ = now;
    }
    ceiling_ms_ = ceiling_ms;
  }
  [[nodiscard]] std::int64_t read_ms(TimePoint now) const {
    return std::min(running_ms(now), ceiling_ms_ - 1);
  }
  // The first moment at which read_ms() is at least `store_time_ms`, if nothing holds it.
  [[nodiscard]] TimePoint when(std::int64_t store_time_ms) const {
    return base_at_ + std::chrono::milliseconds(store_time_ms - base_ms_);
  }

 private:
  [[nodiscard]] std::int64_t running_ms(TimePoint now) const {
    return base_ms_ + std::chrono::duration_cast<std::chrono::milliseconds>(now - base_at_).count();
  }

  std::int64_t base_ms_ = 0;
  std::int64_t ceiling_ms_ = no_ceiling;
  TimePoint base_at_{};
};

}  // namespace lockstep::replica
