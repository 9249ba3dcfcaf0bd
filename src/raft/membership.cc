// Membership changes: joint consensus (dissertation 4.3), effective from the log on.
#include "base/assert.h"
#include "raft/raft.h"
#include "raft/trace.h"

namespace lockstep::raft {

const Configuration& Raft::configuration_at(LogIndex index) const {
  LS_MUST(index >= log_.base_index());
  LS_MUST(index <= log_.last_index());
  auto after = configurations_.upper_bound(index);
  LS_MUST(after != configurations_.begin());
  return std::prev(after)->second;
}

void Raft::adopt_configuration(LogIndex index, Configuration configuration) {
  LS_MUST(index > configurations_.rbegin()->first);
  trace("uses configuration ", index, ": ", to_string(configuration));
  configurations_[index] = std::move(configuration);
  if (role_ == Role::leader) refresh_peers();
}

// Their entries are dropped from the log (paper 6, last paragraph but one of the joint rules).
void Raft::forget_configurations_from(LogIndex index) {
  LS_MUST(index > commit_);
  LS_MUST(index > configurations_.begin()->first);
  const bool rolls_back = configurations_.rbegin()->first >= index;
  configurations_.erase(configurations_.lower_bound(index), configurations_.end());
  if (rolls_back)
    trace("goes back to configuration ", configuration_index(), ": ", to_string(configuration()));
}

void Raft::refresh_peers() {
  LS_MUST(role_ == Role::leader);
  const Configuration& members = configuration();
  for (auto peer = peers_.begin(); peer != peers_.end();) {
    peer = members.contains(peer->first) ? std::next(peer) : peers_.erase(peer);
  }
  for (const NodeId node : members.members()) {
    if (node == options_.id || peers_.contains(node)) continue;
    Progress& peer = peers_[node];
    peer.in_flight = InFlight(options_.inflight_messages_max, options_.inflight_bytes_max);
    peer.become_probe(log_.last_index());
  }
  if (transferee_ != NodeId{} && !members.is_voter(transferee_)) end_transfer();
}

Result<LogIndex> Raft::propose_configuration(TimePoint now, const ConfigurationChange& change) {
  observe(now);
  using Refused = Result<LogIndex>;
  if (role_ != Role::leader) return Refused(Code::unavailable, "not the leader");
  if (transferee_ != NodeId{}) return Refused(Code::unavailable, "leadership is being transferred");
  // Two leaders could otherwise each commit a change that the other's quorum never saw.
  if (!committed_in_own_term()) {
    return Refused(Code::unavailable, "the leader has not committed an entry of its own term yet");
  }
  if (configuration_index() > commit_) {
    return Refused(Code::failed_precondition, "the last change is not finished (not committed)");
  }
  LS_ASSIGN_OR_RETURN(const Configuration next, apply_change(configuration(), change));
  LS_RETURN_IF_ERROR(check_promotions(change));
  // Else the change could never be finished, nor undone. A member in doubt cannot even help to be restored.
  const bool alive = quorum(next, [&](NodeId node) {
    if (node == options_.id) return true;
    const auto peer = peers_.find(node);
    return peer != peers_.end() && !peer->second.in_doubt &&
           peer->second.last_heard >= now_ - options_.election_timeout;
  });
  if (!alive) {
    return Refused(Code::failed_precondition, "no majority of the new voters answers, or some are in doubt");
  }
  const LogIndex index = append_as_leader(EntryKind::configuration, SharedBytes(encode_configuration(next)));
  LS_MUST(configuration_index() == index);
  return index;
}

Status Raft::check_promotions(const ConfigurationChange& change) const {
  for (const MemberChange& one : change.changes) {
    if (one.kind != MemberChangeKind::promote) continue;
    const auto found = peers_.find(one.node);
    const std::string name = "learner " + std::to_string(one.node.value());
    if (found == peers_.end()) return Status(Code::failed_precondition, name + " is unknown to the leader");
    const Progress& peer = found->second;
    if (peer.in_doubt) return Status(Code::failed_precondition, name + " is in doubt about its past");
    const bool recent = peer.last_heard >= now_ - options_.election_timeout;
    const bool caught_up = peer.match == log_.last_index() ||
                           (peer.caught_up && now_ - peer.catch_up_started <= 2 * options_.election_timeout);
    if (peer.state != ProgressState::replicate || !recent || !caught_up) {
      return Status(Code::failed_precondition, name + " has not caught up: it has entry " +
                                                   std::to_string(peer.match.value()) + " of " +
                                                   std::to_string(log_.last_index().value()));
    }
  }
  return {};
}

// The joint entry is committed and applied here: the way out of it is the leader's to propose, also a new
// leader's that found the cluster in the joint state.
void Raft::leave_joint_if_due() {
  if (role_ != Role::leader) return;
  if (!configuration().joint() || !configuration().auto_leave) return;
  if (configuration_index() > applied_ || !committed_in_own_term()) return;
  LS_MUST(configuration_index() <= commit_);
  trace("leaves the joint configuration");
  append_as_leader(EntryKind::configuration, SharedBytes(encode_configuration(leave_joint(configuration()))));
}

// Dissertation 4.2.2: a leader that is not in the new configuration leads until that is committed, without
// counting itself.
void Raft::step_down_if_removed() {
  if (role_ != Role::leader) return;
  if (configuration().is_voter(options_.id) || configuration_index() > commit_) return;
  trace("is no longer a voter");
  NodeId successor;
  for (auto& [node, peer] : peers_) {
    send_heartbeat(node, peer);
    const bool able = configuration().is_voter(node) && !peer.in_doubt && peer.match == log_.last_index();
    if (able && successor == NodeId{}) successor = node;
  }
  if (successor != NodeId{}) {
    Message message;
    message.kind = MessageKind::timeout_now;
    message.to = successor;
    send(std::move(message));
  }
  become_follower(term_, NodeId{});
  if (!configuration().contains(options_.id)) removed_by_ = configuration_index();
}

void Raft::compact(LogIndex index) {
  LS_MUST(index <= applied_, "a snapshot covers it");
  if (index <= log_.base_index()) return;
  log_.compact(index);
  while (configurations_.size() > 1 && std::next(configurations_.begin())->first <= index) {
    configurations_.erase(configurations_.begin());
  }
  LS_MUST(!configurations_.empty());
}

}  // namespace lockstep::raft
