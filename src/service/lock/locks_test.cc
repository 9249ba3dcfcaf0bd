// Locks as stories: who holds, who waits, who is told what.
#include "service/lock/locks.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "service/names.h"
#include "service/testing/recipe_test.h"
#include "service/waiting.h"
#include "store/errors.h"

namespace lockstep::service {
namespace {

using testing::Running;
using testing::Strings;
using testing::WatchedStore;

class LocksTest : public testing::RecipeTest {
 protected:
  using Acquiring = Running<Result<HeldLock>>;

  Acquiring acquire(const SessionPtr& session, LockRequest request, store::CallOptions options = {}) {
    Acquiring acquiring(locks->acquire(session, std::move(request), std::move(options)));
    world.settle();
    return acquiring;
  }
  Acquiring write(const SessionPtr& session, const std::string& name = "l") {
    return acquire(session, {.name = name});
  }
  Acquiring read(const SessionPtr& session, const std::string& name = "l") {
    return acquire(session, {.name = name, .mode = LockMode::shared});
  }
  Result<Released> release(const HeldLock& held) {
    Running<Result<Released>> releasing(locks->release({held.name, held.mode, held.session, held.token}, {}));
    world.advance(500ms);
    return releasing.result();
  }

  std::unique_ptr<Locks> locks = std::make_unique<Locks>(world.context);
};

TEST_F(LocksTest, HeldInTheOrderOfArrivalWithGrowingTokens) {
  const SessionPtr a = session(1);
  const SessionPtr b = session(2);
  const SessionPtr c = session(3);
  Acquiring by_a = write(a);
  Acquiring by_b = write(b);
  Acquiring by_c = write(c);
  ASSERT_TRUE(by_a.result().ok());
  EXPECT_EQ(by_a.result()->key, "l/1");
  EXPECT_TRUE(by_b.waits() && by_c.waits());
  EXPECT_EQ(locks->waiters(), 2U);
  EXPECT_TRUE(release(*by_a.result()).ok());
  ASSERT_TRUE(by_b.result().ok());
  EXPECT_GT(by_b.result()->token, by_a.result()->token);
  EXPECT_TRUE(by_c.waits());
  EXPECT_TRUE(release(*by_b.result()).ok());
  EXPECT_GT(by_c.result()->token, by_b.result()->token);
  EXPECT_TRUE(release(*by_c.result()).ok());
  EXPECT_EQ(keys(), Strings{});
}

TEST_F(LocksTest, AFreeLockIsOneWriteAndAHandOverIsOneWriteAndOneNotice) {
  std::vector<SessionPtr> sessions;
  std::vector<Acquiring> acquiring;
  for (std::int64_t id = 1; id <= 50; ++id) sessions.push_back(session(id, {.ttl = 1h}));
  int txns = world.store.txns;
  acquiring.push_back(write(sessions[0]));
  EXPECT_EQ(world.store.txns, txns + 1);
  EXPECT_EQ(world.store.watches, 0);
  for (std::size_t at = 1; at < 50; ++at) acquiring.push_back(write(sessions[at]));
  EXPECT_EQ(world.store.txns, txns + 50);
  EXPECT_EQ(world.store.watches, 49);
  txns = world.store.txns;
  const Revision before = acquiring[0].result()->header.revision;
  EXPECT_TRUE(release(*acquiring[0].result()).ok());
  ASSERT_FALSE(acquiring[1].waits());
  EXPECT_EQ(world.store.txns, txns + 2) << "the release, and one look of the one who was woken";
  EXPECT_EQ(world.store.watches, 49);
  EXPECT_EQ(acquiring[1].result()->header.revision - before, 50) << "49 waiters came, one holder went";
  locks.reset();
  world.settle();
}

TEST_F(LocksTest, ReadersTogetherWritersAloneNobodyOvertakes) {
  const SessionPtr a = session(1);
  const SessionPtr b = session(2);
  const SessionPtr c = session(3);
  const SessionPtr d = session(4);
  Acquiring reader = read(a);
  Acquiring other_reader = read(b);
  Acquiring writer = write(c);
  Acquiring late_reader = read(d);
  ASSERT_TRUE(reader.result().ok() && other_reader.result().ok());
  EXPECT_EQ(keys(), (Strings{"l/3", "l/r/1", "l/r/2", "l/r/4"}));
  EXPECT_TRUE(writer.waits());
  EXPECT_TRUE(late_reader.waits()) << "a writer came before";
  EXPECT_TRUE(release(*other_reader.result()).ok());
  EXPECT_TRUE(writer.waits());
  EXPECT_TRUE(release(*reader.result()).ok());
  ASSERT_TRUE(writer.result().ok());
  EXPECT_TRUE(late_reader.waits());
  EXPECT_TRUE(release(*writer.result()).ok());
  EXPECT_TRUE(late_reader.result().ok());
}

TEST_F(LocksTest, TryingNeverWaitsAndWritesNothingInVain) {
  const SessionPtr a = session(1);
  const SessionPtr b = session(2);
  Acquiring held = write(a);
  for (const LockMode mode : {LockMode::exclusive, LockMode::shared}) {
    EXPECT_EQ(acquire(b, {.name = "l", .mode = mode, .wait = false}).result().status(), errors::lock_held());
  }
  EXPECT_EQ(keys(), Strings{"l/1"});
  EXPECT_TRUE(release(*held.result()).ok());
  Acquiring reader = acquire(a, {.name = "l", .mode = LockMode::shared, .wait = false});
  EXPECT_TRUE(reader.result().ok());
  EXPECT_TRUE(acquire(b, {.name = "l", .mode = LockMode::shared, .wait = false}).result().ok());
  EXPECT_EQ(acquire(session(3), {.name = "l", .wait = false}).result().status(), errors::lock_held());
}

TEST_F(LocksTest, AWaiterWhoseTimeIsOverLeavesNoKeyAndItsPlaceToTheNext) {
  const SessionPtr a = session(1);
  Acquiring held = write(a);
  Acquiring timed = acquire(session(2), {.name = "l"}, within(1s));
  std::stop_source stop;
  Acquiring stopped = acquire(session(3), {.name = "l"}, within(1h, stop.get_token()));
  const SessionPtr d = session(4);
  Acquiring patient = write(d);
  world.advance(1s);
  EXPECT_EQ(timed.result().status(), errors::wait_deadline_over());
  EXPECT_EQ(keys(), (Strings{"l/1", "l/3", "l/4"}));
  stop.request_stop();
  world.settle();
  EXPECT_EQ(stopped.result().status(), errors::wait_cancelled());
  EXPECT_EQ(keys(), (Strings{"l/1", "l/4"}));
  EXPECT_TRUE(patient.waits());
  EXPECT_TRUE(release(*held.result()).ok());
  EXPECT_TRUE(patient.result().ok());
}

TEST_F(LocksTest, AWaiterLearnsOfItsSessionsEndAtOnce) {
  const SessionPtr a = session(1, {.ttl = 1h});
  const SessionPtr b = session(2, {.ttl = 3s, .lock_delay = 3s});
  Acquiring held = write(a);
  Acquiring waiter = write(b);
  world.store.cut_off = true;
  const TimePoint end = b->expires_at();
  while (waiter.waits()) world.advance(10ms);
  EXPECT_EQ(waiter.result().status(), errors::session_lost());
  EXPECT_LE(world.store.strand.now(), end + 10ms);
  EXPECT_EQ(keys(), Strings{"l/1"}) << "a place that was never served does not stay for the lock delay";
}

TEST_F(LocksTest, AfterALostSessionTheLockIsFreeWhenTheLockDelayIsOver) {
  const SessionPtr a = session(1, {.ttl = 3s, .lock_delay = 2s, .renewal = Renewal::by_holder});
  Acquiring held = write(a);
  Acquiring waiter = write(session(2, {.ttl = 1h}));
  world.advance(3s);
  EXPECT_FALSE(a->alive());
  world.advance(1900ms);
  EXPECT_TRUE(waiter.waits());
  world.advance(200ms);
  EXPECT_TRUE(waiter.result().ok());
}

TEST_F(LocksTest, AClosedSessionGivesUpAtOnce) {
  const SessionPtr a = session(1, {.ttl = 1h});
  const SessionPtr b = session(2, {.ttl = 1h});
  Acquiring held = write(a);
  Acquiring waiter = write(b);
  Acquiring own_waiter = write(a, "other");
  Running<Status> closing(a->close({}));
  world.settle();
  EXPECT_TRUE(waiter.result().ok());
  EXPECT_EQ(write(a).result().status(), errors::session_closed());
}

TEST_F(LocksTest, WhoHoldsItIsAnsweredWithTheSameToken) {
  const SessionPtr a = session(1);
  Acquiring first = write(a);
  Acquiring again = write(a);
  ASSERT_TRUE(again.result().ok());
  EXPECT_EQ(again.result()->token, first.result()->token);
  EXPECT_EQ(again.result()->count, 1);
  EXPECT_EQ(release(*first.result())->count, 0);
  EXPECT_EQ(keys(), Strings{});
}

TEST_F(LocksTest, ReentrantItIsHeldUntilItWasReleasedAsOften) {
  const SessionPtr a = session(1);
  Acquiring waiter = write(a);
  for (std::int64_t count = 2; count <= 3; ++count) {
    Acquiring again = acquire(a, {.name = "l", .reentrant = true});
    EXPECT_EQ(again.result()->count, count);
  }
  EXPECT_EQ(release(*waiter.result())->count, 2);
  EXPECT_EQ(release(*waiter.result())->count, 1);
  EXPECT_EQ(release(*waiter.result())->count, 0);
  EXPECT_EQ(release(*waiter.result()).status(), errors::not_holder());
}

TEST_F(LocksTest, AReleaseRepeatedAfterAnUnknownOutcomeGivesBackOnce) {
  for (const auto fault : {WatchedStore::Fault::unknown_done, WatchedStore::Fault::unknown_not_done}) {
    const SessionPtr a = session(fault == WatchedStore::Fault::unknown_done ? 1 : 2);
    Acquiring held = write(a);
    for (int times = 0; times < 2; ++times) {
      Acquiring again = acquire(a, {.name = "l", .reentrant = true});
      EXPECT_TRUE(again.result().ok());
    }
    const HeldLock& lock = *held.result();
    LockRelease what{lock.name, lock.mode, lock.session, lock.token};
    what.memory = std::make_shared<LeaveMemory>();
    world.store.fail_call(1, fault);  // the first one looks
    Running<Result<Released>> first(locks->release(what, within(1ms)));
    world.advance(500ms);
    EXPECT_EQ(first.result().status().code(), Code::unknown_outcome);
    Running<Result<Released>> repeated(locks->release(what, {}));
    world.advance(500ms);
    EXPECT_EQ(repeated.result()->count, 2);
    EXPECT_EQ(release(lock)->count, 1);
    EXPECT_EQ(release(lock)->count, 0);
  }
}

TEST_F(LocksTest, ASecondCallOfASessionWaitsForTheFirstAndSharesWhatItGot) {
  const SessionPtr a = session(1);
  const SessionPtr b = session(2);
  Acquiring held = write(a);
  std::stop_source stop;
  Acquiring first = acquire(b, {.name = "l"}, within(1h, stop.get_token()));
  Acquiring second = write(b);
  EXPECT_EQ(acquire(b, {.name = "l", .wait = false}).result().status(), errors::lock_held());
  stop.request_stop();
  world.settle();
  EXPECT_EQ(first.result().status(), errors::wait_cancelled());
  EXPECT_TRUE(second.waits()) << "in a place of its own";
  EXPECT_EQ(keys(), (Strings{"l/1", "l/2"}));
  EXPECT_TRUE(release(*held.result()).ok());
  EXPECT_TRUE(second.result().ok());
}

TEST_F(LocksTest, ACallRepeatedElsewhereKeepsThePlace) {
  const SessionPtr a = session(1, {.ttl = 1h});
  const SessionPtr b = session(2, {.ttl = 1h});
  Acquiring held = write(a);
  std::stop_source stop;
  Acquiring here = acquire(b, {.name = "l"}, within(1h, stop.get_token()));
  Locks elsewhere(world.context);
  Acquiring there(elsewhere.acquire(b, {.name = "l"}, {}));
  world.settle();
  stop.request_stop();
  world.settle();
  EXPECT_EQ(keys(), (Strings{"l/1", "l/2"})) << "it is the other call's by now";
  EXPECT_TRUE(release(*held.result()).ok());
  EXPECT_TRUE(there.result().ok());
}

TEST_F(LocksTest, ASessionThatWouldWaitForItselfIsRefused) {
  const SessionPtr a = session(1);
  Acquiring reader = read(a);
  EXPECT_EQ(write(a).result().status(), errors::lock_mode_conflict());
  EXPECT_TRUE(release(*reader.result()).ok());
  Acquiring writer = write(a);
  EXPECT_EQ(read(a).result().status(), errors::lock_mode_conflict());
}

TEST_F(LocksTest, ManyAreTakenAllOrNone) {
  const SessionPtr a = session(1, {.ttl = 1h});
  const SessionPtr b = session(2, {.ttl = 1h});
  Acquiring one = write(b, "m");
  Acquiring before = write(a, "k");
  Running<Result<std::vector<HeldLock>>> trying(
      locks->acquire_all(a, {.names = {"n", "m", "l", "k"}, .wait = false}, {}));
  world.settle();
  EXPECT_EQ(trying.result().status(), errors::lock_held());
  EXPECT_EQ(keys(), (Strings{"k/1", "m/2"})) << "what it held before stays";
  Running<Result<std::vector<HeldLock>>> waiting(
      locks->acquire_all(a, {.names = {"n", "m", "l", "l"}}, within(5s)));
  world.settle();
  EXPECT_TRUE(waiting.waits());
  EXPECT_TRUE(release(*one.result()).ok());
  ASSERT_TRUE(waiting.result().ok());
  ASSERT_EQ(waiting.result()->size(), 3U);
  EXPECT_EQ(waiting.result()->at(0).name, "l");
  EXPECT_EQ(keys(), (Strings{"k/1", "l/1", "m/1", "n/1"}));
  Running<Status> releasing(locks->release_all(*waiting.result(), {}));
  world.settle();
  EXPECT_EQ(releasing.result(), Status());
  EXPECT_EQ(keys(), Strings{"k/1"});
}

TEST_F(LocksTest, WrongReleasesChangeNothing) {
  const SessionPtr a = session(1);
  const SessionPtr b = session(2);
  Acquiring held = write(a);
  HeldLock wrong = *held.result();
  wrong.session = b->id();
  EXPECT_EQ(release(wrong).status(), errors::not_holder()) << "another session";
  wrong = *held.result();
  wrong.token = wrong.token.previous();
  EXPECT_EQ(release(wrong).status(), errors::stale_token());
  wrong.token = Revision();
  EXPECT_EQ(release(wrong).status(), errors::stale_token());
  wrong = *held.result();
  wrong.mode = LockMode::shared;
  EXPECT_EQ(release(wrong).status(), errors::not_holder());
  EXPECT_EQ(keys(), Strings{"l/1"});
  EXPECT_TRUE(release(*held.result()).ok());
  EXPECT_EQ(release(*held.result()).status(), errors::not_holder()) << "twice";
}

TEST_F(LocksTest, WrongRequestsChangeNothing) {
  const SessionPtr a = session(1);
  EXPECT_EQ(write(a, "").result().status(), errors::name_empty());
  EXPECT_EQ(write(a, std::string(1025, 'n')).result().status(), errors::name_too_long());
  EXPECT_EQ(write(a, "l/r").result().status(), errors::lock_name_reserved());
  EXPECT_EQ(acquire(a, {.name = "l", .description = {.holder = "\xff"}}).result().status(),
            errors::description_wrong());
  Running<Result<std::vector<HeldLock>>> none(locks->acquire_all(a, {}, {}));
  EXPECT_EQ(none.result().status(), errors::locks_at_once());
  EXPECT_EQ(keys(), Strings{});
  EXPECT_TRUE(write(a, std::string("\0\xff/", 3)).result().ok());
}

TEST_F(LocksTest, APlaceThatSomebodyRemovedIsLost) {
  Acquiring held = write(session(1));
  const SessionPtr b = session(2);
  Acquiring waiter = write(b);
  remove("l/2");
  EXPECT_TRUE(waiter.waits()) << "it watches the one before";
  EXPECT_TRUE(release(*held.result()).ok());
  EXPECT_EQ(waiter.result().status(), errors::place_lost());
}

TEST_F(LocksTest, ACompactionDoesNotDisturbAWaiter) {
  const SessionPtr a = session(1);
  const SessionPtr b = session(2);
  Acquiring held = write(a);
  Acquiring waiter = write(b);
  for (int round = 0; round < 3; ++round) {
    Acquiring other = write(a, "other");
    const store::CompactRequest request{other.result()->header.revision, true};
    EXPECT_TRUE(release(*other.result()).ok());
    world.store.compact(request, {}, [](const Result<store::CompactResponse>& done) { LS_MUST(done.ok()); });
    world.advance(1s);
  }
  EXPECT_TRUE(release(*held.result()).ok());
  EXPECT_TRUE(waiter.result().ok());
}

TEST_F(LocksTest, DestroyedWhileCallsWaitItCancelsThemAndTheirKeysGo) {
  const SessionPtr a = session(1);
  const SessionPtr b = session(2);
  Acquiring held = write(a);
  Acquiring waiter = write(b);
  Acquiring behind = write(b);
  Running<Result<std::vector<HeldLock>>> many(locks->acquire_all(b, {.names = {"k", "l", "z"}}, {}));
  const auto unstarted = std::make_unique<Task<Result<HeldLock>>>(locks->acquire(b, {.name = "x"}, {}));
  world.settle();
  locks.reset();
  EXPECT_TRUE(waiter.waits()) << "told in a later turn";
  world.settle();
  EXPECT_EQ(waiter.result().status(), errors::wait_cancelled());
  EXPECT_EQ(behind.result().status(), errors::wait_cancelled());
  EXPECT_EQ(many.result().status(), errors::wait_cancelled());
  EXPECT_EQ(keys(), Strings{"l/1"});
  Running<Result<HeldLock>> late(std::move(*unstarted));
  EXPECT_EQ(late.result().status(), errors::wait_cancelled());
}

// Whatever call of the store fails, and however: nobody holds it beside another, everybody holds it once,
// nothing is left behind.
TEST_F(LocksTest, EveryCallMayFail) {
  for (const auto fault : {WatchedStore::Fault::refused, WatchedStore::Fault::unknown_done,
                           WatchedStore::Fault::unknown_not_done}) {
    for (std::size_t call = 0;; ++call) {
      SCOPED_TRACE("call " + std::to_string(call) + ", fault " + std::to_string(static_cast<int>(fault)));
      const SessionPtr a = session(1, {.ttl = 1h});
      const SessionPtr b = session(2, {.ttl = 1h});
      const SessionPtr c = session(3, {.ttl = 1h});
      world.store.fail_call(call, fault);
      Acquiring by_a = write(a);
      world.advance(200ms);
      Acquiring by_b = write(b);
      Acquiring by_c = acquire(c, {.name = "l", .reentrant = true});
      world.advance(200ms);
      ASSERT_TRUE(by_a.result().ok());
      EXPECT_TRUE(by_b.waits() && by_c.waits());
      Acquiring again = acquire(a, {.name = "l", .reentrant = true});
      world.advance(200ms);
      ASSERT_TRUE(again.result().ok());
      EXPECT_EQ(again.result()->count, 2);
      EXPECT_EQ(release(*by_a.result())->count, 1);
      EXPECT_TRUE(by_b.waits() && by_c.waits());
      EXPECT_EQ(release(*by_a.result())->count, 0);
      const bool b_first = !by_b.waits();
      Acquiring& first = b_first ? by_b : by_c;
      Acquiring& second = b_first ? by_c : by_b;
      ASSERT_TRUE(first.result().ok());
      EXPECT_TRUE(second.waits());
      EXPECT_GT(first.result()->token, by_a.result()->token);
      EXPECT_TRUE(release(*first.result()).ok());
      ASSERT_TRUE(second.result().ok());
      EXPECT_GT(second.result()->token, first.result()->token);
      EXPECT_TRUE(release(*second.result()).ok());
      const bool failed = world.store.failed();
      for (const SessionPtr& session : {a, b, c}) {
        Running<Status> closing(session->close({}));
        world.advance(100ms);
        EXPECT_EQ(closing.result(), Status());
      }
      EXPECT_EQ(keys(), Strings{});
      if (!failed) break;  // every call has had its turn
    }
  }
}

// The same for callers that give up at any moment: nothing of them stays while their session lives on.
TEST_F(LocksTest, WhoeverGivesUpLeavesNothingWhateverFails) {
  for (const auto fault : {WatchedStore::Fault::refused, WatchedStore::Fault::unknown_done,
                           WatchedStore::Fault::unknown_not_done}) {
    for (std::size_t call = 0;; ++call) {
      SCOPED_TRACE("call " + std::to_string(call) + ", fault " + std::to_string(static_cast<int>(fault)));
      const SessionPtr a = session(1, {.ttl = 1h});
      const SessionPtr b = session(2, {.ttl = 1h});
      world.store.fail_call(call, fault);
      Acquiring by_a = write(a);
      world.advance(200ms);
      std::stop_source stop;
      Acquiring by_b = acquire(b, {.name = "l"}, within(1h, stop.get_token()));
      stop.request_stop();
      world.advance(500ms);
      EXPECT_EQ(by_b.result().status(), errors::wait_cancelled());
      ASSERT_TRUE(by_a.result().ok());
      EXPECT_TRUE(release(*by_a.result()).ok());
      const bool failed = world.store.failed();
      Strings left = keys();
      std::erase_if(left, [](const std::string& key) { return key.starts_with("lockstep/sessions/"); });
      EXPECT_EQ(left, Strings{});
      EXPECT_EQ(locks->waiters(), 0U);
      for (const SessionPtr& session : {a, b}) {
        Running<Status> closing(session->close({}));
        world.advance(100ms);
        EXPECT_EQ(closing.result(), Status());
      }
      if (!failed) break;
    }
  }
}

}  // namespace
}  // namespace lockstep::service
