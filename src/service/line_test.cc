// Places in line, as stories: one session in two processes, stores that are overloaded or away, sessions that
// are only believed lost.
#include "service/line.h"

#include <memory>
#include <stop_token>

#include <gtest/gtest.h>

#include "service/election/elections.h"
#include "service/lock/locks.h"
#include "service/semaphore/semaphores.h"
#include "service/store_requests.h"
#include "service/testing/recipe_test.h"
#include "service/testing/unruly_store.h"
#include "service/waiting.h"

namespace lockstep::service {
namespace {

using testing::Running;
using testing::Strings;
using testing::WatchedStore;

class LineTest : public testing::RecipeTest {
 protected:
  using Acquiring = Running<Result<HeldLock>>;
  using Leading = Running<Result<Elected>>;

  LineTest() { far_store.unruliness = {.refused_percent = 0, .unknown_percent = 0}; }
  Acquiring acquire(Locks& by, const SessionPtr& session, LockRequest request,
                    store::CallOptions options = {}) {
    Acquiring acquiring(by.acquire(session, std::move(request), std::move(options)));
    world.settle();
    return acquiring;
  }
  // The same session in the far process, which holds it too.
  SessionPtr adopted(std::int64_t id, Renewal renewal = Renewal::automatic, Duration ttl = 1h) {
    return run(adopt_session(far, LeaseId(id), {.ttl = ttl, .renewal = renewal}, {})).value();
  }
  Result<Released> release(const Acquiring& of, const SessionPtr& session) {
    Acquiring held = of;
    return run(locks.release({"l", LockMode::exclusive, session->id(), held.result()->token}, {}));
  }
  // Of those who hold and wait.
  Strings places() {
    Strings left = keys();
    std::erase_if(left, [](const std::string& key) { return key.starts_with("lockstep/"); });
    return left;
  }

  void TearDown() override {
    locks_.reset();
    world.advance(100ms);  // those who still wait are told
  }

