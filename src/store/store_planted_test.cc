// The checks of the model test notice every planted bug of the store; without one the same seeds pass.
#include <gtest/gtest.h>

#include "base/planted.h"
#include "store/testing/auth_matrix.h"
#include "store/testing/machine.h"
#include "store/testing/random_run.h"

namespace lockstep::store::testing {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t seeds = 20;

std::uint64_t seeds_that_fail() {
  std::uint64_t failed = 0;
  RunTotals totals;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    if (random_run(seed, 60, &totals).has_value()) ++failed;
  }
  return failed;
}

class PlantedBug : public ::testing::TestWithParam<const char*> {};

TEST_P(PlantedBug, IsNoticed) {
  ASSERT_TRUE(planted::set(GetParam(), true));
  EXPECT_GT(seeds_that_fail(), 0u);
  ASSERT_TRUE(planted::set(GetParam(), false));
  EXPECT_EQ(seeds_that_fail(), 0u);
}

TEST(PlantedPermissionBug, IsNoticedByTheMatrix) {
  MatrixTotals totals;
  ASSERT_TRUE(planted::set("txn_nested_permission_skipped", true));
  EXPECT_TRUE(auth_matrix(&totals).has_value());
  ASSERT_TRUE(planted::set("txn_nested_permission_skipped", false));
  EXPECT_FALSE(auth_matrix(&totals).has_value());
}

// The moment of the grant may have been almost a millisecond later than the time its entry has.
bool lives_for_its_whole_last_millisecond() {
  Machine machine;
  const LeaseId lease{9};
  const auto granted = machine.one([&](BatchBuilder& batch) { return batch.lease_grant({1s, lease}); });
  machine.time_ms += 1000;
  const auto put = machine.put(PutRequest{.key = "k", .value = "v"});
  return granted.ok() && put.ok() && machine->lease(lease).has_value();
}

TEST(PlantedLeaseBug, IsNoticedByALeaseThatEndsAMillisecondTooSoon) {
  EXPECT_TRUE(lives_for_its_whole_last_millisecond());
  ASSERT_TRUE(planted::set("lease_time_rounded_down", true));
  EXPECT_FALSE(lives_for_its_whole_last_millisecond());
  ASSERT_TRUE(planted::set("lease_time_rounded_down", false));
}

INSTANTIATE_TEST_SUITE_P(Store, PlantedBug,
                         ::testing::Values("lease_renewal_lost", "lease_expires_early", "request_id_ignored",
                                           "txn_compare_skipped", "revision_reused_after_delete",
                                           "compare_range_first_only"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace lockstep::store::testing
