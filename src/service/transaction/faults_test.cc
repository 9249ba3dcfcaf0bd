// Whatever fails, dies or comes twice: no transaction ends mixed, none is lost, nothing is called once it is
// final.
#include <functional>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "service/transaction/testing_transactions.h"

namespace lockstep::service::transaction::testing {
namespace {

using Fault = service::testing::WatchedStore::Fault;
using Heard = ScriptedParticipants::Heard;

// One world after the other, within one test.
class Scene final : public TransactionTest {
 public:
  Scene() {
    start();
    world.advance(100ms);
    coordinator->lead(true);
    world.advance(100ms);
  }
  ~Scene() override { TearDown(); }
  Scene(const Scene&) = delete;
  Scene& operator=(const Scene&) = delete;
  void TestBody() override {}

  using TransactionTest::coordinator;
  using TransactionTest::decide;
  using TransactionTest::other;
  using TransactionTest::participants;
  using TransactionTest::restart;
  using TransactionTest::submit;
  using TransactionTest::tried_branches;
  using TransactionTest::two_branches;
  using TransactionTest::verdict;
  using TransactionTest::world;

  // Both outcomes, and one that waits for its owner.
  void submit_all() {
    participants.answer("try bad", {409});
    const std::string refused =
        R"({"branches":[{"id":"stock","try":"http://s/","confirm":"http://s/","cancel":"http://s/"},)"
        R"({"id":"bad","try":"http://b/","confirm":"http://b/","cancel":"http://b/"}]})";
    const std::string saga = R"({"steps":[{"name":"a","action":"http://a/do","compensate":"http://a/undo"},)"
                             R"({"name":"bad","action":"http://b/do","compensate":"http://b/undo"}]})";
    participants.answer("action bad", {409});
    submit_once("good", Mode::tcc, tried_branches());
    submit_once("refused", Mode::tcc, refused);
    submit_once("owned", Mode::tcc, two_branches());
    submit_once("saga", Mode::saga, saga);
    decide_once("owned", true);
  }
  // What stands there at the end, and what was called on the way.
  void expect_all_well(const std::string& where) {
    world.advance(40s, 20ms);
    const std::size_t heard = participants.heard().size();
    EXPECT_EQ(verdict("good"), "committed") << where;
    EXPECT_EQ(verdict("refused"), "aborted") << where;
    EXPECT_EQ(verdict("owned"), "committed") << where;
    EXPECT_EQ(verdict("saga"), "aborted") << where;
    std::map<std::string, std::set<std::string>> called;
    for (const Heard& one : participants.heard()) called[one.gid].insert(one.operation + " " + one.branch);
    // What another coordinator may have sent before is undone, though it was refused.
    called["refused"].erase("cancel bad");
    called["saga"].erase("compensate bad");
    EXPECT_EQ(called["good"], (std::set<std::string>{"try stock", "try pay", "confirm pay", "confirm stock"}))
        << where;
    EXPECT_EQ(called["refused"], (std::set<std::string>{"try stock", "try bad", "cancel stock"})) << where;
    EXPECT_EQ(called["owned"], (std::set<std::string>{"confirm pay", "confirm stock"})) << where;
    EXPECT_EQ(called["saga"], (std::set<std::string>{"action a", "action bad", "compensate a"})) << where;
    world.advance(30s, 100ms);
    EXPECT_EQ(participants.heard().size(), heard) << where << ": called after the end";
  }

