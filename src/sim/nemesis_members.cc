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
// for good. Half of the times the candidate is not heard any more once it has its first vote: the others
// elect again, among them those that voted, and must not do so in the same term.
bool Nemesis::contested_election() {
  const NodeId leader = cluster_.leader();
  if (leader == NodeId{} || vote_watch_until_ns_ > world_.now()) return false;
  note(Fault::contested_election, "node " + std::to_string(leader.value()) + " dies");
  world_.crash(leader, DeathKind::power_cut);
  for (const NodeId id : cluster_.members()) {
    if (id != leader && world_.node(id).running()) world_.tell_peer_lost(id, leader);
  }
  votes_seen_.clear();
  muffle_ = prng_.chance(1, 2);
  muffled_ = NodeId{};
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
    if (!voted) continue;
    if (muffle_ && muffled_ == NodeId{}) muffle(raft.vote());
    if (muffle_ ? raft.vote() != muffled_ : prng_.chance(1, 3)) continue;
    matter(Fault::contested_election);
    hasty_ = id;
    world_.crash(id, DeathKind::power_cut);
    hasty_ = NodeId{};
  }
  world_.after(static_cast<std::int64_t>(prng_.between(20'000, 200'000)), [this] { watch_votes(); });
}

void Nemesis::muffle(NodeId candidate) {
  muffled_ = candidate;
  std::vector<Pair> pairs;
  for (const Endpoint other : member_endpoints()) {
    if (other != World::member_endpoint(candidate)) {
      pairs.emplace_back(World::member_endpoint(candidate), other);
    }
  }
  note(Fault::one_way, "node " + std::to_string(candidate.value()) + " cannot be heard, having a vote");
  cut_for(Fault::one_way, std::move(pairs), draw_ns(2000, 6000));
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
    if (replace && prng_.chance(1, 2)) split_for(replica.raft().id(), changes, configuration.voters);
    replica.change_members(changes, {}, [this, replace](const Status& status) {
      if (status.ok()) cluster_.coverage.add(replace ? Covered::member_replaced : Covered::member_promoted);
    });
  });
  world_.after(500 * ms, [this, fresh, replace, attempts_left] {
    if (!cluster_.configuration().is_voter(fresh.front())) try_promote(fresh, replace, attempts_left - 1);
  });
}

// On the leader's side of the cut are a quorum of the voters to come and none of those so far: nothing can be
// committed there, and the other side may elect a leader that has not heard of the change.
void Nemesis::split_for(NodeId leader, const std::vector<raft::MemberChange>& changes,
                        const std::vector<NodeId>& voters) {
  std::set<NodeId> incoming(voters.begin(), voters.end());
  std::set<NodeId> near{leader};
  for (const raft::MemberChange& change : changes) {
    if (change.kind == raft::MemberChangeKind::remove) {
      incoming.erase(change.node);
    } else {
      incoming.insert(change.node);
      near.insert(change.node);
    }
  }
  const auto count_near = [&](const auto& among) {
    return static_cast<std::size_t>(
        std::ranges::count_if(among, [&](NodeId id) { return near.contains(id); }));
  };
  for (const NodeId id : incoming) {
    if (count_near(incoming) < incoming.size() / 2 + 1) near.insert(id);
  }
  if (count_near(voters) >= voters.size() / 2 + 1) return;
  std::vector<Pair> pairs;
  for (const NodeId far : voters) {
    if (near.contains(far)) continue;
    for (const NodeId id : near) {
      pairs.emplace_back(World::member_endpoint(id), World::member_endpoint(far));
      pairs.emplace_back(World::member_endpoint(far), World::member_endpoint(id));
    }
  }
  note(Fault::partition, "between the voters to come and those so far");
  cluster_.coverage.add(Covered::joint_split);
  cut_for(Fault::partition, std::move(pairs), draw_ns(2000, 6000));
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

// A member that the newest committed configuration does not contain any more is out. It goes on running for a
// while (it may campaign, F34), and is never started again. Whoever leads is no witness: it may be a leader
// of old that was paused, and what is committed there others may have gone beyond.
void Nemesis::note_membership() {
  for (const NodeId id : cluster_.members()) {
    replica::Replica* replica = cluster_.replica(id);
    if (replica == nullptr) continue;
    const raft::Raft& raft = replica->raft();
    const LogIndex index = raft.configuration_index();
    if (index > raft.commit_index() || index <= committed_configuration_at_) continue;
    committed_configuration_ = raft.configuration();
    committed_configuration_at_ = index;
  }
  if (committed_configuration_.joint()) return;
  for (const NodeId id : cluster_.members()) {
    Machine& machine = cluster_.machine(id);
    if (committed_configuration_.contains(id)) {
      machine.joined = true;
    } else if (machine.joined) {
      machine.removed = true;
      world_.after(draw_ns(1000, 10'000), [this, id] { world_.crash(id, DeathKind::killed); });
    }
  }
}

}  // namespace lockstep::sim
