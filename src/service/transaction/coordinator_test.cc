// Transactions driven to their ends, on a store in memory, a clock moved by hand and participants by script.
#include <set>

#include <gtest/gtest.h>

#include "service/store_requests.h"
#include "service/transaction/document_cache.h"
#include "service/transaction/keys.h"
#include "service/transaction/testing_transactions.h"

namespace lockstep::service::transaction::testing {
namespace {

using Heard = ScriptedParticipants::Heard;

class CoordinatorTest : public TransactionTest {
 protected:
  void SetUp() override {
    start();
    world.advance(500ms);
  }
  static OperatorNote note(const std::string& reason) { return {"ann", reason}; }
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

TEST_F(CoordinatorTest, BranchesMayBeRegisteredUntilTheDecision) {
  EXPECT_EQ(submit("t1", Mode::xa, "{}"), Status());
  const auto branch = [](const std::string& id) {
    return R"({"id":")" + id + R"(","commit":"http://db/c","rollback":"http://db/r"})";
  };
  EXPECT_TRUE(run(transactions.register_branch("t1", branch("a"), {})).ok());
  EXPECT_TRUE(run(transactions.register_branch("t1", branch("b"), {})).ok());
  EXPECT_TRUE(run(transactions.register_branch("t1", branch("a"), {})).ok()) << "the same one again";
  EXPECT_EQ(
      run(transactions.register_branch("t1", R"({"id":"a","commit":"http://x/","rollback":"http://x/"})", {}))
          .status(),
      errors::branch_exists());
  EXPECT_EQ(decide("t1", true), Status());
  world.advance(100ms);
  EXPECT_EQ(participants.show(), "commit a 1, commit b 1") << "xa: oldest first";
  EXPECT_EQ(run(transactions.register_branch("t1", branch("c"), {})).status(),
            errors::transaction_not_open());
}

TEST_F(CoordinatorTest, WhatNobodyDecidesIsAbortedAfterItsTimeLimit) {
  EXPECT_EQ(submit("t1", Mode::tcc, two_branches(R"(,"timeout":"10s")")), Status());
  world.advance(9s);
  EXPECT_EQ(verdict("t1"), "trying");
  world.advance(1500ms);
  EXPECT_EQ(participants.show(), "cancel pay 1, cancel stock 1");
  EXPECT_EQ(verdict("t1"), "aborted");
  EXPECT_EQ(decide("t1", true), errors::decided_otherwise(false));
  EXPECT_EQ(decide("t1", false), Status()) << "that was the decision";
}

TEST_F(CoordinatorTest, AMessageIsSentOnceItsSenderSaysSo) {
  const std::string document =
      R"({"check":"http://sender/check","targets":[{"url":"http://a/","payload":{"n":1}},{"url":"http://b/"}]})";
  EXPECT_EQ(submit("m1", Mode::message, document), Status());
  world.advance(2s);
  EXPECT_EQ(participants.show(), "");
  EXPECT_EQ(decide("m1", true), Status());
  world.advance(100ms);
  EXPECT_EQ(participants.show(), "deliver 1 1, deliver 2 1");
  EXPECT_EQ(participants.heard()[0].body, R"({"n":1})");
  EXPECT_EQ(verdict("m1"), "committed");
}

TEST_F(CoordinatorTest, ASenderThatSaysNothingIsAskedAndTheFirstAnswerCounts) {
  participants.answer("check check", {425, 500, 409});
  const std::string document =
      R"({"check":"http://sender/check","check_after":"5s","targets":[{"url":"http://a/"}]})";
  EXPECT_EQ(submit("m1", Mode::message, document), Status());
  world.advance(4900ms);
  EXPECT_EQ(participants.show(), "");
  world.advance(10s);
  EXPECT_EQ(participants.show(), "check check 1, check check 2, check check 3");
  EXPECT_EQ(verdict("m1"), "aborted");
  EXPECT_EQ(decide("m1", true), errors::decided_otherwise(false)) << "too late";
}

TEST_F(CoordinatorTest, UnknownOutcomesAreRepeatedEverMoreRarelyAndGoingOnesSteadily) {
  participants.answer("confirm pay", {500, ScriptedParticipants::silence, 425, 425, 200});
  std::vector<std::int64_t> at_ms;
  participants.on_call = [&](const Heard&) {
    at_ms.push_back(world.store.strand.now().time_since_epoch() / 1ms);
  };
  EXPECT_EQ(submit("t1", Mode::tcc, two_branches()), Status());
  EXPECT_EQ(decide("t1", true), Status());
  world.advance(20s);
  EXPECT_EQ(participants.show(),
            "confirm pay 1, confirm pay 2, confirm pay 3, confirm pay 4, confirm pay 5, confirm stock 1");
  ASSERT_EQ(at_ms.size(), 6U);
  const auto gap = [&](std::size_t i) { return at_ms[i] - at_ms[i - 1]; };
  EXPECT_TRUE(gap(1) >= 750 && gap(1) <= 1300) << gap(1);
  EXPECT_TRUE(gap(2) >= 3000 + 1500 && gap(2) <= 3000 + 2600)
      << gap(2) << ": three seconds without an answer, then two";
  EXPECT_TRUE(gap(3) >= 1000 && gap(3) <= 1100) << gap(3) << ": still going";
  participants.on_call = nullptr;
}

TEST_F(CoordinatorTest, RetryAfterIsHonoured) {
  participants.answer("confirm pay", {503, 200});
  participants.retry_after = "7";
  EXPECT_EQ(submit("t1", Mode::tcc, two_branches()), Status());
  EXPECT_EQ(decide("t1", true), Status());
  world.advance(6900ms);
  EXPECT_EQ(participants.show(), "confirm pay 1");
  world.advance(500ms);
  EXPECT_EQ(participants.show(), "confirm pay 2, confirm stock 1");
}

TEST_F(CoordinatorTest, AConfirmThatFailsForEverCallsAnOperatorWhoMaySkipIt) {
  participants.answer("confirm pay", {409});
  EXPECT_EQ(submit("t1", Mode::tcc, two_branches()), Status());
  EXPECT_EQ(decide("t1", true), Status());
  world.advance(1s);
  ASSERT_EQ(alarms.size(), 1U) << "once, and at once: a confirm cannot be refused";
  EXPECT_TRUE(alarms[0].starts_with("t1: confirm of pay failed")) << alarms[0];
  EXPECT_EQ(coordinator->figures().need_operator, 1U);
  ListRequest stuck;
  stuck.needs_operator_only = true;
  EXPECT_EQ(run(transactions.list(stuck, {}))->transactions.size(), 1U);
  world.advance(300s);
  EXPECT_EQ(verdict("t1"), "committing") << "never finished silently";
  participants.show();
  EXPECT_EQ(run(transactions.skip("t1", "nobody", note("?"), {})).status(), errors::branch_not_called());
  EXPECT_TRUE(run(transactions.skip("t1", "pay", note("paid by hand"), {})).ok());
  world.advance(1s);
  EXPECT_EQ(participants.show(), "confirm stock 1");
  EXPECT_EQ(verdict("t1"), "committed");
  EXPECT_EQ(coordinator->figures().need_operator, 0U);
  const auto audits = run(transactions.audits("t1", {}));
  ASSERT_EQ(audits->size(), 1U);
  EXPECT_EQ(audits->at(0).action + " " + audits->at(0).branch + " " + audits->at(0).by, "skip pay ann");
}

TEST_F(CoordinatorTest, AnOperatorMayRetryNowOrFinishByForce) {
  participants.answer("confirm pay", {500});
  EXPECT_EQ(submit("t1", Mode::tcc, two_branches(R"(,"retry":{"interval":"60s","interval_max":"60s"})")),
            Status());
  EXPECT_EQ(decide("t1", true), Status());
  world.advance(1s);
  EXPECT_EQ(participants.show(), "confirm pay 1");
  EXPECT_TRUE(run(transactions.retry_now("t1", note("it is back"), {})).ok());
  world.advance(1s);
  EXPECT_EQ(participants.show(), "confirm pay 2");
  EXPECT_TRUE(run(transactions.force_finish("t1", note("gone"), {})).ok());
  world.advance(200s);
  EXPECT_EQ(participants.show(), "");
  EXPECT_EQ(verdict("t1"), "failed");
  EXPECT_EQ(state("t1").reason, "finished by force by ann: gone");
  EXPECT_EQ(run(transactions.force_finish("t1", note("again"), {})).status(), errors::transaction_finished());
}

TEST_F(CoordinatorTest, ANotificationThatCannotBeDeliveredIsADeadLetterAndIsSentAgain) {
  participants.answer("deliver 1", {500});
  const std::string document =
      R"({"targets":[{"url":"http://a/"},{"url":"http://b/"}],"retry":{"attempts_max":3,"interval":"1s","interval_max":"1s"}})";
  EXPECT_EQ(submit("n1", Mode::notification, document), Status());
  world.advance(20s);
  EXPECT_EQ(participants.show(), "deliver 1 1, deliver 2 1, deliver 1 2, deliver 1 3");
  EXPECT_EQ(verdict("n1"), "failed");
  EXPECT_EQ(state("n1").reason, "1 of 2 not delivered: 1");
  participants.answer("deliver 1", {200});
  EXPECT_TRUE(run(transactions.forward("n1", note("it is back"), {})).ok());
  world.advance(5s);
  EXPECT_EQ(participants.show(), "deliver 1 1");
  EXPECT_EQ(verdict("n1"), "committed");
}

TEST_F(CoordinatorTest, AddressesThatMayNotBeCalledAndGarbageHoldUpOnlyTheirOwn) {
  participants.answer("confirm pay", {ScriptedParticipants::forbidden});
  participants.answer("confirm big", {ScriptedParticipants::garbage});
  EXPECT_EQ(submit("t1", Mode::tcc, two_branches()), Status());
  EXPECT_EQ(submit("t2", Mode::tcc,
                   R"({"branches":[{"id":"big","confirm":"http://big/","cancel":"http://big/"}]})"),
            Status());
  EXPECT_EQ(
      submit("t3", Mode::tcc, R"({"branches":[{"id":"good","confirm":"http://g/","cancel":"http://g/"}]})"),
      Status());
  for (const char* gid : {"t1", "t2", "t3"}) EXPECT_EQ(decide(gid, true), Status());
  world.advance(10s);
  EXPECT_EQ(verdict("t1"), "committing");
  EXPECT_FALSE(state("t1").needs_operator.empty());
  EXPECT_EQ(verdict("t2"), "committing");
  EXPECT_EQ(verdict("t3"), "committed");
}

TEST_F(CoordinatorTest, AWaiterIsToldAtTheEnd) {
  EXPECT_EQ(submit("t1", Mode::tcc, two_branches()), Status());
  Running<Result<TransactionView>> waiting(transactions.wait("t1", {}));
  world.advance(1s);
  EXPECT_TRUE(waiting.waits());
  EXPECT_EQ(decide("t1", true), Status());
  world.advance(1s);
  EXPECT_EQ(waiting.result()->state.verdict, Verdict::committed);
  EXPECT_EQ(run(transactions.wait("t1", {}))->state.verdict, Verdict::committed) << "it is over already";
  EXPECT_EQ(run(transactions.wait("nobody", {})).status(), errors::transaction_not_found());
}

TEST_F(CoordinatorTest, WhatIsFinishedIsKeptForAWhileAndRemovedWithAllThatBelongsToIt) {
  EXPECT_EQ(submit("t1", Mode::tcc, "{}"), Status());
  EXPECT_TRUE(
      run(transactions.register_branch("t1", R"({"id":"a","confirm":"http://a/","cancel":"http://a/"})", {}))
          .ok());
  EXPECT_TRUE(run(transactions.force_finish("t1", note("a test"), {})).ok());
  EXPECT_EQ(submit("t2", Mode::tcc, two_branches()), Status());
  EXPECT_EQ(decide("t2", true), Status());
  world.advance(30s);
  EXPECT_EQ(keys_under("lockstep/tx/f/"), 2U);
  world.advance(3700s, 1s);
  for (const char* prefix : {"lockstep/tx/f/", "lockstep/tx/d/", "lockstep/tx/a/", "lockstep/tx/t/"}) {
    EXPECT_EQ(keys_under(prefix), 0U) << prefix;
  }
  EXPECT_EQ(submit("t1", Mode::tcc, two_branches()), Status()) << "its gid is free again";
}

TEST_F(CoordinatorTest, ASagaRunsAndIsUndone) {
  const std::string saga = R"({"steps":[{"name":"a","action":"http://a/do","compensate":"http://a/undo"},)"
                           R"({"name":"b","action":"http://b/do","compensate":"http://b/undo"}]})";
  EXPECT_EQ(submit("s1", Mode::saga, saga), Status());
  world.advance(1s);
  EXPECT_EQ(participants.show(), "action a 1, action b 1");
  EXPECT_EQ(verdict("s1"), "committed");
  participants.answer("action b", {409});
  EXPECT_EQ(submit("s2", Mode::saga, saga), Status());
  world.advance(1s);
  EXPECT_EQ(participants.show(), "action a 1, action b 1, compensate a 1");
  EXPECT_EQ(verdict("s2"), "aborted");
}

TEST_F(CoordinatorTest, AThousandStuckTransactionsGoOnTogether) {
  participants.answer("confirm pay", {500});
  kill();
  for (int i = 0; i < 1000; ++i) {
    const std::string gid = "t" + std::to_string(i);
    Submission submission{Mode::tcc, gid, two_branches()};
    ASSERT_TRUE(run(transactions.submit(submission, {})).ok());
    ASSERT_EQ(decide(gid, true), Status());
  }
  start();
  coordinator->lead(true);
  world.advance(300ms);
  std::set<std::string> moved;
  for (const Heard& heard : participants.heard()) moved.insert(heard.gid);
  EXPECT_EQ(moved.size(), 1000U) << "each within some tenths of a second";
  participants.answer("confirm pay", {200});
  world.advance(70s);
  EXPECT_EQ(coordinator->figures().committed, 1000U);
  EXPECT_EQ(keys_under("lockstep/tx/t/"), 0U);
}

TEST_F(CoordinatorTest, AHostThatDoesNotAnswerHoldsUpOnlyItsOwn) {
  participants.answer("confirm slow", {ScriptedParticipants::silence});
  for (int i = 0; i < 300; ++i) {
    const std::string gid = "slow" + std::to_string(i);
    ASSERT_EQ(
        submit(gid, Mode::tcc, R"({"branches":[{"id":"slow","confirm":"http://s/","cancel":"http://s/"}]})"),
        Status());
    ASSERT_EQ(decide(gid, true), Status());
  }
  world.advance(100ms);
  EXPECT_EQ(coordinator->figures().calls_under_way, 128U) << "of one host";
  EXPECT_EQ(
      submit("good", Mode::tcc, R"({"branches":[{"id":"g","confirm":"http://g/","cancel":"http://g/"}]})"),
      Status());
  ASSERT_EQ(decide("good", true), Status());
  world.advance(100ms);
  EXPECT_EQ(verdict("good"), "committed");
  EXPECT_LE(participants.under_way_max, 130);
}

TEST_F(CoordinatorTest, NothingIsWrittenBeforeThereIsATransaction) {
  coordinator->lead(true);
  world.advance(10s);
  EXPECT_FALSE(coordinator->figures().coordinates);
  EXPECT_EQ(world.store.txns, 0);
  EXPECT_EQ(submit("t1", Mode::tcc, tried_branches()), Status());
  world.advance(1s);
  EXPECT_EQ(verdict("t1"), "committed");
}

TEST_F(CoordinatorTest, OfTwoCoordinatorsOneWorksAndTheOtherTakesOverWhenItIsGone) {
  EXPECT_EQ(submit("t0", Mode::tcc, tried_branches()), Status());
  other = std::make_unique<Coordinator>(world.context, participants, options());
  world.advance(1s);
  EXPECT_TRUE(coordinator->figures().coordinates);
  EXPECT_FALSE(other->figures().coordinates);
  other->lead(true);
  world.advance(1s);
  EXPECT_FALSE(coordinator->figures().coordinates);
  EXPECT_TRUE(other->figures().coordinates);
  EXPECT_EQ(submit("t1", Mode::tcc, tried_branches()), Status());
  world.advance(1s);
  EXPECT_EQ(verdict("t1"), "committed");
  other.reset();  // its lease ends
  EXPECT_EQ(submit("t2", Mode::tcc, tried_branches()), Status());
  world.advance(8s);
  EXPECT_TRUE(coordinator->figures().coordinates);
  EXPECT_EQ(verdict("t2"), "committed");
}

TEST_F(CoordinatorTest, WhoeverLeadsAndLeavesHandsOver) {
  EXPECT_EQ(submit("t0", Mode::tcc, tried_branches()), Status());
  coordinator->lead(true);
  world.advance(1s);
  coordinator->lead(false);
  world.advance(1s);
  EXPECT_FALSE(coordinator->figures().coordinates);
  world.advance(20s);
  EXPECT_TRUE(coordinator->figures().coordinates) << "nobody else did";
}

TEST_F(CoordinatorTest, WhatTheCacheHasWrongIsReadAgain) {
  const auto branch = [](const std::string& id) {
    return R"({"id":")" + id + R"(","commit":"http://db/c","rollback":"http://db/r"})";
  };
  EXPECT_EQ(submit("t1", Mode::xa, "{}"), Status());
  EXPECT_TRUE(run(transactions.register_branch("t1", branch("a"), {})).ok());
  EXPECT_TRUE(run(transactions.register_branch("t1", branch("b"), {})).ok());
  world.advance(100ms);
  // What a watch tells that lags behind: as many branches as there are, and one of them twice.
  for (const auto& [key, value] :
       {std::pair(definition_key("t1"), std::string("{}")), std::pair(branch_key("t1", "a"), branch("a")),
        std::pair(branch_key("t1", "a"), branch("a"))}) {
    world.store.put(put_of(key, value, LeaseId()), {}, [](const Result<store::PutResponse>&) {});
    world.advance(100ms);
  }
  EXPECT_EQ(decide("t1", true), Status());
  world.advance(1s);
  EXPECT_EQ(verdict("t1"), "committed");
  EXPECT_TRUE(alarms.empty());
}

TEST_F(CoordinatorTest, TimesThatNobodyCouldHaveMeantAreDamage) {
  const auto put = [&](std::string_view key, const std::string& value) {
    world.store.put(put_of(std::string(key), value, LeaseId()), {}, [](const Result<store::PutResponse>&) {});
  };
  const std::string state = R"({"mode":"tcc","state":"trying","next_ms":)";
  put(definition_key("t1"), two_branches());
  // Farther away than there are nanoseconds, and as far as may be: the turns of the strand come to an end.
  put(unfinished_key("t1"), state + "9300000000000000}\n");
  world.advance(2s);
  EXPECT_EQ(alarms, std::vector<std::string>{"t1: transaction: the stored state holds no good next_ms"});
  put(unfinished_key("t1"), state + "1000000000000000}\n");
  world.advance(2h);
  put(unfinished_key("t1"), state + "0}\n");
  world.advance(1s);
  EXPECT_EQ(decide("t1", true), Status());
  world.advance(1s);
  EXPECT_EQ(verdict("t1"), "committed");
  // A clock near the end of numbers begins anew.
  put(clock_key, R"({"now_ms":9223372036854775807})");
  restart();
  EXPECT_EQ(submit("t2", Mode::tcc, tried_branches(R"(,"timeout":"10s")")), Status());
  world.advance(1s);
  EXPECT_EQ(verdict("t2"), "committed");
}

TEST_F(CoordinatorTest, WhatWasNeverSentIsNoAttempt) {
  constexpr int crowded = ScriptedParticipants::crowded;
  participants.answer("deliver 1", {crowded, crowded, crowded, crowded, 500});
  const std::string retry =
      R"("retry":{"attempts_max":2,"attempts_alarm":2,"interval":"1s","interval_max":"1s"})";
  EXPECT_EQ(submit("n1", Mode::notification, R"({"targets":[{"url":"http://a/"}],)" + retry + "}"), Status());
  world.advance(20s);
  EXPECT_EQ(participants.show(),
            "deliver 1 1, deliver 1 1, deliver 1 1, deliver 1 1, deliver 1 1, deliver 1 2");
  EXPECT_EQ(verdict("n1"), "failed") << "the two that were heard";
  // Without a limit attempts are counted for the alarm only.
  participants.answer("confirm stock", {crowded, crowded, 200});
  EXPECT_EQ(submit("t1", Mode::tcc, tried_branches()), Status());
  world.advance(20s);
  EXPECT_EQ(participants.show(),
            "try stock 1, try pay 1, confirm pay 1, confirm stock 1, confirm stock 1, "
            "confirm stock 1");
  EXPECT_EQ(verdict("t1"), "committed");
}

TEST(DocumentCacheTest, WhatIsOlderThanAReadChangesNothing) {
  DocumentCache cache(1 << 20);
  const auto at = [](std::int64_t revision) { return Revision(revision); };
  cache.put("g", {"read", {"A"}}, at(20));
  cache.put("g", {"put", {}}, at(10));
  cache.add("g", "A", at(15));
  ASSERT_NE(cache.find("g", 1, at(10)), nullptr) << "a watch that lags told nothing new";
  EXPECT_EQ(cache.find("g", 1, at(10))->document, "read");
  cache.add("g", "B", at(25));
  ASSERT_NE(cache.find("g", 2, at(10)), nullptr);
  EXPECT_EQ(cache.find("g", 2, at(10))->registered, (std::vector<std::string>{"A", "B"}));
  EXPECT_EQ(cache.find("g", 2, at(30)), nullptr) << "a gid that is used again";
  cache.put("g", {"again", {}}, at(30));
  EXPECT_NE(cache.find("g", 0, at(30)), nullptr);
}

}  // namespace
}  // namespace lockstep::service::transaction::testing
