#include "sim/nemesis.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <utility>

namespace lockstep::sim {

namespace {

constexpr std::int64_t ms = 1'000'000;

// The counter of each fault, in the order of the enumeration.
constexpr auto counters = std::to_array<std::pair<Fault, Covered>>({
    {Fault::kill, Covered::fault_kill},
    {Fault::power_cut, Covered::fault_power_cut},
    {Fault::kill_all, Covered::fault_kill_all},
    {Fault::power_cut_all, Covered::fault_power_cut_all},
    {Fault::crash_at_step, Covered::fault_crash_at_step},
    {Fault::pause, Covered::fault_pause},
    {Fault::partition, Covered::fault_partition},
    {Fault::one_way, Covered::fault_one_way},
    {Fault::bridge, Covered::fault_bridge},
    {Fault::isolate_leader, Covered::fault_isolate_leader},
    {Fault::swizzle_clog, Covered::fault_swizzle_clog},
    {Fault::loss, Covered::fault_loss},
    {Fault::slow_link, Covered::fault_slow_link},
    {Fault::false_peer_lost, Covered::fault_false_peer_lost},
    {Fault::client_cut, Covered::fault_client_cut},
    {Fault::disk_slow, Covered::fault_disk_slow},
    {Fault::disk_full, Covered::fault_disk_full},
    {Fault::disk_frozen, Covered::fault_disk_frozen},
    {Fault::sync_error, Covered::fault_sync_error},
    {Fault::bit_flip, Covered::fault_bit_flip},
    {Fault::lost_write, Covered::fault_lost_write},
    {Fault::misdirected_write, Covered::fault_misdirected_write},
    {Fault::wiped, Covered::fault_wiped},
    {Fault::rolled_back, Covered::fault_rolled_back},
    {Fault::clock_rate, Covered::fault_clock_rate},
    {Fault::wall_clock, Covered::fault_wall_clock},
    {Fault::transfer, Covered::fault_transfer},
    {Fault::add_member, Covered::member_added},
    {Fault::remove_member, Covered::member_removed},
    {Fault::read_error, Covered::fault_read_error},
    {Fault::engine_error, Covered::fault_engine_error},
    {Fault::contested_election, Covered::fault_contested_election},
});
static_assert(counters.size() == static_cast<std::size_t>(Fault::count));

constexpr Covered counter_of(Fault fault) {
  const auto& [named, counter] = counters[static_cast<std::size_t>(fault)];
  LS_MUST(named == fault);
  return counter;
}

}  // namespace

Nemesis::Nemesis(Cluster& cluster, Clients& clients, Prng prng)
    : cluster_(cluster), clients_(clients), world_(cluster.world), prng_(prng) {
  for (unsigned fault = 0; fault < static_cast<unsigned>(Fault::count); ++fault) {
    if (cluster.options.has(static_cast<Fault>(fault))) kinds_.push_back(static_cast<Fault>(fault));
  }
}

void Nemesis::start() {
  schedule_next();
}

void Nemesis::schedule_next() {
  const auto interval = static_cast<std::uint64_t>(cluster_.options.fault_interval_ns);
  world_.after(static_cast<std::int64_t>(prng_.below(2 * interval)), [this] { strike(); });
}

void Nemesis::strike() {
  if (healed_) return;
  note_repairs();
  note_membership();
  // Some kinds need a certain state (a leader, spare members): a few tries, then wait for the next time.
  for (int tries = 0; tries < 3; ++tries) {
    if (inject(kinds_[prng_.below(kinds_.size())])) break;
  }
  schedule_next();
}

bool Nemesis::inject(Fault fault) {
  switch (fault) {
    case Fault::partition:
      return partition();
    case Fault::one_way:
      return one_way();
    case Fault::bridge:
      return bridge();
    case Fault::isolate_leader:
      return isolate_leader();
    case Fault::swizzle_clog:
      return swizzle_clog();
    case Fault::loss:
      return loss();
    case Fault::slow_link:
      return slow_link();
    case Fault::false_peer_lost:
      return false_peer_lost();
    case Fault::client_cut:
      return client_cut();
    case Fault::transfer:
      return transfer();
    case Fault::add_member:
      return add_member();
    case Fault::contested_election:
      return contested_election();
    case Fault::remove_member:
      return remove_member();
    default:
      return inject_machine_fault(fault);
  }
}

bool Nemesis::inject_machine_fault(Fault fault) {
  switch (fault) {
    case Fault::kill:
    case Fault::power_cut:
      return crash(fault);
    case Fault::kill_all:
    case Fault::power_cut_all:
      return crash_all(fault);
    case Fault::crash_at_step:
      return crash_at_step();
    case Fault::pause:
      return pause();
    case Fault::clock_rate:
      return clock_rate();
    case Fault::wall_clock:
      return wall_clock();
    case Fault::disk_slow:
      return disk_slow();
    case Fault::disk_full:
      return disk_full();
    case Fault::disk_frozen:
      return disk_frozen();
    case Fault::sync_error:
      return sync_error();
    case Fault::read_error:
      return read_error();
    case Fault::engine_error:
      return engine_error();
    default:
      return damage(fault);
  }
}

void Nemesis::note(Fault fault, const std::string& what) {
  if (world_.tracing()) world_.trace("FAULT " + std::string(to_string(fault)) + ": " + what);
}

void Nemesis::matter(Fault fault) {
  ++mattered_;
  cluster_.coverage.add(counter_of(fault));
}

std::int64_t Nemesis::draw_ns(std::int64_t low_ms, std::int64_t high_ms) {
  return static_cast<std::int64_t>(
      prng_.between(static_cast<std::uint64_t>(low_ms * ms), static_cast<std::uint64_t>(high_ms * ms)));
}

NodeId Nemesis::pick_running() {
  std::vector<NodeId> running;
  for (const NodeId id : cluster_.members()) {
    if (world_.node(id).running()) running.push_back(id);
  }
  // Whatever befalls the leader is more interesting.
  const NodeId leader = cluster_.leader();
  if (leader != NodeId{} && prng_.chance(1, 3)) return leader;
  return running.empty() ? NodeId{} : running[prng_.below(running.size())];
}

bool Nemesis::crash(Fault fault) {
  const NodeId id = pick_running();
  if (id == NodeId{}) return false;
  note(fault, "node " + std::to_string(id.value()));
  matter(fault);
  world_.crash(id, fault == Fault::kill ? DeathKind::killed : DeathKind::power_cut);
  return true;
}

bool Nemesis::crash_all(Fault fault) {
  // Rare: it costs an election each time, and everything else stands still.
  if (!prng_.chance(1, 3)) return false;
  note(fault, "all nodes");
  matter(fault);
  for (const NodeId id : cluster_.members()) {
    world_.crash(id, fault == Fault::kill_all ? DeathKind::killed : DeathKind::power_cut);
  }
  return true;
}

bool Nemesis::crash_at_step() {
  const NodeId id = pick_running();
  if (id == NodeId{}) return false;
  const std::uint64_t step = prng_.between(1, 40);
  const DeathKind kind = prng_.chance(1, 2) ? DeathKind::killed : DeathKind::power_cut;
  note(Fault::crash_at_step, "node " + std::to_string(id.value()) + " at step " + std::to_string(step));
  Node& node = world_.node(id);
  cluster_.machine(id).storage->sim().crash_at_step(step, [this, &node, kind] {
    matter(Fault::crash_at_step);
    node.doom(kind);
  });
  return true;
}

bool Nemesis::pause() {
  const NodeId id = pick_running();
  if (id == NodeId{} || world_.node(id).paused()) return false;
  const std::int64_t length = draw_ns(50, 4000);
  note(Fault::pause, "node " + std::to_string(id.value()) + " for " + std::to_string(length / ms) + " ms");
  matter(Fault::pause);
  world_.node(id).pause();
  world_.after(length, [this, id] { world_.node(id).resume(); });
  return true;
}

bool Nemesis::clock_rate() {
  const NodeId id = pick_running();
  if (id == NodeId{}) return false;
  const std::int32_t most = cluster_.options.clock_rate_ppm_max > 0 ? cluster_.options.clock_rate_ppm_max
                                                                    : DriftingClock::rate_ppm_max;
  const auto rate = static_cast<std::int32_t>(prng_.below(2 * static_cast<std::uint64_t>(most) + 1)) - most;
  note(Fault::clock_rate, "node " + std::to_string(id.value()) + " runs at " + std::to_string(rate) + " ppm");
  matter(Fault::clock_rate);
  world_.node(id).set_clock_rate(rate);
  return true;
}

bool Nemesis::wall_clock() {
  const NodeId id = pick_running();
  if (id == NodeId{}) return false;
  constexpr std::int64_t hour = 3'600'000 * ms;
  const std::int64_t jump = (static_cast<std::int64_t>(prng_.below(11)) - 5) * hour;
  note(Fault::wall_clock,
       "node " + std::to_string(id.value()) + " jumps " + std::to_string(jump / hour) + " h");
  matter(Fault::wall_clock);
  world_.node(id).jump_wall_clock(jump);
  return true;
}

void Nemesis::on_death(Node& node) {
  Machine& machine = cluster_.machine(node.id());
  SimDisk& disk = machine.storage->sim();
  disk.crash_at_step(0);
  disk.fail_nth(DiskCall::sync, 0);
  disk.thaw();
  if (machine.error_life == node.lives()) {
    if (machine.halted_life == node.lives()) matter(machine.error_fault);
    machine.error_life = 0;
    disk.fail_nth(DiskCall::read, 0);
  }
  if (machine.removed) return;
  if (node.id() == hasty_) {
    restart_later(node.id(), ms / 2);
  } else {
    restart_later(node.id(), healed_ ? 100 * ms : draw_ns(20, 3000));
  }
}

void Nemesis::restart_later(NodeId id, std::int64_t delay_ns) {
  if (!restarting_.insert(id).second) return;
  world_.after(delay_ns, [this, id] {
    restarting_.erase(id);
    restart(id);
  });
}

void Nemesis::restart(NodeId id) {
  Machine& machine = cluster_.machine(id);
  if (machine.removed || left_out_.contains(id) || world_.node(id).running()) return;
  if (machine.open_failed && machine.damaged) {
    // The operator gives up on the directory: the member comes back empty and catches up from the others.
    note(Fault::wiped, "node " + std::to_string(id.value()) + " could not be opened");
    cluster_.wipe_directory(id);
  }
  machine.open_failed = false;
  cluster_.start(id);
}

void Nemesis::heal() {
  healed_ = true;
  if (world_.tracing()) world_.trace("HEAL");
  world_.links().heal();
  heal_disks();
  choose_left_out();
  for (const NodeId id : cluster_.members()) {
    Node& node = world_.node(id);
    node.resume();
    if (!node.running()) restart_later(id, 100 * ms);
  }
}

// A quorum that is healthy must do without the others. Who is damaged, or may be, counts as left out already.
void Nemesis::choose_left_out() {
  note_repairs();
  note_membership();
  const raft::Configuration configuration = cluster_.configuration();
  if (!cluster_.options.leave_minority_out || membership_changes_ > 0 || configuration.joint()) return;
  std::vector<NodeId> healthy;
  for (const NodeId voter : configuration.voters) {
    if (!cluster_.machine(voter).damaged) healthy.push_back(voter);
  }
  const std::size_t quorum = configuration.voters.size() / 2 + 1;
  while (healthy.size() > quorum) {
    const std::size_t position = prng_.below(healthy.size());
    const NodeId id = healthy[position];
    healthy.erase(healthy.begin() + static_cast<std::ptrdiff_t>(position));
    note(Fault::kill, "node " + std::to_string(id.value()) + " is left out");
    cluster_.coverage.add(Covered::minority_left_out);
    left_out_.insert(id);
    world_.crash(id, DeathKind::killed);
  }
}

void Nemesis::bring_back_left_out() {
  for (const NodeId id : std::exchange(left_out_, {})) restart_later(id, 100 * ms);
}

}  // namespace lockstep::sim
