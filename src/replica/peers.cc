// What goes to and comes from the other members.
#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "raft/wire.h"
#include "replica/addresses.h"
#include "replica/replica.h"

namespace lockstep::replica {

void Replica::send(raft::Message& message) {
  LS_MUST(message.to != options_.node);
  message.eager = raft::answers_leader(message.kind) && wants_commits();
  if (message.kind == raft::MessageKind::pre_vote_response && message.index != LogIndex{}) {
    know_former_member(message.to);
  }
  environment_.network.send(message.to, wrap_raft(raft::encode(message)));
}

void Replica::on_message(NodeId from, SharedBytes message) {
  if (halted_) return;
  const std::uint8_t kind = peer_message_kind(message.view());
  if (kind == PeerCalls::call_kind || kind == PeerCalls::answer_kind) {
    const bool taken = kind == PeerCalls::call_kind ? peer_calls_.on_call(from, message)
                                                    : peer_calls_.on_answer(from, message);
    if (!taken) ++bad_messages_;
    return;
  }
  switch (static_cast<PeerMessageKind>(kind)) {
    case PeerMessageKind::raft:
      return on_raft_message(from, message);
    case PeerMessageKind::forward:
      return on_forward(from, message);
    case PeerMessageKind::forward_answer:
      return on_forward_answer(from, message);
    case PeerMessageKind::birth:
      return on_birth(from, message);
    case PeerMessageKind::members:
      return on_members(from, message);
  }
  ++bad_messages_;
}

void Replica::on_raft_message(NodeId from, const SharedBytes& message) {
  // Not born: whatever it promised, another life of this directory may have promised otherwise.
  if (birth_->state() == BirthState::waiting) return;
  Result<raft::Message> decoded = raft::decode(message.slice(1, message.size() - 1));
  if (!decoded.ok()) {
    ++bad_messages_;
    return;
  }
  // As if it were lost: the leader sends it again. Heartbeats pass, so it stays the leader.
  if (decoded->kind == raft::MessageKind::append && !decoded->entries.empty() && overloaded()) {
    ++appends_dropped_;
    return;
  }
  raft_->receive(now(), from, *std::move(decoded));
  schedule_flush();
}

void Replica::tell_birth(NodeId to) {
  std::string bytes(1, static_cast<char>(PeerMessageKind::birth));
  bytes += birth_->message(to);
  environment_.network.send(to, {SharedBytes(std::move(bytes))});
}

// Again and again until born, or until both the leader and the certificate were heard of: messages get lost,
// and founders come up one by one.
void Replica::ask_for_birth() {
  if (halted_) return;
  const bool lost = birth_->state() == BirthState::doubtful &&
                    (raft_->log().last_index() == LogIndex(0) || !birth_->has_certificate());
  if (birth_->state() != BirthState::waiting && !lost) return;
  for (const std::vector<Member>* members : {&options_.founders, &options_.contacts}) {
    for (const Member& member : *members) {
      if (member.id != options_.node) tell_birth(member.id);
    }
  }
  environment_.executor.schedule(now() + options_.heartbeat_interval, [this, alive = alive_] {
    if (*alive) ask_for_birth();
  });
}

void Replica::tell_members(NodeId to) {
  if (raft_->configuration().empty()) return;
  std::string bytes(1, static_cast<char>(PeerMessageKind::members));
  bytes += raft_->configuration().context;
  environment_.network.send(to, {SharedBytes(std::move(bytes))});
}

// Whoever does not answer may be unable to: if all it knew have left while it lagged, it has nobody's
// address.
void Replica::tell_silent_members(TimePoint present) {
  if (!raft_->is_leader() || present < tell_members_after_) return;
  tell_members_after_ = present + options_.election_timeout;
  for (const auto& [node, peer] : raft_->peers()) {
    if (peer.last_heard < present - options_.election_timeout) tell_members(node);
  }
}

// Whoever lost its log, or lags, may not know members that joined since, the leader among them, and could not
// answer them.
void Replica::on_members(NodeId from, const SharedBytes& message) {
  const Result<std::vector<Member>> members = decode_addresses(message.view().substr(1));
  if (!members.ok()) {
    ++bad_messages_;
    return;
  }
  // Of what it contains, the own configuration knows better; of the others, only who speaks needs an answer.
  const bool log_lost = raft_->log().last_index() == LogIndex(0);
  for (const Member& member : *members) {
    const bool unknown = member.id == from && !raft_->configuration().contains(from);
    if (member.id != options_.node && (log_lost || unknown)) {
      environment_.network.set_peer(member.id, member.address);
    }
  }
}

void Replica::on_birth(NodeId from, const SharedBytes& message) {
  const Result<bool> changed = birth_->receive(from, message.view().substr(1));
  if (!changed.ok()) {
    if (changed.status().code() != Code::corruption) return halt(changed.status());
    ++bad_messages_;
    return;
  }
  if (*changed && birth_->state() == BirthState::born) {
    // Founders begin with nothing, or with the backup that all of them were made from.
    const LogIndex begin = machine_->applied_index();
    LS_MUST(raft_->log().last_index() == begin, "nothing was accepted before the birth");
    raft::Restored restored;
    restored.hard_state.term = machine_->applied_term();
    restored.snapshot_index = restored.applied = begin;
    restored.snapshot_term = machine_->applied_term();
    restored.snapshot_configuration = raft_->configuration();
    make_raft(std::move(restored));
    for (const Member& founder : options_.founders) {
      if (founder.id != options_.node) tell_birth(founder.id);
    }
    drive();
  } else if (Birth::is_question(message.view().substr(1))) {
    if (birth_->state() == BirthState::born) tell_birth(from);
    tell_members(from);
  }
}

void Replica::on_peer_lost(NodeId peer) {
  if (halted_) return;
  raft_->report_peer_lost(now(), peer);
  proposals_.leader_lost(peer);
  peer_calls_.peer_lost(peer);
  drive();
}

void Replica::on_forward(NodeId from, const SharedBytes& message) {
  Result<Forward> forward = decode_forward(message);
  if (!forward.ok()) {
    ++bad_messages_;
    return;
  }
  PendingBatch batch;
  batch.origin = ForwardOrigin{from, forward->id};
  const bool any_term = forward->term == Term{};
  if (!any_term && forward->term != seen_forwards_.term()) {
    // It was meant for an earlier leadership of ours, which may have taken it already: messages come twice.
    proposals_.fail(std::move(batch), unknown_lost());
    return schedule_flush();
  }
  if (!any_term && !seen_forwards_.take(from, forward->id)) return;
  // Only now: a second copy of what was taken gets no answer of its own. A leader knows its members. One that
  // was removed, perhaps for a reason, writes nothing more.
  if (raft_->is_leader() && !raft_->configuration().contains(from)) {
    proposals_.fail(std::move(batch), Status(Code::unavailable,
                                             "etcdserver: the member has been permanently "
                                             "removed from the cluster"));
    return schedule_flush();
  }
  if (!raft_->is_leader()) {
    proposals_.fail(std::move(batch), Status(Code::unavailable, "etcdserver: not leader"));
    return schedule_flush();
  }
  if (std::optional<ForwardedRenewals> renewals = renewals_of(forward->batch.view())) {
    forwarded_renewals_.push_back({forward->batch, *std::move(renewals), std::move(batch)});
    return schedule_flush();
  }
  propose_forwarded(forward->batch, std::move(batch));
}

void Replica::propose_forwarded(const SharedBytes& commands, PendingBatch batch) {
  store::BatchHeader header;
  header.store_time_ms = leader_time_ms();
  Result<std::string> payload = store::restamp_batch(commands.view(), header);
  if (payload.ok()) {
    propose_batch(*std::move(payload), std::move(batch));
  } else {
    proposals_.fail(std::move(batch), payload.status());
  }
  schedule_flush();
}

void Replica::on_forward_answer(NodeId from, const SharedBytes& message) {
  Result<ForwardAnswer> answer = decode_forward_answer(message);
  if (!answer.ok()) {
    ++bad_messages_;
    return;
  }
  std::optional<PendingBatch> batch = proposals_.answered(answer->id, from);
  if (!batch) return;
  if (!answer->refused.ok()) {
    proposals_.fail(std::move(*batch), answer->refused);
  } else if (answer->results.size() != batch->commands.size()) {
    ++bad_messages_;
    proposals_.fail(std::move(*batch), unknown_lost());
  } else {
    proposals_.complete(std::move(*batch), std::move(answer->results), header());
  }
  schedule_flush();
}

void Replica::send_answers() {
  for (Proposals::PeerAnswer& answer : proposals_.take_answers()) {
    answer.answer.leader = raft_->leader();
    environment_.network.send(answer.peer, encode(answer.answer));
  }
}

// A member that left is no peer of one that started since; to be told of its removal it must be reached. The
// addresses of those that left stay listed for a while.
void Replica::know_former_member(NodeId node) {
  const Result<std::vector<Member>> members = decode_addresses(raft_->configuration().context);
  if (!members.ok()) return;
  for (const Member& member : *members) {
    if (member.id == node) environment_.network.set_peer(member.id, member.address);
  }
}

void Replica::update_peers() {
  peers_as_of_ = raft_->configuration_index();
  const std::size_t inline_bytes_max = alone() ? options_.log_inline_bytes_max_alone : 0;
  log_->set_inline(std::max(options_.log.inline_bytes_max, inline_bytes_max), inline_bytes_max > 0);
  const Result<std::vector<Member>> members = decode_addresses(raft_->configuration().context);
  if (!members.ok()) return;
  for (const Member& member : *members) {
    if (member.id == options_.node) continue;
    if (raft_->configuration().contains(member.id)) {
      environment_.network.set_peer(member.id, member.address);
    }
  }
}

}  // namespace lockstep::replica
