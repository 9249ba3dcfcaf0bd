// Sessions as stories: how they live, and above all how they end.
#include "service/session/session.h"

#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "service/testing/watched_store.h"

namespace lockstep::service {
namespace {

using testing::Running;
using testing::WatchedStore;
using testing::World;

class SessionTest : public ::testing::Test {
 protected:
  SessionPtr open(SessionOptions options = {}) {
    Running<Result<SessionPtr>> opening(open_session(world.context, options, {}));
    world.advance(100ms);
    return *opening.result();
  }
  Status adopt(LeaseId id, SessionOptions options, SessionPtr& adopted) {
    Running<Result<SessionPtr>> adopting(adopt_session(world.context, id, options, {}));
    world.settle();
    if (adopting.result().ok()) adopted = *adopting.result();
    return adopting.result().status();
  }
  Status close(Session& session) {
    Running<Status> closing(session.close({}));
    world.advance(100ms);
    return closing.result();
  }
  std::size_t leases() {
    std::size_t count = 0;
    world.store.lease_leases(
        {}, [&](const Result<store::LeaseLeasesResponse>& all) { count = all->leases.size(); });
    return count;
  }
  World world;
};

TEST_F(SessionTest, ItIsRenewedAsLongAsSomebodyHoldsIt) {
  SessionPtr session = open({.ttl = 3s});
  world.advance(60s);
  EXPECT_TRUE(session->alive());
  EXPECT_NEAR(world.store.renewals, 60, 2) << "once a third of the ttl";
  session.reset();
  EXPECT_EQ(leases(), 1U) << "dropping it gives up nothing";
  world.advance(3s);
  EXPECT_EQ(leases(), 0U);
}

TEST_F(SessionTest, TheHolderKnowsOfItsEndBeforeTheStoreEndsIt) {
  const SessionPtr session = open({.ttl = 3s, .lock_delay = 2s});
  world.advance(5s);
  world.store.cut_off = true;
  std::optional<TimePoint> told;
  const std::stop_callback on_over(session->over(), [&] { told = world.store.strand.now(); });
  while (!told.has_value()) world.advance(10ms);
  EXPECT_EQ(session->state(), errors::session_lost());
  EXPECT_FALSE(session->alive());
  EXPECT_EQ(leases(), 1U) << "its keys stay for the lock delay";
  world.store.cut_off = false;
  const int renewals = world.store.renewals;
  world.advance(1900ms);
  EXPECT_EQ(leases(), 1U);
  world.advance(200ms);
  EXPECT_EQ(leases(), 0U);
  EXPECT_EQ(world.store.renewals, renewals) << "nothing is renewed after the loss";
}

TEST_F(SessionTest, AProcessThatWasStoppedSeesItsLossOnItsFirstStep) {
  const SessionPtr session = open({.ttl = 3s});
  world.store.strand.advance(4s);  // and nothing has run yet
  EXPECT_EQ(session->state(), errors::session_lost());
  Running<Status> renewing(session->renew({}));
  EXPECT_EQ(renewing.result(), errors::session_lost());
  EXPECT_TRUE(session->over().stop_requested());
}

TEST_F(SessionTest, ALeaseEndedByTheStoreIsNoticedByTheNextRenewal) {
  const SessionPtr session = open({.ttl = 3s});
  world.store.lease_revoke({session->id()}, {}, [](const Result<store::LeaseRevokeResponse>&) {});
  world.advance(1s);
  EXPECT_EQ(session->state(), errors::session_lost());
}

TEST_F(SessionTest, LostRenewalsAreRepeatedInTime) {
  const SessionPtr session = open({.ttl = 3s});
  for (int round = 0; round < 20; ++round) {
    world.store.cut_off = true;
    world.advance(1900ms);
    world.store.cut_off = false;
    world.advance(500ms);
    ASSERT_TRUE(session->alive()) << round;
  }
}

TEST_F(SessionTest, ItsLifeHasAnUpperLimit) {
  const SessionPtr session = open({.ttl = 3s, .life_max = 7s});
  world.advance(6800ms);
  EXPECT_TRUE(session->alive());
  world.advance(200ms);
  EXPECT_EQ(session->state(), errors::session_life_over());
  EXPECT_TRUE(session->over().stop_requested());
}

TEST_F(SessionTest, ClosingGivesUpAtOnceAlsoAfterUnknownOutcomes) {
  for (const auto fault : {WatchedStore::Fault::unknown_done, WatchedStore::Fault::unknown_not_done,
                           WatchedStore::Fault::refused}) {
    const SessionPtr session = open();
    world.store.fail_call(0, fault);
    EXPECT_EQ(close(*session), Status());
    EXPECT_TRUE(world.store.failed());
    EXPECT_EQ(session->state(), errors::session_closed());
    EXPECT_TRUE(session->over().stop_requested());
    EXPECT_EQ(leases(), 0U);
    EXPECT_EQ(close(*session), Status()) << "again";
  }
}

TEST_F(SessionTest, AnUnknownGrantIsRepeatedForTheSameLease) {
  for (const auto fault : {WatchedStore::Fault::unknown_done, WatchedStore::Fault::unknown_not_done}) {
    world.store.fail_call(0, fault);
    const SessionPtr session = open();
    EXPECT_TRUE(session->alive());
    EXPECT_EQ(leases(), 1U);
    EXPECT_EQ(close(*session), Status());
  }
}

TEST_F(SessionTest, AdoptedWithinItsTtlItLivesOn) {
  SessionPtr session = open({.ttl = 3s});
  const LeaseId id = session->id();
  session.reset();
  world.advance(2s);
  SessionPtr adopted;
  EXPECT_EQ(adopt(id, {}, adopted), Status());
  EXPECT_EQ(adopted->ttl(), 3s);
  world.advance(10s);
  EXPECT_TRUE(adopted->alive());
  adopted.reset();
  world.advance(3s + 1ms);
  EXPECT_EQ(adopt(id, {}, adopted), errors::session_not_found());
}

TEST_F(SessionTest, InItsLockDelayItIsNotAdopted) {
  SessionPtr session = open({.ttl = 3s, .lock_delay = 3s});
  const LeaseId id = session->id();
  session.reset();
  world.advance(3s);
  SessionPtr adopted;
  EXPECT_EQ(adopt(id, {.lock_delay = 3s}, adopted), errors::session_not_found());
  EXPECT_EQ(leases(), 1U);
}

TEST_F(SessionTest, RenewedElsewhereItLivesAsLongAsTheStoreSays) {
  SessionPtr holder = open({.ttl = 3s});
  SessionPtr here;
  EXPECT_EQ(adopt(holder->id(), {.renewal = Renewal::elsewhere}, here), Status());
  const int renewals = world.store.renewals;
  world.advance(30s);
  EXPECT_TRUE(here->alive());
  EXPECT_NEAR(world.store.renewals - renewals, 30, 2) << "only the holder's";
  holder.reset();
  world.advance(4s);
  EXPECT_EQ(here->state(), errors::session_lost());
  EXPECT_TRUE(here->over().stop_requested());
}

TEST_F(SessionTest, RenewedByItsHolderItEndsWhenThatStops) {
  const SessionPtr session = open({.ttl = 3s, .renewal = Renewal::by_holder});
  for (int round = 0; round < 5; ++round) {
    world.advance(2s);
    Running<Status> renewing(session->renew({}));
    EXPECT_EQ(renewing.result(), Status());
  }
  EXPECT_EQ(world.store.renewals, 5);
  world.advance(3s);
  EXPECT_EQ(session->state(), errors::session_lost());
}

TEST_F(SessionTest, BoundsAreChecked) {
  const std::vector<SessionOptions> wrong{{.ttl = 0s},
                                          {.ttl = -1s},
                                          {.ttl = 99ms},
                                          {.ttl = session_ttl_max + 1ns},
                                          {.ttl = Duration::max()},
                                          {.lock_delay = -1ns},
                                          {.lock_delay = lock_delay_max + 1ns},
                                          {.life_max = 0s},
                                          {.life_max = Duration::max()}};
  for (const SessionOptions& options : wrong) {
    Running<Result<SessionPtr>> opening(open_session(world.context, options, {}));
    EXPECT_EQ(opening.result().status(), errors::session_options_wrong());
  }
  EXPECT_EQ(leases(), 0U);
}

}  // namespace
}  // namespace lockstep::service
