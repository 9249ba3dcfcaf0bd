// Each planted bug of watch/ is caught by the random run, and named by the promise it breaks.
#include <gtest/gtest.h>

#include "base/planted.h"
#include "watch/random_run.h"

namespace lockstep::watch::testing {
namespace {

struct Planted {
  const char* bug;
  const char* guarantee;
};

class PlantedWatchBug : public ::testing::TestWithParam<Planted> {};

TEST_P(PlantedWatchBug, IsCaught) {
  planted::clear();
  ASSERT_TRUE(random_run(1).violations.empty());
  ASSERT_TRUE(planted::set(GetParam().bug, true));
  std::string caught;
  std::uint64_t seed = 0;
  while (caught.empty() && seed < 20) {
    const RunResult result = random_run(++seed);
    if (!result.violations.empty()) caught = result.violations.front();
  }
  planted::clear();
  ASSERT_FALSE(caught.empty()) << GetParam().bug << " escaped " << seed << " seeds";
  EXPECT_TRUE(caught.starts_with(GetParam().guarantee)) << caught;
  EXPECT_LE(seed, 5u) << caught;
}

INSTANTIATE_TEST_SUITE_P(All, PlantedWatchBug,
                         ::testing::Values(Planted{"dropped_watch_event", "complete"},
                                           Planted{"duplicated_watch_event_on_catch_up", "unique"},
                                           Planted{"watch_revision_split", "atomic"}),
                         [](const ::testing::TestParamInfo<Planted>& info) {
                           return std::string(info.param.bug);
                         });

}  // namespace
}  // namespace lockstep::watch::testing
