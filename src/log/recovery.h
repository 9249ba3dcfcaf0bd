// Reading a log back: walks the chain of records, finds where it ends, and decides whether what lies behind
// the end was torn by a crash or damaged after it had been acknowledged.
//
// The rule. Group g+1 is handed to the disk only after group g is durable; a ring slot for g too. So whatever
// there is of a later group (a record's header further on in the segment; in a later segment a whole first
// record, or a header that follows something else than the end of the chain; or a ring slot) proves that the
// group missing at the end of the chain had been durable: damage. Without any such evidence the missing group
// was never acknowledged, or it and all that followed it were among the last groups_unproved_max (writer.h):
// torn.
//
// Reads only. Memory: one buffer of a mebibyte, one record (its length checked by the header's checksum and
// the file's size before it is believed) and the entries asked for.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "env/disk.h"
#include "log/log.h"
#include "log/record.h"
#include "log/segment.h"

namespace lockstep::log {

struct SegmentInfo {
  std::uint64_t number = 0;
  LogIndex highest;  // of the entries in it that still count; zero: none
};

// Where the next record goes.
struct Tail {
  std::uint64_t segment = 0;  // 0: nothing valid was found
  std::uint64_t offset = 0;
  std::uint32_t checksum = 0;            // of the last header
  std::uint64_t last_record_offset = 0;  // in the same segment
};

struct RecoveredLog {
  LogState state;
  Tail tail;
  LogPosition base;
  std::vector<raft::Entry> entries;
  std::vector<SegmentInfo> segments;       // with records of the chain, in order; the last is the tail's
  std::vector<std::uint64_t> skipped;      // before the tail's, cut off by a repair
  std::vector<std::uint64_t> behind;       // after the tail's: prepared, or full of what is damaged
  std::vector<std::uint64_t> bad_headers;  // segments whose header page is damaged (the chain needs it not)
  std::uint64_t segment_number_max = 0;
  std::optional<Damage> damage;
  LogState evidence;  // the newest state something valid speaks of; at least `state`
};

// `numbers`: the segment files there are, ascending. Errors: io_error, failed_precondition (newer format),
// corruption (records whose checksums hold contradict each other).
Result<RecoveredLog> recover(env::Disk& disk, const std::string& directory, const Identity& identity,
                             const std::vector<std::uint64_t>& numbers, LogIndex entries_after);

// What the entries of a chain add up to. Exposed for its tests and the fuzz target.
class LogContent {
 public:
  explicit LogContent(LogIndex entries_after) : entries_after_(entries_after) {}
  // corruption if the record cannot follow the ones before it.
  Status apply(const RecordHeader& header, std::vector<Run> runs);
  void begin_segment(std::uint64_t number) { segments_.push_back({number, {}}); }

  [[nodiscard]] const LogState& state() const { return state_; }
  [[nodiscard]] LogPosition base() const { return base_; }
  [[nodiscard]] std::vector<raft::Entry>& entries() { return entries_; }
  [[nodiscard]] std::vector<SegmentInfo>& segments() { return segments_; }

 private:
  Status apply_run(Run& run);
  void cut(LogIndex last_kept);

  const LogIndex entries_after_;
  bool empty_ = true;
  LogState state_;
  LogPosition base_;
  LogPosition last_;
  std::vector<raft::Entry> entries_;
  std::vector<SegmentInfo> segments_;
};

// Entries above `last_kept` do not count any more.
void cap_highest(std::vector<SegmentInfo>& segments, LogIndex last_kept);

}  // namespace lockstep::log
