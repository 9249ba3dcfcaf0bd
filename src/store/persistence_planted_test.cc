// The checks of the persistence test notice every planted bug of persistence; without one the same seeds
// pass.
#include <cstdio>

#include <gtest/gtest.h>

#include "base/planted.h"
#include "store/testing/persistence_run.h"

namespace lockstep::store::testing {
namespace {

constexpr std::uint64_t seeds = 25;

std::uint64_t seeds_that_fail() {
  std::uint64_t failed = 0;
  PersistenceTotals totals;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    if (const auto failure = persistence_run(seed, 120, &totals)) {
      ++failed;
      std::fprintf(stderr, "seed %d: %s\n", static_cast<int>(seed), failure->c_str());
    }
  }
  return failed;
}

class PlantedPersistenceBug : public ::testing::TestWithParam<const char*> {};

TEST_P(PlantedPersistenceBug, IsNoticed) {
  ASSERT_TRUE(planted::set(GetParam(), true));
  EXPECT_GT(seeds_that_fail(), 0u);
  ASSERT_TRUE(planted::set(GetParam(), false));
}

TEST(PlantedPersistenceBug, WithoutOneTheSameSeedsPass) {
  planted::clear();
  EXPECT_EQ(seeds_that_fail(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Store, PlantedPersistenceBug,
                         ::testing::Values("request_table_not_in_snapshot", "lease_deadline_not_in_snapshot",
                                           "term_beginning_not_restored", "write_back_leads_effects"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace lockstep::store::testing
