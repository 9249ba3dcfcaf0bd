// Construction, the common path of every message, and the output. The topics have their own files: election,
// replication (leader) and append (follower), reads, membership, snapshot.
#include "raft/raft.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/planted.h"
#include "raft/trace.h"

namespace lockstep::raft {

bool Output::empty() const {
  return !must_persist() && !hard_state.has_value() && messages.empty() && messages_after_persist.empty() &&
         committed.empty() && reads.empty() && !role_change.has_value() && snapshot_requests.empty() &&
         snapshot_progress.empty() && snapshot_chunks.empty() && !snapshot_abandoned.has_value() &&
         !vote_restored && trace.empty();
}

Raft::Raft(const Options& options, Restored restored, std::uint64_t seed, TimePoint now)
    : options_(options), prng_(seed), now_(now) {
  LS_MUST(options_.id != NodeId{});
  LS_MUST(options_.election_timeout > options_.heartbeat_interval);
  LS_MUST(options_.heartbeat_interval > Duration::zero());
  LS_MUST(options_.inflight_messages_max > 0);
  LS_MUST(options_.commit_notice_delay >= Duration::zero());
  options_.message_entries_bytes_max =
      std::min(options_.message_entries_bytes_max, limits::message_entries_bytes_max);
  boot_ = BootId(prng_.next() | 1);
  // A batch forwarded before a restart must never be taken for one after it.
  forward_round_ = Round(prng_.next() >> 1);

  log_ = RaftLog(restored.snapshot_index, restored.snapshot_term, std::move(restored.entries));
  configurations_[log_.base_index()] = std::move(restored.snapshot_configuration);
  for (LogIndex index = log_.first_index(); index <= log_.last_index(); ++index) {
    const Entry& entry = log_.at(index);
    if (entry.kind != EntryKind::configuration) continue;
    Result<Configuration> configuration = decode_configuration(entry.payload.view());
    LS_MUST(configuration.ok(), "what is in the log was checked before it was appended");
    configurations_[index] = *std::move(configuration);
  }

  const HardState& hard_state = restored.hard_state;
  term_ = hard_state.term;
  vote_ = hard_state.vote;
  LS_MUST(log_.last_term() <= term_ || !restored.may_vote, "the term is durable before entries of it");
  term_ = std::max(term_, log_.last_term());
  LS_MUST(restored.applied >= log_.base_index());
  LS_MUST(restored.applied <= log_.last_index(), "no state is ahead of the durable log (R6)");
  applied_ = emitted_ = restored.applied;
  durable_ = log_.last_index();
  commit_ = std::min(std::max(hard_state.commit, applied_), log_.last_index());
  emitted_hard_state_ = hard_state;
  const bool lost_commits = hard_state.commit > log_.last_index();
  in_doubt_ = (!restored.may_vote || lost_commits) && !LS_PLANTED(wiped_member_votes);
  noted_role_ = {role_, term_, leader_};

  // Whoever restarts cannot know that there is no leader: it waits as if it had just heard of one, which also
  // gives a leader the time to notice that a directory was rolled back.
  if (term_ != Term{}) lease_until_ = now_ + options_.election_timeout;
  reset_election_deadline();
}

void Raft::observe(TimePoint now) {
  now_ = std::max(now_, now);
}

TimePoint Raft::next_deadline() const {
  TimePoint deadline = no_deadline;
  if (role_ == Role::leader) {
    deadline = heartbeat_deadline_;
    if (options_.check_quorum) deadline = std::min(deadline, quorum_deadline_);
    if (transferee_ != NodeId{}) deadline = std::min(deadline, transfer_deadline_);
    deadline = std::min(deadline, commit_notice_deadline_);
  } else {
    deadline = election_deadline_;
  }
  for (const auto& [round, forwarded] : forwarded_reads_) deadline = std::min(deadline, forwarded.deadline);
  return deadline;
}

void Raft::tick(TimePoint now) {
  observe(now);
  expire_forwarded_reads();
  if (role_ == Role::leader) {
    if (now_ >= heartbeat_deadline_) broadcast_heartbeat();
    if (transferee_ != NodeId{} && now_ >= transfer_deadline_) {
      trace("transfer to ", transferee_, " took too long");
      end_transfer();
    }
    if (options_.check_quorum && now_ >= quorum_deadline_) check_quorum();
    return;
  }
  if (now_ < election_deadline_) return;
  if (may_campaign()) {
    start_campaign(false);
    return;
  }
  if (leader_ != NodeId{}) {
    trace("lost leader ", leader_);
    become_follower(term_, NodeId{});
  }
  reset_election_deadline();
  ask_whether_removed();
}

void Raft::receive(TimePoint now, NodeId from, Message message) {
  observe(now);
  const bool addressed = message.from == from && message.to == options_.id && from != options_.id;
  const Status status = addressed ? validate(message) : Status(Code::invalid_argument, "misaddressed");
  if (!status.ok()) {
    ++invalid_messages_;
    trace("drops a message of ", from, ": ", status.message());
    return;
  }
  if (handle_term(message)) dispatch(message);
}

namespace {

bool comes_from_leader(MessageKind kind) {
  return kind == MessageKind::append || kind == MessageKind::heartbeat || kind == MessageKind::snapshot_chunk;
}

}  // namespace

// Brings the terms of message and member together. False: the message ends here.
bool Raft::handle_term(const Message& message) {
  const MessageKind kind = message.kind;
  // A pre-vote asks about a term that nobody is in yet, and so does the answer that grants it.
  if (kind == MessageKind::pre_vote) return true;
  if (kind == MessageKind::pre_vote_response && !message.reject) return true;
  if (message.term > term_) {
    if (kind == MessageKind::vote) {
      if (in_doubt_) {
        trace("is in doubt and ignores the vote for ", message.from, " in term ", message.term);
        return false;
      }
      // Dissertation 4.2.3: whoever hears from a leader neither votes nor follows into the term.
      if (!message.transfer && lease_holds()) {
        trace("has a leader and ignores the vote for ", message.from, " in term ", message.term);
        return false;
      }
    }
    become_follower(message.term, NodeId{});
    return true;
  }
  if (message.term == term_) return true;
  // Whoever was removed may have campaigned far beyond the others' term.
  if (kind == MessageKind::pre_vote_response && message.index != LogIndex{}) return true;
  if (comes_from_leader(kind)) {
    // Its sender must learn that its term is over, else a member that campaigned while cut off stays out for
    // ever: it refuses the leader, and pre-vote refuses it.
    Message response = respond(message, MessageKind::append_response);
    response.reject = true;
    response.index = message.index;
    send(std::move(response));
  } else if (kind == MessageKind::vote && !in_doubt_) {
    Message response = respond(message, MessageKind::vote_response);
    response.reject = true;
    send(std::move(response));
  }
  trace("ignores ", to_string(kind), " of ", message.from, " in old term ", message.term);
  return false;
}

void Raft::dispatch(Message& message) {
  switch (message.kind) {
    case MessageKind::pre_vote:
    case MessageKind::vote:
      return on_vote_request(message);
    case MessageKind::pre_vote_response:
    case MessageKind::vote_response:
      return on_vote_response(message);
    case MessageKind::append:
      return on_append(message);
    case MessageKind::append_response:
      return on_append_response(message);
    case MessageKind::heartbeat:
      return on_heartbeat(message);
    case MessageKind::heartbeat_response:
      return on_heartbeat_response(message);
    case MessageKind::snapshot_chunk:
      return on_snapshot_chunk(message);
    case MessageKind::snapshot_chunk_response:
      return on_snapshot_chunk_response(message);
    case MessageKind::timeout_now:
      return on_timeout_now(message);
    case MessageKind::read_index:
      return on_read_index(message);
    case MessageKind::read_index_response:
      return on_read_index_response(message);
  }
  LS_UNREACHABLE("validate() let an unknown kind pass");
}

void Raft::become_follower(Term term, NodeId leader) {
  const bool changed = term != term_ || leader != leader_ || role_ != Role::follower;
  leave_role(term, leader);
  if (!changed) return;
  if (leader == NodeId{}) {
    trace("is a follower in term ", term_);
  } else {
    trace("follows ", leader_, " in term ", term_);
  }
}

// A follower, whatever it was before.
void Raft::leave_role(Term term, NodeId leader) {
  LS_MUST(term >= term_);
  LS_MUST(leader != options_.id);
  if (term > term_) {
    term_ = term;
    vote_ = NodeId{};
    durable_hard_state_changed_ = true;
    matched_ = LogIndex{};
    restored_round_ = Round{};
    lease_until_ = TimePoint::min();
  }
  if (role_ == Role::leader) {
    end_transfer();
    fail_reads();
    peers_.clear();
    uncommitted_bytes_ = 0;
    heartbeat_deadline_ = quorum_deadline_ = commit_notice_deadline_ = no_deadline;
    election_deadline_ = no_deadline;
  }
  role_ = Role::follower;
  if (leader != leader_) {
    leader_ = leader;
    fail_reads();
  }
  votes_.clear();
  if (election_deadline_ == no_deadline) reset_election_deadline();
}

// Every message of a term's leader extends its lease here.
void Raft::accept_leader(const Message& message) {
  LS_MUST(message.term == term_);
  LS_MUST(role_ != Role::leader, "two leaders in one term");
  LS_MUST(leader_ == NodeId{} || leader_ == message.from, "two leaders in one term");
  become_follower(term_, message.from);
  removed_by_ = LogIndex{};  // it was added again, or this is a late word of before: then it will ask again
  lease_until_ = now_ + options_.election_timeout;
  reset_election_deadline();
}

Message Raft::respond(const Message& to, MessageKind kind) const {
  Message response;
  response.kind = kind;
  response.to = to.from;
  response.round = to.round;
  response.in_doubt = in_doubt_;
  return response;
}

void Raft::send(Message message) {
  message.from = options_.id;
  message.boot = boot_;
  if (message.term == Term{}) message.term = term_;
  output_.messages.push_back(std::move(message));
}

void Raft::send_after_persist(Message message) {
  message.from = options_.id;
  message.boot = boot_;
  if (message.term == Term{}) message.term = term_;
  output_.messages_after_persist.push_back(std::move(message));
}

void Raft::persisted(TimePoint now, PersistId id) {
  observe(now);
  LS_MUST(id <= last_persist_, "only what was handed out can be durable");
  if (id <= persisted_) return;
  persisted_ = id;
  while (!pending_persists_.empty() && pending_persists_.front().id <= id) {
    const PendingPersist& done = pending_persists_.front();
    LS_MUST(done.end >= durable_);
    // An entry may have been replaced by one of the same index since it was handed out; the promise was cut
    // back then (clip_pending_persists), so index and term must agree here.
    LS_MUST(done.end < log_.base_index() || log_.matches(done.end, done.end_term));
    durable_ = done.end;
    pending_persists_.pop_front();
  }
  if (role_ == Role::leader) advance_commit();
  if (role_ == Role::candidate) count_votes();
}

// Our log was cut after `end`: what was handed out beyond it proves nothing about what is there now.
void Raft::clip_pending_persists(LogIndex end) {
  LS_MUST(end >= commit_);
  const std::optional<Term> term = log_.term_at(end);
  LS_MUST(term.has_value());
  durable_ = std::min(durable_, end);
  for (PendingPersist& pending : pending_persists_) {
    if (pending.end <= end) continue;
    pending.end = end;
    pending.end_term = *term;
  }
}

void Raft::applied(TimePoint now, LogIndex index) {
  observe(now);
  LS_MUST(index >= applied_);
  LS_MUST(index <= emitted_, "only what was handed out can be applied");
  applied_ = index;
  leave_joint_if_due();
}

void Raft::emit_committed() {
  if (receiving_.has_value() && receiving_->installing) return;
  const LogIndex end = std::min(commit_, durable_);
  if (end <= emitted_) return;
  LS_MUST(emitted_ >= log_.base_index());
  std::vector<Entry> entries = log_.slice(emitted_.next(), end, SIZE_MAX);
  LS_MUST(entries.size() == end - emitted_);
  output_.committed.insert(output_.committed.end(), std::make_move_iterator(entries.begin()),
                           std::make_move_iterator(entries.end()));
  emitted_ = end;
}

void Raft::emit_hard_state() {
  HardState state{term_, vote_, std::max(emitted_hard_state_.commit, std::min(commit_, durable_))};
  if (LS_PLANTED(vote_not_persisted)) {
    durable_hard_state_changed_ = term_ != emitted_hard_state_.term;
    state.vote = NodeId{};
  }
  LS_MUST(state.term >= emitted_hard_state_.term);
  if (state == emitted_hard_state_ && !durable_hard_state_changed_) return;
  output_.hard_state = state;
  output_.hard_state_must_sync = durable_hard_state_changed_;
  emitted_hard_state_ = state;
  durable_hard_state_changed_ = false;
}

void Raft::note_role() {
  const bool same = noted_role_.role == role_ && noted_role_.term == term_ && noted_role_.leader == leader_;
  if (same) return;
  noted_role_ = {role_, term_, leader_};
  output_.role_change = noted_role_;
}

Output Raft::take_output() {
  // A quorum may have changed by other means than an acknowledgement: its members, or a doubt that ended.
  if (role_ == Role::leader) advance_commit();
  if (role_ == Role::leader) {
    finish_reads();  // as for commits: the quorum may have become smaller
    start_reads();
    replicate();
  } else {
    forward_reads();
  }
  emit_committed();
  emit_hard_state();
  output_.entries = log_.take_unstable();
  if (output_.must_persist()) {
    ++last_persist_;
    pending_persists_.push_back({last_persist_, log_.last_index(), log_.last_term()});
  }
  output_.persist_id = last_persist_;
  note_role();
  LS_MUST(durable_ <= log_.last_index());
  LS_MUST(emitted_ <= commit_);
  LS_MUST(commit_ <= log_.last_index());
  return std::exchange(output_, Output{});
}

}  // namespace lockstep::raft
