// What a leader knows of one peer, and how fast it may send to it.
//
// States: probe (the end of the common log is unknown: one append at a time), replicate (appends are
// pipelined within the limits), snapshot (the peer needs entries that are compacted: no appends until it
// has the snapshot).
//
// Invariants: match < next; in replicate everything in [match + 1, next) is in flight; in_flight is bounded
// by count and bytes (one message may exceed the bytes limit, so that large entries pass).
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>

#include "base/time.h"
#include "raft/types.h"

namespace lockstep::raft {

class InFlight {
 public:
  InFlight() = default;
  InFlight(std::size_t messages_max, std::size_t bytes_max)
      : messages_max_(messages_max), bytes_max_(bytes_max) {}
  [[nodiscard]] bool full() const;
  [[nodiscard]] std::size_t messages() const { return messages_.size(); }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  // An append up to `last`. Requires !full().
  void add(LogIndex last, std::size_t bytes);
  // Everything up to `index` arrived.
  void free_through(LogIndex index);
  void clear();

 private:
  struct Sent {
    LogIndex last;
    std::size_t bytes = 0;
  };
  std::deque<Sent> messages_;
  std::size_t bytes_ = 0;
  std::size_t messages_max_ = 1;
  std::size_t bytes_max_ = 1;
};

enum class ProgressState : std::uint8_t { probe, replicate, snapshot };

struct Progress {
  ProgressState state = ProgressState::probe;
  LogIndex match;                     // known to be durable there and equal to our log
  LogIndex next{1};                   // the first entry to send
  bool paused = false;                // probe: an append is under way
  TimePoint sent = TimePoint::min();  // the last append
  InFlight in_flight;
  LogIndex snapshot_index;  // snapshot: what was asked for; zero until the driver sends

  TimePoint last_heard = TimePoint::min();
  Round acked_round;     // the newest round it answered
  LogIndex commit_told;  // the newest commit index sent
  bool eager = true;     // it does not say otherwise: tell it of a commit at once

  // Restarts and doubt (decisions/0016-members-in-doubt.md).
  BootId boot;             // zero: not heard of in this term
  Round boot_round;        // other boots' answers to rounds up to here are from before this boot
  LogIndex acknowledged;   // the highest match ever, kept over restarts of the peer
  bool in_doubt = false;   // counted in no quorum
  LogIndex restore_index;  // in_doubt: what must be committed without it, and reach it
  Round restored_round;    // the first round that told it so; zero: not told
  Round cleared_round;     // this boot answered that round: its words from before do not count

  // Learner promotion: rounds of catching up (dissertation 4.2.1).
  LogIndex catch_up_target;
  TimePoint catch_up_started = TimePoint::min();
  bool caught_up = false;

  void become_probe(LogIndex next_index);
  void become_replicate();
  void become_snapshot(LogIndex index);
  // May another append go out now?
  [[nodiscard]] bool may_send() const;
  // The peer has everything up to `index`. Returns whether that is news.
  bool acknowledge(LogIndex index);
};

std::string_view to_string(ProgressState state);

}  // namespace lockstep::raft
