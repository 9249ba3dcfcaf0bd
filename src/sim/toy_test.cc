// A toy protocol with a rule to break: the simulator must find the break and must not invent one.
#include <gtest/gtest.h>

#include "sim/toy_nodes.h"
#include "sim/world.h"

namespace lockstep::sim {
namespace {

constexpr std::int64_t ms = 1'000'000;
constexpr std::int64_t second = 1'000 * ms;

// A leader lease handed out by node 1 to nodes 2 and 3 in turn. The granter waits out the lease on its own
// clock, stretched by `allowance_ppm` for drift; the holder counts it on its own from the moment it asked.
struct LeaseToy : Process, private env::Receiver {
  LeaseToy(Node& node, std::int64_t allowance_ppm, std::function<void(NodeId, bool)> holds)
      : env(node.environment()), self(node.id()), allowance(allowance_ppm), on_hold(std::move(holds)) {
    env.network.set_receiver(this);
    for (std::uint64_t id = 1; id <= 3; ++id) env.network.set_peer(NodeId(id), "");
    if (self != NodeId(1)) ask();
  }
  void ask() {
    asked = env.clock.now();
    Pieces pieces;
    pieces.push_back(SharedBytes("ask"));
    env.network.send(NodeId(1), std::move(pieces));
    env.executor.schedule(env.clock.now() + 300ms, [this] { ask(); });
  }
  void on_message(NodeId from, SharedBytes message) override {
    if (message.view() == "ask") {
      if (env.clock.now() < free_at) return;
      free_at = env.clock.now() + lease + Duration(lease.count() * allowance / 1'000'000);
      Pieces pieces;
      pieces.push_back(SharedBytes("granted"));
      env.network.send(from, std::move(pieces));
      return;
    }
    const TimePoint end = asked + lease;
    if (env.clock.now() >= end) return;
    on_hold(self, true);
    env.executor.schedule(end, [this] { on_hold(self, false); });
  }
  void on_peer_lost(NodeId) override {}

  static constexpr Duration lease = 200ms;
  env::Environment& env;
  NodeId self;
  std::int64_t allowance;
  std::function<void(NodeId, bool)> on_hold;
  TimePoint asked{};
  TimePoint free_at{};
};

// How often two nodes held the lease at once, and how often one held it at all.
struct Outcome {
  int overlaps = 0;
  int holds = 0;
};

Outcome run_lease_toy(std::uint64_t seed, std::int64_t allowance_ppm) {
  WorldOptions options;
  options.links.loss_ppm = 20'000;
  World world(seed, options);
  Outcome outcome;
  int holding = 0;
  for (int i = 0; i < 3; ++i) {
    world.add_node(std::make_unique<toy::NoStorage>(), [&](Node& node) {
      return std::make_unique<LeaseToy>(node, allowance_ppm, [&](NodeId, bool starts) {
        if (starts && holding > 0) ++outcome.overlaps;
        outcome.holds += starts ? 1 : 0;
        holding += starts ? 1 : -1;
      });
    });
  }
  Prng prng(seed);
  for (std::uint64_t id = 1; id <= 3; ++id) {
    world.start(NodeId(id));
    world.node(NodeId(id)).set_clock_rate(static_cast<std::int32_t>(prng.between(0, 100'000)) - 50'000);
  }
  world.run_until(60 * second);
  return outcome;
}

TEST(LeaseToy, WithAnAllowanceForDriftNoTwoNodesHoldTheLease) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    const Outcome outcome = run_lease_toy(seed, 110'000);
    EXPECT_EQ(outcome.overlaps, 0) << "seed " << seed;
    EXPECT_GT(outcome.holds, 100) << "seed " << seed;
  }
}

TEST(LeaseToy, WithoutItDriftIsFound) {
  int seeds_with_overlap = 0;
  for (std::uint64_t seed = 1; seed <= 30; ++seed) seeds_with_overlap += run_lease_toy(seed, 0).overlaps > 0;
  EXPECT_GT(seeds_with_overlap, 0);
}

}  // namespace
}  // namespace lockstep::sim
