// Elections by sessions as stories.
#include "service/election/elections.h"

#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "service/names.h"
#include "service/testing/recipe_test.h"

namespace lockstep::service {
namespace {

using testing::Running;
using testing::Strings;
using testing::WatchedStore;

class ElectionsTest : public testing::RecipeTest {
 protected:
  using Campaigning = Running<Result<Elected>>;

  Campaigning campaign(const SessionPtr& session, const std::string& value, store::CallOptions options = {}) {
    Campaigning campaigning(elections->campaign(session, {.name = "e", .value = value}, std::move(options)));
    world.settle();
    return campaigning;
  }
  std::string leader() {
    const Result<Leader> leader = run(elections->leader("e", {}));
    return leader.ok() ? leader->kv.value : leader.status().to_string();
  }
  void TearDown() override {
    elections.reset();
    world.settle();
  }
  std::unique_ptr<Elections> elections = std::make_unique<Elections>(world.context);
};

TEST_F(ElectionsTest, ALeaderSpeaksUntilItResigns) {
  EXPECT_EQ(leader(), errors::no_leader().to_string());
  Campaigning a = campaign(session(1), "a");
  Campaigning b = campaign(session(2), "b");
  ASSERT_TRUE(a.result().ok());
  EXPECT_TRUE(b.waits());
  EXPECT_EQ(run(elections->proclaim(a.result()->leadership(), "a2", {})).status(), Status());
  EXPECT_EQ(leader(), "a2");
  EXPECT_EQ(run(elections->resign(a.result()->leadership(), {})).status(), Status());
  ASSERT_TRUE(b.result().ok());
  EXPECT_GT(b.result()->token, a.result()->token);
  EXPECT_EQ(run(elections->proclaim(a.result()->leadership(), "late", {})).status(), errors::not_leader());
  EXPECT_EQ(run(elections->resign(a.result()->leadership(), {})).status(), errors::not_leader());
  EXPECT_EQ(leader(), "b");
}

TEST_F(ElectionsTest, CampaigningAgainChangesTheValue) {
  const SessionPtr a = session(1);
  Campaigning first = campaign(a, "a");
  Campaigning again = campaign(a, "a2");
  EXPECT_EQ(again.result()->token, first.result()->token);
  EXPECT_EQ(leader(), "a2");
  EXPECT_EQ(run(elections->campaign(session(2), {.name = "e", .value = "b", .wait = false}, {})).status(),
            errors::somebody_leads());
  EXPECT_EQ(keys(), Strings{"e/1"});
}

TEST_F(ElectionsTest, ALeadersEndElectsTheNext) {
  Campaigning a = campaign(session(1, {.ttl = 3s, .renewal = Renewal::by_holder}), "a");
  Campaigning b = campaign(session(2, {.ttl = 1h}), "b");
  world.advance(4s);
  EXPECT_TRUE(b.result().ok());
  EXPECT_EQ(leader(), "b");
}

TEST_F(ElectionsTest, AnObserverSeesLeadersAndValuesAndMayAskAgain) {
  auto watch = std::make_unique<LeaderWatch>(elections->observe("e", {}));
  EXPECT_EQ(run(watch->next(within(10ms))).status(), errors::wait_deadline_over());
  Campaigning a = campaign(session(1), "a");
  EXPECT_EQ(run(watch->next({})).value().kv.value, "a");
  Running<Result<Leader>> next(watch->next({}));
  world.settle();
  EXPECT_TRUE(next.waits());
  EXPECT_EQ(run(elections->proclaim(a.result()->leadership(), "a2", {})).status(), Status());
  EXPECT_EQ(next.result()->kv.value, "a2");
  std::stop_source stop;
  Running<Result<Leader>> stopped(watch->next(within(1h, stop.get_token())));
  stop.request_stop();
  world.settle();
  EXPECT_EQ(stopped.result().status(), errors::wait_cancelled());
  Campaigning b = campaign(session(2), "b");
  EXPECT_EQ(run(elections->resign(a.result()->leadership(), {})).status(), Status());
  EXPECT_EQ(run(watch->next({})).value().kv.value, "b");
  EXPECT_EQ(run(watch->next(within(10ms))).status(), errors::wait_deadline_over());
  watch.reset();
  EXPECT_EQ(run(elections->resign(b.result()->leadership(), {})).status(), Status());
}

TEST_F(ElectionsTest, WrongRequestsChangeNothing) {
  const SessionPtr a = session(1);
  const std::string large(leader_value_bytes_max + 1, 'v');
  EXPECT_EQ(run(elections->campaign(a, {.name = "", .value = "v"}, {})).status(), errors::name_empty());
  EXPECT_EQ(run(elections->campaign(a, {.name = "e", .value = large}, {})).status(),
            errors::leader_value_too_large());
  EXPECT_EQ(run(elections->proclaim({"e/1", Revision(), LeaseId(1)}, "v", {})).status(),
            errors::not_leader());
  EXPECT_EQ(keys(), Strings{});
}

TEST_F(ElectionsTest, EveryCallMayFail) {
  for (const auto fault : {WatchedStore::Fault::refused, WatchedStore::Fault::unknown_done,
                           WatchedStore::Fault::unknown_not_done}) {
    for (std::size_t call = 0;; ++call) {
      SCOPED_TRACE("call " + std::to_string(call) + ", fault " + std::to_string(static_cast<int>(fault)));
      const SessionPtr a = session(1, {.ttl = 1h});
      const SessionPtr b = session(2, {.ttl = 1h});
      world.store.fail_call(call, fault);
      Campaigning by_a = campaign(a, "a");
      world.advance(200ms);
      Campaigning by_b = campaign(b, "b");
      world.advance(200ms);
      ASSERT_TRUE(by_a.result().ok());
      EXPECT_TRUE(by_b.waits());
      EXPECT_EQ(run(elections->resign(by_a.result()->leadership(), {})).status(), Status());
      world.advance(200ms);
      ASSERT_TRUE(by_b.result().ok());
      EXPECT_EQ(run(elections->resign(by_b.result()->leadership(), {})).status(), Status());
      const bool failed = world.store.failed();
      for (const SessionPtr& one : {a, b}) EXPECT_EQ(run(one->close({})), Status());
      EXPECT_EQ(keys(), Strings{});
      if (!failed) break;
    }
  }
}

}  // namespace
}  // namespace lockstep::service
