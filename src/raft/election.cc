// Elections (paper 5.2, 5.4.1), pre-vote (dissertation 9.6), check quorum (6.2) and leadership transfer
// (3.10).
#include <algorithm>

#include "base/assert.h"
#include "base/planted.h"
#include "raft/raft.h"
#include "raft/trace.h"

namespace lockstep::raft {

void Raft::reset_election_deadline() {
  const auto timeout = static_cast<std::uint64_t>(options_.election_timeout.count());
  election_deadline_ = now_ + options_.election_timeout + Duration(prng_.below(timeout));
}

// While a snapshot is being installed the state machine is neither old nor new: no leader can work on it.
bool Raft::may_campaign() const {
  if (in_doubt_ || role_ == Role::leader || removed_by_ != LogIndex{}) return false;
  if (receiving_.has_value() && receiving_->installing) return false;
  if (configuration().is_voter(options_.id)) return true;
  // Whoever is being removed may have the longest log and be needed to commit its own removal (dissertation
  // 4.2.2): as long as that is not known to be committed, the configuration before it counts as well.
  if (configuration_index() <= commit_ || configurations_.size() < 2) return false;
  return std::prev(configurations_.end(), 2)->second.is_voter(options_.id);
}

// Has this member reason to believe in a living leader? Then it helps nobody to replace it. This is about
// not being disturbed, not about safety: no read relies on it.
bool Raft::lease_holds() const {
  if (!options_.check_quorum) return false;
  return role_ == Role::leader || now_ < lease_until_;
}

void Raft::campaign(TimePoint now) {
  observe(now);
  if (may_campaign()) start_campaign(false);
}

// A follower whose connection to the leader broke need not wait for the timeout: with pre-vote, those that
// still hear from the leader refuse it without harm. A voter that lost the leader as well may grant at once,
// so its own lease ends here.
void Raft::report_peer_lost(TimePoint now, NodeId peer) {
  observe(now);
  if (role_ == Role::leader) {
    const auto found = peers_.find(peer);
    if (found == peers_.end()) return;
    // What was under way is lost. A snapshot is asked for again once the peer answers.
    Progress& lost = found->second;
    const bool snapshot = lost.state == ProgressState::snapshot;
    if (lost.state != ProgressState::probe) lost.become_probe(lost.match.next());
    lost.paused = snapshot;
    return;
  }
  if (peer != leader_ || leader_ == NodeId{}) return;
  trace("lost the connection to leader ", leader_);
  lease_until_ = TimePoint::min();
  become_follower(term_, NodeId{});
  campaign_soon();
}

// Only where that can disturb nobody: whoever hears a leader refuses a pre-vote.
void Raft::campaign_soon() {
  if (!options_.pre_vote) return;
  const auto timeout = static_cast<std::uint64_t>(options_.election_timeout.count());
  const Duration delay(prng_.between(timeout / 16, timeout / 4));
  election_deadline_ = std::min(election_deadline_, now_ + delay);
}

void Raft::start_campaign(bool transfer) {
  LS_MUST(may_campaign());
  if (receiving_.has_value()) abandon_snapshot();
  lease_until_ = TimePoint::min();
  if (options_.pre_vote && !transfer) {
    become_pre_candidate();
  } else {
    become_candidate(transfer);
  }
}

void Raft::become_pre_candidate() {
  leave_role(term_, NodeId{});
  role_ = Role::pre_candidate;
  trace("asks for pre-votes for term ", term_.next());
  reset_election_deadline();
  ask_for_votes(MessageKind::pre_vote, term_.next(), false);
  count_votes();
}

void Raft::become_candidate(bool transfer) {
  LS_MUST(term_ < term_max, "there is no term after the last");
  leave_role(term_.next(), NodeId{});
  role_ = Role::candidate;
  vote_ = options_.id;
  durable_hard_state_changed_ = true;
  // The next output carries the vote, and our own counts once that is durable.
  own_vote_persist_ = last_persist_.next();
  trace("campaigns in term ", term_);
  reset_election_deadline();
  ask_for_votes(MessageKind::vote, term_, transfer);
}

void Raft::ask_for_votes(MessageKind kind, Term term, bool transfer) {
  for (const NodeId node : configuration().members()) {
    if (node == options_.id || !configuration().is_voter(node)) continue;
    Message message;
    message.kind = kind;
    message.to = node;
    message.term = term;
    message.index = log_.last_index();
    message.log_term = log_.last_term();
    message.transfer = transfer;
    // A candidate must not win with votes it cannot remember having asked for: after a restart it could
    // campaign again in the same term with a shorter log.
    if (kind == MessageKind::vote) {
      send_after_persist(std::move(message));
    } else {
      send(std::move(message));
    }
  }
}

// A learner answers as well: the candidate may know that it was promoted before it knows itself, and counts
// only who votes in the candidate's configuration.
void Raft::on_vote_request(const Message& message) {
  const bool pre_vote = message.kind == MessageKind::pre_vote;
  if (in_doubt_) {
    trace("is in doubt and does not vote for ", message.from);
    return;
  }
  LS_MUST(pre_vote || message.term == term_);
  const bool up_to_date =
      LS_PLANTED(no_vote_log_check) || log_.is_up_to_date(message.index, message.log_term);
  bool free_to_vote = false;
  if (pre_vote) {
    free_to_vote = message.term > term_ && !lease_holds();
  } else {
    free_to_vote =
        vote_ == message.from || (vote_ == NodeId{} && leader_ == NodeId{} && role_ != Role::leader);
  }
  Message response = respond(message, pre_vote ? MessageKind::pre_vote_response : MessageKind::vote_response);
  response.reject = !up_to_date || !free_to_vote;
  if (response.reject && pre_vote && was_removed(message.from)) {
    // Its own entry may be compacted; the configuration is the same as of the base.
    response.index = std::max(configuration_index(), log_.base_index());
    response.log_term = log_.term_at(response.index).value_or(Term{});
    LS_MUST(response.log_term != Term{});
  }
  const std::string_view name = pre_vote ? "pre-vote" : "vote";
  if (response.reject) {
    trace("refuses its ", name, " to ", message.from, " for term ", message.term, ": ",
          !up_to_date ? "its log is behind"
                      : (pre_vote ? "has a leader or a newer term" : "voted or has a leader"));
    send(std::move(response));
    return;
  }
  trace("gives its ", name, " to ", message.from, " for term ", message.term);
  if (pre_vote) {
    response.term = message.term;
    send(std::move(response));
    return;
  }
  if (vote_ != message.from) {
    LS_MUST(vote_ == NodeId{}, "one vote a term");
    vote_ = message.from;
    durable_hard_state_changed_ = true;
  }
  if (role_ == Role::pre_candidate) become_follower(term_, NodeId{});
  reset_election_deadline();
  if (LS_PLANTED(vote_not_persisted)) {
    send(std::move(response));
  } else {
    send_after_persist(std::move(response));
  }
}

void Raft::on_vote_response(const Message& message) {
  if (message.kind == MessageKind::pre_vote_response) {
    if (message.reject && message.index != LogIndex{}) learn_removal(message);
    if (role_ != Role::pre_candidate) return;
    if (message.reject && message.term < term_) return;
    if (!message.reject && message.term != term_.next()) return;  // of an older campaign
  } else {
    if (role_ != Role::candidate) return;
    LS_MUST(message.term == term_);
  }
  if (message.in_doubt) return;
  // A vote that was given stays given: a refusal of an earlier attempt may come late.
  votes_[message.from] |= !message.reject;
  const bool contested = role_ == Role::candidate && message.reject;
  count_votes();
  // Two that noticed the same death have split the votes: neither need wait for a whole timeout, and chance
  // seldom lets them meet twice.
  if (contested && role_ != Role::leader) campaign_soon();
}

// As of a committed configuration in force, which may not be the newest: then that member knows more (below).
bool Raft::was_removed(NodeId node) const {
  const Configuration& members = configuration();
  if (configuration_index() == LogIndex{} || configuration_index() > commit_ || members.joint()) return false;
  return members.contains(options_.id) && !members.contains(node);
}

// The leader sends no more to a member when it appends the configuration without it, so the member cannot
// have heard of the end. It is told when it asks for pre-votes. This takes no vote from anybody who could use
// it: the configuration is committed, so nobody who lacks its entry can be elected (paper 5.4.3), and whoever
// was added again became a voter only after it had caught up, and sees that here.
void Raft::learn_removal(const Message& message) {
  LS_MUST(message.index != LogIndex{});
  if (in_doubt_ || role_ == Role::leader || leader_ != NodeId{} || removed_by_ >= message.index) return;
  if (!configuration().contains(message.from)) return;
  const bool known = message.index <= log_.base_index() || log_.matches(message.index, message.log_term);
  if (known && configuration().contains(options_.id)) return;  // added again since
  trace("learns from ", message.from, " that configuration ", message.index, " has removed it");
  become_follower(term_, NodeId{});
  removed_by_ = message.index;
  reset_election_deadline();
}

// Learners do not campaign; without a leader they ask all the same, for the sake of that answer.
void Raft::ask_whether_removed() {
  LS_MUST(role_ != Role::leader);
  if (!options_.pre_vote || in_doubt_ || removed_by_ != LogIndex{} || configuration().empty()) return;
  if (configuration().is_voter(options_.id)) return;
  if (term_ < term_max) ask_for_votes(MessageKind::pre_vote, term_.next(), false);
}

void Raft::count_votes() {
  LS_MUST(role_ == Role::candidate || role_ == Role::pre_candidate);
  const bool own = role_ == Role::pre_candidate || persisted_ >= own_vote_persist_;
  if (!own) return;
  const auto answer = [&](NodeId node) -> std::optional<bool> {
    if (node == options_.id) return true;
    const auto found = votes_.find(node);
    return found == votes_.end() ? std::nullopt : std::optional(found->second);
  };
  if (quorum(configuration(), [&](NodeId node) { return answer(node) == true; })) {
    if (role_ == Role::pre_candidate) {
      become_candidate(false);
    } else {
      become_leader();
    }
    return;
  }
  if (!quorum(configuration(), [&](NodeId node) { return answer(node) != false; })) {
    trace("lost the election for term ", role_ == Role::pre_candidate ? term_.next() : term_);
    become_follower(term_, NodeId{});
  }
}

void Raft::become_leader() {
  LS_MUST(role_ == Role::candidate);
  LS_MUST(vote_ == options_.id);
  LS_MUST(persisted_ >= own_vote_persist_, "requests for votes leave after our own is durable");
  LS_MUST(!receiving_.has_value());
  role_ = Role::leader;
  leader_ = options_.id;
  votes_.clear();
  fail_reads();
  trace("leads term ", term_);
  election_deadline_ = no_deadline;
  quorum_deadline_ = now_ + options_.election_timeout;
  round_ = Round{};
  round_starts_.clear();
  confirmed_at_ = TimePoint::min();
  uncommitted_bytes_ = 0;
  peers_.clear();
  // Paper 8: commits what earlier terms left behind, and tells the leader what is committed. The very first
  // entry is the founders' configuration, so that whoever gets the log from its beginning knows the members.
  const bool first = log_.last_index() == LogIndex{};
  term_start_ =
      first ? append_as_leader(EntryKind::configuration, SharedBytes(encode_configuration(configuration())))
            : append_as_leader(EntryKind::empty, {});
  refresh_peers();
  broadcast_heartbeat();
}

void Raft::check_quorum() {
  LS_MUST(role_ == Role::leader);
  quorum_deadline_ = now_ + options_.election_timeout;
  const bool reached = quorum(configuration(), [&](NodeId node) {
    if (node == options_.id) return true;
    const auto found = peers_.find(node);
    if (found == peers_.end() || found->second.in_doubt) return false;
    return found->second.last_heard >= now_ - options_.election_timeout;
  });
  if (reached) return;
  trace("has not heard from a quorum");
  become_follower(term_, NodeId{});
}

Status Raft::transfer_leadership(TimePoint now, NodeId to) {
  observe(now);
  if (role_ != Role::leader) return Status(Code::unavailable, "not the leader");
  if (transferee_ != NodeId{}) return Status(Code::failed_precondition, "a transfer is under way");
  const auto found = peers_.find(to);
  if (found == peers_.end() || !configuration().is_voter(to)) {
    return Status(Code::failed_precondition, "not another voter");
  }
  if (found->second.in_doubt) return Status(Code::failed_precondition, "that member is in doubt");
  trace("transfers leadership to ", to);
  transferee_ = to;
  transfer_deadline_ = now_ + options_.election_timeout;
  continue_transfer();
  return {};
}

void Raft::continue_transfer() {
  LS_MUST(role_ == Role::leader);
  if (transferee_ == NodeId{}) return;
  const auto found = peers_.find(transferee_);
  LS_MUST(found != peers_.end());
  if (found->second.match < log_.last_index()) return;
  // It does not listen to this leader any more once it campaigns.
  if (commit_ > found->second.commit_told) tell_commit(transferee_, found->second);
  Message message;
  message.kind = MessageKind::timeout_now;
  message.to = transferee_;
  send(std::move(message));
}

void Raft::end_transfer() {
  transferee_ = NodeId{};
  transfer_deadline_ = no_deadline;
}

void Raft::on_timeout_now(const Message& message) {
  if (role_ != Role::follower || message.from != leader_) {
    trace("ignores TimeoutNow of ", message.from, ", which is not its leader");
    return;
  }
  if (!may_campaign()) {
    trace("may not campaign and ignores TimeoutNow of ", message.from);
    return;
  }
  start_campaign(true);
}

}  // namespace lockstep::raft
