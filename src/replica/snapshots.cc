// Snapshots between members: rows of the engine as a stream, in chunks (docs/formats/snapshot.md).
#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "replica/replica.h"

namespace lockstep::replica {
namespace {

constexpr Duration backup_poll_interval = 5ms;
// A backup waits so long for a quorum's word that it has everything.
constexpr int backup_confirm_timeouts = 5;

// Else the log, which shares the disk, would be the first to find it full (P39).
Status has_room(env::Disk& disk, std::uint64_t bytes) {
  LS_ASSIGN_OR_RETURN(const std::uint64_t free, disk.free_bytes());
  if (free > bytes) return {};
  return {Code::resource_exhausted, "a snapshot of " + std::to_string(bytes) + " bytes and a disk with " +
                                        std::to_string(free) + " left"};
}

}  // namespace

// ---- for backups

void Replica::open_snapshot(store::Callback<std::shared_ptr<store::SnapshotSource>> done) {
  if (!persistence_)
    return done(Status(Code::failed_precondition, "this member keeps its state in memory only"));
  // What this member forwarded and others acknowledged may not be applied here yet. Without a quorum nothing
  // more can be known, and a copy of what this member has is what is wanted then.
  auto begin = [this, done = std::move(done)](const Status& /*confirmed*/) mutable {
    wait_for_engine(machine_->applied_index(), std::move(done));
  };
  reads_.add({std::move(begin), now() + backup_confirm_timeouts * options_.election_timeout});
  schedule_flush();
}

// The engine lies behind what is applied, a little.
void Replica::wait_for_engine(LogIndex index, store::Callback<std::shared_ptr<store::SnapshotSource>> done) {
  if (halted_) return done(Status(Code::unavailable, "etcdserver: server stopped"));
  if (persistence_->engine_index() >= index) {
    persistence_->make_snapshot(std::move(done));
    return pump_persistence(false);
  }
  pump_persistence(true);
  environment_.executor.schedule(now() + backup_poll_interval,
                                 [this, alive = alive_, index, done = std::move(done)]() mutable {
                                   if (*alive) wait_for_engine(index, std::move(done));
                                 });
}

void Replica::read_snapshot(std::shared_ptr<store::SnapshotSource> source, std::uint64_t offset,
                            std::size_t bytes_max, store::Callback<SharedBytes> done) {
  if (halted_) return done(Status(Code::unavailable, "etcdserver: server stopped"));
  LS_MUST(persistence_ != nullptr);
  persistence_->read_snapshot(std::move(source), offset, bytes_max, std::move(done));
  pump_persistence(false);
}

// ---- sending

void Replica::start_snapshot(const raft::SnapshotRequest& request) {
  // What is not in the engine yet cannot be in a snapshot of it; raft asks again.
  if (!persistence_ || persistence_->engine_index() < request.index_min) {
    pump_persistence(true);
    return raft_->report_snapshot_failed(now(), request.peer);
  }
  drop_snapshot(request.peer);
  SnapshotTransfer& transfer = snapshots_[request.peer];
  transfer.description.id = raft::SnapshotId(environment_.random.next() | 1);
  transfer.reaches = persistence_->engine_index();
  persistence_->make_snapshot([this, peer = request.peer, id = transfer.description.id](
                                  Result<std::shared_ptr<store::SnapshotSource>> source) {
    on_snapshot_made(peer, id, std::move(source));
  });
  pump_persistence(false);
}

void Replica::drop_snapshot(NodeId peer) {
  snapshots_.erase(peer);
}

void Replica::on_snapshot_made(NodeId peer, raft::SnapshotId id,
                               Result<std::shared_ptr<store::SnapshotSource>> source) {
  const auto found = snapshots_.find(peer);
  if (halted_ || found == snapshots_.end() || found->second.description.id != id) return;
  if (!source.ok()) {
    drop_snapshot(peer);
    raft_->report_snapshot_failed(now(), peer);
    return drive();
  }
  SnapshotTransfer& transfer = found->second;
  transfer.source = *std::move(source);
  Result<raft::Configuration> configuration = raft::decode_configuration(transfer.source->configuration());
  if (!configuration.ok()) return halt(configuration.status());
  transfer.description.index = transfer.reaches = transfer.source->index();
  transfer.description.term = transfer.source->term();
  transfer.description.configuration = *std::move(configuration);
  transfer.description.total_bytes = transfer.source->total_bytes();
  transfer.description.digest = transfer.source->digest();
  transfer.progress_at = now();
  send_snapshot_chunks(peer);
}

void Replica::continue_snapshot(const raft::SnapshotProgress& progress) {
  const auto found = snapshots_.find(progress.peer);
  if (found == snapshots_.end() || found->second.description.id != progress.id) return;
  SnapshotTransfer& transfer = found->second;
  // Refused as a whole, or lost there: raft asks for another when the follower answers again, not at once.
  // One that is refused from its first chunk on has no room for any.
  if (progress.rewind && progress.offset == 0) {
    transfer.refused = true;
    if (transfer.stored_offset == 0) return;
    drop_snapshot(progress.peer);
    return raft_->report_snapshot_failed(now(), progress.peer);
  }
  // Messages overtake each other: without a rewind nothing that was stored is lost.
  if (progress.offset > transfer.description.total_bytes) return;
  if (!progress.rewind && progress.offset <= transfer.stored_offset) return;
  transfer.progress_at = now();
  transfer.refused = false;
  transfer.stored_offset = progress.offset;
  transfer.read_offset = progress.rewind ? progress.offset : std::max(transfer.read_offset, progress.offset);
  send_snapshot_chunks(progress.peer);
}

void Replica::send_snapshot_chunks(NodeId peer) {
  SnapshotTransfer& transfer = snapshots_.at(peer);
  if (transfer.source == nullptr || transfer.reading || transfer.refused) return;
  if (transfer.read_offset >= transfer.description.total_bytes) return;
  if (transfer.read_offset - transfer.stored_offset >= snapshot_window_bytes) return;
  transfer.reading = true;
  persistence_->read_snapshot(
      transfer.source, transfer.read_offset, limits::snapshot_chunk_bytes_max,
      [this, peer, id = transfer.description.id, offset = transfer.read_offset](Result<SharedBytes> bytes) {
        on_snapshot_read(peer, id, offset, std::move(bytes));
      });
  pump_persistence(false);
}

void Replica::on_snapshot_read(NodeId peer, raft::SnapshotId id, std::uint64_t offset,
                               Result<SharedBytes> bytes) {
  const auto found = snapshots_.find(peer);
  if (halted_ || found == snapshots_.end() || found->second.description.id != id) return;
  SnapshotTransfer& transfer = found->second;
  transfer.reading = false;
  if (!bytes.ok()) {
    drop_snapshot(peer);
    raft_->report_snapshot_failed(now(), peer);
    return drive();
  }
  if (offset == transfer.read_offset) {  // else it was rewound meanwhile
    transfer.read_offset += bytes->size();
    const Status sent = raft_->send_snapshot_chunk(
        now(), peer, raft::SnapshotChunk{transfer.description, offset, *std::move(bytes)});
    if (!sent.ok()) {  // the log was compacted beyond it: another one is needed
      drop_snapshot(peer);
      raft_->report_snapshot_failed(now(), peer);
      return drive();
    }
  }
  send_snapshot_chunks(peer);
  drive();
}

// A chunk or its answer was lost: raft has no timer for them.
void Replica::resend_snapshots(TimePoint present) {
  for (auto next = snapshots_.begin(); next != snapshots_.end();) {
    const auto current = next++;
    auto& [peer, transfer] = *current;
    const auto progress = raft_->peers().find(peer);
    if (progress == raft_->peers().end() || progress->second.state != raft::ProgressState::snapshot) {
      snapshots_.erase(current);  // installed, or not wanted any more
      continue;
    }
    if (transfer.source == nullptr || transfer.reading) continue;
    const Duration waiting = present - transfer.progress_at;
    if (transfer.stored_offset == transfer.description.total_bytes) {
      if (waiting < snapshot_install_timeouts * options_.election_timeout) continue;
      raft_->report_snapshot_failed(now(), peer);
      snapshots_.erase(current);
      continue;
    }
    if (waiting < options_.election_timeout) continue;
    transfer.progress_at = present;
    transfer.read_offset = transfer.stored_offset;
    transfer.refused = false;
    send_snapshot_chunks(peer);
  }
}

// ---- receiving

void Replica::store_snapshot_chunk(const raft::SnapshotChunk& chunk) {
  const raft::SnapshotDescription& snapshot = chunk.snapshot;
  if (!persistence_) return raft_->snapshot_refused(now(), snapshot.id);
  if (chunk.offset == 0) {
    receiving_snapshot_ = snapshot.id;
    ++receiving_attempt_;
    persistence_->begin_install(
        [&disk = environment_.disk, bytes = snapshot.total_bytes] { return has_room(disk, bytes); });
  } else if (receiving_snapshot_ != snapshot.id) {
    return raft_->snapshot_refused(now(), snapshot.id);
  }
  persistence_->install_chunk(chunk.bytes, [this, snapshot, end_offset = chunk.end_offset(),
                                            attempt = receiving_attempt_](const Status& status) {
    // Behind a chunk that failed all others fail, maybe when it is tried again.
    if (attempt == receiving_attempt_) on_snapshot_stored(snapshot, end_offset, status);
  });
  pump_persistence(false);
}

void Replica::on_snapshot_stored(const raft::SnapshotDescription& snapshot, std::uint64_t end_offset,
                                 const Status& status) {
  if (halted_ || receiving_snapshot_ != snapshot.id) return;
  if (!status.ok()) {
    receiving_snapshot_ = {};
    persistence_->abandon_install();
    ++snapshots_refused_;
    raft_->snapshot_refused(now(), snapshot.id);
  } else {
    raft_->snapshot_stored(now(), snapshot.id, end_offset);
    if (end_offset == snapshot.total_bytes) finish_snapshot(snapshot);
  }
  drive();
}

void Replica::finish_snapshot(const raft::SnapshotDescription& snapshot) {
  installing_ = true;
  auto machine = std::make_shared<store::StateMachine>(options_.machine, cold_history_.get());
  persistence_->finish_install(snapshot.digest, machine,
                               [this, snapshot, machine](Result<store::Recovered> recovered) mutable {
                                 on_snapshot_installed(snapshot, std::move(machine), std::move(recovered));
                               });
  pump_persistence(false);
}

void Replica::on_snapshot_installed(const raft::SnapshotDescription& snapshot,
                                    std::shared_ptr<store::StateMachine> machine,
                                    Result<store::Recovered> recovered) {
  if (halted_) return;
  receiving_snapshot_ = {};
  installing_ = false;
  if (!recovered.ok()) {
    ++snapshots_refused_;
    raft_->snapshot_refused(now(), snapshot.id);
    apply_queued();
    return drive();
  }
  LS_MUST(recovered->applied == snapshot.index, "the snapshot is what its description says");
  // What was committed and waited for persistence is in the snapshot.
  LS_MUST(committed_.empty() || committed_.back().index < snapshot.index, "nothing was committed meanwhile");
  committed_.clear();
  committed_bytes_ = 0;
  // Watchers go on from where they were, in the new history.
  const std::shared_ptr<store::StateMachine> replaced = std::exchange(machine_, std::move(machine));
  cold_history_->forget();
  watch_hub_->on_restored(machine_->history());
  watch_guard_.set_state(*machine_);
  applied_clock_.restart(now(), machine_->store_time_ms());
  persistence_->start(*std::move(recovered));
  proposals_.skipped(snapshot.index);
  raft_->snapshot_installed(now(), snapshot.id);
  drive();
}

}  // namespace lockstep::replica
