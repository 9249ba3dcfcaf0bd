// Faults of disks, and the atlas of who holds damage.
#include <algorithm>

#include "sim/nemesis.h"

namespace lockstep::sim {

namespace {

constexpr std::uint64_t still_under_way = UINT64_MAX;

}  // namespace

bool Nemesis::disk_slow() {
  const NodeId id = pick_running();
  if (id == NodeId{}) return false;
  const auto factor = static_cast<std::int64_t>(prng_.between(10, 200));
  note(Fault::disk_slow, "node " + std::to_string(id.value()) + " by " + std::to_string(factor));
  matter(Fault::disk_slow);
  const std::int64_t usual = cluster_.options.disk_delay_ns_max;
  SimDisk& disk = cluster_.machine(id).storage->sim();
  disk.set_delay(usual, usual * factor);
  world_.after(draw_ns(500, 5000), [&disk, usual] { disk.set_delay(usual / 10, usual); });
  return true;
}

bool Nemesis::disk_full() {
  const NodeId id = pick_running();
  if (id == NodeId{}) return false;
  note(Fault::disk_full, "node " + std::to_string(id.value()));
  matter(Fault::disk_full);
  SimDisk& disk = cluster_.machine(id).storage->sim();
  disk.set_capacity(disk.used_bytes() + prng_.below(64 * 1024));
  ++cluster_.machine(id).times_full;
  world_.after(draw_ns(500, 5000), [this, id] {
    Machine& machine = cluster_.machine(id);
    if (--machine.times_full == 0) machine.storage->sim().set_capacity(UINT64_MAX);
  });
  return true;
}

bool Nemesis::disk_frozen() {
  const NodeId id = pick_running();
  if (id == NodeId{}) return false;
  note(Fault::disk_frozen, "node " + std::to_string(id.value()));
  matter(Fault::disk_frozen);
  SimDisk& disk = cluster_.machine(id).storage->sim();
  disk.freeze();
  world_.after(draw_ns(100, 4000), [&disk] { disk.thaw(); });
  return true;
}

bool Nemesis::sync_error() {
  const NodeId id = pick_running();
  if (id == NodeId{}) return false;
  note(Fault::sync_error, "node " + std::to_string(id.value()));
  Machine& machine = cluster_.machine(id);
  machine.error_life = world_.node(id).lives();
  machine.error_fault = Fault::sync_error;
  machine.storage->sim().fail_nth(DiskCall::sync, prng_.between(1, 5));
  return true;
}

bool Nemesis::read_error() {
  const NodeId id = pick_running();
  if (id == NodeId{}) return false;
  note(Fault::read_error, "node " + std::to_string(id.value()) + " at its next start");
  Machine& machine = cluster_.machine(id);
  world_.crash(id, DeathKind::killed);
  machine.error_life = world_.node(id).lives() + 1;
  machine.error_fault = Fault::read_error;
  machine.storage->sim().fail_nth(DiskCall::read, prng_.between(1, 12));
  return true;
}

bool Nemesis::engine_error() {
  const NodeId id = pick_running();
  if (id == NodeId{}) return false;
  note(Fault::engine_error, "node " + std::to_string(id.value()));
  Machine& machine = cluster_.machine(id);
  machine.error_life = world_.node(id).lives();
  machine.error_fault = Fault::engine_error;
  machine.medium->fail(Status(Code::io_error, "simulated failure of the engine"));
  return true;
}

bool Nemesis::may_damage(NodeId id) {
  if (membership_changes_ > 0 || cluster_.machine(id).damaged) return false;
  const raft::Configuration configuration = cluster_.configuration();
  if (configuration.joint() || !configuration.is_voter(id)) return false;
  // No change of the membership may be on its way, not even in the log of a deposed leader: it could turn a
  // minority of damaged voters into a majority.
  const NodeId leader = cluster_.leader();
  if (leader == NodeId{}) return false;
  const raft::Raft& leading = cluster_.replica(leader)->raft();
  if (leading.configuration_index() > leading.commit_index()) return false;
  for (const NodeId voter : configuration.voters) {
    replica::Replica* replica = cluster_.replica(voter);
    if (replica == nullptr || replica->raft().configuration() != configuration) return false;
  }
  std::size_t damaged = 0;
  for (const NodeId voter : configuration.voters) damaged += cluster_.machine(voter).damaged ? 1 : 0;
  return (damaged + 1) * 2 < configuration.voters.size();
}

bool Nemesis::damage(Fault fault) {
  const NodeId id = pick_running();
  if (id == NodeId{} || !may_damage(id)) return false;
  Machine& machine = cluster_.machine(id);
  machine.damaged = true;
  machine.damaged_life = still_under_way;
  if (fault == Fault::wiped && prng_.chance(1, 2) && wipe_while_others_lag(id)) return true;
  if (fault == Fault::wiped) {
    do_damage(fault, id, {});
  } else if (fault == Fault::bit_flip) {
    if (!others_hold_all_of(id)) {
      machine.damaged = false;
      return false;
    }
    do_damage(fault, id, {});
  } else {
    note(fault, "node " + std::to_string(id.value()) + " begins");
    const Directory old = fault == Fault::rolled_back ? cluster_.save_directory(id) : Directory{};
    if (fault == Fault::lost_write || fault == Fault::misdirected_write) {
      machine.storage->sim().set_write_fate(
          fault == Fault::lost_write ? WriteFate::lost : WriteFate::misdirected, prng_.between(1, 20),
          "log/");
    }
    world_.after(draw_ns(50, 5000), [this, fault, id, old] { do_damage(fault, id, old); });
  }
  return true;
}

// What a member forgot without knowing, nobody can tell it in time: it may vote at once. The cluster survives
// that only if all the others hold everything it held and have left the terms in which it voted. A write that
// was lost cannot be unlost, though: then the moment is waited for.
bool Nemesis::others_hold_all_of(NodeId id) {
  const NodeId leader = cluster_.leader();
  replica::Replica* victim = cluster_.replica(id);
  if (leader == NodeId{} || victim == nullptr) return false;
  const raft::Raft& raft = victim->raft();
  for (const NodeId voter : cluster_.configuration().voters) {
    if (voter == id) continue;
    replica::Replica* other = cluster_.replica(voter);
    if (other == nullptr || other->raft().leader() != leader || other->raft().term() != raft.term())
      return false;
    if (other->raft().durable_index() < raft.log().last_index()) return false;
  }
  return true;
}

// The worst moment: what was acknowledged lately is held by the leader and by the one that loses its
// directory, then the leader dies and those that lag come back. They must not elect one of themselves with
// its help.
bool Nemesis::wipe_while_others_lag(NodeId id) {
  const NodeId leader = cluster_.leader();
  const raft::Configuration configuration = cluster_.configuration();
  if (leader == NodeId{} || leader == id || configuration.voters.size() < 3) return false;
  std::vector<Pair> pairs;
  std::size_t keeping = 2;  // the leader and the victim
  for (const NodeId voter : configuration.voters) {
    if (voter == leader || voter == id) continue;
    if (keeping < configuration.voters.size() / 2 + 1) {
      ++keeping;  // a quorum goes on
      continue;
    }
    for (const NodeId other : cluster_.members()) {
      if (other == voter) continue;
      pairs.emplace_back(World::member_endpoint(voter), World::member_endpoint(other));
      pairs.emplace_back(World::member_endpoint(other), World::member_endpoint(voter));
    }
  }
  note(Fault::wiped, "node " + std::to_string(id.value()) + " soon, while others lag");
  for (const auto& [from, to] : pairs) world_.links().cut(from, to);
  world_.after(draw_ns(300, 1500), [this, id, leader, pairs = std::move(pairs)] {
    for (const auto& [from, to] : pairs) world_.links().mend(from, to);
    if (healed_) cluster_.machine(id).damaged = false;
    if (healed_) return;
    do_damage(Fault::wiped, id, {});
    world_.crash(leader, DeathKind::killed);
    // The victim is back before the leader.
    restarting_.erase(id);
    restart_later(id, 5 * 1'000'000);
  });
  return true;
}

void Nemesis::do_damage(Fault fault, NodeId id, const Directory& old) {
  Machine& machine = cluster_.machine(id);
  if (healed_) {
    machine.damaged = false;
    return;
  }
  const bool forgets_unknowingly = fault != Fault::wiped;
  if (forgets_unknowingly && !others_hold_all_of(id)) {
    const bool may_be_dropped = fault == Fault::rolled_back;
    if (may_be_dropped) {
      machine.damaged = false;
    } else {
      world_.after(draw_ns(1, 20), [this, fault, id, old] { do_damage(fault, id, old); });
    }
    return;
  }
  note(fault, "node " + std::to_string(id.value()));
  matter(fault);
  machine.repaired_at = cluster_.highest_commit();
  machine.damaged_life = world_.node(id).lives();
  // A write that was to be lost and was not yet must not be lost when the damage counts as repaired.
  machine.storage->sim().set_write_fate(WriteFate::normal, 0, "");
  world_.crash(id, DeathKind::power_cut);
  if (fault == Fault::wiped) cluster_.wipe_directory(id);
  if (fault == Fault::bit_flip) flip_bits(id);
  if (fault == Fault::rolled_back) cluster_.restore_directory(id, old);
}

void Nemesis::flip_bits(NodeId id) {
  SimDisk& disk = cluster_.machine(id).storage->sim();
  const std::vector<std::string> paths = disk.paths();
  if (paths.empty()) return;
  const std::string& path = paths[prng_.below(paths.size())];
  const auto bytes = disk.bytes_of(path);
  if (!bytes.ok() || bytes->empty()) return;
  // Segments are mostly empty: flip where something was written.
  std::size_t used = bytes->size();
  while (used > 1 && (*bytes)[used - 1] == '\0') --used;
  const std::uint64_t offset = prng_.below(used);
  note(Fault::bit_flip, path + " near " + std::to_string(offset));
  disk.flip_bits(path, offset, prng_.between(1, 64), prng_.between(1, 3), prng_);
}

void Nemesis::note_repairs() {
  for (const NodeId id : cluster_.members()) {
    Machine& machine = cluster_.machine(id);
    if (!machine.damaged) continue;
    replica::Replica* replica = cluster_.replica(id);
    if (replica == nullptr || replica->halted()) continue;
    if (!replica->raft().may_vote() || replica->machine().applied_index() < machine.repaired_at) continue;
    if (world_.node(id).lives() <= machine.damaged_life) continue;  // not damaged yet, or not restarted
    machine.damaged = false;
  }
}

void Nemesis::heal_disks() {
  for (const NodeId id : cluster_.members()) {
    SimDisk& disk = cluster_.machine(id).storage->sim();
    disk.set_capacity(UINT64_MAX);
    disk.set_delay(cluster_.options.disk_delay_ns_max / 10, cluster_.options.disk_delay_ns_max);
    disk.crash_at_step(0);
    disk.fail_nth(DiskCall::sync, 0);
    disk.fail_nth(DiskCall::read, 0);
    disk.set_write_fate(WriteFate::normal, 0, "");
    disk.thaw();
  }
}

}  // namespace lockstep::sim
