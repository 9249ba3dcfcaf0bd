// Linearizable reads by ReadIndex (dissertation 6.4): a round of heartbeats that begins after the read was
// asked for proves that no other leader existed when it was. One round serves all reads before it; every
// attempt gets a fresh round, so an answer to an older one confirms nothing (the leader counts rounds within
// its term, and repeats none).
#include <algorithm>
#include <limits>

#include "base/assert.h"
#include "base/planted.h"
#include "raft/raft.h"
#include "raft/trace.h"

namespace lockstep::raft {
namespace {

// Rounds without an answer yet; further reads wait and share the next one.
constexpr std::size_t read_rounds_max = 4;
// Rounds whose beginnings are remembered until a majority answers: more than there are in a round trip.
constexpr std::size_t round_starts_max = 64;
static_assert(round_starts_max > read_rounds_max);

}  // namespace

void Raft::read_index(TimePoint now, ReadId id) {
  observe(now);
  LS_MUST(id != ReadId{});
  if (LS_PLANTED(leader_local_read) && role_ == Role::leader) {
    output_.reads.push_back({id, true, commit_});
    return;
  }
  if (pending_reads_ >= pending_reads_max || leader_ == NodeId{}) {
    output_.reads.push_back({id, false, {}});
    return;
  }
  ++pending_reads_;
  if (role_ == Role::leader) {
    new_reads_.push_back({id, {}, {}});
  } else {
    reads_to_forward_.push_back(id);
  }
}

// Until then a leader does not know the commit index (dissertation 6.4, step 1).
bool Raft::committed_in_own_term() const {
  LS_MUST(role_ == Role::leader);
  return commit_ >= term_start_;
}

void Raft::start_reads() {
  LS_MUST(role_ == Role::leader);
  if (new_reads_.empty() || !committed_in_own_term() || read_batches_.size() >= read_rounds_max) return;
  if (LS_PLANTED(reused_read_round)) {
    read_batches_.push_back({Round{}, commit_, std::move(new_reads_)});
  } else {
    broadcast_heartbeat();
    read_batches_.push_back({round_, commit_, std::move(new_reads_)});
  }
  new_reads_.clear();
  finish_reads();
}

Round Raft::begin_round() {
  LS_MUST(role_ == Role::leader);
  // The oldest is given up, not the newest: then confirmed_at() is earlier than it could be, never later.
  if (round_starts_.size() >= round_starts_max) round_starts_.pop_front();
  round_starts_.push_back({++round_, now_});
  return round_;
}

// The newest one that a majority answered; the largest there is if this leader needs nobody.
Round Raft::confirmed_round() const {
  LS_MUST(role_ == Role::leader);
  return Round(quorum_value(configuration(), [&](NodeId node) -> std::uint64_t {
    if (node == options_.id) return std::numeric_limits<std::uint64_t>::max();
    const auto found = peers_.find(node);
    if (found == peers_.end() || found->second.in_doubt) return 0;
    return found->second.acked_round.value();
  }));
}

void Raft::note_confirmation(Round answered) {
  if (round_starts_.empty() || answered < round_starts_.front().round) return;
  const Round reached = confirmed_round();
  while (!round_starts_.empty() && round_starts_.front().round <= reached) {
    LS_MUST(confirmed_at_ <= round_starts_.front().at);
    confirmed_at_ = round_starts_.front().at;
    round_starts_.pop_front();
  }
}

TimePoint Raft::confirmed_at(TimePoint now) const {
  LS_MUST(role_ == Role::leader);
  if (!committed_in_own_term()) return TimePoint::min();
  const bool needs_nobody = confirmed_round().value() == std::numeric_limits<std::uint64_t>::max();
  return needs_nobody ? now : confirmed_at_;
}

void Raft::finish_reads() {
  LS_MUST(role_ == Role::leader);
  if (read_batches_.empty()) return;
  const Round reached = confirmed_round();
  while (!read_batches_.empty() && read_batches_.front().round <= reached) {
    answer_reads(read_batches_.front());
    read_batches_.pop_front();
  }
}

void Raft::answer_reads(const ReadBatch& batch) {
  LS_MUST(batch.index <= commit_);
  LS_MUST(pending_reads_ >= batch.reads.size());
  pending_reads_ -= batch.reads.size();
  for (const PendingRead& read : batch.reads) {
    if (read.from == NodeId{}) {
      output_.reads.push_back({read.id, true, batch.index});
      continue;
    }
    Message response;
    response.kind = MessageKind::read_index_response;
    response.to = read.from;
    response.round = read.batch;
    response.index = batch.index;
    send(std::move(response));
  }
}

// The leader changed: nothing that is pending will be answered.
void Raft::fail_reads() {
  const auto fail = [&](const PendingRead& read) {
    if (read.from == NodeId{}) {
      output_.reads.push_back({read.id, false, {}});
      return;
    }
    Message response;
    response.kind = MessageKind::read_index_response;
    response.to = read.from;
    response.round = read.batch;
    response.reject = true;
    send(std::move(response));
  };
  for (const ReadBatch& batch : read_batches_) std::for_each(batch.reads.begin(), batch.reads.end(), fail);
  std::for_each(new_reads_.begin(), new_reads_.end(), fail);
  for (const ReadId id : reads_to_forward_) output_.reads.push_back({id, false, {}});
  for (const auto& [round, forwarded] : forwarded_reads_) {
    for (const ReadId id : forwarded.reads) output_.reads.push_back({id, false, {}});
  }
  read_batches_.clear();
  new_reads_.clear();
  reads_to_forward_.clear();
  forwarded_reads_.clear();
  pending_reads_ = 0;
}

void Raft::forward_reads() {
  LS_MUST(role_ != Role::leader);
  if (reads_to_forward_.empty()) return;
  LS_MUST(leader_ != NodeId{}, "reads fail when the leader is lost");
  ++forward_round_;
  Message message;
  message.kind = MessageKind::read_index;
  message.to = leader_;
  message.round = forward_round_;
  send(std::move(message));
  forwarded_reads_[forward_round_] = {std::move(reads_to_forward_), now_ + options_.election_timeout};
  reads_to_forward_.clear();
}

void Raft::expire_forwarded_reads() {
  // Batches are made in the order of their rounds, so the first ones are the oldest.
  while (!forwarded_reads_.empty() && forwarded_reads_.begin()->second.deadline <= now_) {
    const ForwardedReads& forwarded = forwarded_reads_.begin()->second;
    for (const ReadId id : forwarded.reads) output_.reads.push_back({id, false, {}});
    LS_MUST(pending_reads_ >= forwarded.reads.size());
    pending_reads_ -= forwarded.reads.size();
    forwarded_reads_.erase(forwarded_reads_.begin());
  }
}

void Raft::on_read_index(const Message& message) {
  if (role_ == Role::leader && pending_reads_ < pending_reads_max) {
    ++pending_reads_;
    new_reads_.push_back({{}, message.from, message.round});
    // The read waits for what is committed, also if the next answer from there left before it was asked for.
    if (const auto peer = peers_.find(message.from); peer != peers_.end()) peer->second.eager = true;
    return;
  }
  Message response = respond(message, MessageKind::read_index_response);
  response.reject = true;
  send(std::move(response));
}

void Raft::on_read_index_response(const Message& message) {
  const auto found = forwarded_reads_.find(message.round);
  if (found == forwarded_reads_.end() || message.from != leader_) {
    trace("ignores an answer to a read that is not pending");
    return;
  }
  for (const ReadId id : found->second.reads) output_.reads.push_back({id, !message.reject, message.index});
  LS_MUST(pending_reads_ >= found->second.reads.size());
  pending_reads_ -= found->second.reads.size();
  forwarded_reads_.erase(found);
}

}  // namespace lockstep::raft
