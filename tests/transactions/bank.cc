// A bank that takes part in transactions, on PostgreSQL or MariaDB: what the tests kill, and its database.
//
//   transactions-bank --listen HOST:PORT --database URL --prefix NAME --lockstep HOST:PORT
//
// POST /bank takes tcc (hold, move, give back) and xa (prepare, commit, roll back); the body is {"account":
// 0…, "amount": cents, negative to take}. An account is never in debt. Each movement leaves a row in `moves`,
// written by the transaction that makes it. What stays prepared is looked for once a second, and finished as
// Lockstep says.
#include <chrono>
#include <iostream>
#include <memory>
#include <string>
#include <thread>

#include <lockstep/participant/participant.h>
#include <lockstep/participant/xa.h>

#include "service.h"

namespace {

using lockstep::BranchAnswer;
using lockstep::BranchCall;
using lockstep::BranchOperation;
using lockstep::SqlDialect;
using lockstep::XaDecision;
using shop::Json;

constexpr int accounts = 200;
constexpr int opening_balance = 1000;
constexpr std::chrono::seconds orphan_age(15);

void make_tables(lockstep::SqlSessions& sessions) {
  const std::string engine = sessions.take()->dialect() == SqlDialect::mariadb ? " ENGINE = InnoDB" : "";
  shop::create_tables(
      sessions, {"accounts (id INT PRIMARY KEY, balance BIGINT NOT NULL, held BIGINT NOT NULL)" + engine,
                 "moves (gid VARCHAR(128), branch VARCHAR(128), account INT, amount BIGINT, "
                 "PRIMARY KEY (gid, branch))" +
                     engine});
  const auto session = sessions.take();
  lockstep::SqlTransaction transaction(*session);
  const auto there = session->execute("SELECT COUNT(*) FROM accounts");
  if (there.rows.at(0).at(0) == "0") {
    for (int id = 0; id < accounts; ++id) {
      session->execute("INSERT INTO accounts VALUES (?, ?, 0)", {id, opening_balance});
    }
  }
  transaction.commit();
}

struct Movement {
  explicit Movement(const BranchCall& call) {
    const Json body = Json::parse(call.body());
    account = body.at("account");
    amount = body.at("amount");
  }
  std::int64_t account = 0;
  std::int64_t amount = 0;
};

void note(BranchCall& call, const Movement& movement) {
  call.sql().execute(
      "INSERT INTO moves VALUES (?, ?, ?, ?)",
      {call.context().transaction(), call.context().branch(), movement.account, movement.amount});
}

// What is held of what others get is not there to be taken: only what is taken is held from the balance.
BranchAnswer hold(BranchCall& call) {
  const Movement movement(call);
  const auto done = call.sql().execute(
      "UPDATE accounts SET held = held + ? WHERE id = ? AND (? >= 0 OR balance + held + ? >= 0)",
      {movement.amount, movement.account, movement.amount, movement.amount});
  return done.changes == 1 ? BranchAnswer::done() : BranchAnswer::refused("not enough");
}

BranchAnswer move(BranchCall& call) {
  const Movement movement(call);
  call.sql().execute("UPDATE accounts SET held = held - ?, balance = balance + ? WHERE id = ?",
                     {movement.amount, movement.amount, movement.account});
  note(call, movement);
  return BranchAnswer::done();
}

BranchAnswer give_back(BranchCall& call) {
  const Movement movement(call);
  call.sql().execute("UPDATE accounts SET held = held - ? WHERE id = ?", {movement.amount, movement.account});
  return BranchAnswer::done();
}

BranchAnswer prepare(BranchCall& call) {
  const Movement movement(call);
  const auto done =
      call.sql().execute("UPDATE accounts SET balance = balance + ? WHERE id = ? AND balance + held + ? >= 0",
                         {movement.amount, movement.account, movement.amount});
  if (done.changes != 1) return BranchAnswer::refused("not enough");
  note(call, movement);
  return BranchAnswer::done();
}

XaDecision decision_of(const std::string& lockstep, const std::string& gid) {
  httplib::Client client("http://" + lockstep);
  client.set_read_timeout(5, 0);
  const auto answer = client.Get("/v1/transactions/show?gid=" + gid);
  if (!answer) throw std::runtime_error("Lockstep does not answer");
  if (answer->status == 404) return XaDecision::unknown;
  if (answer->status != 200) throw std::runtime_error("Lockstep answers " + std::to_string(answer->status));
  const std::string state = Json::parse(answer->body).at("state");
  if (state == "committing" || state == "committed") return XaDecision::committed;
  if (state == "aborting" || state == "aborted") return XaDecision::aborted;
  return XaDecision::running;
}

void recover(lockstep::SqlSessions& sessions, const std::string& prefix, const std::string& lockstep) {
  lockstep::XaRecovery recovery(sessions, prefix);
  recovery.abort_unknown_after(orphan_age);
  while (true) {
    std::this_thread::sleep_for(std::chrono::seconds(1));
    try {
      const lockstep::XaReport report =
          recovery.run_once([&](const std::string& gid) { return decision_of(lockstep, gid); });
      for (const std::string& problem : report.problems) std::cerr << "recovery: " << problem << std::endl;
    } catch (const std::exception&) {
      // The database, or Lockstep, was killed: later.
    }
  }
}

}  // namespace

int main(int count, char** arguments) {
  const shop::Settings settings(count, arguments,
                                {{"listen", "host:port"},
                                 {"database", "postgres://… or mariadb://…"},
                                 {"prefix", "of the names of what it prepares"},
                                 {"lockstep", "host:port of who knows the decisions"}});
  const auto open = shop::open_database(settings.get("database"));
  // Nobody waits longer for a row than a call may last.
  lockstep::SqlSessions sessions([open] {
    auto session = open();
    session->execute(session->dialect() == SqlDialect::mariadb ? "SET SESSION innodb_lock_wait_timeout = 2"
                                                               : "SET lock_timeout = '2s'");
    return session;
  });
  make_tables(sessions);
  const std::string prefix = settings.get("prefix");
  lockstep::Participant bank(sessions, lockstep::ParticipantOptions().xa_prefix(prefix));
  bank.on(BranchOperation::attempt, hold)
      .on(BranchOperation::confirm, move)
      .on(BranchOperation::cancel, give_back)
      .on(BranchOperation::prepare, prepare);
  std::thread([&] { recover(sessions, prefix, settings.get("lockstep")); }).detach();
  shop::Service service;
  service.serve("/bank", bank);
  return service.run(settings.get("listen"));
}
