// Mutations that arrived while this member knew no leader: kept for a while, so that an election is a pause
// and not an error. They were proposed nowhere, so giving one up is a definite "not done".
//
// Bounds: payload bytes together, and the time each is held.
#pragma once

#include <cstddef>
#include <deque>
#include <string>

#include "base/status.h"
#include "base/time.h"
#include "replica/proposals.h"

namespace lockstep::replica {

class HeldBatches {
 public:
  struct Held {
    std::string payload;
    PendingBatch batch;
    TimePoint give_up_at;
  };

  explicit HeldBatches(std::size_t bytes_max) : bytes_max_(bytes_max) {}

  [[nodiscard]] bool empty() const { return held_.empty(); }
  [[nodiscard]] bool fits(std::size_t payload_bytes) const { return bytes_ + payload_bytes <= bytes_max_; }
  // Requires fits(). `give_up_at` does not decrease from call to call.
  void hold(std::string payload, PendingBatch batch, TimePoint give_up_at);
  // The oldest. Requires !empty().
  [[nodiscard]] Held take();
  // Fails, through `proposals`, what was held long enough and commands whose caller no longer waits.
  void expire(TimePoint now, Proposals& proposals);

 private:
  std::deque<Held> held_;
  std::size_t bytes_ = 0;
  const std::size_t bytes_max_;
};

// What a mutation is answered that found no leader, in time or at all.
Status no_leader();

}  // namespace lockstep::replica
