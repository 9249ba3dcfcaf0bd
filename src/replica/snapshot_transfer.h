// One snapshot on its way to one follower.
#pragma once

#include <cstdint>
#include <memory>

#include "base/limits.h"
#include "base/time.h"
#include "raft/message.h"
#include "store/snapshot.h"

namespace lockstep::replica {

// Chunks on their way without an answer. Two keep the follower's disk busy while the next is read here.
inline constexpr std::uint64_t snapshot_window_bytes = 2 * limits::snapshot_chunk_bytes_max;

// While snapshots are sent the log may grow to this many times its bound: one that the log does not continue
// after, when it has arrived, was for nothing.
inline constexpr std::size_t snapshot_log_factor = 4;
// A follower that has all of it and neither installed nor refused it for so many election timeouts lost it.
inline constexpr int snapshot_install_timeouts = 10;

struct SnapshotTransfer {
  raft::SnapshotDescription description;          // id is set from the start, the rest when it is made
  std::shared_ptr<store::SnapshotSource> source;  // null: being made
  std::uint64_t read_offset = 0;                  // sent, or being read to be sent
  std::uint64_t stored_offset = 0;                // stored by the follower
  TimePoint progress_at{};                        // when the follower last stored something, or it began
  LogIndex reaches;                               // at least this index: the log behind it is still wanted
  bool reading = false;
  bool refused = false;  // its first chunk: sent again after an election timeout, not at once
};

}  // namespace lockstep::replica
