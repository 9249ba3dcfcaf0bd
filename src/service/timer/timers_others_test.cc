// Timers where others write, too, and where much is left lying about: nothing of it is in their way.
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

TEST_F(TimersTest, WhatOthersWroteUnderTheQueueIsInNobodysWay) {
  for (const std::string key :
       {"x", "0000000000000000", "0000000000000000/damaged", "00000000000000zz/odd"}) {
    put_raw("due/" + key, "{");
  }
  for (int i = 0; i < 200; ++i) put_raw("due/0!" + std::to_string(i), "more than a claim reads");
  for (int i = 0; i < 200; ++i) put_raw("due/!" + std::to_string(i), "never read");
  put_raw("due/0000000000000000/long", std::string(1536 * 1024 - 200, 'x'));
  ASSERT_EQ(set(after("a", 0s)), Status());
  advance(lateness_max);
  EXPECT_EQ(show(claim()), "a1");
  Running<Result<std::vector<DeadTimer>>> dead(timers.dead("q", 1000, {}));
  std::set<std::string> names;
  for (const DeadTimer& letter : *dead.result()) names.insert(letter.name);
  EXPECT_TRUE(names.contains("damaged"));
  EXPECT_TRUE(names.contains("00000000000000zz/odd"));
  EXPECT_TRUE(names.contains("0!199"));
  EXPECT_TRUE(names.contains("long"));
}

TEST_F(TimersTest, WhatIsLeftOfACancelledTimerIsNotInTheWayOfTheNextOfThatName) {
  ASSERT_EQ(set(after("a", 0s)), Status());
  advance(lateness_max);
  ASSERT_EQ(show(claim(1, 2s)), "a1");
  ASSERT_EQ(cancel("a"), Status());
  ASSERT_EQ(set(after("a", 0s, "new")), Status());
  advance(10s);  // both entries are due
  const auto due = claim();
  ASSERT_EQ(show(due), "a1");
  EXPECT_EQ(due[0].payload, "new");
  EXPECT_EQ(settle(due[0], Kind::ack), Status());
  EXPECT_EQ(show(claim()), "");
  EXPECT_EQ(keys_of_queue(), 0U) << "the next claim tidied up";
}

TEST_F(TimersTest, DeadLettersKeepNoClockGoing) {
  put_raw("dead/a", "{}");
  store::PutRequest stray;
  stray.key = "lockstep/timers/q/stray";
  Running<Result<store::PutResponse>> done(store::awaitable::put(store, stray));
  advance(20s);
  EXPECT_FALSE(driver->drives());
  const std::uint64_t ticks = driver->ticks();
  ASSERT_EQ(set(after("b", 1s)), Status());
  advance(1s + lateness_max);
  EXPECT_EQ(show(claim(1, 1h)), "b1");
  EXPECT_GT(driver->ticks(), ticks);
}

TEST_F(TimersTest, WhoDoesNotWaitForATimerWaitsForNobodyWhoDoes) {
  UnrulyStore slow(store.strand, store, 1);
  slow.unruliness = {.refused_percent = 0, .unknown_percent = 0};
  Timers far({slow, store.strand, clock, random});
  Running<Deliveries> patient(far.claim("q", {1, 30s, 600s}, {}));
  Running<Deliveries> second(far.claim("q", {1, 30s, 600s}, {}));
  Running<Deliveries> hurried(far.claim("q", {1, 30s, {}}, {}));
  ASSERT_TRUE(hurried.waits()) << "nobody has found yet that there is nothing";
  advance(1s);
  ASSERT_FALSE(hurried.waits());
  EXPECT_TRUE(hurried.result()->empty());
  EXPECT_TRUE(patient.waits());
  ASSERT_EQ(set(after("a", 1s)), Status());
  advance(3s);
  EXPECT_EQ(show(*patient.result()), "a1");
  EXPECT_TRUE(second.waits());
}