  std::unique_ptr<Locks> locks_ = std::make_unique<Locks>(world.context);
  Locks& locks = *locks_;
  // Another process: the same store, over a network.
  testing::UnrulyStore far_store{world.store.strand, world.store, 7};
  testing::SeededRandom far_random{99};
  Context far{far_store, world.store.strand, world.store.strand, far_random};
};

// `lock("orders")` beside data at "orders/last": nothing would ever end the wait.
TEST_F(LineTest, AKeyOfNoSessionIsNotWaitedFor) {
  const SessionPtr a = session(1, {.ttl = 1h});
  const SessionPtr b = session(2, {.ttl = 1h});
  Acquiring held = acquire(locks, a, {.name = "l"});
  ASSERT_TRUE(!held.waits() && held.result().ok());
  put("l/last", "42");
  Acquiring waiting = acquire(locks, b, {.name = "l"});
  ASSERT_FALSE(waiting.waits());
  EXPECT_EQ(waiting.result().status(), errors::foreign_key());
  EXPECT_EQ(acquire(locks, b, {.name = "l", .wait = false}).result().status(), errors::foreign_key());
  EXPECT_EQ(places(), (Strings{"l/1", "l/last"}));
  ASSERT_TRUE(release(held, a).ok());
  remove("l/last");
  EXPECT_TRUE(acquire(locks, b, {.name = "l", .wait = false}).result().ok());
}

TEST_F(LineTest, ALateKeyOfNoSessionStopsNobodyWhoIsInLine) {
  const SessionPtr a = session(1, {.ttl = 1h});
  const SessionPtr b = session(2, {.ttl = 1h});
  Acquiring held = acquire(locks, a, {.name = "l"});
  Acquiring waiting = acquire(locks, b, {.name = "l"});
  put("l/last", "42");
  ASSERT_TRUE(release(held, a).ok());
  world.settle();
  EXPECT_TRUE(!waiting.waits() && waiting.result().ok());
}

TEST_F(LineTest, AnotherProcessThatGivesUpDoesNotTakeAwayWhatTheSessionHolds) {
  Locks far_locks(far);
  const SessionPtr a = session(1, {.ttl = 1h});
  const SessionPtr s = session(2, {.ttl = 1h});
  const SessionPtr s_far = adopted(2);
  Acquiring held = acquire(locks, a, {.name = "l"});
  Acquiring near = acquire(locks, s, {.name = "l"});
  std::stop_source stop;
  Acquiring other = acquire(far_locks, s_far, {.name = "l"}, within(1h, stop.get_token()));
  world.advance(200ms);
  ASSERT_TRUE(near.waits() && other.waits());
  Running<Result<Released>> releasing(
      locks.release({"l", LockMode::exclusive, a->id(), held.result()->token}, {}));
  world.settle();
  ASSERT_TRUE(!near.waits() && near.result().ok());
  ASSERT_TRUE(other.waits());
  stop.request_stop();
  world.advance(1s);
  EXPECT_EQ(other.result().status(), errors::wait_cancelled());
  EXPECT_EQ(places(), Strings{"l/2"});
  EXPECT_TRUE(acquire(locks, session(3), {.name = "l"}).waits()) << "two hold it";
}

TEST_F(LineTest, WhoeverGivesUpInOneOfTwoProcessesTakesThePlaceOfBothThatWait) {
  Locks far_locks(far);
  const SessionPtr a = session(1, {.ttl = 1h});
  const SessionPtr s = session(2, {.ttl = 1h});
  const SessionPtr s_far = adopted(2);
  Acquiring held = acquire(locks, a, {.name = "l"});
  Acquiring near = acquire(locks, s, {.name = "l"});
  Acquiring other = acquire(far_locks, s_far, {.name = "l"}, within(1s));
  world.advance(2s);
  EXPECT_EQ(other.result().status(), errors::wait_deadline_over());
  EXPECT_EQ(places(), Strings{"l/1"});
  ASSERT_TRUE(release(held, a).ok());
  world.advance(1s);
  EXPECT_EQ(near.result().status(), errors::place_lost()) << "and not that it holds something";
  EXPECT_EQ(places(), Strings{});
}

TEST_F(LineTest, TwoProcessesThatWaitForAReentrantLockCountTwice) {
  Locks far_locks(far);
  const SessionPtr a = session(1, {.ttl = 1h});
  const SessionPtr s = session(2, {.ttl = 1h});
  const SessionPtr s_far = adopted(2);
  Acquiring held = acquire(locks, a, {.name = "l"});
  Acquiring near = acquire(locks, s, {.name = "l", .reentrant = true});
  Acquiring other = acquire(far_locks, s_far, {.name = "l", .reentrant = true});
  world.advance(200ms);
  ASSERT_TRUE(release(held, a).ok());
  world.advance(500ms);
  ASSERT_TRUE(near.result().ok() && other.result().ok());
  EXPECT_EQ(near.result()->count + other.result()->count, 3) << "one is the first, one the second";
  ASSERT_TRUE(release(near, s).ok());
  EXPECT_EQ(places(), Strings{"l/2"}) << "acquired twice, released once";
  ASSERT_TRUE(release(near, s).ok());
  EXPECT_EQ(places(), Strings{});
}

TEST_F(LineTest, AReentrantReleaseThatNamesItsCountMayBeRepeated) {
  const SessionPtr a = session(1, {.ttl = 1h});
  Acquiring one = acquire(locks, a, {.name = "l", .reentrant = true});
  Acquiring two = acquire(locks, a, {.name = "l", .reentrant = true});
  world.advance(100ms);
  ASSERT_EQ(two.result()->count, 2);
  LockRelease inner{"l", LockMode::exclusive, a->id(), one.result()->token, 2};
  // The write happens, its answer does not come, and the time is over.
  world.store.fail_call(1, WatchedStore::Fault::unknown_done);  // 0: learns the count, 1: writes it
  Running<Result<Released>> lost(locks.release(inner, within(50ms)));
  world.advance(200ms);
  ASSERT_EQ(lost.result().status().code(), Code::unknown_outcome);
  for (int time = 1; time <= 2; ++time) {
    const auto again = run(locks.release(inner, {}));
    ASSERT_TRUE(again.ok());
    EXPECT_EQ(again->count, 1) << "it takes effect once";
  }
  inner.count = 5;
  EXPECT_EQ(run(locks.release(inner, {})).status(), errors::lock_count_differs());
  EXPECT_EQ(places(), Strings{"l/1"}) << "held once still";
}

TEST_F(LineTest, AllOrNoneIsNoneAlsoAfterALongOutage) {
  const SessionPtr a = session(1, {.ttl = 1h});
  const SessionPtr b = session(2, {.ttl = 1h});
  Acquiring held = acquire(locks, a, {.name = "m"});
  Running<Result<std::vector<HeldLock>>> many(locks.acquire_all(b, {.names = {"k", "m"}}, within(1s)));
  world.settle();
  world.advance(900ms);
  world.store.down = true;
  world.advance(40s);
  EXPECT_EQ(many.result().status(), errors::wait_deadline_over());
  world.store.down = false;
  world.advance(5s);
  ASSERT_TRUE(b->alive());
  EXPECT_EQ(places(), Strings{"m/1"}) << "the session was told that it holds nothing";
}

TEST_F(LineTest, WhoeverGivesUpAtAnOverloadedStoreLeavesNoKey) {
  const SessionPtr a = session(1, {.ttl = 1h});
  const SessionPtr b = session(2, {.ttl = 1h});
  Acquiring held = acquire(locks, a, {.name = "l"});
  std::stop_source stop;
  Acquiring waiter = acquire(locks, b, {.name = "l"}, within(1h, stop.get_token()));
  world.store.next_txn = WatchedStore::Fault::overloaded;
  stop.request_stop();
  world.advance(30s);
  EXPECT_EQ(waiter.result().status(), errors::wait_cancelled());
  EXPECT_EQ(places(), Strings{"l/1"});
}

TEST_F(LineTest, AWaiterOutlivesAnOverloadAtItsTurnAndWhoeverComesToOneIsTold) {
  const SessionPtr a = session(1, {.ttl = 1h});
  Acquiring held = acquire(locks, a, {.name = "l"});
  Acquiring waiter = acquire(locks, session(2, {.ttl = 1h}), {.name = "l"});
  world.store.fail_call(1, WatchedStore::Fault::overloaded);  // 0: the release
  ASSERT_TRUE(release(held, a).ok());
  world.advance(1s);
  ASSERT_FALSE(waiter.waits());
  EXPECT_TRUE(waiter.result().ok());
  world.store.next_txn = WatchedStore::Fault::overloaded;
  EXPECT_EQ(acquire(locks, a, {.name = "m"}).result().status().code(), Code::resource_exhausted);
}

TEST_F(LineTest, ASessionRenewedElsewhereIsNotLostBecauseOneMemberIsOutOfReach) {
  Locks far_locks(far);
  const SessionPtr a = session(1, {.ttl = 1h});
  const SessionPtr holder = session(2, {.ttl = 3s});  // renewed near
  const SessionPtr speaks = adopted(2, Renewal::elsewhere, 3s);
  Acquiring held = acquire(locks, a, {.name = "l"});
  std::stop_source stop;
  Acquiring other = acquire(far_locks, speaks, {.name = "l"}, within(1h, stop.get_token()));
  world.advance(2900ms);
  far_store.unruliness.refused_percent = 100;  // this member has no leader for a moment
  world.advance(3s);
  far_store.unruliness.refused_percent = 0;
  world.advance(30s);
  ASSERT_TRUE(holder->alive());
  EXPECT_TRUE(speaks->alive());
  ASSERT_TRUE(other.waits()) << other.result().status().message();
  stop.request_stop();
  world.advance(1s);
  EXPECT_EQ(places(), Strings{"l/1"});
}

TEST_F(LineTest, ThePlaceOfASessionThatIsOnlyBelievedLostIsRemovedWhenTheStoreIsBack) {
  const SessionPtr a = session(1, {.ttl = 1h});
  Acquiring held = acquire(locks, a, {.name = "l"});
  const SessionPtr b = session(2, {.ttl = 3s, .lock_delay = 1h});
  Acquiring waiter = acquire(locks, b, {.name = "l"});
  world.store.down = true;
  world.advance(10s);
  EXPECT_EQ(waiter.result().status(), errors::session_lost());
  world.store.down = false;
  world.advance(2s);
  EXPECT_EQ(places(), Strings{"l/1"});
}

TEST_F(LineTest, WhatAProcessThatDiedHadSentDoesNotArriveAfterItsSessionWasAdopted) {
  const SessionPtr s = session(2, {.ttl = 1h});
  // On its way when the process died.
  store::TxnRequest late;
  late.compare.push_back(created_at("l/2", Revision()));
  late.compare.push_back(number_is(session_key(s->id()), store::CompareTarget::version, 0));
  late.success.push_back(operation(put_of("l/2", "{}", s->id())));
  Locks far_locks(far);
  const SessionPtr s_far = adopted(2);
  Acquiring held = acquire(far_locks, s_far, {.name = "l"});
  world.advance(100ms);
  ASSERT_TRUE(held.result().ok());
  ASSERT_TRUE(release(held, s_far).ok());
  world.store.txn(std::move(late), {},
                  [](const Result<store::TxnResponse>& done) { EXPECT_FALSE(done->succeeded); });
  world.settle();
  EXPECT_EQ(places(), Strings{});
}

TEST_F(LineTest, ASecondCampaignWithTheSameValueThatIsGivenUpLeavesTheLeader) {
  Elections elections(world.context);
  const SessionPtr a = session(1, {.ttl = 1h});
  Leading first(elections.campaign(a, {.name = "e", .value = "me"}, {}));
  world.settle();
  ASSERT_TRUE(first.result().ok());
  for (const auto fault : {WatchedStore::Fault::unknown_not_done, WatchedStore::Fault::unknown_done}) {
    world.store.next_txn = fault;
    std::stop_source stop;
    Leading second(elections.campaign(a, {.name = "e", .value = "me"}, within(1h, stop.get_token())));
    stop.request_stop();
    world.advance(2s);
    EXPECT_FALSE(second.result().ok());
    EXPECT_EQ(places(), Strings{"e/1"}) << "whoever was elected still believes to lead";
  }
}

// Two processes, one session and one value; the answer to the first one's write is lost, and the other finds
// what it wrote.
class CampaignsOfOneValue : public LineTest {
 protected:
  CampaignsOfOneValue() {
    Leading warm(here.campaign(a, {.name = "warm", .value = "me"}, {}));  // knows the session's epoch
    world.advance(1s);
    LS_MUST(warm.result().ok());
    LS_MUST(run(here.resign(warm.result()->leadership(), {})).ok());
    world.store.next_txn = WatchedStore::Fault::unknown_done;
  }
  const SessionPtr a = session(1, {.ttl = 1h});
  const SessionPtr b = adopted(1);
  Elections here{world.context};
  Elections there{world.context};
};

TEST_F(CampaignsOfOneValue, TheOneThatGivesUpLeavesTheLeader) {
  std::stop_source stop;
  Leading first(here.campaign(a, {.name = "e", .value = "me"}, within(1h, stop.get_token())));
  world.settle();
  ASSERT_TRUE(first.waits());
  EXPECT_EQ(places(), Strings{"e/1"});
  Leading second(there.campaign(b, {.name = "e", .value = "me"}, {}));
  world.settle();
  ASSERT_FALSE(second.waits());
  ASSERT_TRUE(second.result().ok());
  stop.request_stop();
  world.advance(2s);
  EXPECT_FALSE(first.result().ok());
  EXPECT_EQ(places(), Strings{"e/1"}) << "the other was told that it leads";
}

TEST_F(CampaignsOfOneValue, BothLeadWithOneToken) {
  Leading first(here.campaign(a, {.name = "e", .value = "me"}, {}));
  Leading second(there.campaign(b, {.name = "e", .value = "me"}, {}));
  world.advance(2s);
  ASSERT_TRUE(first.result().ok() && second.result().ok());
  EXPECT_EQ(first.result()->token, second.result()->token);
  EXPECT_EQ(places(), Strings{"e/1"});
}

TEST_F(LineTest, ALineThatEndsRemovesAlsoWhatItOnlyMayHaveWritten) {
  const SessionPtr a = session(1, {.ttl = 1h});
  const SessionPtr b = session(2, {.ttl = 1h});
  const Acquiring held = acquire(locks, a, {.name = "l"});
  world.store.next_txn = WatchedStore::Fault::unknown_done;
  const Acquiring waiting = acquire(locks, b, {.name = "l"});
  EXPECT_EQ(places(), (Strings{"l/1", "l/2"}));
  locks_.reset();
  world.advance(100ms);
  ASSERT_FALSE(waiting.waits());
  EXPECT_EQ(places(), Strings{"l/1"});
}

TEST_F(LineTest, ACampaignWhoseOwnWriteWasUnknownIsWithdrawnWhenItIsGivenUp) {
  Elections elections(world.context);
  const SessionPtr a = session(1, {.ttl = 1h});
  world.store.next_txn = WatchedStore::Fault::unknown_done;
  std::stop_source stop;
  Leading campaign(elections.campaign(a, {.name = "e", .value = "me"}, within(1h, stop.get_token())));
  stop.request_stop();
  world.advance(2s);
  EXPECT_FALSE(campaign.result().ok());
  EXPECT_EQ(places(), Strings{});
}

TEST_F(LineTest, ASemaphoreHasTheSamePermitsForAWaiterInEachProcess) {
  Semaphores semaphores(world.context);
  Semaphores far_semaphores(far);
  const SessionPtr a = session(1, {.ttl = 1h});
  const SessionPtr s = session(2, {.ttl = 1h});
  const SessionPtr s_far = adopted(2);
  Running<Result<Permit>> held(semaphores.acquire(a, {.name = "s", .permits = 1}, {}));
  Running<Result<Permit>> waits(semaphores.acquire(s, {.name = "s", .permits = 1}, {}));
  world.settle();
  ASSERT_TRUE(held.result().ok() && waits.waits());
  Running<Result<Permit>> more(far_semaphores.acquire(s_far, {.name = "s", .permits = 2}, within(5s)));
  world.advance(1s);
  ASSERT_FALSE(more.waits());
  EXPECT_EQ(more.result().status(), errors::permits_differ());
  EXPECT_TRUE(waits.waits());
  Running<Result<Permit>> same(far_semaphores.acquire(s_far, {.name = "s", .permits = 1}, {}));
  world.advance(1s);
  ASSERT_TRUE(run(semaphores.release({"s", a->id(), held.result()->token}, {})).ok());
  world.advance(1s);
  ASSERT_TRUE(waits.result().ok() && same.result().ok());
  EXPECT_EQ(waits.result()->token, same.result()->token);
}

TEST_F(LineTest, AHolderThatNamesAnotherNumberOfPermitsIsRefused) {
  Semaphores semaphores(world.context);
  const SessionPtr a = session(1, {.ttl = 1h});
  ASSERT_TRUE(run(semaphores.acquire(a, {.name = "s", .permits = 1}, {})).ok());
  EXPECT_EQ(run(semaphores.acquire(a, {.name = "s", .permits = 5}, {})).status(), errors::permits_differ());
}

TEST_F(LineTest, ASessionThatWouldWaitForItselfInANameThatContainsAnotherIsRefused) {
  const SessionPtr a = session(1, {.ttl = 1h});
  ASSERT_TRUE(acquire(locks, a, {.name = "a/b"}).result().ok());
  Acquiring outer = acquire(locks, a, {.name = "a"});
  ASSERT_FALSE(outer.waits());
  EXPECT_EQ(outer.result().status(), errors::lock_mode_conflict());
  world.advance(1s);
  EXPECT_EQ(places(), Strings{"a/b/1"});
}

TEST_F(LineTest, ACountThatSomebodyWroteDoesNotOverflow) {
  const SessionPtr a = session(1, {.ttl = 1h});
  Acquiring held = acquire(locks, a, {.name = "l", .reentrant = true});
  world.store.put(put_of("l/1", R"({"since_ms":0,"count":9223372036854775807})", LeaseId(1)), {},
                  [](const auto&) {});
  Acquiring again = acquire(locks, a, {.name = "l", .reentrant = true});
  world.advance(100ms);
  ASSERT_TRUE(again.result().ok());
  EXPECT_EQ(again.result()->count, holding_count_max);
}

}  // namespace
}  // namespace lockstep::service
