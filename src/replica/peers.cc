// What goes to and comes from the other members.
#include <utility>

#include "base/assert.h"
#include "raft/wire.h"
#include "replica/addresses.h"
#include "replica/replica.h"

namespace lockstep::replica {

void Replica::send(const raft::Message& message) {
  LS_MUST(message.to != options_.node);
  environment_.network.send(message.to, wrap_raft(raft::encode(message)));
}

void Replica::on_message(NodeId from, SharedBytes message) {
  if (halted_) return;
  switch (static_cast<PeerMessageKind>(peer_message_kind(message.view()))) {
    case PeerMessageKind::raft: {
      Result<raft::Message> decoded = raft::decode(message.slice(1, message.size() - 1));
      if (!decoded.ok()) break;
      raft_->receive(now(), from, *std::move(decoded));
      return drive();
    }
    case PeerMessageKind::forward:
      return on_forward(from, message);
    case PeerMessageKind::forward_answer:
      return on_forward_answer(message);
  }
  ++bad_messages_;
}

void Replica::on_peer_lost(NodeId peer) {
  if (halted_) return;
  raft_->report_peer_lost(now(), peer);
  proposals_.leader_lost(peer);
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
  if (!raft_->is_leader()) {
    proposals_.fail(std::move(batch), Status(Code::unavailable, "etcdserver: not leader"));
    return drive();
  }
  store::BatchHeader header;
  header.store_time_ms = std::max(store_clock_.read_ms(now()), machine_->store_time_ms());
  Result<std::string> payload = store::restamp_batch(forward->batch.view(), header);
  if (!payload.ok()) {
    proposals_.fail(std::move(batch), payload.status());
    return drive();
  }
  propose_batch(*std::move(payload), std::move(batch));
  drive();
}

void Replica::on_forward_answer(const SharedBytes& message) {
  Result<ForwardAnswer> answer = decode_forward_answer(message);
  if (!answer.ok()) {
    ++bad_messages_;
    return;
  }
  std::optional<PendingBatch> batch = proposals_.answered(answer->id);
  if (!batch) return;
  if (!answer->refused.ok()) {
    proposals_.fail(std::move(*batch), answer->refused);
  } else if (answer->results.size() != batch->commands.size()) {
    ++bad_messages_;
    proposals_.fail(std::move(*batch), unknown_lost());
  } else {
    proposals_.complete(std::move(*batch), std::move(answer->results), header());
  }
  drive();
}

void Replica::send_answers() {
  for (Proposals::PeerAnswer& answer : proposals_.take_answers()) {
    answer.answer.leader = raft_->leader();
    environment_.network.send(answer.peer, encode(answer.answer));
  }
}

void Replica::update_peers() {
  peers_as_of_ = raft_->configuration_index();
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