TEST_F(TimersTest, DamagedNumbersHarmNobody) {
  const std::string most = std::to_string(INT64_MAX / 4);
  ASSERT_EQ(set(after("pointer", 1h)), Status());
  put_raw("set/pointer", "1fffffffffffffff 0123456789abcdef");
  put_raw("due/1fffffffffffffff/pointer", R"({"attempts_max":1})");
  Running<Result<TimerState>> far(timers.show("q", "pointer", {}));
  EXPECT_TRUE(far.result().ok());
  for (const std::string& line :
       {R"({"attempts_max":1,"wall_ms":)" + most + "}",
        std::string(R"({"attempts_max":9223372036854775807})"),
        std::string(R"({"attempts_max":1,"wall_ms":1,"cron":"* * * * *","caught_up":9223372036854775807})"),
        std::string(R"({"attempts_max":1,"attempts":9223372036854775807})")}) {
    EXPECT_EQ(parse_timer_document(line).status().code(), Code::failed_precondition) << line;
  }
  store::PutRequest put;
  put.key = timer_clock_key;
  put.value = R"({"now_ms":)" + most + R"(,"step_ms_max":300})";
  Running<Result<store::PutResponse>> done(store::awaitable::put(store, put));
  advance(3s);
  EXPECT_EQ(set(after("a", 1s)).code(), Code::failed_precondition);
  Running<Result<std::vector<TimerSettled>>> settled(
      timers.settle("q", {{Kind::extend, "a", {-1, Revision(1), Revision(1), false}, {}}}, {}));
  EXPECT_EQ(settled.result().status(), errors::timer_token_wrong());
}

TEST_F(TimersTest, ARecurringTimerWhoseZoneIsNotKnownHereIsNotLost) {
  ASSERT_EQ(set(cron("*/5 * * * * *")), Status());
  advance(5s + lateness_max);
  const auto due = claim(1, 2s);
  ASSERT_EQ(show(due), "c1");
  store::RangeRequest read;
  read.key = TimerKeys("q").due(due[0].token.due_ms, "c");
  Running<Result<store::RangeResponse>> entry(store::awaitable::range(store, read));
  TimerDocument document = *parse_timer_document(entry.result()->kvs.at(0).value);
  document.zone = "Mars/Base";
  put_raw(read.key.substr(TimerKeys("q").prefix.size()), encode(document));
  advance(4s);
  const auto again = claim(1, 2s);
  ASSERT_EQ(show(again), "c2");
  EXPECT_EQ(settle(again[0], Kind::ack).code(), Code::invalid_argument);
  advance(4s);
  EXPECT_EQ(show(claim()), "c3");
}

TEST_F(TimersTest, ATokenThatWasNeverGivenOutLosesNoTimer) {
  ASSERT_EQ(set(after("a", 0s)), Status());
  advance(lateness_max);
  auto due = claim(1, 2s);
  ASSERT_EQ(show(due), "a1");
  due[0].token.of = Revision(12345);
  EXPECT_EQ(settle(due[0], Kind::extend, 1s), errors::delivery_lost());
  advance(4s);
  EXPECT_EQ(show(claim()), "a2");
}

TEST_F(TimersTest, SixtyFourLongPayloadsAreSettledTogether) {
  const std::string payload(timer_payload_bytes_max, 'p');
  for (int i = 0; i < 64; ++i) ASSERT_EQ(set(after("t" + std::to_string(i), 0s, payload)), Status());
  advance(lateness_max);
  std::vector<TimerSettlement> later;
  while (later.size() < 64) {
    const auto due = claim(64);
    ASSERT_FALSE(due.empty());
    for (const TimerDelivery& one : due) later.push_back({Kind::extend, one.name, one.token, 60s});
  }
  Running<Result<std::vector<TimerSettled>>> settled(timers.settle("q", later, {}));
  advance(1s);
  ASSERT_TRUE(settled.result().ok()) << settled.result().status().to_string();
  for (const TimerSettled& one : *settled.result()) EXPECT_EQ(one.status, Status());
}

}  // namespace
}  // namespace lockstep::service
