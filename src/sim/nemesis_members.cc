// Changes of the membership and of leadership.
#include <algorithm>

#include "sim/nemesis.h"

namespace lockstep::sim {

namespace {

constexpr std::int64_t ms = 1'000'000;
constexpr std::size_t machines_max = 10;  // over a whole run
constexpr std::size_t members_max = 7;
constexpr int promotion_tries_max = 30;

replica::Member member_named(NodeId id) {
  return {id, "node-" + std::to_string(id.value()) + ":1"};
}

}  // namespace

void Nemesis::on_leader(std::function<void(replica::Replica&)> action) {
  const NodeId leader = cluster_.leader();
  if (leader == NodeId{}) return;
  world_.node(leader).run_on_strand([this, leader, action = std::move(action)] {
    replica::Replica* replica = cluster_.replica(leader);
    if (replica != nullptr && !replica->halted()) action(*replica);
  });
}

bool Nemesis::transfer() {
  const raft::Configuration configuration = cluster_.configuration();
  if (cluster_.leader() == NodeId{} || configuration.voters.empty()) return false;
  const NodeId to = configuration.voters[prng_.below(configuration.voters.size())];
  note(Fault::transfer, "to node " + std::to_string(to.value()));
  on_leader([this, to](replica::Replica& replica) {
    if (replica.transfer_leadership(to).ok()) matter(Fault::transfer);
  });
  return true;
}

// The leader dies and all its followers hear of it at once: several campaign in one term. Who gives a vote
// loses its power right then and is back before the election is over: what it has forgotten now, it forgot
// for good.
bool Nemesis::contested_election() {
  const NodeId leader = cluster_.leader();
  if (leader == NodeId{} || vote_watch_until_ns_ > world_.now()) return false;
  note(Fault::contested_election, "node " + std::to_string(leader.value()) + " dies");
  world_.crash(leader, DeathKind::power_cut);
  for (const NodeId id : cluster_.members()) {
    if (id != leader && world_.node(id).running()) world_.tell_peer_lost(id, leader);
  }
  votes_seen_.clear();
  vote_watch_until_ns_ = world_.now() + cluster_.options.election_timeout.count() * 2;
  watch_votes();
  return true;
}

void Nemesis::watch_votes() {
  if (healed_ || world_.now() >= vote_watch_until_ns_) return;
  for (const NodeId id : cluster_.members()) {
    replica::Replica* replica = cluster_.replica(id);
    if (replica == nullptr) continue;
    const raft::Raft& raft = replica->raft();
    Vote& seen = votes_seen_.try_emplace(id, Vote{raft.term(), raft.vote()}).first->second;
    const bool voted = raft.vote() != NodeId{} && raft.vote() != id && Vote{raft.term(), raft.vote()} != seen;
    seen = {raft.term(), raft.vote()};
    if (!voted || prng_.chance(1, 3)) continue;
    matter(Fault::contested_election);
    hasty_ = id;
    world_.crash(id, DeathKind::power_cut);
    hasty_ = NodeId{};
  }
  world_.after(static_cast<std::int64_t>(prng_.between(20'000, 200'000)), [this] { watch_votes(); });
}

bool Nemesis::add_member() {
  if (membership_changes_ > 0 || cluster_.leader() == NodeId{}) return false;
  const std::size_t count = prng_.chance(1, 2) ? 2 : 1;
  if (cluster_.size() + count > machines_max || cluster_.members().size() + count > members_max) return false;
  std::vector<NodeId> fresh;
  std::vector<raft::MemberChange> changes;
  std::vector<replica::Member> addresses;
  for (std::size_t i = 0; i < count; ++i) {
    const NodeId id = cluster_.add_machine(false);
    note(Fault::add_member, "node " + std::to_string(id.value()));
    cluster_.start(id);
    fresh.push_back(id);
    changes.push_back({raft::MemberChangeKind::add_learner, id});
    addresses.push_back(member_named(id));
  }
  ++membership_changes_;
  // Whatever becomes of the attempt, others may be made later.
  world_.after(20'000 * ms, [this] { --membership_changes_; });
  on_leader([this, fresh, changes, addresses](replica::Replica& replica) {
    replica.change_members(changes, addresses, [this, fresh](const Status& status) {
      if (!status.ok()) return;
      matter(Fault::add_member);
      const bool replace = prng_.chance(1, 2);
      world_.after(500 * ms, [this, fresh, replace] { try_promote(fresh, replace, promotion_tries_max); });
    });
  });
  return true;
}

// Promotes all of them in one change; with `replace` as many of the old voters go in the same change, so that
// the old and the new voters may have no majority in common.
void Nemesis::try_promote(const std::vector<NodeId>& fresh, bool replace, int attempts_left) {
  if (healed_ || attempts_left == 0) return;
  on_leader([this, fresh, replace](replica::Replica& replica) {
    const raft::Configuration& configuration = replica.raft().configuration();
    std::vector<raft::MemberChange> changes;
    for (const NodeId id : fresh) {
      if (!configuration.is_learner(id)) return;
      changes.push_back({raft::MemberChangeKind::promote, id});
    }
    if (replace) {
      for (const NodeId voter : configuration.voters) {
        if (cluster_.machine(voter).damaged) return;  // a minority must not become a majority
      }
      for (std::size_t i = 0; i < fresh.size() && i < configuration.voters.size(); ++i) {
        changes.push_back({raft::MemberChangeKind::remove, configuration.voters[i]});
      }
    }
    replica.change_members(changes, {}, [this, replace](const Status& status) {
      if (status.ok()) cluster_.coverage.add(replace ? Covered::member_replaced : Covered::member_promoted);
    });
  });
  world_.after(500 * ms, [this, fresh, replace, attempts_left] {
    if (!cluster_.configuration().is_voter(fresh.front())) try_promote(fresh, replace, attempts_left - 1);
  });
}

bool Nemesis::remove_member() {
  const raft::Configuration configuration = cluster_.configuration();
  if (membership_changes_ > 0 || configuration.joint() || configuration.voters.size() < 3) return false;
  // A removal must not leave a majority of damaged members.
  for (const NodeId voter : configuration.voters) {
    if (cluster_.machine(voter).damaged) return false;
  }
  const NodeId id = configuration.voters[prng_.below(configuration.voters.size())];
  note(Fault::remove_member, "node " + std::to_string(id.value()));
  ++membership_changes_;
  world_.after(5000 * ms, [this] { --membership_changes_; });
  on_leader([this, id](replica::Replica& replica) {
    replica.change_members({{raft::MemberChangeKind::remove, id}}, {}, [this](const Status& status) {
      if (status.ok()) matter(Fault::remove_member);
    });
  });
  return true;
}

void Nemesis::note_membership() {
  // A member that is in no committed configuration any more is out. It goes on running for a while (it may
  // campaign, F34), and is never started again.
  const NodeId leader = cluster_.leader();
  replica::Replica* replica = leader == NodeId{} ? nullptr : cluster_.replica(leader);
  if (replica == nullptr) return;
  const raft::Raft& raft = replica->raft();
  if (raft.configuration().joint() || raft.configuration_index() > raft.commit_index()) return;
  for (const NodeId id : cluster_.members()) {
    Machine& machine = cluster_.machine(id);
    if (raft.configuration().contains(id)) {
      machine.joined = true;
    } else if (machine.joined || (healed_ && !machine.founder)) {
      machine.removed = true;
      world_.after(draw_ns(1000, 10'000), [this, id] { world_.crash(id, DeathKind::killed); });
    }
  }
}

}  // namespace lockstep::sim
