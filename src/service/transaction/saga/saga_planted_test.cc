// The checker of the random runs notices when the rule is broken that it is for.
#include <gtest/gtest.h>

#include "base/planted.h"
#include "service/transaction/saga/testing_random_saga.h"

namespace lockstep::service::transaction::saga {
namespace {

constexpr std::uint64_t seeds = 60;

std::uint64_t seeds_with_problems() {
  std::uint64_t found = 0;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) found += RandomSagaRun(seed).problems().empty() ? 0 : 1;
  return found;
}

TEST(PlantedInSagas, CompensationsInTheWrongOrderAreNoticed) {
  ASSERT_TRUE(planted::set("compensation_oldest_first", true));
  EXPECT_GT(seeds_with_problems(), 0U);
  planted::clear();
  EXPECT_EQ(seeds_with_problems(), 0U) << "the same seeds without a bug";
}

}  // namespace
}  // namespace lockstep::service::transaction::saga
