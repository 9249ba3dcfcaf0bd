// What is sent how often, and what is believed of it: shares of the gate, attempts that were never sent,
// refusals that come late, and what an operator repeats.
#include <gtest/gtest.h>

#include "service/transaction/call_gate.h"
#include "service/transaction/machines.h"
#include "service/transaction/replies.h"
#include "service/transaction/testing_transactions.h"

namespace lockstep::service::transaction::testing {
namespace {

using Fault = service::testing::WatchedStore::Fault;
using Told = CallGate::Told;

class AttemptsTest : public TransactionTest {
 protected:
  void SetUp() override {
    start();
    world.advance(100ms);
    coordinator->lead(true);
    world.advance(100ms);
  }
  // Whatever its answer is.
  void begin(const std::string& gid, const std::string& document) {
    static_cast<void>(submit(gid, Mode::notification, document));
  }
  static std::string notification(const std::string& more) {
    return R"({"targets":[{"id":"mail","url":"http://mail/"}],"retry":{)" + more + "}}";
  }
  std::string heard_since(std::size_t from) {
    std::string text;
    for (std::size_t i = from; i < participants.heard().size(); ++i)
      text += participants.heard()[i].show() + (participants.heard()[i].round.empty() ? "" : " round ") +
              participants.heard()[i].round + "; ";
    return text;
  }
};

// The write is done and its answer lost: what comes to be called by it is not skipped as well.
TEST_F(AttemptsTest, ASkipThatIsRepeatedSkipsWhatItMeantAtFirst) {
  kill();
  EXPECT_EQ(
      submit("t1", Mode::tcc,
             R"({"branches":[{"id":"a","try":"http://a/t","confirm":"http://a/c","cancel":"http://a/x"}]})"),
      Status());
  world.store.fail_call(1, service::testing::WatchedStore::Fault::unknown_done);  // after its read
  EXPECT_TRUE(run(transactions.skip("t1", "a", {"ann", "tried by hand"}, {})).ok());
  EXPECT_EQ(verdict("t1"), "committing") << "its confirm is due";
  EXPECT_EQ(run(transactions.audits("t1", {}))->size(), 1U);
}

// As above, where what it names next is the undoing of what was skipped.
TEST_F(AttemptsTest, ASkipThatIsRepeatedDoesNotSkipTheUndoing) {
  participants.answer("action a", {ScriptedParticipants::silence});
  const std::string saga = R"({"steps":[{"name":"a","action":"http://a/","compensate":"http://a/undo",)"
                           R"("retry":{"timeout":"60s"}}],"timeout":"1s"})";
  EXPECT_EQ(submit("t1", Mode::saga, saga), Status());
  world.advance(100ms);
  world.advance(2s);  // given up, while its action is under way
  kill();
  world.advance(1s);  // what it had under way
  world.store.fail_call(1, Fault::unknown_done);
  EXPECT_TRUE(run(transactions.skip("t1", "a", {"ann", ""}, {})).ok());
  EXPECT_EQ(verdict("t1"), "aborting") << "what it may have done is to be undone";
}

TEST(CallGateTest, AQuarterIsForThoseThatEndSomething) {
  CallGate gate(8, 4);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(gate.take("a", false));
  EXPECT_FALSE(gate.take("a", false)) << "the rest of this host's";
  EXPECT_TRUE(gate.take("a", true));
  EXPECT_FALSE(gate.take("a", true));
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(gate.take("b", false));
  EXPECT_FALSE(gate.take("c", false)) << "the rest of all";
  EXPECT_TRUE(gate.take("c", true));
  EXPECT_TRUE(gate.take("b", true));
  EXPECT_FALSE(gate.take("d", true));
  gate.wait("a", false, 1);
  gate.wait("b", true, 2);
  gate.wait("c", false, 3);
  gate.give_back("a");
  EXPECT_EQ(gate.hand_out(), (std::vector<Told>{{"b", true, 2}}));
  gate.looked("b");
  for (int i = 0; i < 2; ++i) gate.give_back("a");
  EXPECT_EQ(gate.hand_out(), (std::vector<Told>{{"c", false, 3}}));
  gate.looked("c");
  gate.give_back("b");
  EXPECT_EQ(gate.hand_out(), (std::vector<Told>{{"a", false, 1}}));
}

TEST(CallGateTest, RoomIsKeptForWhoeverWasTold) {
  CallGate gate(4, 1);
  EXPECT_TRUE(gate.take("a", false));
  for (const std::uint64_t who : {1, 2, 3}) gate.wait("a", false, who);
  gate.give_back("a");
  EXPECT_EQ(gate.hand_out(), (std::vector<Told>{{"a", false, 1}}));
  EXPECT_EQ(gate.hand_out(), std::vector<Told>{}) << "it has not looked yet";
  EXPECT_FALSE(gate.take("a", false)) << "of somebody who did not wait";
  EXPECT_TRUE(gate.take("b", false));
  gate.looked("a");
  EXPECT_TRUE(gate.take("a", false));
  gate.give_back("a");
  EXPECT_EQ(gate.hand_out(), (std::vector<Told>{{"a", false, 2}}));
  gate.looked("a");
  EXPECT_EQ(gate.hand_out(), (std::vector<Told>{{"a", false, 3}})) << "the one before left it";
}

// Their journals are long: each is read again when it is its turn, and only then.
TEST_F(AttemptsTest, OneFreedSlotWakesOneWaiter) {
  kill();
  CoordinatorOptions one_at_a_time = options();
  one_at_a_time.calls_per_host_max = 1;
  coordinator = std::make_unique<Coordinator>(world.context, participants, one_at_a_time);
  coordinator->lead(true);
  participants.more_in_answer = R"(,"more":")" + std::string(5000, 'x') + '"';
  participants.answer("action slow", {ScriptedParticipants::silence});
  constexpr int count = 150;
  for (int i = 0; i < count; ++i) {
    const std::string saga = R"({"steps":[{"name":"quick","action":"http://q)" + std::to_string(i) +
                             R"(/"},{"name":"slow","action":"http://slow/"}]})";
    EXPECT_EQ(submit("s" + std::to_string(100 + i), Mode::saga, saga), Status());
  }
  world.advance(100ms);
  participants.answer("action slow", {200});
  participants.show();
  const std::size_t from = participants.heard().size();
  const int txns_before = world.store.txns;
  world.advance(10s);
  EXPECT_EQ(coordinator->figures().committed, static_cast<std::uint64_t>(count));
  EXPECT_LE(world.store.txns - txns_before, 3 * count) << "a read, a write, and the clock's";
  std::vector<std::string> order;
  for (std::size_t i = from; i < participants.heard().size(); ++i)
    order.push_back(participants.heard()[i].gid);
  std::erase(order, "s100");  // which had the slot first, and comes again
  EXPECT_EQ(order.size(), static_cast<std::size_t>(count - 1));
  EXPECT_TRUE(std::ranges::is_sorted(order)) << "in the order of asking";
}

