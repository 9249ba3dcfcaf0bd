// What the barrier promises, on each database: one effect, whatever the network does to the calls.
#include <chrono>
#include <latch>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include <gtest/gtest.h>
#include <lockstep/participant/barrier.h>
#include <lockstep/participant/participant.h>

#include "participant/planted.h"
#include "testing_bank.h"

namespace {

using namespace lockstep::testing_databases;
using namespace std::chrono_literals;
using lockstep::BarrierCleaner;
using lockstep::BranchAnswer;
using lockstep::BranchBarrier;
using lockstep::BranchCall;
using lockstep::BranchMode;
using lockstep::BranchOperation;
using lockstep::MessageBarrier;
using lockstep::ParticipantOptions;
using lockstep::SqlDialect;
using lockstep::SqlError;
using lockstep::SqlIsolation;
using lockstep::SqlTransaction;

constexpr int duplicates = 100;

class Barrier : public testing::TestWithParam<SqlDialect> {
 protected:
  ~Barrier() override { lockstep::v1::detail::planted = {}; }
};

INSTANTIATE_TEST_SUITE_P(On, Barrier, testing::ValuesIn(dialects()), dialect_name);

void set_up_tcc(Bank& bank) {
  bank.moves(BranchOperation::attempt, -10, R"({"held":10})");
  bank.moves(BranchOperation::confirm, 0);
  bank.moves(BranchOperation::cancel, +10);
}

// A hundred of one call, eight at a time; the statuses and bodies that were answered.
std::set<std::string> hundred(Bank& bank, BranchMode mode, BranchOperation operation,
                              const std::string& transaction) {
  std::mutex mutex;
  std::set<std::string> answers;
  side_by_side(duplicates, [&](int) {
    const BranchAnswer answer = bank.call(mode, operation, transaction);
    const std::lock_guard lock(mutex);
    answers.insert(std::to_string(answer.status()) + " " + answer.body());
  });
  return answers;
}

using Answers = std::set<std::string>;

TEST_P(Barrier, AHundredDuplicatesHaveOneEffectAndOneAnswer) {
  Bank bank(GetParam(), ParticipantOptions().isolation(SqlIsolation::repeatable_read));
  set_up_tcc(bank);
  EXPECT_EQ(hundred(bank, BranchMode::tcc, BranchOperation::attempt, "g1"), Answers{R"(200 {"held":10})"});
  EXPECT_EQ(bank.balance(), 990);
  EXPECT_EQ(hundred(bank, BranchMode::tcc, BranchOperation::confirm, "g1"), Answers{"200 "});
  EXPECT_EQ(bank.balance(), 990);
  EXPECT_EQ(hundred(bank, BranchMode::tcc, BranchOperation::attempt, "g2"), Answers{R"(200 {"held":10})"});
  EXPECT_EQ(hundred(bank, BranchMode::tcc, BranchOperation::cancel, "g2"), Answers{"200 "});
  EXPECT_EQ(bank.balance(), 990);

  bank.moves(BranchOperation::action, -1, "paid");
  bank.moves(BranchOperation::compensate, +1, "repaid");
  EXPECT_EQ(hundred(bank, BranchMode::saga, BranchOperation::action, "g3"), Answers{"200 paid"});
  EXPECT_EQ(bank.balance(), 989);
  EXPECT_EQ(hundred(bank, BranchMode::saga, BranchOperation::compensate, "g3"), Answers{"200 repaid"});
  EXPECT_EQ(bank.balance(), 990);
}

// What is wrong after a hundred cancels and then a hundred tries; empty: nothing.
std::string cancel_before_try(Bank& bank) {
  set_up_tcc(bank);
  std::string wrong;
  if (hundred(bank, BranchMode::tcc, BranchOperation::cancel, "g1") != Answers{"200 "})
    wrong += "cancels not done; ";
  for (const std::string& answer : hundred(bank, BranchMode::tcc, BranchOperation::attempt, "g1")) {
    if (!answer.starts_with("409 ")) wrong += "a late try was answered " + answer + "; ";
  }
  if (bank.runs() != 0) wrong += "the business ran; ";
  if (bank.balance() != 1000) wrong += "the balance changed; ";
  return wrong;
}

TEST_P(Barrier, ACancelBeforeItsTryIsRememberedAndTheLateTryRefused) {
  Bank bank(GetParam());
  EXPECT_EQ(cancel_before_try(bank), "");
}

TEST_P(Barrier, ThePlantedForgottenCancelIsFound) {
  Bank bank(GetParam());
  lockstep::v1::detail::planted.cancel_not_remembered = true;
  EXPECT_NE(cancel_before_try(bank), "");
}

// A try that is paused between its check and its commit, and a cancel meanwhile: whoever is first, nothing is
// left.
TEST_P(Barrier, ATryPausedBeforeItsCommitAndACancelLeaveNothing) {
  for (const SqlIsolation isolation :
       {SqlIsolation::read_committed, SqlIsolation::repeatable_read, SqlIsolation::serializable}) {
    Bank bank(GetParam(), ParticipantOptions().isolation(isolation));
    set_up_tcc(bank);
    EXPECT_TRUE(bank.tcc(BranchOperation::cancel, "warm-up").is_done());  // creates the table
    std::latch paused(1);
    std::latch cancelling(1);
    bank.pause([&, first = std::make_shared<std::once_flag>()] {
      std::call_once(*first, [&] {
        paused.count_down();
        cancelling.wait();
      });
    });
    BranchAnswer tried = BranchAnswer::ongoing();
    BranchAnswer cancelled = BranchAnswer::ongoing();
    std::thread trying([&] { tried = bank.tcc(BranchOperation::attempt, "g1"); });
    paused.wait();
    std::thread cancel([&] {
      cancelling.count_down();
      cancelled = bank.tcc(BranchOperation::cancel, "g1");
    });
    trying.join();
    cancel.join();
    EXPECT_TRUE(cancelled.is_done()) << cancelled.status() << cancelled.body();
    EXPECT_TRUE(tried.is_done() || tried.is_refused()) << tried.status() << tried.body();
    EXPECT_EQ(bank.balance(), 1000);
    EXPECT_TRUE(bank.tcc(BranchOperation::attempt, "g1").status() == tried.status());
    EXPECT_EQ(bank.balance(), 1000);
  }
}

TEST_P(Barrier, TriesThatRaceTheirCancelsLeaveNothing) {
  Bank bank(GetParam(), ParticipantOptions().isolation(SqlIsolation::repeatable_read).attempts_max(100));
  set_up_tcc(bank);
  std::mutex mutex;
  std::vector<std::string> wrong;
  side_by_side(120, [&](int i) {
    const std::string transaction = "g" + std::to_string(i / 4);
    const BranchOperation operation = i % 2 == 0 ? BranchOperation::attempt : BranchOperation::cancel;
    const BranchAnswer answer = bank.tcc(operation, transaction);
    const bool expected = answer.is_done() || (operation == BranchOperation::attempt && answer.is_refused());
    const std::lock_guard lock(mutex);
    if (!expected) wrong.push_back(transaction + ": " + std::to_string(answer.status()) + answer.body());
  });
  EXPECT_EQ(wrong, std::vector<std::string>());
  EXPECT_EQ(bank.balance(), 1000);
}

// What is wrong when a refused try comes again after the reason for its refusal has gone.
std::string refused_try_again(Bank& bank) {
  bool is_sold_out = true;
  int cancelled = 0;
  bank.participant().on(BranchOperation::attempt, [&](BranchCall& call) {
    call.sql().execute("UPDATE account SET balance = balance - 10 WHERE name = 'a'");
    return is_sold_out ? BranchAnswer::refused("sold out") : BranchAnswer::done();
  });
  bank.participant().on(BranchOperation::cancel, [&](BranchCall&) {
    ++cancelled;
    return BranchAnswer::done();
  });
  std::string wrong;
  if (bank.tcc(BranchOperation::attempt, "g1").body() != "sold out") wrong += "not refused; ";
  if (bank.balance() != 1000) wrong += "a refusal had an effect; ";
  is_sold_out = false;
  if (bank.tcc(BranchOperation::attempt, "g1").body() != "sold out") wrong += "not refused again; ";
  if (bank.balance() != 1000) wrong += "a late duplicate had an effect; ";
  if (!bank.tcc(BranchOperation::cancel, "g1").is_done()) wrong += "not cancelled; ";
  if (cancelled != 0) wrong += "what was refused was undone; ";
  return wrong;
}

TEST_P(Barrier, WhatWasRefusedStaysRefusedAndIsNotUndone) {
  Bank bank(GetParam());
  EXPECT_EQ(refused_try_again(bank), "");
}

TEST_P(Barrier, ThePlantedForgottenRefusalIsFound) {
  Bank bank(GetParam());
  lockstep::v1::detail::planted.refusal_not_remembered = true;
  EXPECT_NE(refused_try_again(bank), "");
}

TEST_P(Barrier, ARefusalThatIsNoOutcomeIsAskedAgain) {
  Bank bank(GetParam());
  bool may_pay = false;
  bank.moves(BranchOperation::action, -10);
  bank.participant().on(BranchOperation::compensate, [&](BranchCall& call) {
    call.sql().execute("UPDATE account SET balance = balance + 10 WHERE name = 'a'");
    return may_pay ? BranchAnswer::done() : BranchAnswer::refused("closed");
  });
  EXPECT_TRUE(bank.call(BranchMode::saga, BranchOperation::action, "g1").is_done());
  EXPECT_TRUE(bank.call(BranchMode::saga, BranchOperation::compensate, "g1").is_refused());
  EXPECT_EQ(bank.balance(), 990);
  may_pay = true;
  EXPECT_TRUE(bank.call(BranchMode::saga, BranchOperation::compensate, "g1").is_done());
  EXPECT_EQ(bank.balance(), 1000);
}

TEST_P(Barrier, AHandlerThatFailsOrGoesOnHasNoEffectAndRunsAgain) {
  Bank bank(GetParam());
  int runs = 0;
  bank.participant().on(BranchOperation::action, [&](BranchCall& call) {
    call.sql().execute("UPDATE account SET balance = balance - 10 WHERE name = 'a'");
    ++runs;
    if (runs == 1) throw std::runtime_error("out of \"ink\"");
    if (runs == 2) call.sql().execute("INSERT INTO account VALUES ('a', 1)");  // a duplicate key
    if (runs == 3) return BranchAnswer::ongoing(7s);
    if (runs == 4) return BranchAnswer::of_status(503, "later");
    return BranchAnswer::done();
  });
  const auto act = [&] { return bank.call(BranchMode::saga, BranchOperation::action, "g1"); };
  EXPECT_EQ(act().body(), R"({"code":"failed","detail":"out of \"ink\""})");
  EXPECT_EQ(act().status(), 500);
  const BranchAnswer ongoing = act();
  EXPECT_EQ(ongoing.status(), 425);
  EXPECT_EQ(ongoing.retry_after(), 7s);
  EXPECT_EQ(act().status(), 503);
  EXPECT_EQ(bank.balance(), 1000);
  EXPECT_TRUE(act().is_done());
  EXPECT_TRUE(act().is_done());
  EXPECT_EQ(runs, 5);
  EXPECT_EQ(bank.balance(), 990);
}

