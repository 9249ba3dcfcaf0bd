// The durable Raft log of one member: entries, hard state and the directory's identity, on env::Disk.
//
// What it promises:
//  L1  When `done` of an append runs, its entries and hard state survive any crash (I1). Appends become
//  durable
//      in the order they were made, each wholly or not at all; one larger than group_bytes_max in parts, from
//      its front, of which the first has its reset and hard state.
//  L2  After a crash the log holds a prefix of the appends made, at least every acknowledged one. Bytes never
//      written here, cut away, or left from an earlier use of a recycled file are never read as entries.
//  L3  The end of the log is cut at open only if what is cut cannot have been acknowledged; otherwise open()
//      reports Damage and the member neither votes nor leads until it was repaired (I9).
//  L4  After a failed write or sync nothing is acknowledged any more and `fatal` is called, once. The caller
//      ends the process: what the disk holds after a failed sync cannot be known, so it is never tried again.
//  L5  One opener a directory.
//
// Group commit: one write is under way at a time; what is appended meanwhile goes out together in the next.
// docs/formats/log.md has the bytes, docs/decisions/0014-log.md the reasons.
//
// Threads: everything is called on the member's strand and calls back there. Preparing and recycling segments
// runs on the Worker. Destroying a Log (never inside one of its callbacks) drops what is queued; no callback
// runs afterwards.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/limits.h"
#include "base/status.h"
#include "env/disk.h"
#include "env/executor.h"
#include "log/identity.h"
#include "log/stats.h"
#include "raft/types.h"

namespace lockstep::log {

struct Options {
  std::string directory = "log";  // made if missing
  // Must equal what the directory was made for; a directory made now gets them and `new_incarnation`, which
  // the caller draws from env::Random.
  ClusterId cluster;
  NodeId node;
  IncarnationId new_incarnation;
  // Entries up to here are in the applied state already and not returned by open().
  LogIndex entries_after;
  // A larger entry is refused. Bounds what open() allocates for one record.
  std::size_t entry_bytes_max = limits::entry_bytes_max;
  // Appends waiting together become groups of at most this size; a larger append is split.
  std::size_t group_bytes_max = 8 * limits::mebibyte;
  // Size of new segment files. Must hold an entry of entry_bytes_max and its frame.
  std::size_t segment_bytes = 64 * limits::mebibyte;
  // Released segment files kept for reuse, but only one while the disk has room for fewer than
  // free_segments_min. Small groups fill some segments between two releases: filling new
  // ones with zeros would double what is written.
  std::size_t spare_segments_max = 4;
  std::size_t free_segments_min = 16;
  // A group up to this size is written inside append(): for the few commands in it, handing it to another
  // thread costs more than keeping what arrives meanwhile waiting.
  std::size_t inline_bytes_max = 1 * limits::kibibyte;
};

// A place in the Raft log.
struct LogPosition {
  LogIndex index;
  Term term;
  friend bool operator==(const LogPosition&, const LogPosition&) = default;
};

// Acknowledged records are missing or wrong, so the member may have forgotten a vote or an acknowledgement
// (raft::Restored::may_vote is false). What open() returned is the part before them.
struct Damage {
  // Entries from here on may be missing, or stale (overwritten by a lost record).
  LogIndex index_first;
  // The log once reached at least here.
  LogIndex index_last;
  // Found and cut at an earlier open, and mark_repaired() was not durable since. The log is sound; only the
  // doubt is left, and the indexes are those of its present end.
  bool discarded = false;
  std::string reason;  // for people: which file, which offset, what proves it
};

struct Recovered {
  Identity identity;
  bool made_now = false;  // the directory was made by this open
  raft::HardState hard_state;
  // The log continues after `base`: its entries start at base.index + 1. {0, 0} if it starts at the
  // beginning. base.term is zero if unknown (the entry was released): a snapshot at or above base.index knows
  // more.
  LogPosition base;
  LogPosition last;  // of the last entry; equals base if there is none
  // Consecutive, ending at last.index; starting after the larger of base.index and Options::entries_after.
  std::vector<raft::Entry> entries;
  std::optional<Damage> damage;
};

struct AppendBatch {
  // Replaces the durable hard state. Term and commit never go back, a vote is not changed within a term, and
  // commit is not above the end of the log.
  std::optional<raft::HardState> hard_state;
  // A snapshot took the log's place: all entries are dropped and the next has index reset->index + 1.
  std::optional<LogPosition> reset;
  // Consecutive indexes. The first is at most one above the end; what was at or above it is cut away. Terms
  // never fall.
  std::vector<raft::Entry> entries;
};

class Log {
 public:
  using Done = std::move_only_function<void()>;
  using Fatal = std::move_only_function<void(Status)>;
  struct Opened;

