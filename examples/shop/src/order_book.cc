#include "order_book.h"

#include "events.h"

namespace shop {

namespace {

constexpr const char* columns = "SELECT order_id, buyer, item, quantity, cents, state FROM orders WHERE ";

Order from_row(const lockstep::SqlRow& row) {
  return {*row.at(0), *row.at(1), *row.at(2), std::stoll(*row.at(3)), std::stoll(*row.at(4)), *row.at(5)};
}

std::optional<Order> first_of(const lockstep::SqlResult& result) {
  if (result.rows.empty()) return std::nullopt;
  return from_row(result.rows.front());
}

}  // namespace

std::vector<std::string> order_tables() {
  return {
      "orders (order_id VARCHAR(64) PRIMARY KEY, request VARCHAR(128) NOT NULL UNIQUE, buyer VARCHAR(64) NOT "
      "NULL, "
      "item VARCHAR(64) NOT NULL, quantity BIGINT NOT NULL CHECK (quantity > 0), cents BIGINT NOT NULL CHECK "
      "(cents > 0), "
      "state VARCHAR(16) NOT NULL CHECK (state IN ('placing', 'reserved', 'rejected', 'paid', 'released', "
      "'refunded')))"};
}

Order OrderBook::find_or_add(const std::string& request, const Order& fresh) const {
  const auto session = sessions_->take();
  try {
    lockstep::SqlTransaction transaction(*session);
    session->execute(
        "INSERT INTO orders (order_id, request, buyer, item, quantity, cents, state) VALUES (?, ?, ?, ?, ?, "
        "?, 'placing')",
        {fresh.id, request, fresh.buyer, fresh.item, fresh.quantity, fresh.cents});
    add_event(*session, fresh.id, "placing");
    transaction.commit();
    return fresh;
  } catch (const lockstep::SqlError& error) {
    if (error.kind() != lockstep::SqlError::Kind::duplicate) throw;
  }
  return find_by_request(request).value();
}

std::optional<Order> OrderBook::find_by_request(const std::string& request) const {
  const auto session = sessions_->take();
  return first_of(session->execute(std::string(columns) + "request = ?", {request}));
}

std::optional<Order> OrderBook::find(const std::string& id) const {
  const auto session = sessions_->take();
  return first_of(session->execute(std::string(columns) + "order_id = ?", {id}));
}

std::vector<Order> OrderBook::placing() const {
  const auto session = sessions_->take();
  std::vector<Order> orders;
  for (const auto& row : session->execute(std::string(columns) + "state = 'placing'").rows)
    orders.push_back(from_row(row));
  return orders;
}

bool OrderBook::change(lockstep::SqlSession& session, const std::string& id, const std::string& from,
                       const std::string& to) {
  const auto changed =
      session.execute("UPDATE orders SET state = ? WHERE order_id = ? AND state = ?", {to, id, from});
  if (changed.changes != 1) return false;
  add_event(session, id, to);
  return true;
}

bool OrderBook::change(const std::string& id, const std::string& from, const std::string& to) const {
  const auto session = sessions_->take();
  lockstep::SqlTransaction transaction(*session);
  const bool changed = change(*session, id, from, to);
  transaction.commit();
  return changed;
}

}  // namespace shop
