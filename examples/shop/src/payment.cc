// The payment service: accounts of buyers and of the shop, in cents. A participant of sagas:
//
//   POST /payments/charge     action: from the buyer's account to the shop's; compensate: back again
//   POST /payments/give-back  action: back to the buyer, for an order that was paid
//   GET  /accounts/<name>     for people
//
// The database refuses negative accounts. Entries are only ever added: who was charged what, and why.
#include <stdexcept>

#include "service.h"

namespace {

using lockstep::BranchAnswer;
using lockstep::BranchCall;
using lockstep::BranchOperation;
using shop::Order;

constexpr const char* shop_account = "the-shop";

const std::vector<std::string> tables = {
    "accounts (name VARCHAR(64) PRIMARY KEY, opened_with BIGINT NOT NULL, cents BIGINT NOT NULL CHECK (cents "
    ">= 0))",
    "entries (id VARCHAR(200) PRIMARY KEY, order_id VARCHAR(64) NOT NULL, buyer VARCHAR(64) NOT NULL, "
    "kind VARCHAR(16) NOT NULL CHECK (kind IN ('charge', 'refund')), cents BIGINT NOT NULL CHECK (cents > "
    "0))"};

bool move(lockstep::SqlSession& sql, const std::string& from, const std::string& to, std::int64_t cents) {
  const auto taken = sql.execute("UPDATE accounts SET cents = cents - ? WHERE name = ? AND cents >= ?",
                                 {cents, from, cents});
  if (taken.changes != 1) return false;
  if (sql.execute("UPDATE accounts SET cents = cents + ? WHERE name = ?", {cents, to}).changes != 1) {
    throw std::logic_error("there is no account " + to);
  }
  return true;
}

BranchAnswer book(BranchCall& call, const std::string& kind) {
  const Order order = shop::order_of(call);
  const bool charges = kind == "charge";
  if (!move(call.sql(), charges ? order.buyer : shop_account, charges ? shop_account : order.buyer,
            order.cents)) {
    if (!charges) throw std::logic_error("the shop cannot give back what it does not have");
    return BranchAnswer::refused(R"({"reason":"not enough money"})");
  }
  call.sql().execute("INSERT INTO entries (id, order_id, buyer, kind, cents) VALUES (?, ?, ?, ?, ?)",
                     {call.context().idempotency_key(), order.id, order.buyer, kind, order.cents});
  return BranchAnswer::done();
}

void open_accounts(lockstep::SqlSessions& sessions, const std::string& file) {
  const auto session = sessions.take();
  lockstep::SqlTransaction transaction(*session);
  if (session->execute("SELECT name FROM accounts LIMIT 1").rows.empty()) {
    const auto open = [&session](const std::string& name, std::int64_t cents) {
      session->execute("INSERT INTO accounts (name, opened_with, cents) VALUES (?, ?, ?)",
                       {name, cents, cents});
    };
    open(shop_account, 0);
    for (const auto& row : shop::read_csv(file)) open(row.at(0), std::stoll(row.at(1)));
  }
  transaction.commit();
}

void show(lockstep::SqlSessions& sessions, const std::string& name, httplib::Response& response) {
  const auto session = sessions.take();
  const auto found = session->execute("SELECT opened_with, cents FROM accounts WHERE name = ?", {name});
  if (found.rows.empty()) return shop::answer(response, 404, {{"error", "no such account"}});
  const auto& row = found.rows.front();
  shop::answer(response, 200,
               {{"name", name}, {"opened_with", std::stoll(*row[0])}, {"cents", std::stoll(*row[1])}});
}

int serve(int count, char** arguments) {
  const shop::Settings settings(count, arguments,
                                {{"listen", "host:port"},
                                 {"database", "a file of SQLite, postgres://… or mariadb://…"},
                                 {"buyers", "buyers.csv: what buyers have at first"}});
  lockstep::SqlSessions sessions(shop::open_database(settings.get("database")));
  shop::create_tables(sessions, tables);
  open_accounts(sessions, settings.get("buyers"));

  lockstep::Participant charges(sessions);
  charges.on(BranchOperation::action, [](BranchCall& call) { return book(call, "charge"); })
      .on(BranchOperation::compensate, [](BranchCall& call) { return book(call, "refund"); });
  lockstep::Participant refunds(sessions);
  refunds.on(BranchOperation::action, [](BranchCall& call) { return book(call, "refund"); });

  shop::Service service;
  service.serve("/payments/charge", charges);
  service.serve("/payments/give-back", refunds);
  service.http().Get(R"(/accounts/([\w-]+))",
                     [&sessions](const httplib::Request& request, httplib::Response& response) {
                       show(sessions, request.matches[1], response);
                     });
  return service.run(settings.get("listen"));
}

}  // namespace

int main(int count, char** arguments) {
  return shop::run_program("shop-payment", serve, count, arguments);
}
