// The orders, as the order service's database has them. Each change of state is one local transaction, and
// puts an event into the outbox with it: whoever has heard of a state knows that it was so, and nobody misses
// one.
//
//   placing -> reserved -> paid -> refunded
//      |          |
//   rejected   released
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <lockstep/participant/sql.h>

#include "order.h"

namespace shop {

// Definitions of the tables.
std::vector<std::string> order_tables();

// Threads: any number. Everything throws lockstep::SqlError.
class OrderBook {
 public:
  explicit OrderBook(lockstep::SqlSessions& sessions) : sessions_(&sessions) {}

  // The order that was made for this request; otherwise `fresh` becomes it. A request has one order,
  // whichever process asks.
  [[nodiscard]] Order find_or_add(const std::string& request, const Order& fresh) const;
  [[nodiscard]] std::optional<Order> find_by_request(const std::string& request) const;
  [[nodiscard]] std::optional<Order> find(const std::string& id) const;
  [[nodiscard]] std::vector<Order> placing() const;

  // Inside an open transaction. False: it was not in that state, nothing is changed.
  static bool change(lockstep::SqlSession& session, const std::string& id, const std::string& from,
                     const std::string& to);
  // The same in a transaction of its own.
  bool change(const std::string& id, const std::string& from, const std::string& to) const;

 private:
  lockstep::SqlSessions* sessions_;
};

}  // namespace shop