// PostgreSQL answers COMMIT with ROLLBACK, and no error, when the handler swallowed one.
TEST_P(Barrier, AnErrorThatAHandlerSwallowsIsNotACommit) {
  Bank bank(GetParam());
  bank.participant().on(BranchOperation::action, [&](BranchCall& call) {
    call.sql().execute("UPDATE account SET balance = balance - 10 WHERE name = 'a'");
    try {
      call.sql().execute("INSERT INTO account VALUES ('a', 1)");
    } catch (const SqlError& error) {
      EXPECT_EQ(error.kind(), SqlError::Kind::duplicate);
    }
    return BranchAnswer::done();
  });
  const BranchAnswer answer = bank.call(BranchMode::saga, BranchOperation::action, "g1");
  EXPECT_EQ(answer.is_done(), GetParam() != SqlDialect::postgres);
  EXPECT_EQ(bank.balance(), answer.is_done() ? 990 : 1000);
}

TEST_P(Barrier, WhatNobodyHandlesIsSaid) {
  Bank bank(GetParam());
  EXPECT_EQ(bank.tcc(BranchOperation::attempt, "g1").status(), 501);
  EXPECT_EQ(bank.participant().handle([](std::string_view) { return std::nullopt; }, "").status(), 400);
}

// Each reads what the other one writes: serializable transactions of which one must go again.
TEST_P(Barrier, SerializationFailuresAreRunAgain) {
  Bank bank(GetParam(), ParticipantOptions().isolation(SqlIsolation::serializable).attempts_max(100));
  bank.participant().on(BranchOperation::action, [](BranchCall& call) {
    const auto sum = call.sql().execute("SELECT SUM(balance) FROM account");
    call.sql().execute("INSERT INTO account VALUES (?, ?)",
                       {call.context().transaction(), std::stoll(sum.rows.at(0).at(0).value())});
    return BranchAnswer::done();
  });
  side_by_side(8, [&](int i) {
    EXPECT_TRUE(bank.call(BranchMode::saga, BranchOperation::action, "g" + std::to_string(i)).is_done());
  });
  // One after the other they double the sum eight times, and no other order of reads does.
  EXPECT_EQ(bank.number("SELECT SUM(balance) FROM account"), 256'000);
}

TEST_P(Barrier, OldRowsAreCleanedInBatches) {
  Bank bank(GetParam());
  bank.moves(BranchOperation::action, -1);
  for (int i = 0; i < 7; ++i) bank.call(BranchMode::saga, BranchOperation::action, "old" + std::to_string(i));
  bank.sessions().take()->execute("UPDATE lockstep_barrier SET created_at = created_at - 90000");
  for (int i = 0; i < 2; ++i)
    bank.call(BranchMode::saga, BranchOperation::action, "young" + std::to_string(i));
  BarrierCleaner cleaner(bank.sessions());
  EXPECT_EQ(cleaner.run_once(), 0);  // a week is kept
  cleaner.keep(24h).batch(3);
  EXPECT_EQ(cleaner.run_once(), 3);
  EXPECT_EQ(cleaner.run_once(), 3);
  EXPECT_EQ(cleaner.run_once(), 1);
  EXPECT_EQ(cleaner.run_once(), 0);
  EXPECT_EQ(bank.number("SELECT COUNT(*) FROM lockstep_barrier"), 2);
}

// What an operator has tried again after a refusal; `round` 0 is the first time.
BranchAnswer act(Bank& bank, const std::string& transaction, int round,
                 const std::string& operation = "action") {
  const auto header = [&](std::string_view name) -> std::optional<std::string> {
    if (name == "Lockstep-Transaction") return transaction;
    if (name == "Lockstep-Branch") return "b1";
    if (name == "Lockstep-Operation") return operation;
    if (name == "Lockstep-Mode") return "saga";
    if (name == "Lockstep-Attempt" || name == "Lockstep-Token") return "1";
    if (name == "Lockstep-Round" && round > 0) return std::to_string(round);
    return std::nullopt;
  };
  return bank.participant().handle(lockstep::BranchContext::from_headers(header), "");
}

class Rounds : public testing::TestWithParam<SqlDialect> {
 protected:
  Rounds() : bank_(GetParam()) {
    refuses(true);
    bank_.moves(BranchOperation::compensate, +10);
  }
  void refuses(bool refuses) {
    bank_.participant().on(BranchOperation::action, [refuses](BranchCall& call) {
      call.sql().execute("UPDATE account SET balance = balance - 10 WHERE name = 'a'");
      return refuses ? BranchAnswer::refused("closed") : BranchAnswer::done("open");
    });
  }
  Bank bank_;
};

INSTANTIATE_TEST_SUITE_P(On, Rounds, testing::ValuesIn(dialects()), dialect_name);

TEST_P(Rounds, ARefusalStandsForItsRoundOnly) {
  EXPECT_EQ(act(bank_, "g", 0).status(), 409);
  EXPECT_EQ(act(bank_, "g", 1).status(), 409);
  refuses(false);
  EXPECT_EQ(act(bank_, "g", 0).status(), 409);
  EXPECT_EQ(act(bank_, "g", 1).body(), "closed");  // a late duplicate of what was refused
  EXPECT_EQ(bank_.balance(), 1000);
  EXPECT_EQ(act(bank_, "g", 2).body(), "open");
  for (const int round : {0, 1, 2, 3}) EXPECT_EQ(act(bank_, "g", round).body(), "open") << round;
  EXPECT_EQ(bank_.balance(), 990);
  EXPECT_EQ(act(bank_, "g", 0, "compensate").status(), 200);
  EXPECT_EQ(bank_.balance(), 1000);
}

TEST_P(Rounds, NoRoundComesAfterItsUndo) {
  EXPECT_EQ(act(bank_, "g", 0).status(), 409);
  EXPECT_EQ(act(bank_, "g", 0, "compensate").status(), 200);
  EXPECT_EQ(act(bank_, "g", 0, "compensate").status(), 200);
  EXPECT_EQ(act(bank_, "h", 0, "compensate").status(), 200);
  refuses(false);
  for (const int round : {0, 1, 2}) {
    EXPECT_EQ(act(bank_, "g", round).status(), 409) << round;
    EXPECT_EQ(act(bank_, "h", round).status(), 409) << round;
  }
  EXPECT_EQ(bank_.balance(), 1000);
}

TEST_P(Rounds, AHundredDuplicatesOfALaterRoundHaveOneEffect) {
  EXPECT_EQ(act(bank_, "g", 0).status(), 409);
  refuses(false);
  side_by_side(duplicates, [&](int) {
    // What gave up among so many writers is asked again, as a coordinator would.
    BranchAnswer answer = act(bank_, "g", 1);
    while (answer.status() == 500) answer = act(bank_, "g", 1);
    EXPECT_EQ(answer.body(), "open");
  });
  EXPECT_EQ(bank_.balance(), 990);
}

// A check after an outage that was longer than rows of calls are kept.
TEST_P(Barrier, AMessagesRowOutlivesThoseOfCalls) {
  Bank bank(GetParam());
  set_up_tcc(bank);
  bank.tcc(BranchOperation::attempt, "call");
  const auto check = [&] {
    return bank.call(BranchMode::message, BranchOperation::check, "message").status();
  };
  {
    const auto session = bank.sessions().take();
    SqlTransaction sending(*session);
    EXPECT_TRUE(MessageBarrier::record(*session, "message"));
    sending.commit();
  }
  const auto age = [&](std::chrono::seconds by) {
    bank.sessions().take()->execute("UPDATE lockstep_barrier SET created_at = created_at - ?", {by.count()});
  };
  BarrierCleaner cleaner(bank.sessions());
  age(8 * 24h);
  EXPECT_EQ(cleaner.run_once(), 1);
  EXPECT_EQ(check(), 200);
  age(81 * 24h);
  EXPECT_EQ(cleaner.run_once(), 0);
  EXPECT_EQ(cleaner.keep_messages(100 * 24h).run_once(), 0);
  EXPECT_EQ(cleaner.keep_messages(1h).run_once(), 1);  // as long as the others
  EXPECT_EQ(check(), 409);
  EXPECT_EQ(cleaner.run_once(), 0);
}

TEST_P(Barrier, AMessageIsSentExactlyIfItsTransactionCommitted) {
  Bank bank(GetParam());
  BranchBarrier::create_table(*bank.sessions().take());
  const auto check = [&](const std::string& transaction) {
    return bank.call(BranchMode::message, BranchOperation::check, transaction);
  };
  {
    const auto session = bank.sessions().take();
    SqlTransaction sending(*session);
    EXPECT_TRUE(MessageBarrier::record(*session, "committed"));
    sending.commit();
  }
  {
    const auto session = bank.sessions().take();
    const SqlTransaction abandoned(*session);
    EXPECT_TRUE(MessageBarrier::record(*session, "rolled-back"));
  }
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(check("committed").is_done());
    EXPECT_TRUE(check("rolled-back").is_refused());
    EXPECT_TRUE(check("never-begun").is_refused());
  }
  // What was asked for can never commit any more.
  const auto session = bank.sessions().take();
  const SqlTransaction late(*session);
  EXPECT_FALSE(MessageBarrier::record(*session, "never-begun"));
}

// SQLite has one writer at a time: the check waits for it.
class RunningMessage : public testing::TestWithParam<SqlDialect> {};
INSTANTIATE_TEST_SUITE_P(On, RunningMessage, testing::ValuesIn(servers_only()), dialect_name);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(RunningMessage);

TEST_P(RunningMessage, IsAskedForAgain) {
  Bank bank(GetParam());
  BranchBarrier::create_table(*bank.sessions().take());
  const auto session = bank.sessions().take();
  SqlTransaction sending(*session);
  EXPECT_TRUE(MessageBarrier::record(*session, "g1"));
  EXPECT_TRUE(bank.call(BranchMode::message, BranchOperation::check, "g1").is_ongoing());
  sending.commit();
  EXPECT_TRUE(bank.call(BranchMode::message, BranchOperation::check, "g1").is_done());
}

}  // namespace
