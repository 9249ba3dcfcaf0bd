// Snapshots between members (paper 7): raft decides which are wanted and keeps their chunks in order; content
// is the drivers'.
#include <algorithm>

#include "base/assert.h"
#include "raft/raft.h"
#include "raft/trace.h"

namespace lockstep::raft {

Status Raft::send_snapshot_chunk(TimePoint now, NodeId node, SnapshotChunk chunk) {
  observe(now);
  const auto found = peers_.find(node);
  if (role_ != Role::leader || found == peers_.end() || found->second.state != ProgressState::snapshot) {
    return Status(Code::failed_precondition, "that peer awaits no snapshot");
  }
  if (chunk.snapshot.index < log_.base_index() || chunk.snapshot.index > applied_) {
    return Status(Code::invalid_argument, "the log does not continue after that snapshot");
  }
  found->second.snapshot_index = chunk.snapshot.index;
  Message message;
  message.kind = MessageKind::snapshot_chunk;
  message.to = node;
  message.round = round_;
  message.chunk = std::move(chunk);
  send(std::move(message));
  return {};
}

void Raft::report_snapshot_failed(TimePoint now, NodeId node) {
  observe(now);
  const auto found = peers_.find(node);
  if (found == peers_.end() || found->second.state != ProgressState::snapshot) return;
  trace("gives up the snapshot for ", node);
  found->second.become_probe(found->second.match.next());
  found->second.paused = true;  // until it answers the next heartbeat
}

void Raft::on_snapshot_chunk_response(const Message& message) {
  if (role_ != Role::leader) return;
  const auto found = peers_.find(message.from);
  if (found == peers_.end()) return;
  if (!observe_response(message, found->second)) return;
  if (found->second.state != ProgressState::snapshot) return;
  output_.snapshot_progress.push_back({message.from, message.snapshot, message.offset, message.reject});
}

void Raft::on_snapshot_chunk(Message& message) {
  accept_leader(message);
  LS_MUST(message.chunk.has_value());
  const SnapshotDescription& snapshot = message.chunk->snapshot;
  if (receiving_.has_value() && receiving_->installing) {
    trace("installs a snapshot and takes no other");
    return;
  }
  if (snapshot.index <= commit_) {
    // Old, or overtaken by appends (P34).
    trace("needs no snapshot at ", snapshot.index, ", has committed ", commit_);
    matched_ = std::max(matched_, commit_);
    acknowledge_append(message, commit_);
    return;
  }
  if (log_.matches(snapshot.index, snapshot.term)) {
    // The log holds all that the snapshot covers, and what follows it must stay (paper figure 13, step 6).
    trace("has the log up to the snapshot at ", snapshot.index);
    matched_ = std::max(matched_, snapshot.index);
    commit_to(snapshot.index);
    if (receiving_.has_value() && commit_ >= receiving_->snapshot.index) abandon_snapshot();
    acknowledge_append(message, snapshot.index);
    return;
  }
  take_snapshot_chunk(message);
}

void Raft::take_snapshot_chunk(const Message& message) {
  const SnapshotChunk& chunk = *message.chunk;
  const bool same = receiving_.has_value() && receiving_->snapshot == chunk.snapshot;
  if (!same) {
    if (chunk.offset != 0) {
      respond_snapshot(message, 0, true);
      return;
    }
    // One leader sends one snapshot at a time: with an index below the present one it is a late message of
    // an earlier transfer (P40).
    if (receiving_.has_value() && receiving_->leader_term == message.term &&
        chunk.snapshot.index < receiving_->snapshot.index) {
      trace("ignores a chunk of an older snapshot");
      return;
    }
    if (receiving_.has_value()) abandon_snapshot();
    receiving_ = Receiving{chunk.snapshot, message.term};
    trace("begins to receive a snapshot at ", chunk.snapshot.index);
  }
  receiving_->leader_term = message.term;
  if (chunk.offset != receiving_->next_offset) {
    // Behind: stored already. Ahead: one is missing, send again from there (P35, P36).
    respond_snapshot(message, receiving_->stored_offset, chunk.offset > receiving_->next_offset);
    return;
  }
  receiving_->next_offset = chunk.end_offset();
  if (chunk.last()) {
    trace("received the snapshot at ", chunk.snapshot.index);
    receiving_->installing = true;
  }
  output_.snapshot_chunks.push_back(chunk);
}

void Raft::respond_snapshot(const Message& message, std::uint64_t offset, bool rewind) {
  Message response = respond(message, MessageKind::snapshot_chunk_response);
  response.index = message.chunk->snapshot.index;
  response.snapshot = message.chunk->snapshot.id;
  response.offset = offset;
  response.reject = rewind;
  send(std::move(response));
}

void Raft::snapshot_stored(TimePoint now, SnapshotId id, std::uint64_t end_offset) {
  observe(now);
  if (!receiving_.has_value() || receiving_->snapshot.id != id) return;  // abandoned meanwhile
  LS_MUST(end_offset <= receiving_->next_offset);
  LS_MUST(end_offset >= receiving_->stored_offset);
  receiving_->stored_offset = end_offset;
  if (leader_ == NodeId{} || role_ == Role::leader) return;
  Message response;
  response.kind = MessageKind::snapshot_chunk_response;
  response.to = leader_;
  response.in_doubt = in_doubt_;
  response.index = receiving_->snapshot.index;
  response.snapshot = id;
  response.offset = end_offset;
  send(std::move(response));
}

void Raft::snapshot_refused(TimePoint now, SnapshotId id) {
  observe(now);
  if (!receiving_.has_value() || receiving_->snapshot.id != id) return;
  trace("refused the snapshot at ", receiving_->snapshot.index);
  if (leader_ != NodeId{}) {
    Message response;
    response.kind = MessageKind::snapshot_chunk_response;
    response.to = leader_;
    response.in_doubt = in_doubt_;
    response.index = receiving_->snapshot.index;
    response.snapshot = id;
    response.reject = true;
    send(std::move(response));
  }
  receiving_.reset();
}

// The log is replaced as a whole: had it agreed with the snapshot at its index, the snapshot would not have
// been taken, so nothing in it follows from the snapshot.
void Raft::snapshot_installed(TimePoint now, SnapshotId id) {
  observe(now);
  LS_MUST(receiving_.has_value() && receiving_->installing);
  LS_MUST(receiving_->snapshot.id == id);
  LS_MUST(role_ != Role::leader);
  const SnapshotDescription snapshot = std::move(receiving_->snapshot);
  receiving_.reset();
  LS_MUST(snapshot.index > commit_, "nothing was committed while it was installed");
  trace("stands at the snapshot ", snapshot.index, "@", snapshot.term);
  log_.reset(snapshot.index, snapshot.term);
  configurations_.clear();
  configurations_[snapshot.index] = snapshot.configuration;
  trace("uses configuration ", snapshot.index, ": ", to_string(snapshot.configuration));
  commit_ = applied_ = emitted_ = durable_ = snapshot.index;
  for (PendingPersist& pending : pending_persists_) {
    pending.end = snapshot.index;
    pending.end_term = snapshot.term;
  }
  output_.reset = LogReset{snapshot.index, snapshot.term};
  // Committed, hence in the log of whoever leads now.
  matched_ = std::max(matched_, snapshot.index);
  if (leader_ == NodeId{}) return;
  Message response;
  response.kind = MessageKind::append_response;
  response.to = leader_;
  response.in_doubt = in_doubt_;
  response.index = snapshot.index;
  send_after_persist(std::move(response));
}

void Raft::abandon_snapshot() {
  LS_MUST(receiving_.has_value());
  LS_MUST(!receiving_->installing);
  const SnapshotId id = receiving_->snapshot.id;
  trace("abandons the snapshot at ", receiving_->snapshot.index);
  receiving_.reset();
  std::erase_if(output_.snapshot_chunks, [&](const SnapshotChunk& chunk) { return chunk.snapshot.id == id; });
  output_.snapshot_abandoned = id;
}

}  // namespace lockstep::raft
