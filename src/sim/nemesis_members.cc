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

bool Nemesis::add_member() {
  if (membership_changes_ > 0 || cluster_.leader() == NodeId{}) return false;
  if (cluster_.size() >= machines_max || cluster_.members().size() >= members_max) return false;
  const NodeId id = cluster_.add_machine(false);
  note(Fault::add_member, "node " + std::to_string(id.value()));
  cluster_.start(id);
  ++membership_changes_;
  // Whatever becomes of the attempt, others may be made later.
  world_.after(20'000 * ms, [this] { --membership_changes_; });
  on_leader([this, id](replica::Replica& replica) {
    replica.change_members({{raft::MemberChangeKind::add_learner, id}}, {member_named(id)},
                           [this, id](const Status& status) {
                             if (!status.ok()) return;
                             matter(Fault::add_member);
                             world_.after(500 * ms, [this, id] { try_promote(id, promotion_tries_max); });
                           });
  });
  return true;
}

void Nemesis::try_promote(NodeId id, int attempts_left) {
  if (healed_ || attempts_left == 0) return;
  on_leader([this, id](replica::Replica& replica) {
    if (!replica.raft().configuration().is_learner(id)) return;
    replica.change_members({{raft::MemberChangeKind::promote, id}}, {}, [this](const Status& status) {
      if (status.ok()) cluster_.coverage.add(Covered::member_promoted);
    });
  });
  world_.after(500 * ms, [this, id, attempts_left] {
    if (!cluster_.configuration().is_voter(id)) try_promote(id, attempts_left - 1);
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
