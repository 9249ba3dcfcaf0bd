#include "shop.h"

#include <utility>

#include <nlohmann/json.hpp>

namespace shop {

namespace {

using Json = nlohmann::json;

// How long a buyer waits for an answer; the transaction goes on in any case.
constexpr std::chrono::seconds patience(20);

// Services come back within a second or two here; the defaults are made for longer.
const Json retry = {{"interval", "100ms"}, {"backoff", 2}, {"interval_max", "1s"}};

Json about(const Order& order) {
  return {{"order", order.id},
          {"buyer", order.buyer},
          {"item", order.item},
          {"quantity", order.quantity},
          {"cents", order.cents}};
}

Json step(const char* name, const std::string& url, const Order& order) {
  return {{"name", name}, {"action", url}, {"payload", about(order)}, {"retry", retry}};
}

}  // namespace

Shop::Shop(lockstep::Client& client, OrderBook book, Transactions transactions, Addresses addresses,
           std::chrono::milliseconds pay_within)
    : client_(&client),
      book_(book),
      transactions_(std::move(transactions)),
      addresses_(std::move(addresses)),
      pay_within_(pay_within) {}

lockstep::Timers Shop::unpaid_timers() const {
  return client_->timers("shop-unpaid");
}

std::string Shop::next_id() const {
  return std::to_string(client_->ids("shop-orders").next().wait().value());
}

std::optional<Order> Shop::after(End end, const Order& order) const {
  if (end == End::unknown) return std::nullopt;
  return book_.find(order.id);
}

std::optional<Order> Shop::place(const Order& order) const {
  // The timer first: then nothing is ever reserved that no timer will look after.
  unpaid_timers().set(order.id, lockstep::TimerSpec::after(pay_within_).payload(order.id)).wait().value();
  const auto branch = [&](const char* id, const std::string& url) -> Json {
    return {{"id", id}, {"try", url}, {"confirm", url}, {"cancel", url}, {"payload", about(order)}};
  };
  // Confirmed from the last to the first: an order that is `reserved` has its stock.
  const Json document = {{"branches",
                          {branch("order", addresses_.order + "/orders/reserve"),
                           branch("stock", addresses_.stock + "/stock/reserve")}},
                         {"timeout", "60s"},
                         {"retry", retry}};
  const End end = transactions_.run("place-" + order.id, "tcc", document, patience);
  // Also where the transaction ended before it ever called this service.
  if (end == End::not_committed) book_.change(order.id, "placing", "rejected");
  return after(end, order);
}

std::optional<Order> Shop::pay(const Order& order, const std::string& payment) const {
  Json charge = step("charge", addresses_.payment + "/payments/charge", order);
  charge["compensate"] = charge["action"];
  charge["compensate_retry"] = retry;
  const Json document = {
      {"steps", {charge, step("mark-paid", addresses_.order + "/orders/mark-paid", order)}}};
  const End end = transactions_.run("pay-" + order.id + "-" + payment, "saga", document, patience);
  if (end == End::committed) (void)unpaid_timers().cancel(order.id).wait();  // saves it the work of looking
  return after(end, order);
}

std::optional<Order> Shop::refund(const Order& order) const {
  const Json document = {{"steps",
                          {step("mark-refunded", addresses_.order + "/orders/mark-refunded", order),
                           step("give-back", addresses_.payment + "/payments/give-back", order),
                           step("put-back", addresses_.stock + "/stock/put-back", order)}}};
  const End end = transactions_.run("refund-" + order.id, "saga", document, patience);
  return after(end, order);
}

bool Shop::release_if_unpaid(const std::string& id) const {
  const std::optional<Order> order = book_.find(id);
  if (order && order->state == "placing") {  // whoever placed it has died
    (void)place(*order);
    return false;
  }
  if (!order || order->state != "reserved") return true;
  const Json document = {{"steps",
                          {step("mark-released", addresses_.order + "/orders/mark-released", *order),
                           step("put-back", addresses_.stock + "/stock/put-back", *order)}}};
  return transactions_.run("release-" + id, "saga", document, patience) != End::unknown;
}

}  // namespace shop
