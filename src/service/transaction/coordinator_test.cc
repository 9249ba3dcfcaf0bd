// Transactions driven to their ends, on a store in memory, a clock moved by hand and participants by script.
#include <gtest/gtest.h>

#include "service/transaction/testing_transactions.h"

namespace lockstep::service::transaction::testing {
namespace {

class CoordinatorTest : public TransactionTest {
 protected:
  void SetUp() override {
    start();
    world.advance(500ms);
  }
};

TEST_F(CoordinatorTest, ATccWhoseOwnerTriesIsConfirmedNewestFirst) {
  EXPECT_EQ(submit("t1", Mode::tcc, two_branches()), Status());
  world.advance(3s);
  EXPECT_EQ(participants.show(), "") << "nobody decided";
  EXPECT_EQ(verdict("t1"), "trying");
  EXPECT_EQ(decide("t1", true), Status());
  world.advance(100ms);
  EXPECT_EQ(participants.show(), "confirm pay 1, confirm stock 1");
  EXPECT_EQ(verdict("t1"), "committed");
  world.advance(60s);
  EXPECT_EQ(participants.show(), "") << "never again";
}

TEST_F(CoordinatorTest, ATccThatTheCoordinatorTriesDecidesByItself) {
  EXPECT_EQ(submit("t1", Mode::tcc, tried_branches()), Status());
  world.advance(100ms);
  EXPECT_EQ(participants.show(), "try stock 1, try pay 1, confirm pay 1, confirm stock 1");
  EXPECT_EQ(verdict("t1"), "committed");
  participants.answer("try pay", {409});
  EXPECT_EQ(submit("t2", Mode::tcc, tried_branches()), Status());
  world.advance(100ms);
  EXPECT_EQ(participants.show(), "try stock 1, try pay 1, cancel stock 1")
      << "what refused has nothing to undo";
  EXPECT_EQ(verdict("t2"), "aborted");
  EXPECT_EQ(state("t2").reason, "branch pay refused");
}

}  // namespace
}  // namespace lockstep::service::transaction::testing
