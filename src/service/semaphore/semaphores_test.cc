// Semaphores as stories: so many at once, one after the other beyond.
#include "service/semaphore/semaphores.h"

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "service/names.h"
#include "service/store_requests.h"
#include "service/testing/recipe_test.h"
#include "service/waiting.h"

namespace lockstep::service {
namespace {

using testing::Running;
using testing::Strings;
using testing::WatchedStore;

class SemaphoresTest : public testing::RecipeTest {
 protected:
  using Acquiring = Running<Result<Permit>>;

  Acquiring acquire(const SessionPtr& session, std::int64_t permits = 2, store::CallOptions options = {}) {
    Acquiring acquiring(semaphores->acquire(session, {.name = "s", .permits = permits}, std::move(options)));
    world.settle();
    return acquiring;
  }
  Status try_once(const SessionPtr& session, PermitRequest request) {
    request.wait = false;
    return run(semaphores->acquire(session, std::move(request), {})).status();
  }
  Status release(const Permit& permit) {
    return run(semaphores->release({permit.name, permit.session, permit.token, permit.modified}, {}))
        .status();
  }
  void TearDown() override {
    semaphores.reset();
    world.settle();
  }
  std::unique_ptr<Semaphores> semaphores = std::make_unique<Semaphores>(world.context);
};

TEST_F(SemaphoresTest, SoManyAtOnceTheOthersInTheOrderOfArrival) {
  std::vector<Acquiring> acquiring;
  for (std::int64_t id = 1; id <= 6; ++id) acquiring.push_back(acquire(session(id, {.ttl = 1h})));
  const auto served = [&] {
    std::string text;
    for (const Acquiring& one : acquiring) text += one.waits() ? "." : "x";
    return text;
  };
  EXPECT_EQ(served(), "xx....");
  EXPECT_EQ(release(*acquiring[1].result()), Status());
  EXPECT_EQ(served(), "xxx...");
  EXPECT_EQ(release(*acquiring[0].result()), Status());
  EXPECT_EQ(served(), "xxxx..");
  EXPECT_EQ(release(*acquiring[3].result()), Status());
  EXPECT_EQ(release(*acquiring[2].result()), Status());
  EXPECT_EQ(served(), "xxxxxx");
  EXPECT_EQ(keys(), (Strings{"lockstep/semaphores/s", "lockstep/semaphores/s/5", "lockstep/semaphores/s/6"}));
  EXPECT_EQ(value("lockstep/semaphores/s"), "{\"permits\":2}");
}

TEST_F(SemaphoresTest, AReleaseServesOneAndLooksOfTwoWhateverTheQueue) {
  std::vector<SessionPtr> sessions;
  std::vector<Acquiring> acquiring;
  for (std::int64_t id = 1; id <= 40; ++id) sessions.push_back(session(id, {.ttl = 10h}));
  for (const SessionPtr& one : sessions) acquiring.push_back(acquire(one, 3));
  for (std::size_t holder = 0; holder < 20; ++holder) {
    const int txns = world.store.txns;
    const int watches = world.store.watches;
    EXPECT_EQ(release(*acquiring[holder].result()), Status());
    EXPECT_FALSE(acquiring[holder + 3].waits());
    EXPECT_TRUE(acquiring[holder + 4].waits());
    EXPECT_EQ(world.store.txns, txns + 4) << "release; look and word to the next; the next looks";
    EXPECT_EQ(world.store.watches, watches + 1) << "who is first now";
  }
}

TEST_F(SemaphoresTest, ALateReleaseDoesNotHitWhoCameAgain) {
  const SessionPtr a = session(1, {.ttl = 1h});
  Acquiring first = acquire(a, 1);
  Acquiring again = acquire(a, 1);  // because the outcome of a release was unknown
  const Permit& held = *again.result();
  EXPECT_EQ(held.token, first.result()->token);
  store::TxnRequest late;
  late.compare.push_back(created_at(held.key, held.token));
  late.compare.push_back(number_is(held.key, store::CompareTarget::version, 1));
  late.success.push_back(operation(removal_of(held.key)));
  world.store.txn(late, {}, [](const Result<store::TxnResponse>& done) { LS_MUST(done.ok()); });
  EXPECT_NE(value(held.key), "-");
  EXPECT_EQ(run(semaphores->release({"s", held.session, held.token, {}}, {})).status(), Status());
}

TEST_F(SemaphoresTest, PermitsOfTheDeadComeBack) {
  const SessionPtr a = session(1, {.ttl = 3s, .renewal = Renewal::by_holder});
  const SessionPtr b = session(2, {.ttl = 3s, .renewal = Renewal::by_holder});
  Acquiring by_a = acquire(a);
  Acquiring by_b = acquire(b);
  Acquiring by_c = acquire(session(3, {.ttl = 1h}));
  Acquiring by_d = acquire(session(4, {.ttl = 1h}));
  Acquiring by_e = acquire(session(5, {.ttl = 1h}));
  world.advance(4s);
  EXPECT_TRUE(by_c.result().ok() && by_d.result().ok());
  EXPECT_TRUE(by_e.waits());
}

TEST_F(SemaphoresTest, WaitersThatGoOrDieDoNotHoldUpOthers) {
  Acquiring by_a = acquire(session(1, {.ttl = 1h}), 1);
  std::stop_source stop;
  Acquiring first = acquire(session(2, {.ttl = 1h}), 1, within(1h, stop.get_token()));
  Acquiring dying = acquire(session(3, {.ttl = 3s, .renewal = Renewal::by_holder}), 1);
  Acquiring timed = acquire(session(4, {.ttl = 1h}), 1, within(1s));
  Acquiring last = acquire(session(5, {.ttl = 1h}), 1);
  stop.request_stop();
  world.advance(5s);
  EXPECT_EQ(first.result().status(), errors::wait_cancelled());
  EXPECT_EQ(dying.result().status(), errors::session_lost());
  EXPECT_EQ(timed.result().status(), errors::wait_deadline_over());
  EXPECT_TRUE(last.waits());
  EXPECT_EQ(release(*by_a.result()), Status());
  EXPECT_TRUE(last.result().ok());
}

TEST_F(SemaphoresTest, TryingNeverWaitsAndWritesNothingInVain) {
  EXPECT_EQ(try_once(session(1), {.name = "s", .permits = 1}), Status());
  const SessionPtr b = session(2);
  const Strings before = keys();
  EXPECT_EQ(try_once(b, {.name = "s", .permits = 1}), errors::no_permit_free());
  EXPECT_EQ(try_once(session(3), {.name = "t", .permits = 2}), Status());
  const SessionPtr d = session(4);
  EXPECT_EQ(try_once(d, {.name = "t", .permits = 2}), Status());
  EXPECT_EQ(try_once(d, {.name = "t", .permits = 2}), Status()) << "it has one";
  const int txns = world.store.txns;
  EXPECT_EQ(try_once(b, {.name = "t", .permits = 2}), errors::no_permit_free());
  EXPECT_EQ(world.store.txns, txns + 1);
}

TEST_F(SemaphoresTest, TheNumberOfPermitsIsTheSemaphores) {
  const SessionPtr a = session(1);
  Acquiring held = acquire(a, 2);
  EXPECT_EQ(try_once(session(2), {.name = "s", .permits = 3}), errors::permits_differ());
  EXPECT_EQ(run(semaphores->remove("s", {})), errors::semaphore_in_use());
  EXPECT_EQ(release(*held.result()), Status());
  EXPECT_EQ(run(semaphores->remove("s", {})), Status());
  EXPECT_EQ(keys(), Strings{});
  EXPECT_EQ(try_once(a, {.name = "s", .permits = 3}), Status());
  put("lockstep/semaphores/d", "{}");
  EXPECT_EQ(try_once(a, {.name = "d", .permits = 3}), errors::semaphore_damaged());
  EXPECT_EQ(run(semaphores->show("d", {})).status(), errors::semaphore_damaged());
  put("lockstep/semaphores/e", "{\"permits\": 4, \"note\":\"kept\"}");
  EXPECT_EQ(try_once(a, {.name = "e", .permits = 4}), Status());
  EXPECT_EQ(value("lockstep/semaphores/e"), "{\"permits\": 4, \"note\":\"kept\"}");
}

TEST_F(SemaphoresTest, WrongRequestsChangeNothing) {
  const SessionPtr a = session(1);
  EXPECT_EQ(try_once(a, {.name = ""}), errors::name_empty());
  for (const std::int64_t permits : {0LL, -1LL, 1001LL}) {
    EXPECT_EQ(try_once(a, {.name = "s", .permits = permits}), errors::permits_out_of_range());
  }
  EXPECT_EQ(release({"s", Revision(5), LeaseId(1), "", {}, {}}), errors::not_holder());
  EXPECT_EQ(release({"s", Revision(0), LeaseId(1), "", {}, {}}), errors::stale_token());
  EXPECT_EQ(keys(), Strings{});
}

TEST_F(SemaphoresTest, NamesNeverContainEachOther) {
  const SessionPtr a = session(1);
  EXPECT_EQ(try_once(a, {.name = "a/b", .permits = 1}), Status());
  EXPECT_EQ(try_once(a, {.name = "a", .permits = 1}), Status());
  EXPECT_EQ(try_once(a, {.name = "a%2Fb", .permits = 1}), Status());
  EXPECT_EQ(run(semaphores->show("a", {})).value().contenders.size(), 1U);
  EXPECT_EQ(keys(),
            (Strings{"lockstep/semaphores/a", "lockstep/semaphores/a%252Fb", "lockstep/semaphores/a%252Fb/1",
                     "lockstep/semaphores/a%2Fb", "lockstep/semaphores/a%2Fb/1", "lockstep/semaphores/a/1"}));
}

TEST_F(SemaphoresTest, ItIsShownWithItsHoldersAndItsQueue) {
  for (std::int64_t id = 1; id <= 3; ++id) acquire(session(id, {.ttl = 1h}));
  const SemaphoreState state = run(semaphores->show("s", {})).value();
  EXPECT_EQ(state.permits, 2);
  ASSERT_EQ(state.contenders.size(), 3U);
  EXPECT_TRUE(state.contenders[0].holds && state.contenders[1].holds && !state.contenders[2].holds);
  EXPECT_EQ(run(semaphores->show("none", {})).value().permits, 0);
}

// Whatever call of the store fails, and however: never more holders than permits, nobody is forgotten.
TEST_F(SemaphoresTest, EveryCallMayFail) {
  for (const auto fault : {WatchedStore::Fault::refused, WatchedStore::Fault::unknown_done,
                           WatchedStore::Fault::unknown_not_done}) {
    for (std::size_t call = 0;; ++call) {
      SCOPED_TRACE("call " + std::to_string(call) + ", fault " + std::to_string(static_cast<int>(fault)));
      std::vector<SessionPtr> sessions;
      for (std::int64_t id = 1; id <= 5; ++id) sessions.push_back(session(id, {.ttl = 10h}));
      world.store.fail_call(call, fault);
      std::vector<Acquiring> acquiring;
      for (const SessionPtr& one : sessions) {
        acquiring.push_back(acquire(one));
        world.advance(200ms);
      }
      for (std::size_t holder = 0; holder < 5; ++holder) {
        std::size_t served = 0;
        for (const Acquiring& one : acquiring) served += one.waits() ? 0U : 1U;
        ASSERT_EQ(served, std::min<std::size_t>(holder + 2, 5));
        ASSERT_TRUE(acquiring[holder].result().ok()) << acquiring[holder].result().status().to_string();
        ASSERT_EQ(release(*acquiring[holder].result()), Status());
        world.advance(200ms);
      }
      const bool failed = world.store.failed();
      EXPECT_EQ(run(semaphores->show("s", {})).value().contenders.size(), 0U);
      for (const SessionPtr& one : sessions) EXPECT_EQ(run(one->close({})), Status());
      if (!failed) break;
    }
  }
}

}  // namespace
}  // namespace lockstep::service
