// The stock service: what there is of each item, and for whom. A participant of two kinds of transactions:
//
//   POST /stock/reserve    TCC: try takes items aside, confirm sells them, cancel puts them back
//   POST /stock/put-back   saga: what was sold to an order is there again
//   GET  /items/<item>     for people
//
// The database refuses negative numbers, and items that come from nowhere or vanish.
#include <stdexcept>

#include "service.h"

namespace {

using lockstep::BranchAnswer;
using lockstep::BranchCall;
using lockstep::BranchOperation;
using shop::Order;

const std::vector<std::string> tables = {
    "items (item VARCHAR(64) PRIMARY KEY, total BIGINT NOT NULL, available BIGINT NOT NULL CHECK (available "
    ">= 0), "
    "held BIGINT NOT NULL CHECK (held >= 0), sold BIGINT NOT NULL CHECK (sold >= 0), "
    "CHECK (available + held + sold = total))",
    "reservations (order_id VARCHAR(64) PRIMARY KEY, item VARCHAR(64) NOT NULL, quantity BIGINT NOT NULL "
    "CHECK (quantity > 0), "
    "state VARCHAR(16) NOT NULL CHECK (state IN ('held', 'sold', 'cancelled', 'returned')))"};

BranchAnswer reserve(BranchCall& call) {
  const Order order = shop::order_of(call);
  const auto taken = call.sql().execute(
      "UPDATE items SET available = available - ?, held = held + ? WHERE item = ? AND available >= ?",
      {order.quantity, order.quantity, order.item, order.quantity});
  if (taken.changes != 1) return BranchAnswer::refused(R"({"reason":"out of stock"})");
  call.sql().execute("INSERT INTO reservations (order_id, item, quantity, state) VALUES (?, ?, ?, 'held')",
                     {order.id, order.item, order.quantity});
  return BranchAnswer::done();
}

// From one state of the reservation and one column of the item to another.
BranchAnswer move(BranchCall& call, const std::string& from_state, const std::string& to_state,
                  const std::string& from, const std::string& to) {
  const Order order = shop::order_of(call);
  const auto moved = call.sql().execute("UPDATE reservations SET state = ? WHERE order_id = ? AND state = ?",
                                        {to_state, order.id, from_state});
  if (moved.changes != 1) throw std::logic_error(order.id + " has nothing that is " + from_state);
  call.sql().execute(
      "UPDATE items SET " + from + " = " + from + " - ?, " + to + " = " + to + " + ? WHERE item = ?",
      {order.quantity, order.quantity, order.item});
  return BranchAnswer::done();
}

// What there is at first; nothing where it is known already.
void fill(lockstep::SqlSessions& sessions, const std::string& file) {
  const auto session = sessions.take();
  lockstep::SqlTransaction transaction(*session);
  if (session->execute("SELECT item FROM items LIMIT 1").rows.empty()) {
    for (const auto& row : shop::read_csv(file)) {
      const std::int64_t stock = std::stoll(row.at(2));
      session->execute("INSERT INTO items (item, total, available, held, sold) VALUES (?, ?, ?, 0, 0)",
                       {row.at(0), stock, stock});
    }
  }
  transaction.commit();
}

void show(lockstep::SqlSessions& sessions, const std::string& item, httplib::Response& response) {
  const auto session = sessions.take();
  const auto found =
      session->execute("SELECT total, available, held, sold FROM items WHERE item = ?", {item});
  if (found.rows.empty()) return shop::answer(response, 404, {{"error", "no such item"}});
  const auto& row = found.rows.front();
  shop::answer(response, 200,
               {{"item", item},
                {"total", std::stoll(*row[0])},
                {"available", std::stoll(*row[1])},
                {"held", std::stoll(*row[2])},
                {"sold", std::stoll(*row[3])}});
}

int serve(int count, char** arguments) {
  const shop::Settings settings(count, arguments,
                                {{"listen", "host:port"},
                                 {"database", "a file of SQLite, postgres://… or mariadb://…"},
                                 {"items", "items.csv: what is in stock at first"}});
  lockstep::SqlSessions sessions(shop::open_database(settings.get("database")));
  shop::create_tables(sessions, tables);
  fill(sessions, settings.get("items"));

  lockstep::Participant reservations(sessions);
  reservations.on(BranchOperation::attempt, reserve)
      .on(BranchOperation::confirm,
          [](BranchCall& call) { return move(call, "held", "sold", "held", "sold"); })
      .on(BranchOperation::cancel,
          [](BranchCall& call) { return move(call, "held", "cancelled", "held", "available"); });
  lockstep::Participant returns(sessions);
  returns.on(BranchOperation::action,
             [](BranchCall& call) { return move(call, "sold", "returned", "sold", "available"); });

  shop::Service service;
  service.serve("/stock/reserve", reservations);
  service.serve("/stock/put-back", returns);
  service.http().Get(R"(/items/([\w-]+))",
                     [&sessions](const httplib::Request& request, httplib::Response& response) {
                       show(sessions, request.matches[1], response);
                     });
  return service.run(settings.get("listen"));
}

}  // namespace

int main(int count, char** arguments) {
  return shop::run_program("shop-stock", serve, count, arguments);
}
