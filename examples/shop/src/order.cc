// The order service: what buyers talk to. It places orders, has them paid and refunded, and releases what
// nobody pays; the transactions for that are in shop.cc.
//
//   POST /orders {"buyer", "item", "quantity", "cents"}   201 reserved, 409 rejected
//   POST /orders/<id>/payment                             200 paid, 402 not paid
//   POST /orders/<id>/refund                              200 refunded, 409 there is nothing to refund
//   GET  /orders/<id>
//   503: nobody knows yet; the same request again finds out
// All but GET need an Idempotency-Key; a request that is sent again gets the first one's answer.
//
// A participant, too: POST /orders/reserve (TCC), /orders/mark-paid, /orders/mark-released,
// /orders/mark-refunded (sagas).
#include <exception>
#include <functional>
#include <iostream>
#include <thread>

#include <lockstep/http_idempotency.h>

#include "events.h"
#include "service.h"
#include "shop.h"

namespace {

using lockstep::BranchAnswer;
using lockstep::BranchCall;
using lockstep::BranchOperation;
using lockstep::HttpAnswer;
using lockstep::HttpRequest;
using shop::Json;
using shop::Order;
using shop::OrderBook;
using shop::Shop;

Json about(const Order& order) {
  Json all = shop::to_json(order);
  all["state"] = order.state;
  return all;
}

HttpAnswer answer(const std::optional<Order>& order, const std::string& wanted, int status_if_so,
                  int status_if_not) {
  if (!order) return HttpAnswer(503, R"({"error":"not known yet; ask again"})");
  return HttpAnswer(order->state == wanted ? status_if_so : status_if_not, about(*order).dump());
}

// An exception here is a database or a Lockstep that is not there: what was asked may have begun.
HttpAnswer placed(const Shop& shop, const HttpRequest& request) {
  std::optional<Order> order = shop.book().find_by_request(request.idempotency_key());
  if (!order) {
    const Json body = Json::parse(request.body());
    const Order fresh{shop.next_id(),      body.at("buyer"), body.at("item"),
                      body.at("quantity"), body.at("cents"), "placing"};
    if (fresh.quantity <= 0 || fresh.cents <= 0)
      return HttpAnswer(400, R"({"error":"quantity and cents are above 0"})");
    order = shop.book().find_or_add(request.idempotency_key(), fresh);
  }
  return answer(shop.place(*order), "rejected", 409, 201);
}

HttpAnswer paid(const Shop& shop, const Order& order, const std::string& payment) {
  return answer(shop.pay(order, payment), "paid", 200, 402);
}

HttpAnswer refunded(const Shop& shop, const Order& order) {
  return answer(shop.refund(order), "refunded", 200, 409);
}

// Runs `handler` once for each Idempotency-Key. 400 for what is no JSON, 503 for what is not there.
template <class Handler>
void once(const lockstep::HttpIdempotency& idempotency, const httplib::Request& request,
          httplib::Response& response, Handler handler) {
  HttpRequest asked("POST", request.path, request.body);
  asked.idempotency_key(request.get_header_value("Idempotency-Key"));
  const auto guarded = [&handler](const HttpRequest& first) -> HttpAnswer {
    try {
      return handler(first);
    } catch (const Json::exception& error) {
      return HttpAnswer(400, Json{{"error", error.what()}}.dump());
    } catch (const std::exception& error) {
      return HttpAnswer(503, Json{{"error", error.what()}}.dump());
    }
  };
  const HttpAnswer answer = idempotency.handle(asked, guarded);
  response.status = answer.status();
  response.set_content(answer.body(), answer.content_type().c_str());
  for (const auto& [name, value] : answer.headers()) response.set_header(name.c_str(), value);
}

void serve_buyers(httplib::Server& http, const Shop& shop, const lockstep::HttpIdempotency& idempotency) {
  http.Post("/orders", [&](const httplib::Request& request, httplib::Response& response) {
    once(idempotency, request, response, [&](const HttpRequest& first) { return placed(shop, first); });
  });
  http.Post(R"(/orders/(\d+)/(payment|refund))",
            [&](const httplib::Request& request, httplib::Response& response) {
              once(idempotency, request, response, [&](const HttpRequest& first) {
                const std::optional<Order> order = shop.book().find(request.matches[1]);
                if (!order) return HttpAnswer(404, R"({"error":"no such order"})");
                return request.matches[2] == "payment" ? paid(shop, *order, first.idempotency_key())
                                                       : refunded(shop, *order);
              });
            });
  http.Get(R"(/orders/(\d+))", [&](const httplib::Request& request, httplib::Response& response) {
    const std::optional<Order> order = shop.book().find(request.matches[1]);
    shop::answer(response, order ? 200 : 404, order ? about(*order) : Json{{"error", "no such order"}});
  });
}

// A participant that takes an order from one state to another, or refuses.
lockstep::Participant::Handler change(const std::string& from, const std::string& to) {
  return [from, to](BranchCall& call) {
    return OrderBook::change(call.sql(), shop::order_of(call).id, from, to) ? BranchAnswer::done()
                                                                            : BranchAnswer::refused();
  };
}

struct Participants {
  explicit Participants(lockstep::SqlSessions& sessions)
      : reserve(sessions), mark_paid(sessions), mark_released(sessions), mark_refunded(sessions) {
    // The order itself is there already; what the try asks is done by the confirm.
    reserve.on(BranchOperation::attempt, [](BranchCall&) { return BranchAnswer::done(); })
        .on(BranchOperation::confirm, change("placing", "reserved"))
        .on(BranchOperation::cancel, change("placing", "rejected"));
    mark_paid.on(BranchOperation::action, change("reserved", "paid"));
    mark_released.on(BranchOperation::action, change("reserved", "released"));
    mark_refunded.on(BranchOperation::action, change("paid", "refunded"));
  }
  lockstep::Participant reserve;
  lockstep::Participant mark_paid;
  lockstep::Participant mark_released;
  lockstep::Participant mark_refunded;
};

// Orders that a killed process was just placing. Their buyers may never ask again.
void go_on_placing(const Shop& shop) {
  for (const Order& order : shop.book().placing()) {
    try {
      (void)shop.place(order);
    } catch (const std::exception& error) {
      std::cerr << "order " << order.id << ": " << error.what() << '\n';
    }
  }
}

// For ever: what has fallen due is released, and only then acknowledged.
void release_unpaid(const Shop& shop) {
  // So long wait those that a killed process was just given. Being given one twice does no harm: its release
  // is one transaction.
  const auto claim = lockstep::ClaimOptions().max(16).visibility(std::chrono::seconds(5));
  while (true) {
    auto due =
        shop.unpaid_timers().claim(claim, lockstep::CallOptions().timeout(std::chrono::seconds(30))).wait();
    if (!due && due.code() != lockstep::Code::deadline_exceeded)
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
    if (!due) continue;
    for (lockstep::TimerDelivery& delivery : *due) {
      bool released = false;
      try {
        released = shop.release_if_unpaid(delivery.payload());
      } catch (const std::exception& error) {
        std::cerr << "order " << delivery.payload() << ": " << error.what() << '\n';
      }
      // Neither needs to succeed: a delivery that nobody acknowledges comes again.
      (void)(released ? delivery.ack().wait() : delivery.give_back(std::chrono::seconds(1)).wait());
    }
  }
}

int serve(int count, char** arguments) {
  const shop::Settings settings(count, arguments,
                                {{"listen", "host:port"},
                                 {"database", "a file of SQLite, postgres://… or mariadb://…"},
                                 {"lockstep", "host:port,host:port: members of the cluster"},
                                 {"self", "http://host:port of this service, as Lockstep reaches it"},
                                 {"stock", "http://host:port of the stock service"},
                                 {"payment", "http://host:port of the payment service"},
                                 {"pay-within-ms", "until an unpaid order is released [1800000]"}});
  constexpr std::int64_t half_an_hour_ms = 1'800'000;
  lockstep::SqlSessions sessions(shop::open_database(settings.get("database")));
  shop::create_tables(sessions, shop::order_tables());
  lockstep::Outbox::create_table(*sessions.take());

  lockstep::Client client(settings.get("lockstep"));
  const Shop shop(client, OrderBook(sessions),
                  {settings.get("self"), settings.get("stock"), settings.get("payment")},
                  std::chrono::milliseconds(settings.number("pay-within-ms", half_an_hour_ms)));
  // A process that dies leaves its requests in progress for that time.
  const auto idempotency =
      lockstep::HttpIdempotency(client, "shop").required().in_progress_time(std::chrono::seconds(5));

  Participants participants(sessions);
  shop::Service service;
  service.serve("/orders/reserve", participants.reserve);
  service.serve("/orders/mark-paid", participants.mark_paid);
  service.serve("/orders/mark-released", participants.mark_released);
  service.serve("/orders/mark-refunded", participants.mark_refunded);
  serve_buyers(service.http(), shop, idempotency);
  const shop::EventRelay relay(sessions, client);
  std::thread(go_on_placing, std::cref(shop)).detach();
  std::thread(release_unpaid, std::cref(shop)).detach();
  return service.run(settings.get("listen"));
}

}  // namespace

int main(int count, char** arguments) {
  return shop::run_program("shop-order", serve, count, arguments);
}
