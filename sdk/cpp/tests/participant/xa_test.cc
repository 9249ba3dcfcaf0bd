// Two-phase commit on PostgreSQL and MariaDB: what is prepared survives, is finished once, and by nobody
// else.
#include <chrono>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <lockstep/participant/xa.h>

#include "participant/xa_resource.h"
#include "testing_bank.h"

namespace {

using namespace lockstep::testing_databases;
using namespace std::chrono_literals;
using lockstep::BranchAnswer;
using lockstep::BranchCall;
using lockstep::BranchOperation;
using lockstep::ParticipantOptions;
using lockstep::SqlDialect;
using lockstep::XaDecision;
using lockstep::XaRecovery;
using lockstep::XaReport;

// The databases of all tests share one list of prepared transactions: each test has a prefix of its own.
std::string next_prefix() {
  static int number = 0;
  return "test-" + std::to_string(++number);
}

class Xa : public testing::TestWithParam<SqlDialect> {
 protected:
  Xa() : prefix_(next_prefix()), bank_(GetParam(), ParticipantOptions().xa_prefix(prefix_)) {
    bank_.moves(BranchOperation::prepare, -10);
  }
  int prepare(const std::string& transaction, const std::string& branch = "b1") {
    return bank_.xa(BranchOperation::prepare, transaction, branch).status();
  }
  int commit(const std::string& transaction, const std::string& branch = "b1") {
    return bank_.xa(BranchOperation::commit, transaction, branch).status();
  }
  int rollback(const std::string& transaction, const std::string& branch = "b1") {
    return bank_.xa(BranchOperation::rollback, transaction, branch).status();
  }
  // Leaves something prepared that is not this test's.
  void prepare_foreign(const std::string& name) {
    const auto session = bank_.sessions().take();
    session->retire();
    if (GetParam() == SqlDialect::postgres) {
      session->execute("BEGIN");
      session->execute("CREATE TABLE foreign_table (i INT)");
      session->execute("PREPARE TRANSACTION '" + name + "'");
    } else {
      session->execute("XA START '" + name + "'");
      session->execute("INSERT INTO account VALUES ('foreign', 0)");
      session->execute("XA END '" + name + "'");
      session->execute("XA PREPARE '" + name + "'");
    }
  }
  void roll_back_foreign(const std::string& name) {
    const bool postgres = GetParam() == SqlDialect::postgres;
    bank_.sessions().take()->execute((postgres ? "ROLLBACK PREPARED '" : "XA ROLLBACK '") + name + "'");
  }

  std::string prefix_;
  Bank bank_;
};

INSTANTIATE_TEST_SUITE_P(On, Xa, testing::ValuesIn(servers_only()), dialect_name);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Xa);

TEST_P(Xa, WhatIsPreparedIsSeenAfterTheCommitOnly) {
  EXPECT_EQ(prepare("g1"), 200);
  EXPECT_EQ(bank_.balance(), 1000);
  EXPECT_EQ(commit("g1"), 200);
  EXPECT_EQ(bank_.balance(), 990);
  EXPECT_EQ(prepare("g2"), 200);
  EXPECT_EQ(rollback("g2"), 200);
  EXPECT_EQ(bank_.balance(), 990);
}

TEST_P(Xa, AHundredDuplicatesHaveOneEffect) {
  for (const BranchOperation operation : {BranchOperation::prepare, BranchOperation::commit}) {
    side_by_side(100, [&](int) {
      // 425: its like is at work.
      BranchAnswer answer = BranchAnswer::ongoing();
      while (answer.is_ongoing()) answer = bank_.xa(operation, "g1");
      EXPECT_EQ(answer.status(), 200) << answer.body();
    });
  }
  EXPECT_EQ(bank_.balance(), 990);
  EXPECT_EQ(prepare("g1"), 200);  // and after all is over
  EXPECT_EQ(bank_.balance(), 990);
  EXPECT_EQ(prepare("g2"), 200);
  side_by_side(100, [&](int) {
    BranchAnswer answer = BranchAnswer::ongoing();
    while (answer.is_ongoing()) answer = bank_.xa(BranchOperation::rollback, "g2");
    EXPECT_EQ(answer.status(), 200) << answer.body();
  });
  EXPECT_EQ(bank_.balance(), 990);
}

TEST_P(Xa, BranchesOfOneTransactionAreApart) {
  bank_.participant().on(BranchOperation::prepare, [](BranchCall& call) {
    call.sql().execute("INSERT INTO account VALUES (?, 1)", {call.context().branch()});
    return BranchAnswer::done();
  });
  EXPECT_EQ(prepare("it's", "stock/1"), 200);
  EXPECT_EQ(prepare("it's", "stock/2"), 200);
  EXPECT_EQ(commit("it's", "stock/1"), 200);
  EXPECT_EQ(rollback("it's", "stock/2"), 200);
  EXPECT_EQ(bank_.number("SELECT COUNT(*) FROM account WHERE name = 'stock/1'"), 1);
  EXPECT_EQ(bank_.number("SELECT COUNT(*) FROM account WHERE name = 'stock/2'"), 0);
}

