#include "log/writer.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/planted.h"

namespace lockstep::log {
namespace {

// A few commands. Of many, the first answers are better sent while the others are still applied.
constexpr std::size_t done_meanwhile_bytes_max = 2 * limits::kibibyte;

}  // namespace

Log::Writer::Writer(Directory directory, env::Worker& worker, Options options, Fatal fatal,
                    RecoveredLog recovered)
    : directory_(std::move(directory)),
      worker_(worker),
      options_(std::move(options)),
      fatal_(std::move(fatal)),
      queued_(recovered.state),
      written_(recovered.state),
      segment_number_max_(recovered.segment_number_max),
      recovered_(std::move(recovered)),
      needs_discard_(recovered_.damage && !recovered_.damage->discarded) {}

void Log::Writer::check(const AppendBatch& batch) const {
  const raft::HardState& old = queued_.hard_state;
  LogPosition last{queued_.last_index, queued_.last_term};
  if (batch.reset) {
    LS_MUST(batch.reset->index >= old.commit, "a snapshot never replaces what was committed after it");
    last = *batch.reset;
  }
  if (!batch.entries.empty()) {
    const raft::Entry& first = batch.entries.front();
    LS_MUST(first.index > LogIndex{});
    if (batch.reset) LS_MUST(first.index == batch.reset->index.next());
    LS_MUST(first.index <= last.index.next(), "a gap in the log");
    LS_MUST(first.index > old.commit, "a committed entry is never overwritten");
    if (first.index == last.index.next()) LS_MUST(first.term >= last.term);
    last = {first.index.previous(), first.term};
    for (const raft::Entry& entry : batch.entries) {
      LS_MUST(entry.index == last.index.next());
      LS_MUST(entry.term >= last.term);
      LS_MUST(entry.payload.size() <= options_.entry_bytes_max);
      last = {entry.index, entry.term};
    }
  }
  if (!batch.hard_state) return;
  const raft::HardState& hard_state = *batch.hard_state;
  LS_MUST(hard_state.term >= old.term, "a term never goes back");
  LS_MUST(hard_state.commit >= old.commit, "the commit index never goes back");
  LS_MUST(hard_state.commit <= last.index, "committed entries are in the log");
  const bool same_term = hard_state.term == old.term;
  if (same_term && old.vote != NodeId{}) LS_MUST(hard_state.vote == old.vote, "one vote a term");
}

bool Log::Writer::is_plain(const AppendBatch& batch) const {
  if (batch.reset || batch.entries.empty()) return false;
  if (batch.entries.front().index != queued_.last_index.next()) return false;
  for (const raft::Entry& entry : batch.entries) {
    if (entry.kind != raft::EntryKind::normal) return false;
  }
  const raft::HardState& old = queued_.hard_state;
  return !batch.hard_state || (batch.hard_state->term == old.term && batch.hard_state->vote == old.vote);
}

void Log::Writer::append(AppendBatch batch, Done done) {
  LS_MUST(!needs_discard_, "the damaged tail must be discarded first");
  if (failed_) return;
  check(batch);
  const bool barrier = batch.entries.empty() && !batch.hard_state && !batch.reset;
  if (barrier && queue_.empty() && !under_way_) {
    if (done) done();
    return;
  }
  Item item{std::move(batch), std::move(done)};
  const AppendBatch& taken = item.batch;
  item.plain = is_plain(taken);
  if (taken.reset) {
    queued_.last_index = taken.reset->index;
    queued_.last_term = taken.reset->term;
  }
  if (!taken.entries.empty()) {
    queued_.last_index = taken.entries.back().index;
    queued_.last_term = taken.entries.back().term;
  }
  if (taken.hard_state) queued_.hard_state = *taken.hard_state;
  for (const raft::Entry& entry : taken.entries) item.bytes += entry.payload.size() + entry_frame_bytes_max;
  queued_bytes_ += item.bytes;
  ++stats_.appends;
  stats_.entries += taken.entries.size();
  queue_.push_back(std::move(item));
  pump();
}

void Log::Writer::mark_repaired(Done done) {
  LS_MUST(!needs_discard_, "the damaged tail must be discarded first");
  if (failed_) return;
  queued_.in_doubt = false;
  Item item{{}, std::move(done)};
  item.repaired = true;
  ++stats_.appends;
  queue_.push_back(std::move(item));
  pump();
}

void Log::Writer::note_commit(LogIndex commit) {
  if (needs_discard_ || commit <= queued_.hard_state.commit) return;
  LS_MUST(commit <= queued_.last_index, "committed entries are in the log");
  queued_.hard_state.commit = commit;
}

// A loop, not a recursion: groups written inside the call complete inside it, and what their callbacks append
// is taken by the next turn.
void Log::Writer::pump() {
  if (pumping_ || needs_discard_) return;
  pumping_ = true;
  while (!failed_ && !under_way_ && !queue_.empty()) {
    if (!write_next_group()) break;
  }
  pumping_ = false;
}

// The room for a body in what is left of the segment.
std::uint64_t Log::Writer::room() const {
  if (current_.size_bytes < offset_ + record_header_bytes) return 0;
  return current_.size_bytes - offset_ - record_header_bytes;
}

// What fits an empty segment, and is no larger than a group should be.
std::size_t Log::Writer::whole_append_bytes_max() const {
  return std::min<std::uint64_t>(options_.group_bytes_max,
                                 options_.segment_bytes - records_offset - record_header_bytes);
}

bool Log::Writer::write_next_group() {
  LS_MUST(!under_way_);
  Group group;
  group.state = written_;
  if (!fill(group)) {
    if (!rotate()) return false;
    LS_MUST(fill(group), "an empty segment holds the largest entry");
  }
  // A noted commit index speaks of the log as it is after everything queued: it rides along only with the
  // last of it (an entry before a queued reset may be another one than was committed under its index).
  if (queue_.empty()) group.state.hard_state.commit = queued_.hard_state.commit;
  ++group.state.group;
  hand_over(std::move(group));
  return true;
}

// Takes queued appends, in order, as many as make a good group. False if not even a part of the first fits.
bool Log::Writer::fill(Group& group) {
  if (offset_ + record_header_bytes > current_.size_bytes) return false;
  bool taken_any = false;
  while (!queue_.empty() && (!taken_any || group.bytes < options_.group_bytes_max)) {
    const std::uint64_t budget = std::min<std::uint64_t>(room(), options_.group_bytes_max) - group.bytes;
    Item& item = queue_.front();
    const std::size_t taken_before = item.entries_taken;
    const bool begun_before = item.begun;
    const bool whole = take(item, group, taken_any ? budget : room());
    taken_any |= whole || item.entries_taken > taken_before || item.begun != begun_before;
    if (!whole) break;
    ++group.appends;
    group.plain = group.plain && item.plain;
    queued_bytes_ -= item.bytes;
    if (item.done) group.dones.push_back(std::move(item.done));
    queue_.pop_front();
  }
  return taken_any;
}

// Puts what fits of one append into the group: its reset and hard state first, so that a part of an append on
// the disk never speaks of entries under an older term. True if nothing is left of it.
bool Log::Writer::take(Item& item, Group& group, std::size_t bytes_max) {
  std::size_t used = 0;
  if (!item.begun) {
    // An append is split only if it can nowhere be whole.
    const std::size_t whole_bytes = item.bytes + 2 * run_frame_bytes_max;
    if (whole_bytes > bytes_max && whole_bytes <= whole_append_bytes_max()) return false;
    const std::size_t needed = item.batch.reset ? run_frame_bytes_max : 0;
    if (needed > bytes_max) return false;
    if (item.batch.reset) {
      group.encoder.reset(item.batch.reset->index, item.batch.reset->term);
      group.state.last_index = item.batch.reset->index;
      group.state.last_term = item.batch.reset->term;
      group.first_index = LogIndex(1);
      group.cut_above = LogIndex{};
      used += needed;
    }
  }
  const std::vector<raft::Entry>& entries = item.batch.entries;
  std::size_t count = 0;
  std::size_t bytes = used + run_frame_bytes_max;
  const std::size_t group_max = std::min(bytes_max, options_.group_bytes_max);
  while (item.entries_taken + count < entries.size()) {
    const std::size_t more = entries[item.entries_taken + count].payload.size() + entry_frame_bytes_max;
    // One entry always goes alone, however large; more of them only up to a good group's size.
    if (bytes + more > (count == 0 ? bytes_max : group_max)) break;
    bytes += more;
    ++count;
  }
  if (count == 0 && item.entries_taken < entries.size() && !item.batch.reset) return false;
  if (count > 0) {
    const LogIndex first = entries[item.entries_taken].index;
    group.encoder.begin_run(first, count);
    for (std::size_t i = 0; i < count; ++i) {
      group.encoder.entry(entries[item.entries_taken + i]);
      group.payload_bytes += entries[item.entries_taken + i].payload.size();
    }
    item.entries_taken += count;
    group.state.last_index = entries[item.entries_taken - 1].index;
    group.state.last_term = entries[item.entries_taken - 1].term;
    const LogIndex kept = first.previous();
    group.cut_above = group.cut_above ? std::min(*group.cut_above, kept) : kept;
    if (group.first_index == LogIndex{} || first < group.first_index) group.first_index = first;
    used = bytes;
  }
  group.bytes += used;
  if (!item.begun && item.batch.hard_state) {
    const LogIndex commit = group.state.hard_state.commit;
    group.state.hard_state = *item.batch.hard_state;
    group.state.hard_state.commit =
        std::max(commit, std::min(group.state.hard_state.commit, group.state.last_index));
  }
  item.begun = true;
  if (item.entries_taken < entries.size()) return false;
  if (item.batch.hard_state)
    group.state.hard_state.commit = std::max(group.state.hard_state.commit, item.batch.hard_state->commit);
  if (item.repaired) group.state.in_doubt = false;
  return true;
}

void Log::Writer::hand_over(Group group) {
  const Place place{directory_.identity.incarnation, current_.number, offset_};
  RecordHeader header;
  header.previous = checksum_;
  header.first_index = group.first_index;
  header.state = group.state;
  LS_MUST(group.state.group > written_.group);
  LS_MUST(group.state.hard_state.commit <= group.state.last_index);
  const std::size_t frame_bytes = record_header_bytes + group.encoder.body_bytes();
  GroupEncoder::Encoded encoded = std::move(group.encoder).finish(header, place, current_.size_bytes);

  std::vector<env::Write> writes;
  writes.reserve(encoded.pieces.size() + 1);
  std::uint64_t at = offset_;
  for (SharedBytes& piece : encoded.pieces) {
    const std::size_t length = piece.size();
    writes.push_back({.offset = at, .bytes = std::move(piece)});
    at += length;
  }
  const std::uint64_t proves = add_proof(writes);
  offset_ += encoded.space_bytes;
  checksum_ = encoded.checksum;
  written_ = group.state;
  UnderWay write{
      {current_.number, offset_, checksum_, group.state}, proves, group.cut_above, std::move(group.dones)};

  const bool small = group.appends == 1 && queue_.empty() && frame_bytes <= inline_bytes_max_;
  ++stats_.groups;
  stats_.groups_inline += small ? 1 : 0;
  stats_.bytes += encoded.space_bytes;
  stats_.payload_bytes += group.payload_bytes;
  stats_.count_group(group.appends);
  under_way_ = true;
  if (LS_PLANTED(ack_before_fsync)) run(std::exchange(write.dones, {}));
  std::move_only_function<void()> meanwhile;
  if (small && done_meanwhile_ && group.plain && frame_bytes <= done_meanwhile_bytes_max) {
    meanwhile = [this, alive = std::weak_ptr<bool>(alive_),
                 dones = std::exchange(write.dones, {})]() mutable {
      if (!alive.expired()) run_meanwhile(std::move(dones));
    };
  }
  current_.file->write_and_sync(
      std::move(writes), small, std::move(meanwhile),
      [this, alive = std::weak_ptr<bool>(alive_), write = std::move(write)](const Status& status) mutable {
        if (!alive.expired()) on_written(status, std::move(write));
      });
}

void Log::Writer::on_written(const Status& status, UnderWay write) {
  LS_MUST(under_way_);
  under_way_ = false;
  disk_at_work_ = false;
  if (!status.ok()) return fail(status);
  LS_MUST(write.slot.state.group > durable_.state.group, "groups become durable in order");
  proved_group_ = std::max(proved_group_, write.proves);
  const raft::HardState& before = durable_.state.hard_state;
  const raft::HardState& after = write.slot.state.hard_state;
  proof_wanted_ |= after.term != before.term || after.vote != before.vote;
  durable_ = write.slot;
  LS_MUST(durable_.state.group - proved_group_ <= groups_unproved_max);
  // Only now: until the cut is durable a crash brings back what it cuts.
  if (write.cut_above) {
    cap_highest(segments_, *write.cut_above);
    segments_.back().highest = write.slot.state.last_index;
  }
  const bool outermost = !pumping_;
  pumping_ = true;
  run(std::move(write.dones));
  if (!outermost) return;
  pumping_ = false;
  pump();
}

void Log::Writer::run(std::vector<Done> dones) {
  for (Done& done : dones) done();
}

void Log::Writer::run_meanwhile(std::vector<Done> dones) {
  LS_MUST(under_way_, "what is appended now only queues");
  disk_at_work_ = true;
  run(std::move(dones));
}

void Log::Writer::fail(const Status& status) {
  if (failed_) return;
  failed_ = true;
  if (fatal_) fatal_(status);
}

// The slot of the last durable group, if it is time for one. Returns that group, or 0.
std::uint64_t Log::Writer::add_proof(std::vector<env::Write>& writes) {
  const std::uint64_t group = durable_.state.group;
  LS_MUST(group >= proved_group_);
  if (group == proved_group_) return 0;
  if (!proof_wanted_ && group - proved_group_ < groups_unproved_max) return 0;
  proof_wanted_ = false;
  writes.push_back(ring_write(durable_, directory_.identity.incarnation, current_.number, ring_turn_++));
  stats_.bytes += sector_bytes;
  return group;
}

std::vector<env::Write> Log::Writer::proof_in_both_pages() {
  std::vector<env::Write> writes;
  for (int copy = 0; copy < 2; ++copy) {
    writes.push_back(ring_write(durable_, directory_.identity.incarnation, current_.number, ring_turn_++));
  }
  proof_wanted_ = false;
  return writes;
}

void Log::Writer::prove_with_next_group() {
  proof_wanted_ = true;
}

bool Log::Writer::flush_idle_wanted() const {
  return !needs_discard_ && !failed_ && durable_.state.group > proved_group_;
}

void Log::Writer::flush_idle() {
  // What waits for a segment, on a full disk maybe for hours, takes no proof along.
  if (!flush_idle_wanted() || under_way_ || (!queue_.empty() && !waits_for_segment_)) return;
  under_way_ = true;
  ++stats_.idle_flushes;
  stats_.bytes += 2 * sector_bytes;
  current_.file->write_and_sync(
      proof_in_both_pages(), false,
      [this, alive = std::weak_ptr<bool>(alive_), group = durable_.state.group](const Status& status) {
        if (alive.expired()) return;
        LS_MUST(under_way_);
        under_way_ = false;
        if (!status.ok()) return fail(status);
        proved_group_ = std::max(proved_group_, group);
        pump();
      });
}

}  // namespace lockstep::log