 private:
  // Clients repeat what is unknown or refused.
  void submit_once(const std::string& gid, Mode mode, const std::string& document) {
    for (int i = 0; i < 5; ++i) {
      if (submit(gid, mode, document).ok()) return;
    }
    ADD_FAILURE() << gid << " was not submitted";
  }
  void decide_once(const std::string& gid, bool commit) {
    for (int i = 0; i < 5; ++i) {
      if (decide(gid, commit).ok()) return;
    }
    ADD_FAILURE() << gid << " was not decided";
  }
};

TEST(TransactionFaultsTest, EveryCallOfTheStoreFailsOnceInEveryWay) {
  for (const Fault fault :
       {Fault::refused, Fault::unknown_done, Fault::unknown_not_done, Fault::overloaded}) {
    bool happened = true;
    for (std::size_t call = 0; happened; ++call) {
      ASSERT_LT(call, 200U);
      Scene scene;
      scene.world.store.fail_call(call, fault);
      scene.submit_all();
      scene.world.advance(2s);
      happened = scene.world.store.failed();
      scene.expect_all_well("fault " + std::to_string(static_cast<int>(fault)) + " of call " +
                            std::to_string(call));
      if (::testing::Test::HasFailure()) return;
    }
  }
}

TEST(TransactionFaultsTest, TheCoordinatorIsKilledBeforeAndAfterEachWrite) {
  for (const Fault fault : {Fault::unknown_done, Fault::unknown_not_done}) {
    bool happened = true;
    for (std::size_t call = 0; happened; ++call) {
      ASSERT_LT(call, 200U);
      Scene scene;
      scene.submit_all();
      scene.world.store.fail_call(call, fault);
      for (int step = 0; step < 300 && !scene.world.store.failed_yet(); ++step) scene.world.advance(1ms, 1ms);
      happened = scene.world.store.failed();
      scene.restart();
      scene.expect_all_well("killed at call " + std::to_string(call) + ", " +
                            std::to_string(static_cast<int>(fault)));
      if (::testing::Test::HasFailure()) return;
    }
  }
}

TEST(TransactionFaultsTest, TheCoordinatorIsKilledAtEachSendAndAtEachAnswer) {
  for (const Duration later : {Duration{}, Duration(2ms)}) {
    bool happened = true;
    for (std::size_t send = 0; happened; ++send) {
      ASSERT_LT(send, 100U);
      Scene scene;
      happened = false;
      scene.participants.on_call = [&](const Heard&) {
        if (scene.participants.heard().size() != send + 1) return;
        happened = true;
        scene.world.store.strand.schedule(scene.world.store.strand.now() + later, [&] { scene.restart(); });
      };
      scene.submit_all();
      scene.expect_all_well("killed at send " + std::to_string(send));
      if (::testing::Test::HasFailure()) return;
    }
  }
}

TEST(TransactionFaultsTest, TwoCoordinatorsThatTakeOverFromEachOtherAllTheTime) {
  Scene scene;
  scene.other = std::make_unique<Coordinator>(scene.world.context, scene.participants, CoordinatorOptions{});
  scene.submit_all();
  for (int i = 0; i < 60; ++i) {
    Coordinator& next = i % 2 == 0 ? *scene.other : *scene.coordinator;
    next.lead(false);
    next.lead(true);
    scene.world.advance(Duration(std::chrono::milliseconds(1 + i % 7)), 1ms);
  }
  scene.expect_all_well("two coordinators");
}

TEST(TransactionFaultsTest, ALimitOfAttemptsHoldsAcrossTakeOvers) {
  Scene scene;
  scene.participants.answer("deliver 1", {500});
  EXPECT_EQ(scene.submit("n", Mode::notification,
                         R"({"targets":[{"url":"http://a/"}],"retry":{"attempts_max":5,"interval":"1s"}})"),
            Status());
  for (int i = 0; i < 10; ++i) {
    scene.world.advance(std::chrono::milliseconds(200 + 137 * i), 1ms);
    scene.restart();
  }
  scene.world.advance(60s);
  EXPECT_EQ(scene.verdict("n"), "failed");
  EXPECT_LE(scene.participants.heard().size(), 5U);
  EXPECT_GE(scene.participants.heard().size(), 1U);
}

TEST(TransactionFaultsTest, TimeWithoutACoordinatorIsNotCounted) {
  Scene scene;
  EXPECT_EQ(scene.submit("t", Mode::tcc, Scene::two_branches(R"(,"timeout":"20s")")), Status());
  scene.world.advance(5s);
  scene.coordinator.reset();
  scene.world.advance(3600s, 1s);
  scene.restart();
  scene.world.advance(10s);
  EXPECT_EQ(scene.verdict("t"), "trying") << "fifteen seconds of twenty";
  EXPECT_EQ(scene.decide("t", true), Status());
  scene.world.advance(1s);
  EXPECT_EQ(scene.verdict("t"), "committed");
}

TEST(TransactionFaultsTest, TokensOnlyGrow) {
  Scene scene;
  scene.submit_all();
  for (int i = 0; i < 5; ++i) {
    scene.world.advance(2ms, 1ms);
    scene.restart();
  }
  scene.world.advance(5s);
  std::int64_t last = 0;
  for (const Heard& heard : scene.participants.heard()) {
    EXPECT_GE(heard.token, last);
    last = heard.token;
  }
  EXPECT_GT(last, 0);
}

}  // namespace
}  // namespace lockstep::service::transaction::testing
