// Long random lives: crashes of both kinds, failing syncs, a freezing and a full disk, against the model.
#include <gtest/gtest.h>

#include "base/testing_rounds.h"
#include "log/testing_life.h"

namespace lockstep::log {
namespace {

using testing::Life;
using testing::Member;
using testing::snapshot_difference;

void inject(Member& member, Prng& prng) {
  sim::SimDisk& disk = member.machine.disk;
  switch (prng.below(5)) {
    case 0:
      disk.crash_at_step(prng.between(1, 300));
      break;
    case 1:
      disk.fail_nth(sim::DiskCall::sync, prng.between(1, 60));
      break;
    case 2:
      disk.fail_nth(sim::DiskCall::write, prng.between(1, 100));
      break;
    case 3:
      disk.set_capacity(disk.used_bytes() + prng.below(100'000));
      break;
    default:
      break;
  }
}

class ModelTest : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(ModelTest, TenLives) {
  const std::uint64_t seed = GetParam();
  SCOPED_TRACE("seed " + std::to_string(seed));
  Prng prng(seed);
  Member member(seed);
  std::map<LogIndex, std::string> finished;
  std::map<LogIndex, std::string> possible;
  std::uint64_t acknowledged = 0;
  for (std::uint64_t life_number = 0; life_number < 10; ++life_number) {
    SCOPED_TRACE("life " + std::to_string(life_number));
    member.fatal.reset();
    const Status opened = member.open();
    ASSERT_TRUE(opened.ok()) << opened.to_string();
    ASSERT_EQ(member.reconcile(), "");
    Life life(member, seed * 100 + life_number);
    life.finished = finished;
    life.possible = possible;
    ASSERT_EQ(snapshot_difference(member, life), "");
    member.machine.disk.serve_small_inside(prng.chance(2, 3));
    inject(member, prng);
    life.run(80);
    acknowledged += member.acknowledged;
    finished = life.finished;
    possible = life.possible;
    member.die(prng.chance(1, 3) ? sim::Loss::process : sim::Loss::power, prng.next());
    member.machine.disk.set_capacity(UINT64_MAX);
  }
  EXPECT_GT(acknowledged, 100u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, ModelTest, ::testing::Range<std::uint64_t>(1, 1 + rounds(200)));

}  // namespace
}  // namespace lockstep::log
