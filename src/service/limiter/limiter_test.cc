// Limits: what is allowed when, and that a fleet never gets more.
#include "service/limiter/limiter.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "service/names.h"
#include "service/testing/unruly_store.h"
#include "service/testing/watched_store.h"
#include "store/awaitable.h"

namespace lockstep::service {
namespace {

using testing::Running;
using testing::UnrulyWorld;
using testing::World;
using Answer = Result<LimitAnswer>;

LimitRule bucket(std::int64_t limit, Duration period, std::int64_t burst = 0) {
  return {LimitAlgorithm::token_bucket, limit, period, burst};
}
LimitRule window(std::int64_t limit, Duration period) {
  return {LimitAlgorithm::sliding_window, limit, period, 0};
}

class LimiterTest : public ::testing::Test {
 protected:
  Answer ask(const LimitRule& rule, std::int64_t cost, const std::string& name = "l") {
    Running<Answer> running(limiter.take(name, {rule, cost}, {}));
    world.settle();
    return running.result();
  }
  // "yes 3" (remaining), "no 0 250ms" (retry after).
  std::string take(const LimitRule& rule, std::int64_t cost = 1) {
    const Answer answer = ask(rule, cost);
    if (!answer.ok()) return answer.status().to_string();
    const std::string remaining = std::to_string(answer->remaining);
    if (answer->allowed) return "yes " + remaining;
    return "no " + remaining + " " + std::to_string(answer->retry_after / 1ms) + "ms";
  }

