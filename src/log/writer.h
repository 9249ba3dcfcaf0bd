// The writing half of an open log: the queue, group commit, rotation, recycling.
//
// Invariants:
//  W1  At most one write is under way; the next group is handed to the disk only after it is durable.
//  W2  Groups, and appends within them, keep the order of append().
//  W3  A group is written to pages that hold no byte of another group: while the log runs, acknowledged
//      bytes are never written again, not even with what they hold.
//  W4  A segment takes records only after its name and head are durable.
//  W5  Queued appends name states that follow each other (`queued_`), asserted when they come in.
//  W6  Once a group is durable, at most `groups_unproved_max` durable groups have no durable ring slot at or
//      after them; one that changed the term or the vote has one as soon as the group after it is durable.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "log/log.h"
#include "log/record.h"
#include "log/recovery.h"
#include "log/segment.h"

namespace lockstep::log {

// A ring slot is a second place to write for a sync, and felt with one append in flight. It adds to what the
// next group's header proves only if the last groups are lost together, every one of them: seldom enough
// that it costs nothing, often enough that it takes 64 KiB of the file in one stroke.
inline constexpr std::uint64_t groups_unproved_max = 16;

class Log::Writer {
 public:
  // Between open() and the writer: what both need of the directory.
  struct Directory {
    env::Disk& disk;
    std::shared_ptr<env::DirectoryLock> lock;  // also held by work beside the strand
    Identity identity;
    std::vector<std::uint64_t> spares;
  };

  Writer(Directory directory, env::Worker& worker, Options options, Fatal fatal, RecoveredLog recovered);

  // How many released segments to keep for reuse.
  static std::size_t spares_wanted(env::Disk& disk, const Options& options);

  // Makes the recovered tail the place to go on from. Blocks; requires no damage.
  Status settle_tail();
  Status discard_damaged_tail();
  // Starts preparing the next segment. After one of the two above.
  void start();

  void append(AppendBatch batch, Done done);
  void mark_repaired(Done done);
  void note_commit(LogIndex commit);
  void flush_idle();
  void prove_with_next_group();
  void set_inline(std::size_t bytes_max, bool done_meanwhile) {
    inline_bytes_max_ = bytes_max;
    done_meanwhile_ = done_meanwhile;
  }
  void release(LogIndex index);
  void try_again();

  [[nodiscard]] bool flush_idle_wanted() const;
  [[nodiscard]] bool needs_discard() const { return needs_discard_; }
  [[nodiscard]] bool disk_full() const { return disk_full_; }
  [[nodiscard]] bool disk_at_work() const { return disk_at_work_; }
  [[nodiscard]] std::size_t segments() const { return segments_.size(); }
  [[nodiscard]] std::size_t queued_bytes() const { return queued_bytes_; }
  [[nodiscard]] const Stats& stats() const { return stats_; }

 private:
  struct Item {
    AppendBatch batch;
    Done done;
    std::size_t entries_taken = 0;
    std::size_t bytes = 0;
    bool repaired = false;  // ends the doubt
    bool begun = false;     // its reset and hard state are in an earlier group
    bool plain = false;     // entries after the last one, and a commit index perhaps
  };
  struct Group {
    GroupEncoder encoder;
    LogState state;
    LogIndex first_index;  // lowest written or cut; zero: none
    std::optional<LogIndex> cut_above;
    std::vector<Done> dones;
    std::size_t appends = 0;
    bool plain = true;  // each of them
    std::size_t bytes = 0;
    std::size_t payload_bytes = 0;
  };

  struct UnderWay {
    RingSlot slot;             // what will be durable
    std::uint64_t proves = 0;  // the group whose slot goes along; 0: none
    std::optional<LogIndex> cut_above;
    std::vector<Done> dones;
  };

  // writer.cc: the queue and its groups
  void check(const AppendBatch& batch) const;
  [[nodiscard]] bool is_plain(const AppendBatch& batch) const;
  void pump();
  bool write_next_group();
  bool fill(Group& group);
  bool take(Item& item, Group& group, std::size_t bytes_max);
  void hand_over(Group group);
  std::uint64_t add_proof(std::vector<env::Write>& writes);
  [[nodiscard]] std::vector<env::Write> proof_in_both_pages();
  void on_written(const Status& status, UnderWay write);
  void run(std::vector<Done> dones);
  void run_meanwhile(std::vector<Done> dones);
  void fail(const Status& status);
  [[nodiscard]] std::uint64_t room() const;
  [[nodiscard]] std::size_t whole_append_bytes_max() const;

  // segments.cc: preparing, rotating, recycling
  void prepare_next();
  void on_prepared(Result<Segment> result);
  bool rotate();
  Status rewrite_last_record(env::File& file);
  Status remove_segments(const std::vector<std::uint64_t>& numbers);
  Status adopt_prepared();
  [[nodiscard]] std::string path_of(const std::string& name) const { return options_.directory + "/" + name; }

  Directory directory_;
  env::Worker& worker_;
  const Options options_;
  std::size_t inline_bytes_max_ = options_.inline_bytes_max;
  bool done_meanwhile_ = false;
  Fatal fatal_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

  LogState queued_;                 // after everything appended
  LogState written_;                // after everything handed to the disk
  RingSlot durable_;                // the last durable group
  std::uint64_t proved_group_ = 0;  // a durable ring slot says so
  std::uint64_t ring_turn_ = 0;     // of the next slot
  bool proof_wanted_ = false;       // with the next group

  Segment current_;
  std::uint64_t offset_ = 0;           // where the next group goes
  std::uint32_t checksum_ = 0;         // of the last header handed to the disk
  std::vector<SegmentInfo> segments_;  // in order; the last is current_
  std::optional<Segment> next_;
  std::uint64_t segment_number_max_ = 0;
  RecoveredLog recovered_;  // what settle_tail() and discard_damaged_tail() work from

  std::size_t recycling_ = 0;  // segments becoming spares
  std::deque<Item> queue_;
  std::size_t queued_bytes_ = 0;
  bool under_way_ = false;
  bool disk_at_work_ = false;
  bool pumping_ = false;
  bool preparing_ = false;
  bool waits_for_segment_ = false;
  bool disk_full_ = false;
  bool needs_discard_ = false;
  bool failed_ = false;
  Stats stats_;
};

}  // namespace lockstep::log
