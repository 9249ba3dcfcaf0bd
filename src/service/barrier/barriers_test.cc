// Barriers as stories.
#include "service/barrier/barriers.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "service/names.h"
#include "service/testing/recipe_test.h"
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
