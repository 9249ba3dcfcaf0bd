// What buyers can ask of the shop, as transactions across its services. Everything here may be called again,
// by anybody, any number of times, also after this process was killed in the middle of it: a transaction has
// the name of what it does, so that the second call finds the first one's.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include <lockstep/client.h>

#include "order_book.h"

namespace shop {

// Where the participants of the transactions are.
struct Addresses {
  std::string order;  // "http://127.0.0.1:8081"
  std::string stock;
  std::string payment;
};

class Shop {
 public:
  Shop(lockstep::Client& client, OrderBook book, Addresses addresses, std::chrono::milliseconds pay_within);

  // Each answers with the order as it is afterwards; nothing: the transaction goes on, and nobody knows its
  // end yet.

  // Reserves the stock (TCC), and sets the timer that gives it back if it is not paid in time.
  [[nodiscard]] std::optional<Order> place(const Order& order) const;
  // Takes the money and marks the order paid, or neither (saga). `payment` names this attempt to pay.
  [[nodiscard]] std::optional<Order> pay(const Order& order, const std::string& payment) const;
  // Gives money and stock back (saga).
  [[nodiscard]] std::optional<Order> refund(const Order& order) const;
  // What the timer does: gives back the stock of an order that nobody paid (saga). False: not yet, come
  // again.
  [[nodiscard]] bool release_if_unpaid(const std::string& id) const;

  [[nodiscard]] const OrderBook& book() const { return book_; }
  [[nodiscard]] lockstep::Timers unpaid_timers() const;
  // A number for a new order.
  [[nodiscard]] std::string next_id() const;

 private:
  enum class End {
    committed,
    not_committed,  // for good: everything that was done is undone
    unknown,        // not over yet, or nobody could be asked; it goes on by itself if it was submitted
  };
  // One transaction with its id, however often it is asked for, whoever asks.
  template <class Plan>
  static End run(const Plan& plan);
  [[nodiscard]] std::optional<Order> after(End end, const Order& order) const;

  lockstep::Client* client_;
  OrderBook book_;
  Addresses addresses_;
  std::chrono::milliseconds pay_within_;
};

}  // namespace shop
