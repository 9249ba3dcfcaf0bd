// Every planted bug of raft is noticed by the random clusters, and by a checker rather than by an assertion
// of the code under test; the same seeds pass without it.
#include <cstdio>

#include <gtest/gtest.h>

#include "base/planted.h"
#include "raft/random_run.h"

namespace lockstep::raft {
namespace {

constexpr std::uint64_t seeds_max = 4000;

class RaftPlanted : public testing::TestWithParam<const char*> {
 protected:
  void TearDown() override { planted::clear(); }
};

TEST_P(RaftPlanted, IsCaught) {
  std::uint64_t assertions = 0;
  for (std::uint64_t seed = 1; seed <= seeds_max; ++seed) {
    ASSERT_TRUE(planted::set(GetParam(), true));
    const RandomRunResult result = random_run(seed);
    planted::clear();
    if (!result.failure.has_value()) continue;
    if (result.failure->starts_with("assertion") || result.failure->starts_with("I10")) {
      ++assertions;
      continue;
    }
    std::printf("%s: caught with seed %llu (after %llu that an assertion stopped): %s\n", GetParam(),
                static_cast<unsigned long long>(seed), static_cast<unsigned long long>(assertions),
                result.failure->c_str());
    const RandomRunResult without = random_run(seed);
    EXPECT_FALSE(without.failure.has_value()) << *without.failure;
    return;
  }
  FAIL() << GetParam() << " was not caught by any of " << seeds_max << " seeds (" << assertions
         << " were stopped by an assertion)";
}

INSTANTIATE_TEST_SUITE_P(Bugs, RaftPlanted,
                         testing::Values("vote_not_persisted", "old_term_commit_by_counting",
                                         "reused_read_round", "leader_local_read", "ack_before_persist",
                                         "no_vote_log_check", "commit_without_quorum_joint",
                                         "wiped_member_votes"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace lockstep::raft
