#include "log/recovery.h"

#include <algorithm>
#include <map>

#include "base/assert.h"
#include "base/planted.h"
#include "log/segment_reader.h"

namespace lockstep::log {
namespace {

Status contradiction(const std::string& what) {
  return {Code::corruption, "the log contradicts itself: " + what};
}

}  // namespace

void cap_highest(std::vector<SegmentInfo>& segments, LogIndex last_kept) {
  for (SegmentInfo& segment : segments) segment.highest = std::min(segment.highest, last_kept);
}

void LogContent::cut(LogIndex last_kept) {
  while (!entries_.empty() && entries_.back().index > last_kept) entries_.pop_back();
  cap_highest(segments_, last_kept);
}

Status LogContent::apply_run(Run& run) {
  if (run.reset) {
    entries_.clear();
    cap_highest(segments_, LogIndex{});
    base_ = {run.index, run.term};
    last_ = base_;
    return {};
  }
  LS_MUST(!run.entries.empty());
  if (run.index > last_.index.next()) return contradiction("a gap between entries");
  // Overwrites from below the base: the segment with what it cuts was released because of that.
  if (run.index <= base_.index) base_ = {run.index.previous(), Term{}};
  cut(run.index.previous());
  last_ = {run.entries.back().index, run.entries.back().term};
  segments_.back().highest = last_.index;
  for (raft::Entry& entry : run.entries) {
    if (entry.index > entries_after_) entries_.push_back(std::move(entry));
  }
  return {};
}

Status LogContent::apply(const RecordHeader& header, std::vector<Run> runs) {
  LS_MUST(!segments_.empty());
  if (empty_) {
    // The first record of the oldest kept segment: what came before it was released.
    const bool begins_with_entries = !runs.empty() && !runs.front().reset;
    base_ = begins_with_entries ? LogPosition{runs.front().index.previous(), Term{}}
                                : LogPosition{header.state.last_index, header.state.last_term};
    last_ = base_;
    empty_ = false;
  } else if (!LS_PLANTED(chain_not_checked)) {
    if (header.state.group <= state_.group) return contradiction("groups out of order");
    if (header.state.hard_state.term < state_.hard_state.term) return contradiction("a term went back");
  }
  for (Run& run : runs) LS_RETURN_IF_ERROR(apply_run(run));
  if (last_ != LogPosition{header.state.last_index, header.state.last_term}) {
    return contradiction("a header disagrees with its entries");
  }
  if (header.state.hard_state.commit > last_.index) return contradiction("committed beyond the end");
  state_ = header.state;
  return {};
}

namespace {

class Recovery {
 public:
  Recovery(env::Disk& disk, const std::string& directory, const Identity& identity,
           const std::vector<std::uint64_t>& numbers, LogIndex entries_after)
      : disk_(disk),
        directory_(directory),
        incarnation_(identity.incarnation),
        numbers_(numbers),
        content_(entries_after) {}

  Result<RecoveredLog> run() {
    LS_RETURN_IF_ERROR(check_headers());
    LS_RETURN_IF_ERROR(walk_chain());
    result_.state = content_.state();
    result_.base = content_.base();
    result_.evidence = result_.state;
    for (const std::uint64_t number : numbers_) {
      if (number > result_.tail.segment) result_.behind.push_back(number);
    }
    if (!numbers_.empty()) result_.segment_number_max = numbers_.back();
    LS_RETURN_IF_ERROR(gather_evidence());
    judge();
    if (LS_PLANTED(torn_tail_not_cut) && !result_.damage) LS_RETURN_IF_ERROR(skip_torn_tail());
    result_.entries = std::move(content_.entries());
    result_.segments = std::move(content_.segments());
    return std::move(result_);
  }

 private:
  Result<SegmentReader> reader(std::uint64_t number) {
    return SegmentReader::open(disk_, directory_, incarnation_, number);
  }

  Status check_headers() {
    for (const std::uint64_t number : numbers_) {
      LS_ASSIGN_OR_RETURN(SegmentReader segment, reader(number));
      const auto header = segment.segment_header();
      if (header.ok()) continue;
      if (header.status().code() != Code::corruption) return header.status();
      result_.bad_headers.push_back(number);
    }
    return {};
  }

  // True if the record continues the chain.
  bool follows(const FoundRecord& record, bool any_predecessor) const {
    if (!record.body_valid) return false;
    if (any_predecessor || LS_PLANTED(chain_not_checked)) return true;
    return record.header.previous == result_.tail.checksum;
  }

  Status walk_chain() {
    bool first = true;
    for (std::size_t i = 0; i < numbers_.size(); ++i) {
      LS_ASSIGN_OR_RETURN(SegmentReader segment, reader(numbers_[i]));
      LS_ASSIGN_OR_RETURN(const auto record, segment.record_at(records_offset));
      // Only a repair leaves segments out: their first records do not continue the chain.
      const bool neighbour = first || numbers_[i] == result_.tail.segment + 1;
      if (!record || !follows(*record, first && i == 0)) continue;
      if (!neighbour && !record->header.repair) continue;
      if (first && i > 0 && !record->header.repair) continue;
      LS_RETURN_IF_ERROR(walk_segment(segment, numbers_[i]));
      first = false;
    }
    for (const std::uint64_t number : numbers_) {
      const bool walked = std::ranges::any_of(
          content_.segments(), [&](const SegmentInfo& segment) { return segment.number == number; });
      if (!walked && number < result_.tail.segment) result_.skipped.push_back(number);
    }
    return {};
  }

