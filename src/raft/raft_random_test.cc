// Random clusters. RAFT_SEEDS=count and RAFT_SEED_FIRST=n choose the seeds; one seed with RAFT_TRACE=1 prints
// all.
#include <cstdio>
#include <cstdlib>

#include <gtest/gtest.h>

#include "base/testing_rounds.h"
#include "raft/random_run.h"

namespace lockstep::raft {
namespace {

std::uint64_t setting(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST(RaftRandom, KeepsItsPromises) {
  const std::uint64_t first = setting("RAFT_SEED_FIRST", 1);
  const std::uint64_t count = setting("RAFT_SEEDS", rounds(200));
  RandomRunResult total;
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    const RandomRunResult result = random_run(seed, setting("RAFT_TRACE", 0) != 0);
    EXPECT_FALSE(result.failure.has_value()) << "seed " << seed << ": " << *result.failure;
    total.committed += result.committed;
    total.elections += result.elections;
    total.reads += result.reads;
    total.crashes += result.crashes;
    total.wipes += result.wipes;
    total.changes += result.changes;
    total.snapshots += result.snapshots;
  }
  std::printf(
      "seeds %llu to %llu: committed %llu, elections %llu, reads %llu, crashes %llu, wipes %llu, "
      "membership changes %llu, snapshots installed %llu\n",
      static_cast<unsigned long long>(first), static_cast<unsigned long long>(first + count - 1),
      static_cast<unsigned long long>(total.committed), static_cast<unsigned long long>(total.elections),
      static_cast<unsigned long long>(total.reads), static_cast<unsigned long long>(total.crashes),
      static_cast<unsigned long long>(total.wipes), static_cast<unsigned long long>(total.changes),
      static_cast<unsigned long long>(total.snapshots));
  if (count < 100) return;
  EXPECT_GT(total.committed, count * 10);
  EXPECT_GT(total.reads, count);
  EXPECT_GT(total.elections, count);
  EXPECT_GT(total.crashes, count);
  EXPECT_GT(total.wipes, 0U);
  EXPECT_GT(total.changes, 0U);
  EXPECT_GT(total.snapshots, 0U);
}

TEST(RaftRandom, TheSameSeedGivesTheSameRun) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    const RandomRunResult once = random_run(seed);
    const RandomRunResult again = random_run(seed);
    EXPECT_EQ(once.fingerprint, again.fingerprint) << "seed " << seed;
    EXPECT_NE(once.fingerprint, 0U);
  }
}

}  // namespace
}  // namespace lockstep::raft