// The commands of two-phase commit take no parameters: names are written into them.
TEST_P(Xa, ANameThatWouldEndItsTextIsANameWhateverTheDatabaseIsSetTo) {
  const auto set = [&](const std::string& how) {
    if (GetParam() != SqlDialect::postgres) return;
    bank_.sessions().take()->execute("ALTER DATABASE postgres " + how);
    bank_.sessions().close_idle();
  };
  set("SET standard_conforming_strings = off");
  const std::string branch = R"(\';DROP/**/TABLE/**/account;--)";
  for (const std::string transaction : {R"(a\)", R"(a\')", R"(a"?b)"}) {
    EXPECT_EQ(prepare(transaction, branch), 200);
    EXPECT_EQ(commit(transaction, branch), 200);
    EXPECT_EQ(prepare(transaction, R"(\)"), 200);
    EXPECT_EQ(rollback(transaction, R"(\)"), 200);
  }
  set("RESET standard_conforming_strings");
  EXPECT_EQ(bank_.balance(), 970);
}

TEST_P(Xa, APrepareAfterItsRollbackIsRefused) {
  EXPECT_EQ(rollback("g1"), 200);
  EXPECT_EQ(rollback("g1"), 200);
  EXPECT_EQ(prepare("g1"), 409);
  EXPECT_EQ(prepare("g2"), 200);
  EXPECT_EQ(rollback("g2"), 200);
  EXPECT_EQ(prepare("g2"), 409);
  EXPECT_EQ(bank_.balance(), 1000);
  EXPECT_EQ(bank_.runs(), 1);
}

TEST_P(Xa, ARefusedPrepareIsRefusedAgainAndRolledBackFreely) {
  bank_.participant().on(BranchOperation::prepare, [](BranchCall& call) {
    call.sql().execute("UPDATE account SET balance = 0");
    return BranchAnswer::refused("closed");
  });
  EXPECT_EQ(prepare("g1"), 409);
  bank_.moves(BranchOperation::prepare, -10);
  EXPECT_EQ(bank_.xa(BranchOperation::prepare, "g1").body(), "closed");
  EXPECT_EQ(rollback("g1"), 200);
  EXPECT_EQ(bank_.balance(), 1000);
}

TEST_P(Xa, AHandlerThatFailsLeavesNothingPrepared) {
  bool fails = true;
  bank_.participant().on(BranchOperation::prepare, [&](BranchCall& call) {
    call.sql().execute("UPDATE account SET balance = balance - 10");
    if (fails) call.sql().execute("INSERT INTO account VALUES ('a', 1)");
    return BranchAnswer::done();
  });
  EXPECT_EQ(prepare("g1"), 500);
  EXPECT_EQ(commit("g1"), 409);  // nobody would ask that; nothing is there
  fails = false;
  EXPECT_EQ(prepare("g1"), 200);
  EXPECT_EQ(commit("g1"), 200);
  EXPECT_EQ(bank_.balance(), 990);
}

TEST_P(Xa, ACommitWhoseWorkIsLostIsSaid) {
  EXPECT_EQ(prepare("g1"), 200);
  EXPECT_EQ(XaRecovery(bank_.sessions(), prefix_)
                .run_once([](const auto&) { return XaDecision::aborted; })
                .rolled_back,
            1);
  const BranchAnswer answer = bank_.xa(BranchOperation::commit, "g1");
  EXPECT_EQ(answer.status(), 409);
  EXPECT_NE(answer.body().find("prepared_work_lost"), std::string::npos);
  EXPECT_EQ(prepare("g2"), 200);
  EXPECT_EQ(commit("g2"), 200);
  EXPECT_EQ(bank_.xa(BranchOperation::rollback, "g2").status(), 409);  // it is too late for that
}

TEST_P(Xa, ARollbackWhileItsPrepareRunsIsAskedAgain) {
  rollback("warm-up");
  BranchAnswer during = BranchAnswer::done();
  bank_.pause([&] { during = bank_.xa(BranchOperation::rollback, "g1"); });
  EXPECT_EQ(prepare("g1"), 200);
  EXPECT_EQ(during.status(), 425);
  EXPECT_EQ(rollback("g1"), 200);
  EXPECT_EQ(prepare("g1"), 409);
  EXPECT_EQ(bank_.balance(), 1000);
}

