// Random definitions, random outcomes, and what must hold of all of them: testing_random_saga.h.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing_rounds.h"
#include "service/transaction/saga/testing_random_saga.h"

namespace lockstep::service::transaction::saga {
namespace {

TEST(RandomSagas, KeepTheirRules) {
  const std::uint64_t count = rounds(1500);
  std::map<Verdict, std::uint64_t> verdicts;
  for (std::uint64_t seed = 1; seed <= count; ++seed) {
    const RandomSagaRun run(seed);
    ASSERT_THAT(run.problems(), testing::IsEmpty()) << "seed " << seed << "\n" << run.document();
    ++verdicts[run.verdict()];
  }
  for (const Verdict verdict : {Verdict::committed, Verdict::aborted, Verdict::failed})
    EXPECT_GE(verdicts[verdict], count / 100) << static_cast<int>(verdict) << " is hardly ever met";
}

}  // namespace
}  // namespace lockstep::service::transaction::saga