TEST(CallGateTest, CallsToOneHostAreOfOneHostHoweverItIsWritten) {
  EXPECT_EQ(host_of("http://Stock.Example:81/a?b"), "stock.example:81");
  EXPECT_EQ(host_of("https://ann:x@STOCK.example/"), "stock.example");
  EXPECT_EQ(host_of("HTTPS://stock.example.:443?x"), "stock.example");
  EXPECT_EQ(host_of("http://stock.example:80"), "stock.example");
  EXPECT_EQ(host_of("http://stock.example:443/"), "stock.example:443");
  EXPECT_EQ(host_of("http://[FD00::1]:80/"), "[fd00::1]");
}

TEST(AttemptTimesTest, AnAttemptHasAMinuteAtMost) {
  const auto wrong = [](Mode mode, const std::string& document) {
    return std::string(make_machine(mode, document, {}, "g").status().message());
  };
  EXPECT_EQ(
      wrong(Mode::notification, R"({"targets":[{"url":"http://a/"}],"retry":{"timeout":"61s"}})"),
      "transaction: /retry/timeout: not within 1ms to 60s: what takes longer answers 425 until it is done");
  EXPECT_EQ(wrong(Mode::saga, R"({"steps":[{"action":"http://a/","retry":{"timeout":"1h"}}]})"),
            "/steps/0/retry/timeout: not within 1ms to 60s: what takes longer answers 425 until it is done");
  EXPECT_EQ(wrong(Mode::notification, R"({"targets":[{"url":"http://a/"}],"retry":{"timeout":"60s"}})"), "");
}

// Each host that hangs gives way to what ends something, elsewhere and on the host itself.
TEST_F(AttemptsTest, WhatIsBegunHoldsUpNobodysEnd) {
  participants.answer("deliver mail", {ScriptedParticipants::silence});
  for (int i = 0; i < 600; ++i) {
    const std::string host = "h" + std::to_string(i % 8);
    EXPECT_EQ(
        submit("n" + std::to_string(i), Mode::notification,
               R"({"targets":[{"id":"mail","url":"http://)" + host + R"(/"}],"retry":{"timeout":"60s"}})"),
        Status());
  }
  world.advance(100ms);
  EXPECT_EQ(participants.under_way, 336) << "three quarters of 448";
  EXPECT_EQ(submit("t1", Mode::tcc, two_branches()), Status());
  EXPECT_EQ(decide("t1", true), Status());
  world.advance(100ms);
  EXPECT_EQ(verdict("t1"), "committed");
}

// What is recorded as begun and was not sent is sent, and counted once, whatever became of the answer.
TEST_F(AttemptsTest, AnAttemptWhoseRecordIsInDoubtIsNotUsedUp) {
  for (const Fault fault : {Fault::unknown_done, Fault::unknown_not_done, Fault::refused}) {
    for (std::size_t call = 0; call < 4; ++call) {
      const std::string gid = "n" + std::to_string(static_cast<int>(fault)) + "-" + std::to_string(call);
      const std::size_t heard = participants.heard().size();
      begin(gid, notification(R"("attempts_max":1)"));
      world.store.fail_call(call, fault);
      world.advance(10s);
      world.store.fail_call(1'000'000, fault);
      EXPECT_EQ(verdict(gid), "committed") << gid;
      EXPECT_EQ(heard_since(heard), "deliver mail 1; ") << gid;
    }
  }
}

TEST_F(AttemptsTest, AnEditWhileAnAttemptWaitsForRoomDoesNotUseItUp) {
  participants.answer("deliver slow", {ScriptedParticipants::silence});
  for (int i = 0; i < 96; ++i) {
    begin("s" + std::to_string(i),
          R"({"targets":[{"id":"slow","url":"http://mail/"}],"retry":{"timeout":"30s"}})");
  }
  begin("t1", notification(R"("attempts_max":1)"));
  world.advance(100ms);
  EXPECT_EQ(state("t1").calls.at(0).attempts, 1) << "recorded, and waits for room";
  EXPECT_TRUE(run(transactions.retry_now("t1", {"ann", ""}, {})).ok());
  world.advance(40s);
  EXPECT_EQ(verdict("t1"), "committed");
}

// A refusal is believed to be without effect only if nothing may have been heard before.
TEST_F(AttemptsTest, ARefusalAfterAnAttemptWithoutOutcomeIsUndone) {
  participants.answer("try pay", {ScriptedParticipants::reset, 409});
  EXPECT_EQ(submit("t1", Mode::tcc, tried_branches()), Status());
  world.advance(5s);
  EXPECT_EQ(verdict("t1"), "aborted");
  EXPECT_EQ(participants.show(), "try stock 1, try pay 1, try pay 2, cancel pay 1, cancel stock 1");
  const std::string saga = R"({"steps":[{"name":"a","action":"http://a/","compensate":"http://a/undo"}]})";
  participants.answer("action a", {503, 409});
  EXPECT_EQ(submit("t2", Mode::saga, saga), Status());
  world.advance(5s);
  EXPECT_EQ(participants.show(), "action a 1, action a 2, compensate a 1");
  participants.answer("action a", {409});
  EXPECT_EQ(submit("t3", Mode::saga, saga), Status());
  world.advance(5s);
  EXPECT_EQ(verdict("t3"), "aborted");
  EXPECT_EQ(participants.show(), "action a 1");
}

TEST_F(AttemptsTest, ARefusalOfWhatAnEarlierCoordinatorMayHaveSentIsUndone) {
  participants.answer("try pay", {ScriptedParticipants::silence, 409});
  EXPECT_EQ(submit("t1", Mode::tcc, tried_branches()), Status());
  world.advance(100ms);
  restart();
  world.advance(5s);
  EXPECT_EQ(verdict("t1"), "aborted");
  EXPECT_EQ(participants.show(), "try stock 1, try pay 1, try pay 1, cancel pay 1, cancel stock 1");
}

// What waits for room when its saga is given up is never sent, nor undone.
TEST_F(AttemptsTest, AnActionThatWasNotSentIsNotSentAfterTheAbort) {
  participants.answer("action slow", {ScriptedParticipants::silence});
  participants.answer("deliver slow", {ScriptedParticipants::silence});
  for (int i = 0; i < 96; ++i) {
    begin("s" + std::to_string(i),
          R"({"targets":[{"id":"slow","url":"http://full/"}],"retry":{"timeout":"30s"}})");
  }
  world.advance(100ms);
  participants.show();
  participants.answer("action bad", {409});
  const std::string saga =
      R"({"steps":[{"name":"bad","action":"http://b/","compensate":"http://b/undo","after":[]},)"
      R"({"name":"late","action":"http://full/","compensate":"http://c/undo","after":[]}]})";
  EXPECT_EQ(submit("t1", Mode::saga, saga), Status());
  world.advance(100ms);
  EXPECT_EQ(verdict("t1"), "aborted");
  EXPECT_TRUE(state("t1").journal.contains(" dropped action late ")) << state("t1").journal;
  world.advance(60s);
  EXPECT_FALSE(participants.show().contains("late"));
}

// An earlier coordinator may have sent it: then it has its last attempt, and is undone.
TEST_F(AttemptsTest, AnActionThatMayHaveBeenSentIsSettledBeforeTheUndoing) {
  participants.answer("action slow", {ScriptedParticipants::silence, ScriptedParticipants::silence, 200});
  const std::string saga =
      R"({"timeout":"1s","steps":[{"name":"slow","action":"http://s/","compensate":"http://s/undo"}]})";
  EXPECT_EQ(submit("t1", Mode::saga, saga), Status());
  world.advance(100ms);
  kill();
  world.advance(6s);
  start();
  coordinator->lead(true);
  world.advance(10s);
  EXPECT_EQ(verdict("t1"), "aborted");
  EXPECT_TRUE(participants.show().ends_with("compensate slow 1"));
}

TEST_F(AttemptsTest, WhatIsTriedAgainByHandSaysWhichRoundItIs) {
  participants.answer("action a", {409, 409, 200});
  const std::string saga = R"({"on_failure":"forward","steps":[{"name":"a","action":"http://a/"}]})";
  EXPECT_EQ(submit("t1", Mode::saga, saga), Status());
  for (int i = 0; i < 2; ++i) {
    world.advance(1s);
    EXPECT_TRUE(run(transactions.forward("t1", {"ann", ""}, {})).ok());
  }
  world.advance(1s);
  EXPECT_EQ(verdict("t1"), "committed");
  EXPECT_EQ(heard_since(0), "action a 1; action a 1 round 1; action a 1 round 2; ");
  const std::size_t heard = participants.heard().size();
  participants.answer("deliver mail", {409, 200});
  EXPECT_EQ(submit("t2", Mode::notification, notification("")), Status());
  world.advance(1s);
  EXPECT_EQ(verdict("t2"), "failed");
  EXPECT_TRUE(run(transactions.forward("t2", {"ann", ""}, {})).ok());
  world.advance(1s);
  EXPECT_EQ(verdict("t2"), "committed");
  EXPECT_EQ(heard_since(heard), "deliver mail 1; deliver mail 1 round 1; ");
}

// The first attempt of round 0 may have done what its participant refuses ever after.
TEST_F(AttemptsTest, ARefusalAfterForwardDoesNotMakeAnEarlierRoundHarmless) {
  participants.answer("action a", {500, 409, 409});
  const std::string saga = R"({"on_failure":"forward","steps":[)"
                           R"({"name":"a","action":"http://a/","compensate":"http://a/undo"}]})";
  EXPECT_EQ(submit("t1", Mode::saga, saga), Status());
  world.advance(10s);
  EXPECT_TRUE(run(transactions.forward("t1", {"ann", ""}, {})).ok());
  world.advance(10s);
  EXPECT_TRUE(run(transactions.compensate("t1", {"ann", ""}, {})).ok());
  world.advance(10s);
  EXPECT_EQ(verdict("t1"), "aborted");
  EXPECT_NE(participants.show().find("compensate a"), std::string::npos);
}

}  // namespace
}  // namespace lockstep::service::transaction::testing
