// The leader's side of replication: proposals, pipelined appends, conflict back-off, heartbeats, commit
// (paper 5.3, 5.4.2; dissertation 10.2.1 for writing to its own disk in parallel).
#include <algorithm>

#include "base/assert.h"
#include "base/planted.h"
#include "raft/raft.h"
#include "raft/trace.h"

namespace lockstep::raft {

Result<LogIndex> Raft::propose(TimePoint now, std::span<const SharedBytes> payloads) {
  observe(now);
  using Refused = Result<LogIndex>;
  if (payloads.empty()) return Refused(Code::invalid_argument, "nothing to propose");
  if (role_ != Role::leader) {
    if (leader_ == NodeId{}) return Refused(Code::unavailable, "not the leader; none is known");
    return Refused(Code::unavailable, "not the leader; it is " + std::to_string(leader_.value()));
  }
  if (transferee_ != NodeId{}) return Refused(Code::unavailable, "leadership is being transferred");
  std::size_t bytes = 0;
  for (const SharedBytes& payload : payloads) {
    if (payload.size() > options_.entry_bytes_max) {
      return Refused(Code::invalid_argument, "entry of " + std::to_string(payload.size()) +
                                                 " bytes; at most " +
                                                 std::to_string(options_.entry_bytes_max));
    }
    bytes += payload.size();
  }
  // Even a proposal above the limit passes when nothing waits, else it never could.
  if (uncommitted_bytes_ > 0 && uncommitted_bytes_ + bytes > options_.uncommitted_bytes_max) {
    return Refused(Code::resource_exhausted, "too much is proposed and not yet committed");
  }
  const LogIndex first = log_.last_index().next();
  for (const SharedBytes& payload : payloads) append_as_leader(EntryKind::normal, payload);
  LS_MUST(log_.last_index() == first + (payloads.size() - 1));
  return first;
}

LogIndex Raft::append_as_leader(EntryKind kind, SharedBytes payload) {
  LS_MUST(role_ == Role::leader);
  const Entry entry{term_, log_.last_index().next(), kind, std::move(payload)};
  uncommitted_bytes_ += entry.payload.size();
  log_.append({&entry, 1}, commit_);
  trace("appends ", entry.index, "@", entry.term, kind == EntryKind::normal ? "" : " ",
        kind == EntryKind::normal ? "" : to_string(kind));
  if (kind == EntryKind::configuration) {
    Result<Configuration> configuration = decode_configuration(entry.payload.view());
    LS_MUST(configuration.ok());
    adopt_configuration(entry.index, *std::move(configuration));
  }
  return entry.index;
}

// What every message of a leader to a peer carries, in_doubt's fields included.
void Raft::address(Message& message, NodeId node, Progress& peer) {
  LS_MUST(role_ == Role::leader);
  message.to = node;
  if (peer.in_doubt) {
    message.doubt_boot = peer.boot;
    if (commit_ >= peer.restore_index && peer.match >= peer.restore_index) {
      if (peer.restored_round == Round{}) peer.restored_round = begin_round();
      message.restored_index = peer.restore_index;
    } else {
      message.in_doubt = true;
    }
  }
  message.round = round_;
}

void Raft::send_heartbeat(NodeId node, Progress& peer) {
  Message message;
  message.kind = MessageKind::heartbeat;
  message.commit = std::min(peer.match, commit_);
  address(message, node, peer);
  peer.commit_told = std::max(peer.commit_told, message.commit);
  send(std::move(message));
}

// Is anybody held up by a peer that does not know the commit index? Members that come and go want it soon as
// well, and so does whoever shall lead next.
bool Raft::waits_for_commit(const Progress& peer) const {
  const bool configuration_committed =
      configuration_index() > peer.commit_told && configuration_index() <= std::min(peer.match, commit_);
  return peer.eager || configuration_committed || transferee_ != NodeId{};
}

// To a peer that got nothing else to carry it; wants no answer (round 0).
void Raft::tell_commit(NodeId node, Progress& peer) {
  LS_MUST(role_ == Role::leader);
  Message message;
  message.kind = MessageKind::heartbeat;
  message.to = node;
  message.commit = std::min(peer.match, commit_);
  LS_MUST(message.commit > peer.commit_told);
  peer.commit_told = message.commit;
  send(std::move(message));
}

void Raft::broadcast_heartbeat() {
  LS_MUST(role_ == Role::leader);
  begin_round();
  heartbeat_deadline_ = now_ + options_.heartbeat_interval;
  for (auto& [node, peer] : peers_) send_heartbeat(node, peer);
}

void Raft::hurry_commit(TimePoint now) {
  observe(now);
  if (role_ == Role::leader) commit_notice_deadline_ = now_;
}

void Raft::replicate() {
  LS_MUST(role_ == Role::leader);
  const bool due = options_.commit_notice_delay == Duration::zero() || now_ >= commit_notice_deadline_;
  bool waits = false;
  for (auto& [node, peer] : peers_) {
    replicate_to(node, peer);
    if (std::min(peer.match, commit_) <= peer.commit_told) continue;
    if (due || waits_for_commit(peer)) {
      tell_commit(node, peer);
    } else {
      waits = true;
    }
  }
  if (!waits) {
    commit_notice_deadline_ = no_deadline;
  } else if (commit_notice_deadline_ == no_deadline) {
    commit_notice_deadline_ = now_ + options_.commit_notice_delay;
  }
}

void Raft::replicate_to(NodeId node, Progress& peer) {
  while (peer.may_send()) {
    if (peer.next <= log_.base_index()) {
      ask_for_snapshot(node, peer);
      return;
    }
    if (peer.state == ProgressState::replicate && peer.next > log_.last_index()) return;
    send_append(node, peer);
  }
}

void Raft::send_append(NodeId node, Progress& peer) {
  LS_MUST(peer.next > log_.base_index());
  const LogIndex previous = peer.next.previous();
  const std::optional<Term> previous_term = log_.term_at(previous);
  LS_MUST(previous_term.has_value());
  Message message;
  message.kind = MessageKind::append;
  message.index = previous;
  message.log_term = *previous_term;
  message.commit = commit_;
  if (!peer.in_flight.full()) {
    message.entries = log_.slice(peer.next, log_.last_index(), options_.message_entries_bytes_max);
  }
  peer.commit_told = std::max(peer.commit_told, commit_);
  peer.sent = now_;
  if (peer.state == ProgressState::probe) {
    peer.paused = true;
  } else if (!message.entries.empty()) {
    std::size_t bytes = 0;
    for (const Entry& entry : message.entries) bytes += entry.payload.size();
    peer.in_flight.add(message.entries.back().index, bytes);
    peer.next = message.entries.back().index.next();
  }
  address(message, node, peer);
  send(std::move(message));
}

void Raft::ask_for_snapshot(NodeId node, Progress& peer) {
  // Making a snapshot for a peer that is down would be wasted, and would have to be repeated.
  if (peer.last_heard < now_ - options_.election_timeout) return;
  trace("needs a snapshot for ", node, ", which lacks entry ", peer.next);
  peer.become_snapshot(log_.base_index());
  output_.snapshot_requests.push_back({node, log_.base_index()});
}

void Raft::on_append_response(const Message& message) {
  if (role_ != Role::leader) return;
  const auto found = peers_.find(message.from);
  if (found == peers_.end()) return;
  Progress& peer = found->second;
  if (!observe_response(message, peer)) return;
  if (message.reject) {
    on_append_rejected(message, peer);
  } else {
    acknowledge(message, peer);
  }
}

// The peer's log is durable and equal to ours up to message.index.
void Raft::acknowledge(const Message& message, Progress& peer) {
  const bool news = peer.acknowledge(message.index);
  if (peer.state == ProgressState::snapshot) {
    if (peer.match >= log_.base_index()) {
      trace("continues with appends to ", message.from);
      peer.become_replicate();
    } else if (news && peer.match >= peer.snapshot_index) {
      // The log was compacted beyond that snapshot meanwhile: another one is needed (etcd #18055).
      peer.become_probe(peer.match.next());
    }
  } else if (peer.state == ProgressState::probe && (news || peer.match == message.index)) {
    peer.become_replicate();
  }
  if (!news) return;
  update_catch_up(peer);
  advance_commit();
  if (role_ == Role::leader && message.from == transferee_) continue_transfer();
}

// Fast back-off: the follower names the last of its entries that can possibly agree with the one refused
// (paper 5.3, end), and we skip all of ours that cannot agree with that one.
void Raft::on_append_rejected(const Message& message, Progress& peer) {
  if (peer.state == ProgressState::snapshot) return;
  if (message.index <= peer.match) return;  // overtaken by an acknowledgement
  if (peer.state == ProgressState::replicate) {
    peer.become_probe(peer.match.next());
    return;
  }
  if (message.index != peer.next.previous()) return;  // not the answer to our probe
  if (message.index <= peer.acknowledged) {
    // It had this entry before it restarted: its log went back (F20).
    trace("sees that ", message.from, " lost entry ", message.index, ", which it had acknowledged");
    if (!peer.in_doubt) put_in_doubt(message.from, peer);
    peer.acknowledged = peer.match;
  }
  const LogIndex possible = log_.last_possible_match(message.hint_index, message.hint_term);
  LogIndex next = std::min(message.index, possible.next());
  // Judge the entry it once acknowledged by itself, not by what was tried in vain above it.
  if (message.index > peer.acknowledged) next = std::max(next, peer.acknowledged.next());
  next = std::max(next, peer.match.next());
  LS_MUST(next < peer.next, "a refused probe goes back");
  peer.become_probe(next);
}

void Raft::on_heartbeat_response(const Message& message) {
  if (role_ != Role::leader) return;
  const auto found = peers_.find(message.from);
  if (found == peers_.end()) return;
  Progress& peer = found->second;
  if (!observe_response(message, peer)) return;
  finish_reads();
  if (message.index > peer.match) {
    acknowledge(message, peer);
    // What was committed by it may have removed the peer, or this leader.
    if (!peers_.contains(message.from)) return;
  }
  const bool overdue = peer.sent + options_.heartbeat_interval <= now_;
  if (overdue) peer.paused = false;
  if (overdue && peer.state == ProgressState::replicate && peer.match.next() < peer.next) {
    // What is under way is late, or was lost: an append that follows all of it is refused if anything is
    // missing.
    if (peer.next > log_.base_index()) {
      send_append(message.from, peer);
    } else {
      peer.become_probe(peer.match.next());
    }
  }
  if (message.from == transferee_) continue_transfer();
}

// Common to all answers of peers. False: it is of an earlier boot of the peer, or of no message of ours.
bool Raft::observe_response(const Message& message, Progress& peer) {
  LS_MUST(role_ == Role::leader);
  LS_MUST(message.term == term_);
  if (message.round > round_ || message.index > log_.last_index()) {
    ++invalid_messages_;
    trace("drops an answer of ", message.from, " to what was never sent");
    return false;
  }
  if (!observe_boot(message, peer)) return false;
  observe_doubt(message, peer);
  peer.last_heard = now_;
  peer.eager = message.eager;
  peer.acked_round = std::max(peer.acked_round, message.round);
  note_confirmation(message.round);
  return true;
}

// An answer by another boot is from before the present boot unless it answers something sent since we know
// the present one.
bool Raft::observe_boot(const Message& message, Progress& peer) {
  if (message.boot == peer.boot) return true;
  if (peer.boot == BootId{}) {
    peer.boot = message.boot;
    peer.boot_round = round_;
    return true;
  }
  if (message.round <= peer.boot_round) {
    trace("drops an answer of ", message.from, " from before its restart");
    return false;
  }
  trace("sees that ", message.from, " restarted");
  peer.boot = message.boot;
  peer.boot_round = round_;
  peer.cleared_round = Round{};
  begin_round();
  peer.match = LogIndex{};
  peer.commit_told = LogIndex{};
  peer.become_probe(peer.acknowledged.next());
  // It had reached its restore index and kept it over the restart; else what made it doubtful may have
  // happened again.
  const bool restored = peer.restored_round != Round{} && !message.in_doubt;
  if (peer.in_doubt && restored) {
    end_doubt(message.from, peer);
  } else if (peer.in_doubt) {
    put_in_doubt(message.from, peer);
  }
  return true;
}

void Raft::observe_doubt(const Message& message, Progress& peer) {
  if (message.in_doubt) {
    if (!peer.in_doubt && message.round >= peer.cleared_round) put_in_doubt(message.from, peer);
    return;
  }
  if (!peer.in_doubt || peer.restored_round == Round{} || message.round < peer.restored_round) return;
  end_doubt(message.from, peer);
}

void Raft::end_doubt(NodeId node, Progress& peer) {
  LS_MUST(peer.in_doubt);
  LS_MUST(commit_ >= peer.restore_index);
  trace("counts ", node, " again");
  peer.in_doubt = false;
  peer.cleared_round = peer.restored_round;
  peer.restore_index = LogIndex{};
  peer.restored_round = Round{};
}

// From now on it counts in no quorum. It is restored by an entry appended after this moment and committed
// without it: the decision record says why nothing less will do.
void Raft::put_in_doubt(NodeId node, Progress& peer) {
  LS_MUST(role_ == Role::leader);
  trace("holds ", node, " in doubt");
  peer.in_doubt = true;
  peer.restored_round = Round{};
  peer.restore_index = append_as_leader(EntryKind::empty, {});
  // It may have voted for another leader before it forgot, and have answered rounds of ours since.
  round_starts_.clear();
  confirmed_at_ = TimePoint::min();
  if (node == transferee_) end_transfer();
}

LogIndex Raft::counted_match(NodeId node) const {
  if (node == options_.id) return LS_PLANTED(ack_before_persist) ? log_.last_index() : durable_;
  const auto found = peers_.find(node);
  if (found == peers_.end() || found->second.in_doubt) return LogIndex{};
  return found->second.match;
}

void Raft::advance_commit() {
  LS_MUST(role_ == Role::leader);
  const auto reached = [&](NodeId node) { return counted_match(node).value(); };
  Configuration counted;
  if (LS_PLANTED(commit_without_quorum_joint)) counted.voters = configuration().voters;
  const LogIndex index(quorum_value(counted.empty() ? configuration() : counted, reached));
  if (index <= commit_) return;
  // Only entries of this term are committed by counting; older ones along with them (paper 5.4.2, figure 8).
  if (log_.term_at(index) != term_ && !LS_PLANTED(old_term_commit_by_counting)) return;
  commit_to(index);
  leave_joint_if_due();
  step_down_if_removed();
}

void Raft::commit_to(LogIndex index) {
  if (index <= commit_) return;
  LS_MUST(index <= log_.last_index());
  for (LogIndex i = commit_.next(); role_ == Role::leader && i <= index; ++i) {
    const Entry& entry = log_.at(i);
    if (i < term_start_) continue;
    LS_MUST(uncommitted_bytes_ >= entry.payload.size());
    uncommitted_bytes_ -= entry.payload.size();
  }
  commit_ = index;
  trace("commits through ", index);
}

// A learner has caught up once it received, within an election timeout, all that the log held when that
// timeout began (dissertation 4.2.1): then it will not hold up commits as a voter.
void Raft::update_catch_up(Progress& peer) {
  if (peer.catch_up_started != TimePoint::min()) {
    if (peer.match < peer.catch_up_target) return;
    peer.caught_up = now_ - peer.catch_up_started <= options_.election_timeout;
  }
  peer.catch_up_target = log_.last_index();
  peer.catch_up_started = now_;
}

}  // namespace lockstep::raft
