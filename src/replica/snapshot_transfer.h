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

struct SnapshotTransfer {
  raft::SnapshotDescription description;          // id is set from the start, the rest when it is made
  std::shared_ptr<store::SnapshotSource> source;  // null: being made
  std::uint64_t read_offset = 0;                  // sent, or being read to be sent
  std::uint64_t stored_offset = 0;                // stored by the follower
  TimePoint progress_at{};                        // when the follower last stored something, or it began
  bool reading = false;
};

}  // namespace lockstep::replica
