#include "sim/world.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "base/assert.h"
#include "sim/toy_nodes.h"

namespace lockstep::sim {
namespace {

using toy::NoStorage;
using toy::Pinger;

constexpr std::int64_t ms = 1'000'000;
constexpr std::int64_t second = 1'000 * ms;

struct PingWorld {
  explicit PingWorld(std::uint64_t seed, WorldOptions options = {}) : world(seed, options) {
    for (int i = 0; i < 3; ++i) {
      world.add_node(std::make_unique<NoStorage>(),
                     [](Node& node) { return std::make_unique<Pinger>(node, 3); });
    }
    for (std::uint64_t id = 1; id <= 3; ++id) world.start(NodeId(id));
  }
  Pinger& pinger(std::uint64_t id) { return dynamic_cast<Pinger&>(*world.node(NodeId(id)).process()); }
  World world;
};

TEST(World, EveryPingIsAnsweredInCalmWeather) {
  PingWorld w(1);
  w.world.run_until(second);
  for (std::uint64_t id = 1; id <= 3; ++id) {
    EXPECT_NEAR(static_cast<double>(w.pinger(id).ticks), 100, 1);
    for (const auto& [peer, count] : w.pinger(id).pongs) EXPECT_GE(count, 95u) << peer.value();
  }
}

std::uint64_t stormy_run(std::uint64_t seed) {
  WorldOptions options;
  options.links.loss_ppm = 50'000;
  options.links.duplicate_ppm = 50'000;
  options.links.reorder_ppm = 50'000;
  PingWorld w(seed, options);
  w.world.at(100 * ms, [&w] { w.world.crash(NodeId(2), DeathKind::killed); });
  w.world.at(200 * ms, [&w] { w.world.start(NodeId(2)); });
  w.world.at(300 * ms, [&w] { w.world.node(NodeId(1)).pause(); });
  w.world.at(400 * ms, [&w] { w.world.node(NodeId(1)).resume(); });
  w.world.at(500 * ms, [&w] { w.world.node(NodeId(3)).set_clock_rate(-50'000); });
  w.world.run_until(2 * second);
  return w.world.end_number();
}

TEST(World, TheSameSeedEndsWithTheSameNumberAndAnotherSeedWithAnother) {
  const std::uint64_t first = stormy_run(7);
  EXPECT_EQ(stormy_run(7), first);
  EXPECT_NE(stormy_run(8), first);
}

TEST(World, OneMoreEventChangesTheEndNumber) {
  PingWorld a(9);
  a.world.run_until(second);
  const std::uint64_t quiet = a.world.end_number();
  a.world.mix(0);
  EXPECT_NE(a.world.end_number(), quiet);
}

TEST(World, AKilledProcessLosesEverythingItHadScheduled) {
  PingWorld w(2);
  w.world.run_until(100 * ms);
  const std::uint64_t before = w.pinger(1).pongs[NodeId(2)];
  w.world.crash(NodeId(2), DeathKind::killed);
  EXPECT_EQ(w.world.node(NodeId(2)).process(), nullptr);
  w.world.run_until(500 * ms);
  EXPECT_LE(w.pinger(1).pongs[NodeId(2)], before + 1);  // one may have been under way
  w.world.start(NodeId(2));
  w.world.run_until(600 * ms);
  EXPECT_GT(w.pinger(1).pongs[NodeId(2)], before + 5);
  EXPECT_NEAR(static_cast<double>(w.pinger(2).ticks), 10, 1) << "a new process, not the old one";
  EXPECT_EQ(w.world.node(NodeId(2)).lives(), 2u);
}

TEST(World, PeersOfAKilledProcessAreToldButNotAfterAPowerCut) {
  WorldOptions options;
  options.peer_lost_ppm = 1'000'000;
  PingWorld w(3, options);
  w.world.run_until(100 * ms);
  w.world.crash(NodeId(2), DeathKind::power_cut);
  w.world.run_until(200 * ms);
  EXPECT_EQ(w.pinger(1).lost_notices[NodeId(2)], 0u);
  w.world.crash(NodeId(3), DeathKind::killed);
  w.world.run_until(300 * ms);
  EXPECT_EQ(w.pinger(1).lost_notices[NodeId(3)], 1u);
}

TEST(World, APausedProcessCatchesUpWhenItContinues) {
  PingWorld w(4);
  w.world.run_until(100 * ms);
  w.world.node(NodeId(1)).pause();
  const std::uint64_t ticks = w.pinger(1).ticks;
  const std::uint64_t pongs = w.pinger(2).pongs[NodeId(1)];
  w.world.run_until(1100 * ms);
  EXPECT_EQ(w.pinger(1).ticks, ticks);
  EXPECT_EQ(w.pinger(2).pongs[NodeId(1)], pongs);
  w.world.node(NodeId(1)).resume();
  w.world.run_until(1105 * ms);
  EXPECT_EQ(w.pinger(1).ticks, ticks + 1) << "one overdue timer, not one for each missed period";
  EXPECT_GE(w.pinger(2).pongs[NodeId(1)], pongs + 95) << "the pings that waited are answered";
}

TEST(World, AKilledPausedProcessLeavesNothingBehind) {
  PingWorld w(5);
  w.world.run_until(100 * ms);
  w.world.node(NodeId(1)).pause();
  w.world.run_until(200 * ms);
  w.world.crash(NodeId(1), DeathKind::killed);
  w.world.start(NodeId(1));
  w.world.run_until(300 * ms);
  EXPECT_NEAR(static_cast<double>(w.pinger(1).ticks), 10, 1);
}

TEST(World, ClocksRunAtTheirOwnRateAndTimersFollowThem) {
  PingWorld w(6);
  w.world.node(NodeId(1)).set_clock_rate(50'000);
  w.world.node(NodeId(2)).set_clock_rate(-50'000);
  w.world.run_until(10 * second);
  EXPECT_NEAR(static_cast<double>(w.pinger(1).ticks), 1050, 2);
  EXPECT_NEAR(static_cast<double>(w.pinger(2).ticks), 950, 2);
}

TEST(World, ATimerNeverFiresBeforeItsDeadlineEvenIfTheClockSlowsDown) {
  World world(1, WorldOptions{});
  Node& node =
      world.add_node(std::make_unique<NoStorage>(), [](Node&) { return std::make_unique<Process>(); });
  world.start(node.id());
  world.run_until(0);
  env::Environment& env = node.environment();
  node.set_clock_rate(50'000);
  const TimePoint deadline = env.clock.now() + 1s;
  TimePoint fired{};
  env.executor.schedule(deadline, [&] { fired = env.clock.now(); });
  world.run_until(second / 2);
  node.set_clock_rate(-50'000);
  world.run_until(2 * second);
  EXPECT_GE(fired, deadline);
  EXPECT_LT(fired, deadline + 1ms);
}

TEST(World, PostsKeepTheirOrderAndNeverRunInsideThePost) {
  World world(1, WorldOptions{});
  Node& node =
      world.add_node(std::make_unique<NoStorage>(), [](Node&) { return std::make_unique<Process>(); });
  world.start(node.id());
  world.run_until(0);
  std::vector<int> order;
  for (int i = 0; i < 100; ++i) {
    node.environment().executor.post([&order, i] { order.push_back(i); });
  }
  EXPECT_TRUE(order.empty());
  world.run_until(ms);
  ASSERT_EQ(order.size(), 100u);
  EXPECT_TRUE(std::ranges::is_sorted(order));
}

TEST(World, WorkRunsLaterThanItWasSubmittedAndInOrder) {
  World world(1, WorldOptions{});
  Node& node =
      world.add_node(std::make_unique<NoStorage>(), [](Node&) { return std::make_unique<Process>(); });
  world.start(node.id());
  world.run_until(0);
  std::string log;
  for (const char name : {'a', 'b'}) {
    node.environment().worker.submit([&log, name] { log += name; },
                                     [&log, name] { log += static_cast<char>(name - 'a' + 'A'); });
  }
  EXPECT_EQ(log, "");
  world.run_until(second);
  std::string works;
  std::string dones;
  for (const char c : log) (c >= 'a' ? works : dones) += c;
  EXPECT_EQ(works, "ab");
  EXPECT_EQ(dones, "AB");
}

TEST(World, AFailedAssertionKillsItsNodeOnlyAndNothingItDoesAfterwardsCounts) {
  PingWorld w(10);
  w.world.run_until(100 * ms);
  int after = 0;
  Node& node = w.world.node(NodeId(2));
  node.run_on_strand([&node, &after] {
    try {
      LS_MUST(1 + 1 == 3, "arithmetic");
    } catch (...) {  // a coroutine keeps an escaping exception, too
      node.environment().executor.post([&after] { ++after; });
    }
  });
  bool told = false;
  w.world.on_death([&](Node& dead) { told = dead.id() == NodeId(2); });
  w.world.run_until(200 * ms);
  EXPECT_TRUE(told);
  EXPECT_EQ(after, 0);
  EXPECT_FALSE(node.running());
  EXPECT_TRUE(w.world.node(NodeId(1)).running());
  ASSERT_EQ(w.world.assertions().size(), 1u);
  EXPECT_EQ(w.world.assertions()[0].node, NodeId(2));
  EXPECT_NE(w.world.assertions()[0].text.find("arithmetic"), std::string::npos);
}

TEST(World, WallClocksJumpAndMonotonicClocksDoNot) {
  World world(1, WorldOptions{});
  Node& node =
      world.add_node(std::make_unique<NoStorage>(), [](Node&) { return std::make_unique<Process>(); });
  world.start(node.id());
  world.run_until(second);
  env::Clock& clock = node.environment().clock;
  const TimePoint monotonic = clock.now();
  const Duration wall = clock.wall_now();
  node.jump_wall_clock(-3600 * second);
  EXPECT_EQ(clock.now(), monotonic);
  EXPECT_EQ(clock.wall_now(), wall - 1h);
}

TEST(World, ClientsReachMembersOverTheWires) {
  World world(1, WorldOptions{});
  world.add_node(std::make_unique<NoStorage>(), [](Node&) { return std::make_unique<Process>(); });
  int arrived = 0;
  const Endpoint client = world.client_endpoint(0);
  const Endpoint member = World::member_endpoint(NodeId(1));
  world.carry(client, member, 100, [&arrived] { ++arrived; });
  world.run_until(ms * 100);
  EXPECT_EQ(arrived, 1);
  world.links().cut(client, member);
  world.carry(client, member, 100, [&arrived] { ++arrived; });
  world.run_until(ms * 200);
  EXPECT_EQ(arrived, 1);
}

}  // namespace
}  // namespace lockstep::sim