  Status walk_segment(SegmentReader& segment, std::uint64_t number) {
    content_.begin_segment(number);
    Tail& tail = result_.tail;
    std::uint64_t offset = records_offset;
    bool first = true;
    while (true) {
      LS_ASSIGN_OR_RETURN(auto record, segment.record_at(offset));
      if (!record || !follows(*record, first)) break;
      LS_ASSIGN_OR_RETURN(std::vector<Run> runs, decode_group_body(record->body));
      const Status applied = content_.apply(record->header, std::move(runs));
      if (LS_PLANTED(chain_not_checked) && !applied.ok()) break;
      LS_RETURN_IF_ERROR(applied);
      tail.last_record_offset = offset;
      tail.checksum = record->checksum;
      offset += record_space(record->header.body_bytes);
      first = false;
    }
    LS_MUST(!first, "the caller looked at the first record");
    tail.segment = number;
    tail.offset = offset;
    return {};
  }

  void note_evidence(const LogState& state, const std::string& what) {
    if (state.group <= result_.evidence.group) return;
    result_.evidence = state;
    proof_ = what;
  }

  // Everything valid behind the end of the chain.
  Status gather_evidence() {
    for (const std::uint64_t number : numbers_) {
      if (std::ranges::find(result_.skipped, number) != result_.skipped.end()) continue;
      LS_ASSIGN_OR_RETURN(SegmentReader segment, reader(number));
      LS_ASSIGN_OR_RETURN(const auto slot, segment.newest_ring_slot());
      if (slot) note_evidence(slot->state, "a ring slot of " + segment_name(number));
      if (number < result_.tail.segment) continue;
      // The group at the tail itself may be torn with a whole header: it proves nothing.
      const bool tail_here = number == result_.tail.segment;
      const std::uint64_t from = tail_here ? result_.tail.offset + page_bytes : records_offset;
      for (std::uint64_t offset = from; offset + record_header_bytes <= segment.size_bytes();
           offset += page_bytes) {
        LS_ASSIGN_OR_RETURN(const auto header, segment.header_at(offset));
        if (!header || header->state.group <= result_.evidence.group) continue;
        // Nor does the group that follows the tail when it begins a segment, torn: whole, it was walked. One
        // that follows something else says that this was durable.
        const bool may_follow = result_.tail.segment == 0 || header->previous == result_.tail.checksum;
        if (offset == records_offset && may_follow) {
          LS_ASSIGN_OR_RETURN(const auto record, segment.record_at(offset));
          if (!record || !record->body_valid) continue;
        }
        note_evidence(header->state,
                      "a record at offset " + std::to_string(offset) + " of " + segment_name(number));
      }
    }
    return {};
  }

  void judge() {
    if (result_.state.in_doubt) {
      const LogIndex end = result_.state.last_index;
      result_.damage = Damage{end.next(), end, true, "a damaged tail was discarded; not restored since"};
    }
    // Segments are prepared one ahead and removed from the end: one of them is missing.
    const bool hole = !result_.behind.empty() && result_.behind.front() != result_.tail.segment + 1;
    if (result_.evidence.group <= result_.state.group && result_.tail.segment != 0 && !hole) return;
    std::string proof = proof_.empty() ? "the directory is complete" : proof_ + " is newer";
    if (proof_.empty() && hole) proof = segment_name(result_.behind.front()) + " has no predecessor";
    const std::string where = result_.tail.segment == 0
                                  ? "no segment begins with a valid record"
                                  : segment_name(result_.tail.segment) + " is damaged at offset " +
                                        std::to_string(result_.tail.offset);
    const LogIndex last = result_.state.last_index;
    // Nothing committed is ever overwritten: what lies above may have been, by what is lost.
    const LogIndex trusted = std::min(result_.state.hard_state.commit, last);
    result_.damage =
        Damage{trusted.next(), std::max(result_.evidence.last_index, last), false, where + "; " + proof};
    raft::HardState& hard_state = result_.state.hard_state;
    if (result_.evidence.hard_state.term >= hard_state.term) hard_state = result_.evidence.hard_state;
    // What the evidence says is committed may be what is lost, not the older entries that stand in its place.
    hard_state.commit = trusted;
    result_.state.in_doubt = true;
  }

  // The planted bug: goes on behind a torn group instead of over it.
  Status skip_torn_tail() {
    LS_ASSIGN_OR_RETURN(SegmentReader segment, reader(result_.tail.segment));
    LS_ASSIGN_OR_RETURN(const auto record, segment.record_at(result_.tail.offset));
    if (record) result_.tail.offset += record_space(record->header.body_bytes);
    return {};
  }

  env::Disk& disk_;
  const std::string& directory_;
  const IncarnationId incarnation_;
  const std::vector<std::uint64_t>& numbers_;
  LogContent content_;
  RecoveredLog result_;
  std::string proof_;
};

}  // namespace

Result<RecoveredLog> recover(env::Disk& disk, const std::string& directory, const Identity& identity,
                             const std::vector<std::uint64_t>& numbers, LogIndex entries_after) {
  return Recovery(disk, directory, identity, numbers, entries_after).run();
}

}  // namespace lockstep::log