  World world;
  Limiter limiter{world.context};
};

TEST_F(LimiterTest, ABucketGivesItsBurstAndThenItsRate) {
  const LimitRule rule = bucket(10, 1s, 3);
  EXPECT_EQ(take(rule), "yes 2");
  EXPECT_EQ(take(rule, 2), "yes 0");
  EXPECT_EQ(take(rule), "no 0 100ms");
  EXPECT_EQ(take(rule, 3), "no 0 300ms");
  world.advance(99ms, 1ms);
  EXPECT_EQ(take(rule), "no 0 1ms");
  world.advance(1ms, 1ms);
  EXPECT_EQ(take(rule), "yes 0");
  world.advance(10s);
  EXPECT_EQ(take(rule, 0), "yes 3") << "never more than the burst";
}

TEST_F(LimiterTest, ABucketLosesNoPartOfAToken) {
  const LimitRule rule = bucket(3, 1s, 1);
  std::int64_t allowed = 0;
  for (int i = 0; i < 3500; ++i) {
    if (ask(rule, 1)->allowed) ++allowed;
    world.advance(1ms, 1ms);
  }
  EXPECT_EQ(allowed, 1 + 10) << "one at once, then one each 334 ms, as the polling goes";
}

TEST_F(LimiterTest, AWindowGivesItsLimitInAnyPeriod) {
  const LimitRule rule = window(3, 640ms);  // slices of 10 ms
  world.advance(20ms);
  EXPECT_EQ(take(rule), "yes 2");
  world.advance(105ms, 5ms);
  EXPECT_EQ(take(rule, 2), "yes 0");
  EXPECT_EQ(take(rule), "no 0 545ms") << "the first counts until its slice and the period are over";
  EXPECT_EQ(take(rule, 2), "no 0 645ms");
  world.advance(544ms, 1ms);
  EXPECT_EQ(take(rule), "no 0 1ms");
  world.advance(1ms, 1ms);
  EXPECT_EQ(take(rule), "yes 0");
}

TEST_F(LimiterTest, AnotherRuleKeepsWhatWasUsed) {
  EXPECT_EQ(take(bucket(10, 1s), 8), "yes 2");
  EXPECT_EQ(take(bucket(20, 1s), 1), "yes 11");
  EXPECT_EQ(take(window(10, 1s), 1), "yes 0");
  EXPECT_EQ(take(bucket(5, 1s), 1), "no 0 200ms");
}

TEST_F(LimiterTest, WhatIsAskedIsChecked) {
  for (const LimitRule& wrong : {bucket(0, 1s), bucket(-1, 1s), bucket(limit_max + 1, 1s), bucket(1, 0s),
                                 bucket(1, -1s), bucket(1, limit_period_max + 1s), bucket(1, 1s, -1),
                                 bucket(1, 1s, limit_max + 1), window(0, 1s), bucket(1, 1s + 1ns)}) {
    EXPECT_EQ(ask(wrong, 1).status(), errors::limit_wrong());
  }
  EXPECT_EQ(ask(bucket(5, 1s), 6).status(), errors::limit_cost_wrong());
  EXPECT_EQ(ask(bucket(5, 1s), -1).status(), errors::limit_cost_wrong());
  EXPECT_EQ(ask(bucket(5, 1s), 1, "").status(), errors::name_empty());
  EXPECT_EQ(take(bucket(limit_max, limit_period_max, limit_max), limit_max), "yes 0") << "the extremes count";
  EXPECT_EQ(take(bucket(1, limit_period_max, limit_max), limit_max).substr(0, 4), "no 0");
}

TEST_F(LimiterTest, WhatIsNoLimitIsLeftAloneUntilItIsReset) {
  const std::string start =
      R"({"algorithm":"sliding_window","limit":3,"period_us":1000,"time_us":64,"slices":)";
  for (const std::string& bad :
       {std::string("x"), std::string("{}"), start + "[1]}", start + "[1,0]}", start + "[1,4]}",
        start + "[9,1]}", start + "[2,1,1,1]}", start + "[-1,1]}", start + "[1,2,2,2]}",
        std::string(
            R"({"algorithm":"token_bucket","limit":3,"period_us":1000,"burst":3,"time_us":1,"tokens":4,)") +
            R"("fraction_us":0})",
        std::string(R"({"algorithm":"odd","limit":3,"period_us":1000,"time_us":1})")}) {
    store::PutRequest put;
    put.key = limit_key("l");
    put.value = bad;
    Running<Result<store::PutResponse>> done(store::awaitable::put(world.store, put));
    EXPECT_EQ(ask(bucket(1, 1s), 1).status().code(), Code::failed_precondition) << bad;
  }
  Running<Status> reset(limiter.reset("l", {}));
  world.settle();
  EXPECT_EQ(reset.result(), Status());
  EXPECT_EQ(take(bucket(2, 1s)), "yes 1");
}

TEST_F(LimiterTest, AnUnusedLimitLeavesNothing) {
  EXPECT_EQ(take(bucket(10, 1s, 50), 50), "yes 0");
  world.advance(9s);
  store::RangeRequest request;
  request.key = limit_key("l");
  request.count_only = true;
  Running<Result<store::RangeResponse>> before(store::awaitable::range(world.store, request));
  EXPECT_EQ(before.result()->count, 0) << "full after five seconds";
}

TEST_F(LimiterTest, RefusalsWriteNothing) {
  EXPECT_EQ(take(bucket(1, 10s)), "yes 0");
  const int txns = world.store.txns;
  for (int i = 0; i < 10; ++i) EXPECT_EQ(take(bucket(1, 10s)).substr(0, 4), "no 0");
  EXPECT_EQ(world.store.txns, txns);
}

// Takes of a fleet, each with the time within which it was allowed.
struct Allowed {
  TimePoint asked;
  TimePoint answered;
  std::int64_t cost = 0;
};

Task<void> take_some(Context context, Limiter& limiter, LimitRule rule, std::int64_t cost,
                     std::vector<Allowed>& allowed) {
  const TimePoint asked = context.clock.now();
  const Answer answer = co_await limiter.take("l", {rule, cost}, {});
  if (answer.ok() && answer->allowed) allowed.push_back({asked, context.clock.now(), cost});
}

// The most that was taken in any interval, above what `bound` allows for its length.
template <class Bound>
void expect_within(std::vector<Allowed>& allowed, Bound bound) {
  for (const Allowed& first : allowed) {
    for (const Allowed& last : allowed) {
      if (last.answered < first.asked) continue;
      std::int64_t sum = 0;
      for (const Allowed& one : allowed) {
        if (one.asked >= first.asked && one.answered <= last.answered) sum += one.cost;
      }
      ASSERT_LE(sum, bound(last.answered - first.asked));
    }
  }
}

void run_fleet(std::uint64_t seed, const LimitRule& rule, bool clocks_jump, std::vector<Allowed>& allowed) {
  UnrulyWorld world(seed);
  std::vector<std::unique_ptr<UnrulyWorld::Process>> processes;
  std::vector<std::unique_ptr<Limiter>> limiters;
  for (int i = 0; i < 3; ++i) {
    processes.push_back(world.process());
    limiters.push_back(std::make_unique<Limiter>(world.context(*processes.back())));
  }
  if (clocks_jump) processes[1]->clock.wall_jump = -1h;
  for (int i = 0; i < 250; ++i) {
    const std::size_t who = world.prng.below(3);
    const auto cost = static_cast<std::int64_t>(1 + world.prng.below(3));
    take_some(world.context(*processes[who]), *limiters[who], rule, cost, allowed).detach();
    world.advance(std::chrono::milliseconds(world.prng.below(12)));
    if (clocks_jump && world.prng.chance(1, 30))
      processes[2]->clock.wall_jump -= std::chrono::milliseconds(world.prng.below(3000));
  }
  world.advance(10s, 5ms);
}

// With clocks that agree, exactly the rule. With one that is an hour behind and one that jumps back, once
// more, when the limiter's time catches up with the furthest of them.
class LimiterInABadWorld : public ::testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(WithJumpingClocks, LimiterInABadWorld, ::testing::Bool());

TEST_P(LimiterInABadWorld, AFleetNeverGetsMoreThanABucketGives) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::vector<Allowed> allowed;
    run_fleet(seed, bucket(100, 1s, 5), GetParam(), allowed);
    EXPECT_GT(allowed.size(), 20U);
    expect_within(allowed, [](Duration length) { return 5 * (GetParam() ? 2 : 1) + length / 10ms; });
  }
}

