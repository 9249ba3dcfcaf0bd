// Barriers as stories.
#include "service/barrier/barriers.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "service/contenders.h"
#include "service/names.h"
#include "service/testing/recipe_test.h"
#include "service/testing/unruly_store.h"
#include "service/waiting.h"

namespace lockstep::service {
namespace {

using testing::Running;
using testing::Strings;
using testing::WatchedStore;

class BarriersTest : public testing::RecipeTest {
 protected:
  using Entering = Running<Result<BarrierPassed>>;

  Entering enter(const SessionPtr& session, std::int64_t parties = 3, store::CallOptions options = {}) {
    Entering entering(enter_barrier(world.context, session, "b", parties, std::move(options)));
    world.settle();
    return entering;
  }
  Running<Status> leave(const SessionPtr& session, std::int64_t generation, store::CallOptions options = {}) {
    Running<Status> leaving(leave_barrier(world.context, session, "b", generation, std::move(options)));
    world.settle();
    return leaving;
  }
};

TEST_F(BarriersTest, SoManyGoOnTogetherAgainAndAgain) {
  const std::vector<SessionPtr> sessions{session(1), session(2), session(3)};
  for (std::int64_t generation = 1; generation <= 3; ++generation) {
    Entering a = enter(sessions[0]);
    Entering b = enter(sessions[1]);
    EXPECT_TRUE(a.waits() && b.waits());
    EXPECT_EQ(run(show_barrier(world.context, "b", {})).value().there, 2);
    Entering c = enter(sessions[2]);
    EXPECT_EQ(a.result()->generation, generation);
    EXPECT_EQ(b.result()->generation, generation);
    EXPECT_EQ(c.result()->generation, generation);
    EXPECT_LT(a.result()->token, c.result()->token);
  }
}

TEST_F(BarriersTest, TheyLeaveTogetherOrAreGone) {
  const SessionPtr a = session(1);
  const SessionPtr b = session(2);
  const SessionPtr c = session(3, {.ttl = 3s, .renewal = Renewal::by_holder});
  Entering by_a = enter(a);
  Entering by_b = enter(b);
  Entering by_c = enter(c);
  ASSERT_TRUE(by_a.result().ok() && by_b.result().ok() && by_c.result().ok());
  Running<Status> a_leaves = leave(a, 1);
  EXPECT_TRUE(a_leaves.waits());
  Running<Status> b_leaves = leave(b, 1);
  EXPECT_TRUE(a_leaves.waits() && b_leaves.waits());
  world.advance(4s);
  EXPECT_EQ(a_leaves.result(), Status());
  EXPECT_EQ(b_leaves.result(), Status());
  EXPECT_EQ(leave(a, 1).result(), errors::barrier_not_entered());
  EXPECT_EQ(leave(a, 0).result(), errors::barrier_not_entered());
  EXPECT_EQ(keys(), Strings{"lockstep/barriers/b"});
}

TEST_F(BarriersTest, WhoeverGivesUpIsNotCounted) {
  const SessionPtr a = session(1);
  const SessionPtr b = session(2);
  const SessionPtr c = session(3, {.ttl = 3s, .renewal = Renewal::by_holder});
  Entering timed = enter(a, 3, within(1s));
  std::stop_source stop;
  Entering stopped = enter(b, 3, within(1h, stop.get_token()));
  world.advance(1s);
  EXPECT_EQ(timed.result().status(), errors::wait_deadline_over());
  Entering dying = enter(c);
  stop.request_stop();
  world.settle();
  EXPECT_EQ(stopped.result().status(), errors::wait_cancelled());
  world.advance(4s);
  EXPECT_EQ(dying.result().status(), errors::session_lost());
  EXPECT_EQ(run(show_barrier(world.context, "b", {})).value().there, 0);
  std::vector<Entering> all;
  for (const SessionPtr& one : {a, b}) all.push_back(enter(one));
  EXPECT_TRUE(all[0].waits() && all[1].waits());
  all.push_back(enter(session(4)));
  for (Entering& one : all) EXPECT_TRUE(one.result().ok());
}

TEST_F(BarriersTest, WhoseKeyHadEndedIsNotOneOfThoseWhoGoOn) {
  const SessionPtr a = session(1);
  Entering ended = enter(a);
  const std::string key = keys().back();
  ASSERT_EQ(key, contender_key("lockstep/barriers/b/0000000000000001", a->id()));
  remove(key);  // as the end of its lease does, which its process has not heard of
  Entering b = enter(session(2));
  Entering c = enter(session(3));
  EXPECT_TRUE(b.waits() && c.waits());
  Entering d = enter(session(4));
  EXPECT_TRUE(b.result().ok() && c.result().ok() && d.result().ok());
  EXPECT_TRUE(ended.waits()) << "it waits with the next ones";
  Entering e = enter(session(5));
  Entering f = enter(session(6));
  EXPECT_EQ(ended.result()->generation, 2);
}

TEST_F(BarriersTest, TheNumberOfPartiesIsTheBarriers) {
  const SessionPtr a = session(1);
  Entering waiting = enter(a, 2, within(1s));
  EXPECT_EQ(enter(session(2), 3).result().status(), errors::barrier_differs());
  EXPECT_EQ(run(remove_barrier(world.context, "b", {})), errors::barrier_in_use());
  world.advance(1s);
  EXPECT_EQ(run(remove_barrier(world.context, "b", {})), Status());
  EXPECT_EQ(keys(), Strings{});
  EXPECT_EQ(enter(a, 1).result()->generation, 1) << "alone";
  for (const std::int64_t parties : {0LL, -1LL, 101LL}) {
    EXPECT_EQ(enter(a, parties).result().status(), errors::barrier_out_of_range());
  }
  EXPECT_EQ(run(enter_barrier(world.context, a, "", 1, {})).status(), errors::name_empty());
  for (const char* damaged : {"", "{}", "{\"parties\":1,\"generation\":0,\"last\":0}"}) {
    put("lockstep/barriers/b", damaged);
    EXPECT_EQ(enter(a, 1).result().status(), errors::barrier_damaged());
  }
}

TEST_F(BarriersTest, WhoeverCameTooLateAndMissedAGenerationHasNotPassed) {
  testing::UnrulyStore far_store(world.store.strand, world.store, 7);
  far_store.unruliness = {.refused_percent = 0, .unknown_percent = 0, .delay_us_max = 0};
  const Context far{far_store, world.store.strand, world.store.strand, world.random};
  const SessionPtr a = session(1, {.ttl = 1h});
  const SessionPtr b = session(2, {.ttl = 1h});
  const SessionPtr c = session(3, {.ttl = 1h});
  const SessionPtr c_far =
      run(adopt_session(far, LeaseId(3), {.ttl = 1h, .renewal = Renewal::elsewhere}, {})).value();
  const auto by = [&](const Context& context, const SessionPtr& who) {
    Running<Result<BarrierPassed>> entering(enter_barrier(context, who, "b", 2, {}));
    world.settle();
    return entering;
  };
  auto by_a = by(world.context, a);
  // Set up, join, look, begin the next: that is refused, and tried again 100 ms later.
  world.store.fail_call(3, WatchedStore::Fault::refused);
  auto by_b = by(world.context, b);
  ASSERT_TRUE(by_a.waits() && by_b.waits());
  // The third of that generation, which then reaches nothing for a while.
  auto by_c = by(far, c_far);
  for (int step = 0; step < 20 && keys().size() < 4; ++step) world.advance(1ms, 1ms);
  ASSERT_EQ(keys().size(), 4U);
  far_store.unruliness.refused_percent = 100;
  world.advance(300ms);
  ASSERT_TRUE(by_a.result().ok() && by_b.result().ok());
  ASSERT_TRUE(by_c.waits());
  auto again_a = by(world.context, a);
  auto again_b = by(world.context, b);
  world.advance(300ms);
  ASSERT_TRUE(again_a.result().ok() && again_b.result().ok());
  far_store.unruliness.refused_percent = 0;
  world.advance(1s);
  ASSERT_TRUE(by_c.waits()) << "generation " << by_c.result()->generation << " had two parties already";
  auto with_c = by(world.context, a);
  world.advance(1s);
  EXPECT_EQ(by_c.result()->generation, 3);
  EXPECT_EQ(with_c.result()->generation, 3);
}

TEST_F(BarriersTest, WhoeverHasPassedLearnsItAlsoWhenItMissedAGeneration) {
  testing::UnrulyStore far_store(world.store.strand, world.store, 7);
  far_store.unruliness = {.refused_percent = 0, .unknown_percent = 0, .delay_us_max = 0};
  const Context far{far_store, world.store.strand, world.store.strand, world.random};
  const SessionPtr a = session(1, {.ttl = 1h});
  const SessionPtr b = session(2, {.ttl = 1h});
  const SessionPtr c = session(3, {.ttl = 1h});
  const SessionPtr c_far =
      run(adopt_session(far, LeaseId(3), {.ttl = 1h, .renewal = Renewal::elsewhere}, {})).value();
  Running<Result<BarrierPassed>> by_c(enter_barrier(far, c_far, "b", 2, {}));
  world.advance(100ms);
  far_store.unruliness.refused_percent = 100;
  Running<Result<BarrierPassed>> with_c(enter_barrier(world.context, a, "b", 2, {}));
  world.advance(100ms);
  ASSERT_TRUE(with_c.result().ok());
  Running<Result<BarrierPassed>> again_a(enter_barrier(world.context, a, "b", 2, {}));
  Running<Result<BarrierPassed>> again_b(enter_barrier(world.context, b, "b", 2, {}));
  world.advance(300ms);
  ASSERT_TRUE(again_a.result().ok() && again_b.result().ok());
  far_store.unruliness.refused_percent = 0;
  world.advance(1s);
  ASSERT_FALSE(by_c.waits());
  EXPECT_EQ(by_c.result()->generation, 1);
}

TEST_F(BarriersTest, WhoeverIsToldThatItsTimeIsOverHasLeft) {
  const SessionPtr a = session(1, {.ttl = 1h});
  const SessionPtr b = session(2, {.ttl = 1h});
  Running<Result<BarrierPassed>> by_a(enter_barrier(world.context, a, "b", 2, {}));
  Running<Result<BarrierPassed>> by_b(enter_barrier(world.context, b, "b", 2, {}));
  world.advance(200ms);
  ASSERT_TRUE(by_a.result().ok() && by_b.result().ok());
  const std::size_t before = keys().size();
  EXPECT_EQ(run(leave_barrier(world.context, a, "b", 1, within(Duration()))), errors::wait_deadline_over());
  EXPECT_EQ(keys().size(), before - 1);
  // Also if the store was away at that time.
  world.store.down = true;
  Running<Status> leaving(leave_barrier(world.context, b, "b", 1, within(1s)));
  world.advance(40s);
  EXPECT_EQ(leaving.result(), errors::wait_deadline_over());
  world.store.down = false;
  world.advance(1s);
  EXPECT_EQ(keys().size(), before - 2);
}

TEST_F(BarriersTest, WhoeverIsRefusedByAnOverloadedOrAbsentStoreIsNotCounted) {
  for (const bool is_away : {false, true}) {
    const SessionPtr a = session(is_away ? 3 : 1, {.ttl = 1h});
    const SessionPtr b = session(is_away ? 4 : 2, {.ttl = 1h});
    std::stop_source stop;
    Running<Result<BarrierPassed>> by_a(
        enter_barrier(world.context, a, "b", 2, within(1h, stop.get_token())));
    world.settle();
    if (!is_away) world.store.next_txn = WatchedStore::Fault::overloaded;
    world.store.down = is_away;
    stop.request_stop();
    world.advance(is_away ? 40s : 1s);
    ASSERT_FALSE(by_a.result().ok());
    EXPECT_EQ(by_a.result().status().code(), is_away ? Code::unknown_outcome : Code::cancelled);
    world.store.down = false;
    world.advance(1s);
    Running<Result<BarrierPassed>> by_b(enter_barrier(world.context, b, "b", 2, within(2s)));
    world.advance(1s);
    EXPECT_TRUE(by_b.waits()) << "alone";
    world.advance(3s);
  }
}

TEST_F(BarriersTest, EveryCallMayFail) {
  for (const auto fault : {WatchedStore::Fault::refused, WatchedStore::Fault::unknown_done,
                           WatchedStore::Fault::unknown_not_done}) {
    for (std::size_t call = 0;; ++call) {
      SCOPED_TRACE("call " + std::to_string(call) + ", fault " + std::to_string(static_cast<int>(fault)));
      std::vector<SessionPtr> sessions;
      for (std::int64_t id = 1; id <= 4; ++id) sessions.push_back(session(id, {.ttl = 1h}));
      world.store.fail_call(call, fault);
      std::stop_source stop;
      Entering gone = enter(sessions[3], 3, within(1h, stop.get_token()));
      stop.request_stop();
      world.advance(500ms);
      EXPECT_EQ(gone.result().status(), errors::wait_cancelled());
      std::vector<Entering> all;
      for (std::size_t number = 0; number < 3; ++number) {
        for (Entering& one : all) EXPECT_TRUE(one.waits());
        all.push_back(enter(sessions[number]));
        world.advance(300ms);
      }
      std::vector<Running<Status>> leaving;
      for (std::size_t number = 0; number < 3; ++number) {
        ASSERT_TRUE(all[number].result().ok());
        EXPECT_EQ(all[number].result()->generation, all[0].result()->generation);
        leaving.push_back(leave(sessions[number], all[number].result()->generation));
        world.advance(300ms);
      }
      for (Running<Status>& one : leaving) EXPECT_EQ(one.result(), Status());
      const bool failed = world.store.failed();
      for (const SessionPtr& one : sessions) EXPECT_EQ(run(one->close({})), Status());
      EXPECT_EQ(keys(), Strings{"lockstep/barriers/b"});
      if (!failed) break;
    }
  }
}

}  // namespace
}  // namespace lockstep::service
