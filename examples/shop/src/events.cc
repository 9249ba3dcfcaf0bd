#include "events.h"

#include <chrono>
#include <httplib.h>
#include <iostream>
#include <map>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace shop {

namespace {

constexpr std::chrono::milliseconds pause(50);
constexpr std::chrono::milliseconds patience(3000);

// Where in an order's life a state is. So an event's name needs no counter, and no two transactions that
// commit in another order than they began can hide each other's events.
const std::map<std::string, std::int64_t> positions = {{"placing", 1}, {"reserved", 2}, {"rejected", 2},
                                                       {"paid", 3},    {"released", 3}, {"refunded", 4}};

// A CloudEvent in its binary form.
bool tell(httplib::Client& receiver, const std::string& order, const std::string& position,
          const std::string& state) {
  const httplib::Headers headers = {{"ce-specversion", "1.0"},
                                    {"ce-type", "shop.order"},
                                    {"ce-source", "/shop/orders"},
                                    {"ce-id", order + "-" + position}};
  const nlohmann::json event = {{"order", order}, {"state", state}};
  const auto answer = receiver.Post("/events", headers, event.dump(), "application/json");
  return answer && answer->status == 200;
}

}  // namespace

std::string outbox_table() {
  return "outbox (order_id VARCHAR(64) NOT NULL, position BIGINT NOT NULL, state VARCHAR(16) NOT NULL, "
         "PRIMARY KEY (order_id, position))";
}

void add_event(lockstep::SqlSession& session, const std::string& order, const std::string& state) {
  session.execute("INSERT INTO outbox (order_id, position, state) VALUES (?, ?, ?)",
                  {order, positions.at(state), state});
}

EventRelay::EventRelay(lockstep::SqlSessions& sessions, std::string receiver)
    : sessions_(&sessions),
      receiver_(std::move(receiver)),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

void EventRelay::run(const std::stop_token& stop) const {
  while (!stop.stop_requested()) {
    bool more = false;
    try {
      more = relay_some();
    } catch (const lockstep::SqlError& error) {
      std::cerr << "outbox: " << error.what() << '\n';
    }
    if (!more) std::this_thread::sleep_for(pause);
  }
}

bool EventRelay::relay_some() const {
  const auto session = sessions_->take();
  const auto waiting =
      session->execute("SELECT order_id, position, state FROM outbox ORDER BY order_id, position LIMIT 100");
  httplib::Client receiver(receiver_);
  receiver.set_tcp_nodelay(true);
  receiver.set_keep_alive(true);
  receiver.set_connection_timeout(patience);
  receiver.set_read_timeout(patience);
  std::vector<lockstep::SqlRow> told;
  for (const auto& row : waiting.rows) {
    if (!tell(receiver, *row[0], *row[1], *row[2])) break;  // what comes after it may be of the same order
    told.push_back(row);
  }
  if (told.empty()) return false;
  lockstep::SqlTransaction transaction(*session);
  for (const auto& row : told) {
    session->execute("DELETE FROM outbox WHERE order_id = ? AND position = ?",
                     {*row[0], std::stoll(*row[1])});
  }
  transaction.commit();
  return true;
}

}  // namespace shop