TEST_P(LimiterInABadWorld, AFleetNeverGetsMoreThanAWindowGives) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::vector<Allowed> allowed;
    run_fleet(seed, window(7, 200ms), GetParam(), allowed);
    EXPECT_GT(allowed.size(), 10U);
    expect_within(allowed, [](Duration length) { return 7 * ((GetParam() ? 2 : 1) + length / 200ms); });
  }
}

TEST(LimiterClock, AWallClockThatJumpsBackHoldsNobodyUp) {
  UnrulyWorld world(1);
  const auto process = world.process();
  process->store.unruliness = {.refused_percent = 0, .unknown_percent = 0};
  Limiter limiter(world.context(*process));
  const LimitRule rule = bucket(1, 1s);
  for (int i = 0; i < 5; ++i) {
    Running<Answer> taking(limiter.take("l", {rule, 1}, {}));
    world.advance(1010ms);
    EXPECT_TRUE(taking.result()->allowed);
    process->clock.wall_jump -= 1h;
  }
}

// What is refused writes nothing: the limiter's time goes on all the same.
TEST(LimiterClock, NorDoesItHoldUpWhoeverAsksInVainMoreOftenThanATokenComes) {
  UnrulyWorld world(1);
  const auto here = world.process();
  const auto elsewhere = world.process();
  for (const auto& process : {&here, &elsewhere}) {
    (*process)->store.unruliness = {.refused_percent = 0, .unknown_percent = 0};
  }
  Limiter limiter(world.context(*here));
  Limiter other(world.context(*elsewhere));
  const LimitTake take{.rule = bucket(1, 10s, 60), .cost = 1};
  const auto asked = [&](Limiter& by) {
    Running<Answer> taking(by.take("l", take, {}));
    world.advance(1s, 5ms);
    return taking.result()->allowed;
  };
  for (int i = 0; i < 66; ++i) asked(limiter);
  here->clock.wall_jump = -1h;
  elsewhere->clock.wall_jump = -2h;  // it has written nothing, and knows only what it reads
  int allowed = 0;
  for (int second = 0; second < 150; ++second) {
    allowed += asked(limiter) ? 1 : 0;
    allowed += asked(other) ? 1 : 0;
  }
  EXPECT_GE(allowed, 28) << "one in ten seconds";
  EXPECT_LE(allowed, 31);
}

}  // namespace
}  // namespace lockstep::service
