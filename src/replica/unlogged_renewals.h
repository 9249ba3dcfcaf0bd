// Renewals that this leader answered from memory (docs/decisions/0026): from the answer until the entry that
// has them is applied. They die with the leadership: the next term's first entry makes up for them.
//
// Why nobody's lease ends early under this leader: a renewal is noted only while the lease's old deadline
// lies ahead of the store clock, and until it is in the log the clock stays below that deadline. So no entry
// before its own ends the lease, and its own entry, stamped at the noting or later, sets a deadline at least
// the TTL after the noting.
//
// Invariants:
//   1. ceiling_ms() is at most the old deadline of each lease that is noted and not logged.
//   2. Every noting happened at a store time below ceiling_ms().
//
// Bounded by the number of leases: it holds a lease once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "base/ids.h"
#include "base/time.h"
#include "replica/store_clock.h"

namespace lockstep::replica {

class UnloggedRenewals {
 public:
  // The lease was renewed at store time `store_now_ms`; otherwise it would end at `deadline_ms`, later.
  void note(TimePoint now, LeaseId id, std::int64_t store_now_ms, std::int64_t deadline_ms);

  // When they must be written to the log; no_deadline: there are none, or those before are still under way.
  [[nodiscard]] TimePoint due(const StoreClock& clock) const;
  // Not to be reached by the store clock.
  [[nodiscard]] std::int64_t ceiling_ms() const { return ceiling_ms_; }

  // At most `count_max` of those not logged, in order.
  [[nodiscard]] std::vector<LeaseId> first(std::size_t count_max) const;
  // The first `count` of them are in the log at `index`.
  void logged(std::size_t count, LogIndex index);
  void applied(LogIndex index);
  // The leadership ended or began.
  void clear();

  [[nodiscard]] bool all_logged() const { return unlogged_.empty(); }
  [[nodiscard]] bool all_applied() const { return unlogged_.empty() && logged_.empty(); }
  // The store time of the newest renewal, if the applied state may not have it.
  [[nodiscard]] std::optional<std::int64_t> renewed_ms(LeaseId id) const;

 private:
  using Times = std::map<LeaseId, std::int64_t>;
  Times unlogged_;
  Times logged_;  // and not applied
  LogIndex logged_at_;
  std::int64_t ceiling_ms_ = StoreClock::no_ceiling;
  TimePoint since_ = no_deadline;  // the oldest of the unlogged
};

}  // namespace lockstep::replica