  // Reads the directory, making it if it is missing or empty. Blocks: for the start of a process.
  // Errors: failed_precondition (held by another opener; made for another member; made by a version with
  // another format), corruption (identity or the oldest needed segment lost), io_error, resource_exhausted
  // (full).
  static Result<Opened> open(env::Disk& disk, env::Worker& worker, Options options, Fatal fatal);
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  // Queues the batch. `done` runs once it is durable (a little earlier after set_inline()), never if that
  // fails. An empty batch is a barrier: done
  // when everything before it is durable. `done` may run inside this call (small group, nothing under way)
  // and may itself append: such an append only queues, and goes out when `done` has returned. Requires: no
  // damage left to discard. Entries above entry_bytes_max are a broken caller (assertion).
  void append(AppendBatch batch, Done done);

  // The commit index grew and nothing else changed: goes out with the next group, without a sync of its own.
  // Ignored if it does not grow.
  void note_commit(LogIndex commit);

  // Makes the proof that the last group was acknowledged durable beside it, so that damage to the very last
  // record is told from a torn write (L3). Costs a write; call it some milliseconds after the last append.
  // Does nothing if there is nothing to prove or something is under way.
  void flush_idle();
  [[nodiscard]] bool flush_idle_wanted() const;
  // The same for a log that is not idle, without a sync of its own: the next group carries the proof of what
  // is durable then. Otherwise one goes along with every sixteenth group, and behind a change of term or
  // vote.
  void prove_with_next_group();

  // From the next group on, instead of Options::inline_bytes_max. `done_meanwhile`: for a group of a
  // few entries and nothing else, written inside, `done` runs while the disk makes it durable. Nothing it
  // leads to leaves this process before that (env::File::write_and_sync()), so who asks from outside sees no
  // difference but the time.
  void set_inline(std::size_t bytes_max, bool done_meanwhile);
  // From such a `done` until its group is durable.
  [[nodiscard]] bool disk_at_work() const;

  // Entries up to `index` are not needed any more (a durable snapshot covers them): segments wholly at or
  // below are recycled. Needed hard state is never lost by it.
  void release(LogIndex index);

  // Cuts the log before the damage, durably, and remembers the doubt: further opens report Damage with
  // `discarded` until mark_repaired() is durable. Call only if the entries can be had from peers. Blocks.
  // Required before the first append after damage that is not discarded yet.
  Status discard_damaged_tail();
  [[nodiscard]] bool needs_discard() const;
  // The leader restored this member (raft::Output::vote_restored). Queued like an append.
  void mark_repaired(Done done);

  // The disk is full: no next segment could be prepared. Appends are still taken, and durable as long as the
  // present segment has room; then they wait. Refuse proposals meanwhile. try_again() is for a slow timer;
  // release() tries again by itself.
  [[nodiscard]] bool disk_full() const;
  void try_again();

  // Segment files with records, the present one included.
  [[nodiscard]] std::size_t segments() const;
  // Appended and not yet durable.
  [[nodiscard]] std::size_t queued_bytes() const;
  [[nodiscard]] const Stats& stats() const;

 private:
  class Writer;
  explicit Log(std::unique_ptr<Writer> writer);
  std::unique_ptr<Writer> writer_;
};

struct Log::Opened {
  std::unique_ptr<Log> log;
  Recovered recovered;
};

}  // namespace lockstep::log
