// Snapshots between members, and what the log may forget.
#include "replica/replica.h"

namespace lockstep::replica {

void Replica::start_snapshot(const raft::SnapshotRequest& request) {
  raft_->report_snapshot_failed(now(), request.peer);
}

void Replica::continue_snapshot(const raft::SnapshotProgress&) {}

void Replica::store_snapshot_chunk(const raft::SnapshotChunk& chunk) {
  raft_->snapshot_refused(now(), chunk.snapshot.id);
}

void Replica::release_log() {}

}  // namespace lockstep::replica
