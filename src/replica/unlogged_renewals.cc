#include "replica/unlogged_renewals.h"

#include <algorithm>
#include <iterator>

#include "base/assert.h"
#include "base/planted.h"

namespace lockstep::replica {
namespace {

// A renewal waits so long for others to share an entry with: by so much a lease may outlive its time.
constexpr Duration wait_max = 100ms;
// Before the store clock reaches the ceiling: an entry has time to be written before the clock would stand
// still.
constexpr std::int64_t urgent_ms = 300;
// Later even while an earlier entry of renewals is under way, which is waited for otherwise: a disk that
// stalls makes a few entries of them, not many.
constexpr std::int64_t very_urgent_ms = 100;

}  // namespace

void UnloggedRenewals::note(TimePoint now, LeaseId id, std::int64_t store_now_ms, std::int64_t deadline_ms) {
  LS_MUST(store_now_ms < deadline_ms, "a lease that ended is not renewed");
  LS_MUST(store_now_ms < ceiling_ms_ || LS_PLANTED(clock_passes_renewal),
          "the store clock is held below what is not logged");
  if (unlogged_.empty()) since_ = now;
  unlogged_[id] = store_now_ms;
  ceiling_ms_ = std::min(ceiling_ms_, deadline_ms);
}

TimePoint UnloggedRenewals::due(const StoreClock& clock) const {
  if (unlogged_.empty()) return no_deadline;
  if (!logged_.empty()) return clock.when(ceiling_ms_ - very_urgent_ms);
  return std::min(since_ + wait_max, clock.when(ceiling_ms_ - urgent_ms));
}

std::vector<LeaseId> UnloggedRenewals::first(std::size_t count_max) const {
  std::vector<LeaseId> ids;
  ids.reserve(std::min(count_max, unlogged_.size()));
  for (const auto& [id, store_ms] : unlogged_) {
    if (ids.size() == count_max) break;
    ids.push_back(id);
  }
  return ids;
}

void UnloggedRenewals::logged(std::size_t count, LogIndex index) {
  LS_MUST(count <= unlogged_.size());
  LS_MUST(index > logged_at_);
  for (std::size_t i = 0; i < count; ++i) {
    const auto node = unlogged_.extract(unlogged_.begin());
    logged_[node.key()] = node.mapped();
  }
  logged_at_ = index;
  if (unlogged_.empty()) {
    ceiling_ms_ = StoreClock::no_ceiling;
    since_ = no_deadline;
  }
}

void UnloggedRenewals::applied(LogIndex index) {
  if (index >= logged_at_) logged_.clear();
}

void UnloggedRenewals::clear() {
  *this = UnloggedRenewals();
}

std::optional<std::int64_t> UnloggedRenewals::renewed_ms(LeaseId id) const {
  for (const Times* times : {&unlogged_, &logged_}) {
    if (const auto found = times->find(id); found != times->end()) return found->second;
  }
  return std::nullopt;
}

}  // namespace lockstep::replica
