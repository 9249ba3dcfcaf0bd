#include "sim/recipes/machine_faults.h"

#include <string>
#include <vector>

namespace lockstep::sim {

namespace {
constexpr std::int64_t ms = 1'000'000;
}

void MachineFaults::start() {
  const std::int32_t most = fleet_.options().clock_rate_ppm_max;
  for (const NodeId id : fleet_.machines()) {
    const auto rate = static_cast<std::int32_t>(prng_.below(2 * static_cast<std::uint64_t>(most) + 1)) - most;
    world_.node(id).set_clock_rate(rate);
  }
  schedule_next();
}

void MachineFaults::schedule_next() {
  const auto interval = static_cast<std::uint64_t>(interval_ns_);
  world_.after(static_cast<std::int64_t>(prng_.below(2 * interval)), [this] { strike(); });
}

void MachineFaults::strike() {
  if (healed_) return;
  schedule_next();
  const std::size_t index = prng_.below(fleet_.machines().size());
  const NodeId id = fleet_.machines()[index];
  Node& node = world_.node(id);
  if (!node.running()) return;
  ++strikes_;
  const std::int32_t most = fleet_.options().clock_rate_ppm_max;
  switch (prng_.below(most > 0 ? 6 : 5)) {
    case 0:
      note("machine " + std::to_string(index) + " killed");
      world_.crash(id, prng_.chance(1, 2) ? DeathKind::killed : DeathKind::power_cut);
      break;
    case 1:
    case 2: {
      if (node.paused()) break;
      const std::int64_t length = prng_.chance(1, 2) ? draw_ns(50, 1500) : draw_ns(1500, 9000);
      note("machine " + std::to_string(index) + " paused for " + std::to_string(length / ms) + " ms");
      node.pause();
      world_.after(length, [&node] { node.resume(); });
      break;
    }
    case 3: {
      const std::int64_t jump = (static_cast<std::int64_t>(prng_.below(2'000'001)) - 1'000'000) * ms * 10;
      note("machine " + std::to_string(index) + " wall clock jumps " + std::to_string(jump / ms) + " ms");
      node.jump_wall_clock(jump);
      break;
    }
    case 4:
      cut_off(index);
      break;
    default: {
      const auto rate =
          static_cast<std::int32_t>(prng_.below(2 * static_cast<std::uint64_t>(most) + 1)) - most;
      note("machine " + std::to_string(index) + " runs at " + std::to_string(rate) + " ppm");
      node.set_clock_rate(rate);
    }
  }
}

void MachineFaults::cut_off(std::size_t index) {
  const bool deaf = prng_.chance(2, 3);
  const bool mute = !deaf || prng_.chance(1, 2);
  const Endpoint machine = world_.client_endpoint(index);
  const std::int64_t length = draw_ns(200, 9000);
  note("machine " + std::to_string(index) + (deaf ? " deaf" : "") + (mute ? " mute" : "") + " for " +
       std::to_string(length / ms) + " ms");
  const std::vector<NodeId> members = fleet_.wires().cluster().members();
  Links& links = world_.links();
  for (const NodeId id : members) {
    const Endpoint member = World::member_endpoint(id);
    if (deaf) links.cut(member, machine);
    if (mute) links.cut(machine, member);
  }
  world_.after(length, [&links, members, machine] {
    for (const NodeId id : members) {
      links.mend(World::member_endpoint(id), machine);
      links.mend(machine, World::member_endpoint(id));
    }
  });
}

void MachineFaults::on_death(Node& node) {
  const NodeId id = node.id();
  world_.after(healed_ ? 100 * ms : draw_ns(20, 4000), [this, id] {
    if (!fleet_.stopping() && !world_.node(id).running()) world_.start(id);
  });
}

void MachineFaults::heal() {
  healed_ = true;
  for (const NodeId id : fleet_.machines()) world_.node(id).resume();
}

void MachineFaults::note(const std::string& what) {
  if (world_.tracing()) world_.trace("FAULT " + what);
}

std::int64_t MachineFaults::draw_ns(std::int64_t low_ms, std::int64_t high_ms) {
  return static_cast<std::int64_t>(
      prng_.between(static_cast<std::uint64_t>(low_ms * ms), static_cast<std::uint64_t>(high_ms * ms)));
}

}  // namespace lockstep::sim
