// Each rule of the coordinator that can be broken by a switch, and a story that shows it.
#include "base/planted.h"

#include <functional>
#include <string>

#include <gtest/gtest.h>

#include "service/transaction/testing_transactions.h"

namespace lockstep::service::transaction::testing {
namespace {

// What a story found wrong; empty: nothing.
class PlantedTest : public TransactionTest {
 protected:
  void SetUp() override {
    planted::clear();
    start();
    world.advance(500ms);
  }
  void TearDown() override {
    planted::clear();
    TransactionTest::TearDown();
  }
  std::string confirmed_before_decided() {
    std::string wrong;
    participants.on_call = [&](const ScriptedParticipants::Heard& heard) {
      if (heard.operation != "confirm") return;
      world.store.range(one_key_of(heard.gid), {}, [&](const Result<store::RangeResponse>& found) {
        const bool decided = found->kvs.empty() || found->kvs[0].value.contains("\"committing\"");
        if (!decided) wrong = "confirm was sent, and the store does not know of a decision";
      });
    };
    EXPECT_EQ(submit("t", Mode::tcc, tried_branches()), Status());
    world.advance(1s);
    participants.on_call = nullptr;
    return wrong;
  }
  std::string tried_more_often_than_allowed() {
    participants.answer("deliver 1", {500});
    const std::string document =
        R"({"targets":[{"url":"http://a/"}],"retry":{"attempts_max":3,"interval":"1s","interval_max":"1s"}})";
    EXPECT_EQ(submit("t", Mode::notification, document), Status());
    for (int i = 0; i < 6; ++i) {
      world.advance(900ms);
      restart();
    }
    world.advance(20s);
    EXPECT_EQ(verdict("t"), "failed");
    const std::size_t tried = participants.heard().size();
    return tried <= 3 ? "" : "tried " + std::to_string(tried) + " times";
  }
  std::string undone_in_another_order() {
    EXPECT_EQ(submit("t", Mode::tcc, two_branches()), Status());
    EXPECT_EQ(decide("t", false), Status());
    world.advance(1s);
    const std::string heard = participants.show();
    return heard == "cancel pay 1, cancel stock 1" ? "" : heard;
  }
  static store::RangeRequest one_key_of(const std::string& gid) {
    store::RangeRequest request;
    request.key = unfinished_key(gid);
    return request;
  }
};

TEST_F(PlantedTest, NothingIsSentBeforeWhatItFollowsFromIsRecorded) {
  EXPECT_EQ(confirmed_before_decided(), "");
}
TEST_F(PlantedTest, AConfirmThatIsSentTooEarlyIsNoticed) {
  planted::set("transaction_sent_before_logged", true);
  EXPECT_NE(confirmed_before_decided(), "");
}
TEST_F(PlantedTest, NTriesAreNTriesWhoeverCoordinates) {
  EXPECT_EQ(tried_more_often_than_allowed(), "");
}
TEST_F(PlantedTest, TriesThatAreForgottenAreNoticed) {
  planted::set("transaction_attempts_in_memory", true);
  EXPECT_NE(tried_more_often_than_allowed(), "");
}
TEST_F(PlantedTest, TheNewestBranchIsCancelledFirst) {
  EXPECT_EQ(undone_in_another_order(), "");
}
TEST_F(PlantedTest, AnotherOrderOfCancellingIsNoticed) {
  planted::set("transaction_undone_oldest_first", true);
  EXPECT_NE(undone_in_another_order(), "");
}

}  // namespace
}  // namespace lockstep::service::transaction::testing
