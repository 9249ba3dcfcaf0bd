// The mail service: hears of every change of an order, and would write to the buyer. Somebody who is told
// things at least once, and does them once:
//
//   POST /events   a CloudEvent ("ce-id", "ce-source"); one that is known already is done
//
// `position` counts an order's mails: events of one order come in their order.
#include <exception>
#include <iostream>

#include "service.h"

namespace {

using shop::Json;

const std::vector<std::string> tables = {
    "mails (event_source VARCHAR(64) NOT NULL, event_id VARCHAR(128) NOT NULL, order_id VARCHAR(64) NOT "
    "NULL, "
    "state VARCHAR(16) NOT NULL, position BIGINT NOT NULL, PRIMARY KEY (event_source, event_id), UNIQUE "
    "(order_id, position))"};

// The identity of an event is its source and id together.
void take(lockstep::SqlSessions& sessions, const std::string& source, const std::string& id,
          const Json& event) {
  const auto session = sessions.take();
  const auto order = event.at("order").get<std::string>();
  lockstep::SqlTransaction transaction(*session);
  if (!session->execute("SELECT position FROM mails WHERE event_source = ? AND event_id = ?", {source, id})
           .rows.empty())
    return;
  const auto count = session->execute("SELECT COUNT(*) FROM mails WHERE order_id = ?", {order});
  session->execute(
      "INSERT INTO mails (event_source, event_id, order_id, state, position) VALUES (?, ?, ?, ?, ?)",
      {source, id, order, event.at("state").get<std::string>(), std::stoll(*count.rows.at(0).at(0)) + 1});
  transaction.commit();
}

int serve(int count, char** arguments) {
  const shop::Settings settings(
      count, arguments,
      {{"listen", "host:port"}, {"database", "a file of SQLite, postgres://… or mariadb://…"}});
  lockstep::SqlSessions sessions(shop::open_database(settings.get("database")));
  shop::create_tables(sessions, tables);
  shop::Service service;
  service.http().Post("/events", [&sessions](const httplib::Request& request, httplib::Response& response) {
    try {
      take(sessions, request.get_header_value("ce-source"), request.get_header_value("ce-id"),
           Json::parse(request.body));
      shop::answer(response, 200, {{"ok", true}});
    } catch (const Json::exception& error) {
      shop::answer(response, 400, {{"error", error.what()}});
    } catch (
        const lockstep::SqlError& error) {  // a duplicate that came at the same time, too: it is asked again
      shop::answer(response, 503, {{"error", error.what()}});
    }
  });
  return service.run(settings.get("listen"));
}

}  // namespace

int main(int count, char** arguments) {
  try {
    return serve(count, arguments);
  } catch (const std::exception& error) {
    std::cerr << "shop-mail: " << error.what() << '\n';
    return 1;
  }
}
