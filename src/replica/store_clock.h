// The leader's store clock: goes on from the newest entry's time at the rate of the member's monotonic clock.
//
// Only the leader stamps entries. A new leader starts where the last applied entry stood, so the time without
// a leader is given to every lease: nobody's ends early by an election (I6).
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "base/time.h"

namespace lockstep::replica {

class StoreClock {
 public:
  // The store stood at `store_time_ms` at `now`. Never moves the clock back.
  void set(TimePoint now, std::int64_t store_time_ms) {
    base_ms_ = std::max(base_ms_ == 0 ? store_time_ms : read_ms(now), store_time_ms);
    base_at_ = now;
  }
  // Starts over at a new leadership: what an earlier one had counted is not the store's time.
  void restart(TimePoint now, std::int64_t store_time_ms) {
    base_ms_ = store_time_ms;
    base_at_ = now;
  }
  [[nodiscard]] std::int64_t read_ms(TimePoint now) const {
    return base_ms_ + std::chrono::duration_cast<std::chrono::milliseconds>(now - base_at_).count();
  }
  // The first moment at which read_ms() is at least `store_time_ms`.
  [[nodiscard]] TimePoint when(std::int64_t store_time_ms) const {
    return base_at_ + std::chrono::milliseconds(store_time_ms - base_ms_);
  }

 private:
  std::int64_t base_ms_ = 0;
  TimePoint base_at_{};
};

}  // namespace lockstep::replica
