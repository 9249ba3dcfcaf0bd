// History that compacts itself: periodically, what is older than a time; or all but the last revisions. As
// etcd's --auto-compaction-mode and --auto-compaction-retention.
//
// Every member notes the revision as time goes by, the one that leads compacts: after a change of leaders
// nothing is forgotten. After a restart a retention time passes before the next compaction.
//
//   1. Periodic: what is compacted was current at least the retention time ago, by the monotonic clock, and
//   is compacted a tenth of that time later at most (six minutes, if that is less).
//   2. By revisions: the last ones stay, looked at every five minutes.
//
// Bounded: a dozen samples; some more if the retention is above an hour, one for each six minutes of it.
// Ownership: destroying it stops it. Strand only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/status.h"
#include "base/time.h"
#include "service/context.h"
#include "store/principal.h"

namespace lockstep::service {

inline constexpr Duration compaction_retention_max = std::chrono::hours(24 * 366);

struct CompactionRule {
  Duration age{};              // periodic
  std::int64_t revisions = 0;  // by revisions
  [[nodiscard]] bool off() const { return age == Duration{} && revisions == 0; }
  friend bool operator==(const CompactionRule&, const CompactionRule&) = default;
};

// Mode "periodic" with "1h", or a number of hours; mode "revision" with a number. Zero: off. Errors:
// invalid_argument.
Result<CompactionRule> parse_compaction_rule(std::string_view mode, std::string_view retention);

class AutoCompaction {
 public:
  // `leads`: whether this member is the one to compact now.
  AutoCompaction(const Context& context, const CompactionRule& rule, std::function<bool()> leads,
                 store::Principal principal = {});
  ~AutoCompaction();
  AutoCompaction(const AutoCompaction&) = delete;
  AutoCompaction& operator=(const AutoCompaction&) = delete;

  // The last revision that this member had compacted; zero: none.
  [[nodiscard]] Revision compacted() const;

 private:
  class Run;
  std::shared_ptr<Run> run_;
};

}  // namespace lockstep::service
