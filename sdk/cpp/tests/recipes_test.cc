// Ids, limiters and idempotency in the embedded cluster and on real servers; who holds a lock, and what
// became of it.
#include <chrono>
#include <future>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <lockstep/lockstep.h>
#include <lockstep/testing.h>

#include "testing_world.h"

namespace {

using namespace std::chrono_literals;
using lockstep::Begun;
using lockstep::CallOptions;
using lockstep::Client;
using lockstep::ClientOptions;
using lockstep::Code;
using lockstep::HttpAnswer;
using lockstep::HttpIdempotency;
using lockstep::HttpRequest;
using lockstep::LimitRule;
using lockstep::LockGuard;
using lockstep::Txn;
using lockstep::sdk_test::Capability;
using lockstep::sdk_test::World;
using lockstep::testing::Fault;
using lockstep::testing::StoreCall;

class SdkRecipe : public testing::Test {
 protected:
  World world_;
  Client one_ = world_.client(ClientOptions().name("billing"));
  Client two_ = world_.client();
};

TEST_F(SdkRecipe, NumbersOfTwoClientsNeverMeet) {
  std::set<std::uint64_t> seen;
  for (Client* client : {&one_, &two_}) {
    std::uint64_t last = 0;
    for (const std::uint64_t id : client->ids("orders").next_many(1000).wait().value()) {
      EXPECT_GT(id, last);
      last = id;
      EXPECT_TRUE(seen.insert(id).second);
    }
  }
  EXPECT_GT(one_.ids("orders").next().wait().value(), 0U);
  const auto made = lockstep::Ids::time_of(one_.ids("orders").next().wait().value()).time_since_epoch();
  EXPECT_GT(made, std::chrono::hours(24 * 365 * 50));
  EXPECT_EQ(one_.ids("orders").next_many(0).wait().code(), Code::invalid_argument);
}

TEST_F(SdkRecipe, ALimitIsSharedAndSaysWhenToComeAgain) {
  LOCKSTEP_NEEDS(Capability::clock);
  const LimitRule rule = LimitRule::token_bucket(10, 1s).burst(3);
  EXPECT_TRUE(one_.limiter("mail", rule).take(2).wait().value().allowed);
  EXPECT_TRUE(two_.limiter("mail", rule).take().wait().value().allowed);
  const auto refused = two_.limiter("mail", rule).take().wait().value();
  EXPECT_FALSE(refused.allowed);
  EXPECT_GT(refused.retry_after, 0s);
  world_.advance(refused.retry_after);
  EXPECT_TRUE(two_.limiter("mail", rule).take().wait().value().allowed);
  EXPECT_TRUE(one_.limiter("mail", rule).reset().wait().is_done());
  EXPECT_TRUE(two_.limiter("mail", rule).take(3).wait().value().allowed);
  EXPECT_EQ(one_.limiter("mail", LimitRule::sliding_window(0, 1s)).take().wait().code(),
            Code::invalid_argument);
}

TEST_F(SdkRecipe, WhatALimitAllowsIsAllowedOnce) {
  const LimitRule rule = LimitRule::token_bucket(3, 24h);
  EXPECT_TRUE(one_.limiter("mail", rule).take(2).wait().value().allowed);
  EXPECT_FALSE(two_.limiter("mail", rule).take(2).wait().value().allowed);
  EXPECT_TRUE(two_.limiter("mail", rule).take().wait().value().allowed);
  EXPECT_GT(one_.limiter("mail", rule).take().wait().value().retry_after, 1h);
  EXPECT_TRUE(two_.limiter("mail", rule).reset().wait().is_done());
  EXPECT_TRUE(one_.limiter("mail", rule).take(3).wait().value().allowed);
}

TEST_F(SdkRecipe, TheFirstWorksAndTheOthersHearOfIt) {
  Begun first = one_.idempotency("k").begin("f").wait().value();
  ASSERT_EQ(first.kind(), Begun::Kind::first);
  EXPECT_EQ(two_.idempotency("k").begin("f").wait().value().kind(), Begun::Kind::in_progress);
  EXPECT_TRUE(first.complete("answer").wait().is_done());
  const Begun again = two_.idempotency("k").begin("f").wait().value();
  EXPECT_EQ(again.kind(), Begun::Kind::done);
  EXPECT_EQ(again.answer(), "answer");
  EXPECT_EQ(two_.idempotency("k").begin("other").wait().value().kind(), Begun::Kind::mismatch);
}

TEST_F(SdkRecipe, AFirstThatGoesWithoutAnAnswerAbandons) {
  {
    const Begun first = one_.idempotency("k").begin("f").wait().value();
  }
  EXPECT_TRUE(world_.comes(
      0s, [&] { return two_.idempotency("k").begin("f").wait().value().kind() == Begun::Kind::first; }));
}

TEST_F(SdkRecipe, AWriteBelongsToTheFirstOnly) {
  std::optional<Begun> late = one_.idempotency("k").in_progress_time(1s).begin("f").wait().value();
  std::optional<Begun> now;
  EXPECT_TRUE(world_.comes(1min, [&] {
    now = two_.idempotency("k").begin("f").wait().value();
    return now->kind() == Begun::Kind::first;
  }));
  Txn txn;
  late->owned(txn).put("paid", "twice");
  EXPECT_FALSE(one_.commit(txn).wait().value().succeeded);
  EXPECT_EQ(late->complete("late").wait().code(), Code::failed_precondition);
}

// ---- the middleware

HttpRequest payment(const std::string& key, const std::string& body = "{}") {
  HttpRequest request("POST", "/payments", body);
  request.idempotency_key(key);
  return request;
}

std::string replayed(const HttpAnswer& answer) {
  for (const auto& [name, value] : answer.headers()) {
    if (name == "Idempotent-Replayed") return value;
  }
  return {};
}

TEST_F(SdkRecipe, ARequestIsHandledOnce) {
  int handled = 0;
  const auto handler = [&](const HttpRequest&) {
    return HttpAnswer(201, "number " + std::to_string(++handled));
  };
  const HttpIdempotency here(one_);
  const HttpIdempotency there(two_);
  const HttpAnswer first = here.handle(payment("a"), handler);
  const HttpAnswer second = there.handle(payment("a"), handler);
  EXPECT_EQ(first.body(), "number 1");
  EXPECT_EQ(second.body(), "number 1");
  EXPECT_EQ(second.status(), 201);
  EXPECT_EQ(replayed(first), "");
  EXPECT_EQ(replayed(second), "true");
  EXPECT_EQ(here.handle(payment("a", "{1}"), handler).status(), 422);
  EXPECT_EQ(here.handle(payment("a").caller("somebody else"), handler).body(), "number 2");
  EXPECT_EQ(here.handle(payment(""), handler).body(), "number 3");
  EXPECT_EQ(here.handle(payment(""), handler).body(), "number 4");
}

TEST_F(SdkRecipe, ARequestThatIsBeingHandledIsNotHandledAgain) {
  const HttpIdempotency middleware(one_);
  const HttpAnswer outer = middleware.handle(payment("a"), [&](const HttpRequest& request) {
    const HttpAnswer inner = middleware.handle(request, [](const HttpRequest&) { return HttpAnswer(200); });
    return HttpAnswer(inner.status());
  });
  EXPECT_EQ(outer.status(), 409);
}

TEST_F(SdkRecipe, AHandlerThatFailsIsAskedAgain) {
  const HttpIdempotency middleware(one_);
  EXPECT_EQ(middleware.handle(payment("a"), [](const HttpRequest&) { return HttpAnswer(500); }).status(),
            500);
  const auto throws = [](const HttpRequest&) -> HttpAnswer { throw std::runtime_error("no"); };
  const auto has_thrown = [&] {
    try {
      EXPECT_EQ(middleware.handle(payment("a"), throws).status(), 409) << "being given back";
      return false;
    } catch (const std::runtime_error&) {
      return true;
    }
  };
  EXPECT_TRUE(world_.comes(0s, has_thrown));
  const auto good = [](const HttpRequest&) { return HttpAnswer(200); };
  EXPECT_TRUE(world_.comes(0s, [&] { return middleware.handle(payment("a"), good).status() == 200; }));
}

TEST_F(SdkRecipe, WithoutTheStoreNothingIsHandled) {
  LOCKSTEP_NEEDS(Capability::faults);
  world_.set_faults(one_, [](const StoreCall&) { return Fault::refused; });
  world_.jump_while_waiting();
  const HttpIdempotency middleware(one_);
  bool handled = false;
  const HttpAnswer answer = middleware.handle(payment("a"), [&](const HttpRequest&) {
    handled = true;
    return HttpAnswer(200);
  });
  EXPECT_EQ(answer.status(), 503);
  EXPECT_FALSE(handled);
}

TEST_F(SdkRecipe, KeysAreCheckedFirst) {
  const auto handler = [](const HttpRequest&) { return HttpAnswer(200); };
  EXPECT_EQ(HttpIdempotency(one_).handle(payment(std::string(256, 'x')), handler).status(), 400);
  EXPECT_EQ(HttpIdempotency(one_).required().handle(payment(""), handler).status(), 400);
}

TEST_F(SdkRecipe, AnAnswerTooLargeToBeKeptIsNotGivenTwice) {
  const HttpIdempotency middleware(one_);
  const auto handler = [](const HttpRequest&) { return HttpAnswer(200, std::string(100'000, 'x')); };
  EXPECT_EQ(middleware.handle(payment("a"), handler).body().size(), 100'000U);
  EXPECT_EQ(middleware.handle(payment("a"), handler).status(), 409);
}

lockstep::Task<HttpAnswer> counted(Client* client) {
  const std::int64_t number = (co_await client->counter("handled").add()).value();
  co_return HttpAnswer(201, std::to_string(number));
}

TEST_F(SdkRecipe, ACoroutineIsHandledOnce) {
  const HttpIdempotency middleware(one_);
  const auto handler = [this](const HttpRequest&) { return counted(&one_); };
  EXPECT_EQ(lockstep::wait(middleware.handle_async(payment("a"), handler)).body(), "1");
  EXPECT_EQ(lockstep::wait(middleware.handle_async(payment("a"), handler)).body(), "1");
  EXPECT_EQ(lockstep::wait(middleware.handle_async(payment("b"), handler)).body(), "2");
}

// ---- who holds a lock

TEST_F(SdkRecipe, WhoHoldsALockIsSeen) {
  const LockGuard held = one_.lock("l").reason("nightly").acquire().wait().value();
  const auto contenders = two_.lock("l").contenders().wait().value();
  ASSERT_EQ(contenders.size(), 1U);
  EXPECT_TRUE(contenders[0].holds);
  EXPECT_EQ(contenders[0].holder, "billing");
  EXPECT_EQ(contenders[0].reason, "nightly");
  EXPECT_EQ(contenders[0].token, held.token());
}

TEST_F(SdkRecipe, AForcedReleaseIsToldToTheHolderThatWaitsForIt) {
  LockGuard held = one_.lock("l").acquire().wait().value();
  auto lost = std::async(std::launch::async, [&] { return held.until_lost().wait(); });
  EXPECT_TRUE(two_.lock("l").force_release(held.token(), "stuck").wait().is_done());
  EXPECT_TRUE(lost.get().is_done());
  EXPECT_EQ(held.commit(Txn().put("a", "1")).wait().code(), Code::failed_precondition);
  EXPECT_EQ(two_.lock("l").force_release(held.token(), "again").wait().code(), Code::failed_precondition);
}

TEST_F(SdkRecipe, AResourceRemembersTheLargestToken) {
  EXPECT_TRUE(one_.commit_fenced("disk", 7, Txn().put("d", "7")).wait().is_done());
  EXPECT_EQ(one_.commit_fenced("disk", 6, Txn().put("d", "6")).wait().code(), Code::failed_precondition);
  EXPECT_TRUE(two_.commit_fenced("disk", 7, Txn().put("d", "7 again")).wait().is_done());
}

// ---- semaphores

TEST_F(SdkRecipe, AtMostSoManyHoldAPermit) {
  std::optional<lockstep::Guard> first = one_.semaphore("s", 2).reason("export").acquire().wait().value();
  const lockstep::Guard second = one_.semaphore("s", 2).acquire().wait().value();
  EXPECT_EQ(two_.semaphore("s", 2).try_acquire().wait().code(), Code::failed_precondition);
  EXPECT_EQ(two_.semaphore("s", 3).try_acquire().wait().code(), Code::failed_precondition)
      << "it has two permits";
  auto waiting = std::async(std::launch::async, [&] { return two_.semaphore("s", 2).acquire().wait(); });
  while (two_.semaphore("s", 2).contenders().wait().value().size() < 3) std::this_thread::yield();
  first.reset();
  EXPECT_GT(waiting.get().value().token(), second.token());
}

TEST_F(SdkRecipe, ADeadHoldersPermitComesBack) {
  LOCKSTEP_NEEDS(Capability::cutting_off);
  const lockstep::Guard held = one_.semaphore("s", 1).acquire().wait().value();
  world_.cut_off(one_);
  world_.advance(30s);
  EXPECT_TRUE(held.lost().stop_requested());
  EXPECT_TRUE(two_.semaphore("s", 1).try_acquire().wait().is_done());
}

// ---- elections, barriers, latches

TEST_F(SdkRecipe, OneLeadsAndEverybodySeesWhatItSays) {
  std::optional<lockstep::Leadership> leads = one_.election("e").campaign("one").wait().value();
  EXPECT_EQ(two_.election("e").try_campaign("two").wait().code(), Code::failed_precondition);
  EXPECT_EQ(two_.election("e").leader().wait().value().value, "one");
  lockstep::LeaderWatch watch = two_.election("e").observe().wait().value();
  EXPECT_EQ(watch.next().wait().value().value, "one");
  EXPECT_TRUE(leads->proclaim("still one").wait().is_done());
  EXPECT_EQ(watch.next().wait().value().value, "still one");
  const std::int64_t token = leads->token();
  leads.reset();
  const lockstep::Leadership next = two_.election("e").campaign("two").wait().value();
  EXPECT_GT(next.token(), token);
  EXPECT_EQ(watch.next().wait().value().value, "two");
}

TEST_F(SdkRecipe, AStaleLeaderSaysNothingMore) {
  LOCKSTEP_NEEDS(Capability::cutting_off);
  lockstep::Leadership stale = one_.election("e").campaign("one").wait().value();
  world_.cut_off(one_);
  world_.advance(30s);
  const lockstep::Leadership now = two_.election("e").campaign("two").wait().value();
  world_.reconnect(one_);
  EXPECT_EQ(stale.proclaim("one again").wait().code(), Code::failed_precondition);
  EXPECT_EQ(stale.commit(Txn().put("a", "1")).wait().code(), Code::failed_precondition);
  EXPECT_EQ(two_.election("e").leader().wait().value().value, "two");
}

TEST_F(SdkRecipe, PartiesGoOnTogetherAndLeaveTogether) {
  auto other = std::async(std::launch::async, [&] {
    lockstep::BarrierRound round = two_.barrier("b", 2).enter().wait().value();
    EXPECT_TRUE(round.leave().wait().is_done());
    return round.number();
  });
  lockstep::BarrierRound round = one_.barrier("b", 2).enter().wait().value();
  EXPECT_EQ(round.number(), 1);
  EXPECT_TRUE(round.leave().wait().is_done());
  EXPECT_EQ(other.get(), 1);
}

TEST_F(SdkRecipe, TwoPartsOfOneProgramAreTwoParties) {
  auto other =
      std::async(std::launch::async, [&] { return one_.barrier("b", 2).enter().wait().value().number(); });
  EXPECT_EQ(one_.barrier("b", 2).enter().wait().value().number(), 1);
  EXPECT_EQ(other.get(), 1);
}

TEST_F(SdkRecipe, APartyThatWaitsInVainIsNotCounted) {
  world_.jump_while_waiting();
  const CallOptions in_vain = CallOptions().timeout(World::in_vain(3s));
  EXPECT_TRUE(World::was_in_vain(one_.barrier("b", 2).enter(in_vain).wait().code()));
  EXPECT_TRUE(World::was_in_vain(two_.barrier("b", 2).enter(in_vain).wait().code()));
}

TEST_F(SdkRecipe, ALatchOpensWhenAllHaveCounted) {
  const lockstep::Latch latch = one_.latch("l");
  EXPECT_TRUE(latch.make(2).wait().is_done());
  EXPECT_EQ(two_.latch("l").make(3).wait().code(), Code::failed_precondition);
  auto waiting = std::async(std::launch::async, [&] { return two_.latch("l").wait_open().wait(); });
  EXPECT_EQ(latch.count_down("a").wait().value(), 1);
  EXPECT_EQ(latch.count_down("a").wait().value(), 1);
  EXPECT_EQ(latch.remaining().wait().value(), 1);
  EXPECT_EQ(latch.count_down("b").wait().value(), 0);
  EXPECT_TRUE(waiting.get().is_done());
  EXPECT_TRUE(latch.wait_open().wait().is_done());
  EXPECT_TRUE(latch.remove().wait().is_done());
  EXPECT_EQ(latch.remaining().wait().code(), Code::not_found);
}

// ---- timers

TEST_F(SdkRecipe, ATimerIsDeliveredOnceItIsDueAndNotBefore) {
  LOCKSTEP_NEEDS(Capability::clock);
  const lockstep::Timers timers = one_.timers("unpaid");
  EXPECT_TRUE(timers.set("order", lockstep::TimerSpec::after(30min).payload("4711")).wait().is_done());
  world_.jump_while_waiting();
  EXPECT_EQ(two_.timers("unpaid").claim(CallOptions().timeout(29min)).wait().code(), Code::deadline_exceeded);
  auto due = two_.timers("unpaid").claim(CallOptions().timeout(2min)).wait().value();
  ASSERT_EQ(due.size(), 1U);
  EXPECT_EQ(due[0].payload(), "4711");
  EXPECT_EQ(due[0].attempt(), 1);
  Txn txn;
  due[0].held(txn).put("released", "4711");
  EXPECT_TRUE(two_.commit(txn).wait().value().succeeded);
  EXPECT_TRUE(due[0].ack().wait().is_done());
  EXPECT_EQ(due[0].ack().wait().code(), Code::failed_precondition);
  EXPECT_EQ(timers.claim(CallOptions().timeout(5min)).wait().code(), Code::deadline_exceeded);
}

TEST_F(SdkRecipe, ATimerOfOneIsClaimedAndAcknowledgedByAnother) {
  EXPECT_TRUE(one_.timers("q").set("t", lockstep::TimerSpec::after(100ms).payload("4711")).wait().is_done());
  world_.jump_while_waiting();
  auto due = two_.timers("q").claim(CallOptions().timeout(World::patience(1min))).wait().value();
  ASSERT_EQ(due.size(), 1U);
  EXPECT_EQ(due[0].payload(), "4711");
  EXPECT_TRUE(due[0].ack().wait().is_done());
  const CallOptions in_vain = CallOptions().timeout(World::in_vain(5min));
  EXPECT_TRUE(World::was_in_vain(one_.timers("q").claim(in_vain).wait().code()));
}

TEST_F(SdkRecipe, WhatIsNotAcknowledgedIsDeliveredAgain) {
  LOCKSTEP_NEEDS(Capability::clock);
  const lockstep::Timers timers = one_.timers("q");
  EXPECT_TRUE(timers.set("t", lockstep::TimerSpec::after(1s).attempts_max(2)).wait().is_done());
  world_.jump_while_waiting();
  auto first = timers.claim(CallOptions().timeout(1min)).wait().value();
  auto second = timers.claim(CallOptions().timeout(5min)).wait().value();
  EXPECT_EQ(second.at(0).attempt(), 2);
  EXPECT_EQ(first.at(0).ack().wait().code(), Code::failed_precondition) << "somebody else has it";
  EXPECT_EQ(timers.claim(CallOptions().timeout(5min)).wait().code(), Code::deadline_exceeded);
  EXPECT_EQ(timers.dead().wait().value().size(), 1U);
  EXPECT_TRUE(timers.revive("t").wait().is_done());
  EXPECT_TRUE(timers.claim(CallOptions().timeout(1min)).wait().value().at(0).ack().wait().is_done());
}

TEST_F(SdkRecipe, NonsenseIsRefusedAndACancelledTimerIsGone) {
  const lockstep::Timers timers = one_.timers("q");
  EXPECT_EQ(timers.set("t", lockstep::TimerSpec::cron("61 * * * *")).wait().code(), Code::invalid_argument);
  EXPECT_TRUE(timers.set("t", lockstep::TimerSpec::cron("0 2 * * *", "Europe/Berlin")).wait().is_done());
  EXPECT_EQ(timers.set("t", lockstep::TimerSpec::after(1s).only_if_new()).wait().code(),
            Code::already_exists);
  EXPECT_TRUE(timers.cancel("t").wait().is_done());
  EXPECT_EQ(timers.cancel("t").wait().code(), Code::not_found);
}

}  // namespace
