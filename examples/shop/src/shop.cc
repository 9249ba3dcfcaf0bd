#include "shop.h"

#include <thread>
#include <utility>

namespace shop {

namespace {

using Clock = std::chrono::steady_clock;

// How long a buyer waits for an answer; the transaction goes on in any case.
constexpr std::chrono::seconds patience(20);
constexpr std::chrono::milliseconds pause(50);

// Services come back within a second or two here; the defaults are made for longer.
lockstep::RetryRule retry() {
  return lockstep::RetryRule().interval(std::chrono::milliseconds(100), std::chrono::seconds(1));
}

}  // namespace

Shop::Shop(lockstep::Client& client, OrderBook book, Addresses addresses,
           std::chrono::milliseconds pay_within)
    : client_(&client), book_(book), addresses_(std::move(addresses)), pay_within_(pay_within) {}

template <class Plan>
Shop::End Shop::run(const Plan& plan) {
  const auto deadline = Clock::now() + patience;
  while (true) {
    const auto end = plan.run(lockstep::CallOptions().deadline(deadline)).wait();
    if (end) return end->state == lockstep::TransactionState::committed ? End::committed : End::not_committed;
    if (end.code() == lockstep::Code::invalid_argument || end.code() == lockstep::Code::already_exists)
      throw lockstep::NoValue(end.error());
    if (Clock::now() >= deadline) return End::unknown;
    std::this_thread::sleep_for(pause);
  }
}

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
  // Services may be away for longer than a few attempts take.
  auto timer = lockstep::TimerSpec::after(pay_within_).payload(order.id).attempts_max(1000);
  unpaid_timers().set(order.id, timer).wait().value();
  const std::string payload = to_json(order).dump();
  const std::string reserve_order = addresses_.order + "/orders/reserve";
  const std::string reserve_stock = addresses_.stock + "/stock/reserve";
  // Confirmed from the last to the first: an order that is `reserved` has its stock.
  const End end = run(client_->tcc("place-" + order.id)
                          .branch("order", reserve_order, {reserve_order, reserve_order, payload})
                          .branch("stock", reserve_stock, {reserve_stock, reserve_stock, payload})
                          .timeout(std::chrono::seconds(60))
                          .retry(retry()));
  // Also where the transaction ended before it ever called this service.
  if (end == End::not_committed) book_.change(order.id, "placing", "rejected");
  return after(end, order);
}

std::optional<Order> Shop::pay(const Order& order, const std::string& payment) const {
  const std::string payload = to_json(order).dump();
  const std::string charge = addresses_.payment + "/payments/charge";
  const End end = run(client_->saga("pay-" + order.id + "-" + payment)
                          .step("charge", charge, charge, payload)
                          .step("mark-paid", addresses_.order + "/orders/mark-paid", "", payload)
                          .retry(retry()));
  if (end == End::committed) (void)unpaid_timers().cancel(order.id).wait();  // saves it the work of looking
  return after(end, order);
}

std::optional<Order> Shop::refund(const Order& order) const {
  const std::string payload = to_json(order).dump();
  const End end = run(client_->saga("refund-" + order.id)
                          .step("mark-refunded", addresses_.order + "/orders/mark-refunded", "", payload)
                          .step("give-back", addresses_.payment + "/payments/give-back", "", payload)
                          .step("put-back", addresses_.stock + "/stock/put-back", "", payload)
                          .retry(retry()));
  return after(end, order);
}

bool Shop::release_if_unpaid(const std::string& id) const {
  const std::optional<Order> order = book_.find(id);
  if (order && order->state == "placing") {  // whoever placed it has died
    (void)place(*order);
    return false;
  }
  if (!order || order->state != "reserved") return true;
  const std::string payload = to_json(*order).dump();
  return run(client_->saga("release-" + id)
                 .step("mark-released", addresses_.order + "/orders/mark-released", "", payload)
                 .step("put-back", addresses_.stock + "/stock/put-back", "", payload)
                 .retry(retry())) != End::unknown;
}

}  // namespace shop
