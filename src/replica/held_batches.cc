#include "replica/held_batches.h"

#include <utility>

#include "base/assert.h"

namespace lockstep::replica {

Status no_leader() {
  return {Code::unavailable, "etcdserver: no leader"};
}

void HeldBatches::hold(std::string payload, PendingBatch batch, TimePoint give_up_at) {
  LS_MUST(fits(payload.size()));
  LS_MUST(held_.empty() || held_.back().give_up_at <= give_up_at);
  bytes_ += payload.size();
  held_.push_back({std::move(payload), std::move(batch), give_up_at});
}

HeldBatches::Held HeldBatches::take() {
  LS_MUST(!held_.empty());
  Held oldest = std::move(held_.front());
  held_.pop_front();
  LS_MUST(bytes_ >= oldest.payload.size());
  bytes_ -= oldest.payload.size();
  return oldest;
}

// The payload of a command that is given up stays in its batch, which other callers wait for: it may still
// take effect. So its outcome is unknown, like that of any other call that ends early.
void HeldBatches::expire(TimePoint now, Proposals& proposals) {
  while (!held_.empty() && held_.front().give_up_at <= now) proposals.fail(take().batch, no_leader());
  for (Held& held : held_) proposals.expire_commands(held.batch, now);
}

}  // namespace lockstep::replica
