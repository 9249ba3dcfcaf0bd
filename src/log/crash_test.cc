// A crash at every persistence step of a busy life: nothing acknowledged is lost, nothing else appears (I1).
#include <gtest/gtest.h>

#include "base/testing_rounds.h"
#include "log/testing_life.h"

namespace lockstep::log {
namespace {

using testing::Life;
using testing::Member;
using testing::snapshot_difference;

constexpr int operations = 90;

// False when the life ended before the step.
bool crash_once(std::uint64_t seed, std::uint64_t step, sim::Loss loss, std::uint64_t crash_seed) {
  Member member(seed);
  Life life(member, seed);
  member.machine.disk.crash_at_step(step);
  if (member.open().ok()) life.run(operations);
  const bool stopped = member.machine.disk.stopped();

  member.die(loss, crash_seed);
  // Half of the time the next start is interrupted as well.
  Prng prng(crash_seed);
  if (stopped && prng.chance(1, 2)) {
    member.machine.disk.crash_at_step(prng.between(1, 12));
    static_cast<void>(member.open());
    member.die(prng.chance(1, 2) ? sim::Loss::power : sim::Loss::process, crash_seed + 1);
  }
  member.fatal.reset();
  const Status opened = member.open();
  EXPECT_TRUE(opened.ok()) << opened.to_string();
  if (!opened.ok()) return stopped;
  EXPECT_EQ(member.reconcile(), "");
  EXPECT_EQ(snapshot_difference(member, life), "");

  Life second(member, seed + 1000);
  second.finished = life.finished;
  second.possible = life.possible;
  second.run(15);
  EXPECT_FALSE(member.fatal.has_value());
  member.die(sim::Loss::power, crash_seed + 2);
  EXPECT_TRUE(member.open().ok());
  EXPECT_EQ(member.reconcile(), "");
  EXPECT_EQ(snapshot_difference(member, second), "");
  return stopped;
}

class CrashTest : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(CrashTest, AtEveryPersistenceStep) {
  const std::uint64_t seed = GetParam();
  std::uint64_t step = 1;
  bool stopped = true;
  for (; stopped && !HasFailure(); ++step) {
    SCOPED_TRACE("seed " + std::to_string(seed) + ", step " + std::to_string(step));
    stopped = crash_once(seed, step, sim::Loss::process, step);
    for (std::uint64_t crash = 0; crash < 3; ++crash) {
      SCOPED_TRACE("power cut " + std::to_string(crash));
      crash_once(seed, step, sim::Loss::power, 10 * step + crash);
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(step, 200u) << "a life with few steps proves little";
}

INSTANTIATE_TEST_SUITE_P(Seeds, CrashTest, ::testing::Range<std::uint64_t>(1, 1 + rounds(4)));

}  // namespace
}  // namespace lockstep::log
