// What a coordinator does while it still reads what stands in the store.
#include <gtest/gtest.h>

#include "service/store_requests.h"
#include "service/transaction/keys.h"
#include "service/transaction/testing_transactions.h"

namespace lockstep::service::transaction::testing {
namespace {

// More than the first pages hold: 16 keys, then 64.
constexpr int tombstones = 100;

class TakingOverTest : public TransactionTest {
 protected:
  void SetUp() override {
    for (int i = 0; i < tombstones; ++i)
      put(remembered_key("old" + std::to_string(i)), R"({"mode":"tcc","state":"committed"})");
  }
  void TearDown() override {
    world.store.held_prefix.clear();
    while (world.store.answer_held()) continue;
    TransactionTest::TearDown();
  }
  void put(const std::string& key, const std::string& value) {
    world.store.put(put_of(key, value, LeaseId()), {},
                    [](const Result<store::PutResponse>& done) { LS_MUST(done.ok()); });
  }
  // It waits for its first page of what lies below.
  void take_over(std::string_view held) {
    world.store.held_prefix = held;
    start();
    coordinator->lead(true);
    world.advance(100ms);
    EXPECT_TRUE(coordinator->figures().coordinates);
  }
};

TEST_F(TakingOverTest, WhatIsNewDoesNotWaitUntilAllThatIsRememberedIsRead) {
  take_over(remembered_prefix);
  EXPECT_EQ(submit("t1", Mode::tcc, tried_branches()), Status());
  ASSERT_TRUE(world.store.answer_held());
  world.advance(100ms);
  EXPECT_EQ(participants.show(), "try stock 1, try pay 1, confirm pay 1, confirm stock 1");
  EXPECT_EQ(submit("t2", Mode::tcc, two_branches()), Status());
  EXPECT_EQ(decide("t2", true), Status());
  ASSERT_TRUE(world.store.answer_held()) << "there is another page";
  world.advance(100ms);
  EXPECT_EQ(participants.show(), "confirm pay 1, confirm stock 1");
  world.store.held_prefix = finished_prefix;
  while (world.store.answer_held()) continue;
  EXPECT_EQ(submit("t3", Mode::tcc, "{}"), Status());
  EXPECT_EQ(decide("t3", true), Status());
  EXPECT_EQ(coordinator->figures().unfinished, 0U);
}

// Neither while it reads what it has to do, nor while it reads what is over.
TEST_F(TakingOverTest, WhoeverLosesTheOfficeMeanwhileReadsAndSendsNothingMore) {
  for (int i = 0; i < 100; ++i) {
    const std::string gid = "t" + std::to_string(i);
    EXPECT_EQ(submit(gid, Mode::tcc, two_branches()), Status());
    EXPECT_EQ(decide(gid, true), Status());
  }
  for (const std::string_view held : {unfinished_prefix, remembered_prefix, finished_prefix}) {
    for (const bool resigns : {true, false}) {
      take_over(held);
      if (resigns) {
        coordinator->lead(false);
      } else {
        world.store.down = true;  // its lease ends, and it knows
        world.advance(6s);
      }
      participants.show();
      ASSERT_TRUE(world.store.answer_held());
      world.advance(100ms);
      EXPECT_FALSE(coordinator->figures().coordinates) << held << resigns;
      EXPECT_FALSE(world.store.answer_held()) << held << resigns;
      if (held == unfinished_prefix)
        EXPECT_EQ(participants.show(), "") << "not even of the page that came late";
      world.store.down = false;
      kill();
      while (world.store.answer_held()) continue;
      world.advance(6s);
    }
  }
}

TEST_F(TakingOverTest, WhoeverIsDeposedMeanwhileReadsNothingMore) {
  for (const std::string_view held : {unfinished_prefix, remembered_prefix, finished_prefix}) {
    for (int i = 0; i < 100; ++i) {
      const std::string gid = "t" + std::to_string(i);
      EXPECT_TRUE(submit(gid, Mode::tcc, two_branches()).ok() || held != unfinished_prefix);
    }
    take_over(held);
    put(std::string(coordinator_key), "another");
    ASSERT_TRUE(world.store.answer_held());
    EXPECT_FALSE(world.store.answer_held()) << held;
    EXPECT_FALSE(coordinator->figures().coordinates);
    kill();
    world.advance(6s);
  }
}

// By a build whose rules were looser: it goes on, and its owner goes on with it.
TEST_F(TakingOverTest, WhatWasSubmittedByLooserRulesGoesOn) {
  const std::string more = R"("retry":{"timeout":"2m"},"headers":{"X_Y":"1","te":"trailers"})";
  EXPECT_EQ(submit("new", Mode::notification, R"({"targets":[{"url":"http://a/"}],)" + more + "}").code(),
            Code::invalid_argument);
  put(definition_key("n1"), R"({"targets":[{"url":"http://a/"}],)" + more + "}");
  put(unfinished_key("n1"), R"({"mode":"notification","state":"submitted"})");
  put(definition_key("t1"), "{" + more + "}");
  put(unfinished_key("t1"), R"({"mode":"tcc","state":"trying"})");
  start();
  coordinator->lead(true);
  world.advance(1s);
  EXPECT_EQ(verdict("n1"), "committed");
  EXPECT_EQ(participants.show(), "deliver 1 1");
  const std::string branch = R"({"id":"a","confirm":"http://a/","cancel":"http://a/")";
  EXPECT_EQ(run(transactions.register_branch("t1", branch + "," + more + "}", {})).status().code(),
            Code::invalid_argument);
  EXPECT_TRUE(run(transactions.register_branch("t1", branch + "}", {})).ok());
  EXPECT_EQ(decide("t1", true), Status());
  world.advance(1s);
  EXPECT_EQ(verdict("t1"), "committed");
  EXPECT_TRUE(alarms.empty());
}

}  // namespace
}  // namespace lockstep::service::transaction::testing
