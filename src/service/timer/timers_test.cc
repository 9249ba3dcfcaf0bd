// Timers as stories: what is delivered, when, and to whom.
#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "service/timer/testing_timers.h"

namespace lockstep::service {
namespace {

using namespace testing;

TEST_F(TimersTest, ATimerIsDeliveredOnceWhenItIsDueAndLeavesNothing) {
  ASSERT_EQ(set(after("a", 2s)), Status());
  advance(1980ms);
  EXPECT_EQ(show(claim()), "");
  advance(lateness_max);
  const std::vector<TimerDelivery> due = claim();
  ASSERT_EQ(show(due), "a1");
  EXPECT_EQ(due[0].payload, "p");
  EXPECT_EQ(show(claim()), "") << "hidden";
  EXPECT_EQ(settle(due[0], Kind::ack), Status());
  EXPECT_EQ(settle(due[0], Kind::ack), errors::delivery_lost());
  EXPECT_EQ(keys_of_queue(), 0U);
}

TEST_F(TimersTest, TimersComeInTheOrderOfTheirTimes) {
  ASSERT_EQ(set(after("late", 3s)), Status());
  ASSERT_EQ(set(after("early", 1s)), Status());
  ASSERT_EQ(set(after("at once", 0s)), Status());
  ASSERT_EQ(set(after("much later", 100s)), Status());
  advance(3s + lateness_max);
  EXPECT_EQ(show(claim(2)), "at once1 early1");
  EXPECT_EQ(show(claim(2)), "late1");
}

TEST_F(TimersTest, WhatIsNotAcknowledgedComesAgainAndTheOldTokenIsWorthNothing) {
  TimerSpec spec = after("a", 0s);
  spec.attempts_max = 2;
  ASSERT_EQ(set(spec), Status());
  advance(lateness_max);
  const auto first = claim(1, 10s);
  ASSERT_EQ(show(first), "a1");
  advance(10s);
  advance(lateness_max);
  const auto second = claim(1, 10s);
  ASSERT_EQ(show(second), "a2");
  EXPECT_GT(second[0].token.revision, first[0].token.revision);
  for (const Kind kind : {Kind::ack, Kind::give_back, Kind::extend}) {
    EXPECT_EQ(settle(first[0], kind), errors::delivery_lost());
  }
  advance(10s + lateness_max);
  EXPECT_EQ(show(claim()), "") << "delivered often enough";
  Running<Result<std::vector<DeadTimer>>> dead(timers.dead("q", 10, {}));
  ASSERT_EQ(dead.result()->size(), 1U);
  EXPECT_EQ(dead.result()->at(0).name, "a");
  EXPECT_EQ(dead.result()->at(0).document.payload, "p");
  Running<Status> revived(timers.revive("q", "a", {}));
  EXPECT_EQ(revived.result(), Status());
  advance(lateness_max);
  EXPECT_EQ(show(claim()), "a1");
}

TEST_F(TimersTest, ADeliveryMayBeGivenBackOrExtended) {
  ASSERT_EQ(set(after("a", 0s)), Status());
  advance(lateness_max);
  auto delivery = claim(1, 5s);
  ASSERT_EQ(show(delivery), "a1");
  for (int i = 0; i < 5; ++i) {
    advance(4s);
    const TimerSettled extended = settle_fully(delivery[0], Kind::extend, 5s);
    ASSERT_EQ(extended.status, Status());
    delivery[0].token = extended.token;
    EXPECT_EQ(show(claim()), "");
  }
  EXPECT_EQ(settle(delivery[0], Kind::give_back, 3s), Status());
  advance(2900ms);
  EXPECT_EQ(show(claim()), "");
  advance(lateness_max);
  const auto again = claim();
  ASSERT_EQ(show(again), "a2");
  EXPECT_EQ(settle(again[0], Kind::ack), Status());
  EXPECT_EQ(keys_of_queue(), 0U);
}

TEST_F(TimersTest, TheEffectOfARunCanBeBoundToItsDelivery) {
  ASSERT_EQ(set(after("a", 0s)), Status());
  advance(lateness_max);
  const auto first = claim(1, 1s);
  advance(1s + lateness_max);
  const auto second = claim(1, 60s);
  ASSERT_EQ(show(second), "a2");
  for (const auto& [delivery, held] : {std::pair(first[0], false), std::pair(second[0], true)}) {
    store::TxnRequest effect;
    effect.compare.push_back(Timers::held("q", "a", delivery.token));
    Running<Result<store::TxnResponse>> running(store::awaitable::txn(store, effect));
    EXPECT_EQ(running.result()->succeeded, held);
  }
}

TEST_F(TimersTest, ReplacingAndCancellingLeaveNothingOfTheOldOne) {
  ASSERT_EQ(set(after("a", 1s, "old")), Status());
  ASSERT_EQ(set(after("a", 10s, "new")), Status());
  EXPECT_EQ(keys_of_queue(), 2U);
  TimerSpec only_new = after("a", 1s);
  only_new.only_if_new = true;
  EXPECT_EQ(set(only_new), errors::timer_exists());
  advance(9900ms);
  EXPECT_EQ(show(claim()), "");
  advance(lateness_max);
  const auto due = claim(1, 5s);
  ASSERT_EQ(show(due), "a1");
  EXPECT_EQ(due[0].payload, "new");
  ASSERT_EQ(set(after("a", 20s, "newest")), Status()) << "while the other runs";
  EXPECT_EQ(settle(due[0], Kind::ack), Status()) << "and is done: that is the old one";
  EXPECT_EQ(keys_of_queue(), 2U);
  EXPECT_EQ(cancel("a"), Status());
  EXPECT_EQ(cancel("a"), errors::timer_not_found());
  EXPECT_EQ(keys_of_queue(), 0U);
}

TEST_F(TimersTest, ATimerThatIsCancelledWhileItRunsDoesNotComeAgain) {
  ASSERT_EQ(set(after("a", 0s)), Status());
  advance(lateness_max);
  const auto due = claim(1, 5s);
  ASSERT_EQ(show(due), "a1");
  EXPECT_EQ(cancel("a"), Status());
  advance(20s);
  EXPECT_EQ(show(claim()), "");
  EXPECT_EQ(keys_of_queue(), 0U) << "the next claim tidied up";
}

TEST_F(TimersTest, AWaitingClaimIsWokenAndAsksNobodyMeanwhile) {
  ASSERT_EQ(set(after("far", 1000s)), Status());
  Running<Deliveries> waiting(timers.claim("q", {1, 30s, 600s}, {}));
  Running<Deliveries> second(timers.claim("q", {1, 30s, 600s}, {}));
  advance(5s);
  ASSERT_TRUE(waiting.waits());
  driver.reset();
  advance(20s);
  const int calls = store.txns + store.ranges;
  advance(60s);
  EXPECT_EQ(store.txns + store.ranges, calls);
  driver = std::make_unique<TimerDriver>(context);
  ASSERT_EQ(set(after("near", 5s)), Status());
  advance(4900ms);
  EXPECT_TRUE(waiting.waits());
  advance(3s);
  ASSERT_FALSE(waiting.waits());
  EXPECT_EQ(show(*waiting.result()), "near1") << "who came first gets it";
  EXPECT_TRUE(second.waits());
  EXPECT_EQ(show(claim()), "") << "who does not wait does not stand in line";
  advance(600s);
  ASSERT_FALSE(second.waits());
  EXPECT_TRUE(second.result()->size() <= 1);
}

TEST_F(TimersTest, AClaimMayBeGivenUp) {
  std::stop_source stop;
  store::CallOptions options;
  options.cancellation = stop.get_token();
  Running<Deliveries> first(timers.claim("q", {1, 30s, 600s}, options));
  Running<Deliveries> second(timers.claim("q", {1, 30s, 600s}, options));
  Running<Deliveries> third(timers.claim("q", {1, 30s, 3s}, {}));
  advance(1s);
  stop.request_stop();
  store.strand.run();
  EXPECT_EQ(first.result().status().code(), Code::cancelled);
  EXPECT_EQ(second.result().status().code(), Code::cancelled);
  EXPECT_TRUE(third.waits());
  advance(3s);
  EXPECT_EQ(show(*third.result()), "");
}

TEST_F(TimersTest, GoingAwayAnswersWhoeverWaits) {
  auto going = std::make_unique<Timers>(context);
  Running<Deliveries> first(going->claim("q", {1, 30s, 600s}, {}));
  Running<Deliveries> second(going->claim("q", {1, 30s, 600s}, {}));
  going.reset();
  store.strand.run();
  EXPECT_EQ(first.result().status(), errors::timers_closed());
  EXPECT_EQ(second.result().status(), errors::timers_closed());
}

TEST_F(TimersTest, NoClockThatJumpsMakesATimerEarlyAndOneThatIsBehindMakesItWait) {
  TimerSpec spec;
  spec.name = "at";
  spec.at = ProcessClock::epoch + 100s;
  ASSERT_EQ(set(spec), Status());
  ASSERT_EQ(set(after("after", 100s)), Status());
  clock.wall_jump = 10h;
  advance(99s);
  EXPECT_EQ(show(claim()), "");
  clock.wall_jump = -10s;
  advance(1s + lateness_max);
  EXPECT_EQ(show(claim()), "after1") << "its wall clock does not matter";
  advance(9s - lateness_max - 100ms);
  EXPECT_EQ(show(claim()), "") << "the wall clock has not come so far";
  advance(12s);
  const auto due = claim();
  ASSERT_EQ(show(due), "at1");
  EXPECT_EQ(*due[0].wall, *spec.at);
}

TEST_F(TimersTest, ARecurringTimerRunsOnceForEachMoment) {
  ASSERT_EQ(set(cron("*/5 * * * * *")), Status());
  EXPECT_EQ(runs_within(22s), "5 10 15 20");
  EXPECT_EQ(cancel("c"), Status());
  advance(10s);
  EXPECT_EQ(show(claim()), "");
}

TEST_F(TimersTest, MissedRunsAreSkippedOrMadeUpFor) {
  struct Case {
    MissedRuns missed;
    std::int64_t missed_max;
    std::string expected;
  };
  // Nobody claims for the first ten minutes and a half; one run a minute.
  const std::vector<Case> cases = {{MissedRuns::skip, 0, "660 720"},
                                   {MissedRuns::once, 0, "60 660 720"},
                                   {MissedRuns::all, 3, "60 120 180 660 720"},
                                   {MissedRuns::all, 100, "60 120 180 240 300 360 420 480 540 600 660 720"}};
  for (const Case& one : cases) {
    SCOPED_TRACE(one.expected);
    const Duration offset = clock.wall_now() - ProcessClock::epoch;
    clock.wall_jump -= offset;  // each begins at the same moment of the wall
    TimerSpec spec = cron("* * * * *", one.missed);
    spec.missed_max = one.missed_max;
    ASSERT_EQ(set(spec), Status());
    advance(630s);
    EXPECT_EQ(runs_within(130s), one.expected);
    ASSERT_EQ(cancel("c"), Status());
  }
}

TEST_F(TimersTest, ARunThatFailsForGoodIsADeadLetterAndTheNextOneComes) {
  TimerSpec spec = cron("*/30 * * * * *");
  spec.attempts_max = 1;
  ASSERT_EQ(set(spec), Status());
  advance(30s + lateness_max);
  ASSERT_EQ(show(claim(1, 1s)), "c1");
  advance(5s);
  EXPECT_EQ(show(claim()), "");
  Running<Result<std::vector<DeadTimer>>> dead(timers.dead("q", 10, {}));
  ASSERT_EQ(dead.result()->size(), 1U);
  advance(25s);
  const auto next = claim();
  ASSERT_EQ(show(next), "c1");
  EXPECT_EQ(*next[0].wall, ProcessClock::epoch + 60s);
}

TEST_F(TimersTest, WhatIsAskedIsChecked) {
  TimerSpec none;
  none.name = "a";
  EXPECT_EQ(set(none), errors::timer_schedule_wrong());
  TimerSpec two = after("a", 1s);
  two.at = 5s;
  EXPECT_EQ(set(two), errors::timer_schedule_wrong());
  EXPECT_EQ(set(after("a", -1s)), errors::timer_schedule_wrong());
  EXPECT_EQ(set(after("a", Duration::max())), errors::timer_schedule_wrong());
  EXPECT_EQ(set(after("", 1s)), errors::name_empty());
  EXPECT_EQ(set(after("a", 1s, std::string(timer_payload_bytes_max + 1, 'p'))),
            errors::timer_payload_too_long());
  EXPECT_EQ(set(cron("nonsense")).code(), Code::invalid_argument);
  EXPECT_EQ(set(cron("0 0 31 4 *")), errors::timer_never());
  TimerSpec zone = cron("* * * * *");
  zone.zone = "Mars/Base";
  EXPECT_EQ(set(zone).code(), Code::invalid_argument);
  TimerSpec target = after("a", 1s);
  target.target = "line\nbreak";
  EXPECT_EQ(set(target).code(), Code::invalid_argument);
  TimerSpec attempts = after("a", 1s);
  attempts.attempts_max = 0;
  EXPECT_EQ(set(attempts), errors::timer_attempts_wrong());
  for (const std::string& queue : {std::string(), std::string("a/b"), std::string(256, 'q')}) {
    Running<Result<TimerPlaced>> running(timers.set(queue, after("a", 1s), {}));
    EXPECT_EQ(running.result().status(), errors::timer_queue_wrong());
  }
  for (const TimerClaim& bad : {TimerClaim{0, 1s, {}}, TimerClaim{65, 1s, {}}, TimerClaim{1, 0s, {}},
                                TimerClaim{1, 1s, -1s}, TimerClaim{1, 25h, {}}}) {
    Running<Deliveries> running(timers.claim("q", bad, {}));
    EXPECT_EQ(running.result().status(), errors::timer_claim_wrong());
  }
  EXPECT_EQ(keys_of_queue(), 0U);
}

TEST_F(TimersTest, AThousandTimersAreDeliveredOnceEachBySixtyFour) {
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(set(after("t" + std::to_string(i), 1s)), Status());
  advance(1s + lateness_max);
  std::set<std::string> names;
  const int txns = store.txns;
  while (true) {
    const auto due = claim(64);
    if (due.empty()) break;
    std::vector<TimerSettlement> acks;
    for (const TimerDelivery& one : due) {
      EXPECT_TRUE(names.insert(one.name).second);
      acks.push_back({Kind::ack, one.name, one.token, {}});
    }
    Running<Result<std::vector<TimerSettled>>> running(timers.settle("q", acks, {}));
    for (const TimerSettled& settled : *running.result()) EXPECT_EQ(settled.status, Status());
  }
  EXPECT_EQ(names.size(), 1000U);
  EXPECT_LE(store.txns - txns, 4 * 16 + 4) << "a read, a claim and an acknowledgement for each 64";
  EXPECT_EQ(keys_of_queue(), 0U);
}

}  // namespace
}  // namespace lockstep::service
