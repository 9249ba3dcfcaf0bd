// The state machine beside a naive model: answers, effects, history, leases and request ids of generated
// sequences; a second member with other options must have the same digest after every entry.
#include <iostream>

#include <gtest/gtest.h>

#include "base/testing_rounds.h"
#include "store/testing/random_run.h"

namespace lockstep::store::testing {
namespace {

TEST(Model, GeneratedSequencesAgree) {
  RunTotals totals;
  for (std::uint64_t seed = 1; seed <= rounds(60); ++seed) {
    const auto failure = random_run(seed, 150, &totals);
    ASSERT_FALSE(failure.has_value()) << "seed " << seed << ": " << *failure;
  }
  std::cout << totals.commands << " commands, " << totals.errors << " errors, " << totals.duplicates
            << " repetitions, " << totals.expired_leases << " expired leases, " << totals.restarts
            << " restarts, " << totals.historical_reads << " historical reads\n";
  EXPECT_GT(totals.errors, 1000u);
  EXPECT_GT(totals.duplicates, 1000u);
  EXPECT_GT(totals.expired_leases, 1000u);
  EXPECT_GT(totals.restarts, 100u);
  EXPECT_GT(totals.terms, 100u);
  EXPECT_GT(totals.historical_reads, 5000u);
  EXPECT_GT(totals.read_transactions, 500u);
}

}  // namespace
}  // namespace lockstep::store::testing