TEST_P(Xa, ADatabaseKilledBetweenPrepareAndCommitHasLostNothing) {
  EXPECT_EQ(prepare("kept"), 200);
  const auto session = bank_.sessions().take();
  lockstep::SqlTransaction unprepared(*session);
  session->execute("INSERT INTO account VALUES ('unprepared', 1)");
  bank_.database().kill_and_restart();  // under connections that wait for their next turn
  EXPECT_EQ(prepare("kept"), 200);
  EXPECT_EQ(commit("kept"), 200);
  EXPECT_EQ(commit("kept"), 200);
  EXPECT_EQ(bank_.balance(), 990);
  EXPECT_EQ(bank_.number("SELECT COUNT(*) FROM account"), 1);
}

// Orphans of a coordinator that is gone, after the database was killed, too.
TEST_P(Xa, RecoveryFinishesWhatIsDecidedAndTouchesNothingElse) {
  bank_.participant().on(BranchOperation::prepare, [](BranchCall& call) {
    call.sql().execute("INSERT INTO account VALUES (?, 1)", {call.context().transaction()});
    return BranchAnswer::done();
  });
  for (const char* transaction : {"committed", "aborted", "running", "unknown"})
    EXPECT_EQ(prepare(transaction), 200);
  const std::string foreign = "foreign-" + prefix_;
  prepare_foreign(foreign);
  Bank other(GetParam(), ParticipantOptions().xa_prefix(prefix_ + "x"));
  other.moves(BranchOperation::prepare, 1);
  EXPECT_EQ(other.xa(BranchOperation::prepare, "theirs").status(), 200);
  bank_.database().kill_and_restart();
  bank_.sessions().close_idle();
  other.sessions().close_idle();

  std::set<std::string> asked;
  const auto decide = [&](const std::string& transaction) {
    asked.insert(transaction);
    return transaction == "committed" ? XaDecision::committed
           : transaction == "aborted" ? XaDecision::aborted
           : transaction == "running" ? XaDecision::running
                                      : XaDecision::unknown;
  };
  XaRecovery recovery(bank_.sessions(), prefix_);
  XaReport report = recovery.run_once(decide);
  EXPECT_EQ(report.committed, 1);
  EXPECT_EQ(report.rolled_back, 1);
  EXPECT_EQ(report.left, 2);  // running; unknown, but young
  EXPECT_GE(report.foreign, 2);
  EXPECT_EQ(report.problems, std::vector<std::string>());
  EXPECT_EQ(asked, (std::set<std::string>{"committed", "aborted", "running", "unknown"}));
  report = recovery.abort_unknown_after(0s).run_once(decide);
  EXPECT_EQ(report.rolled_back, 1);
  EXPECT_EQ(report.left, 1);
  EXPECT_EQ(prepare("unknown"), 409);  // presumed abort is remembered
  EXPECT_EQ(rollback("running"), 200);
  EXPECT_EQ(bank_.number("SELECT COUNT(*) FROM account"), 2);
  EXPECT_EQ(bank_.number("SELECT COUNT(*) FROM account WHERE name = 'committed'"), 1);

  roll_back_foreign(foreign);  // still there, or this fails
  EXPECT_EQ(other.xa(BranchOperation::commit, "theirs").status(), 200);
  EXPECT_EQ(other.balance(), 1001);
}

TEST_P(Xa, NamesThatDoNotFitAreRefusedPrecisely) {
  const std::string longest(128, 'g');
  const BranchAnswer answer = bank_.xa(BranchOperation::prepare, longest, std::string(80, 'b'));
  EXPECT_EQ(answer.status(), 409);
  EXPECT_NE(
      answer.body().find(GetParam() == SqlDialect::postgres ? "PostgreSQL takes 199" : "MariaDB takes 64"),
      std::string::npos)
      << answer.body();
  EXPECT_EQ(bank_.runs(), 0);
  EXPECT_THROW(XaRecovery(bank_.sessions(), "a/b"), std::invalid_argument);
  EXPECT_THROW(XaRecovery(bank_.sessions(), ""), std::invalid_argument);
}

TEST(XaNames, QuotesAndBackslashesAreDoubledAndMariadbGetsHexadecimal) {
  using lockstep::v1::detail::xa_literal;
  EXPECT_EQ(xa_literal(SqlDialect::postgres, "p", {.transaction = "g1", .branch = "b/1"}), "E'ls/p/g1/b/1'");
  EXPECT_EQ(xa_literal(SqlDialect::postgres, "p", {.transaction = "it's", .branch = R"(\';--)"}),
            R"(E'ls/p/it''s/\\'';--')");
  EXPECT_EQ(xa_literal(SqlDialect::mariadb, "p", {.transaction = "'", .branch = R"(\')"}),
            "X'6c732f702f27',X'5c27',19539");
}

TEST(XaOnSqlite, IsRefused) {
  Bank bank(SqlDialect::sqlite);
  bank.moves(BranchOperation::prepare, -10);
  EXPECT_EQ(bank.xa(BranchOperation::prepare, "g1").body(),
            R"({"code":"xa_impossible","detail":"SQLite has no two-phase commit"})");
  EXPECT_EQ(bank.runs(), 0);
}

}  // namespace
