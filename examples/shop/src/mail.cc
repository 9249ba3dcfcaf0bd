// The mail service: hears of every change of an order, and would write to the buyer. Somebody who is told
// things at least once, and does them once: a consumer of the topic of events.
//
//   GET /mails/<order>   for people
//
// `position` counts an order's mails: events of one order come in their order.
#include <iostream>
#include <thread>

#include <lockstep/client.h>

#include "events.h"
#include "service.h"

namespace {

using shop::Json;

constexpr std::size_t events_at_once = 64;
// How long the events of a process that died wait for another one.
constexpr std::chrono::seconds visibility(5);
constexpr std::chrono::milliseconds pause(200);

const std::vector<std::string> tables = {
    "mails (event VARCHAR(255) NOT NULL PRIMARY KEY, order_id VARCHAR(64) NOT NULL, "
    "state VARCHAR(16) NOT NULL, position BIGINT NOT NULL, UNIQUE (order_id, position))"};

// One that is known already is done.
void take(lockstep::SqlSessions& sessions, const lockstep::TopicDelivery& delivery) {
  const Json event = Json::parse(delivery.payload());
  const auto order = event.at("order").get<std::string>();
  const auto session = sessions.take();
  lockstep::SqlTransaction transaction(*session);
  if (!session->execute("SELECT event FROM mails WHERE event = ?", {delivery.identity()}).rows.empty())
    return;
  const auto count = session->execute("SELECT COUNT(*) FROM mails WHERE order_id = ?", {order});
  session->execute("INSERT INTO mails (event, order_id, state, position) VALUES (?, ?, ?, ?)",
                   {delivery.identity(), order, event.at("state").get<std::string>(),
                    std::stoll(*count.rows.at(0).at(0)) + 1});
  transaction.commit();
}

// None of the settlements needs to succeed: what nobody acknowledges comes again.
void take_all(lockstep::SqlSessions& sessions, lockstep::TopicClaim& claim) {
  std::size_t taken = 0;
  try {
    for (const lockstep::TopicDelivery& delivery : claim.messages()) {
      take(sessions, delivery);
      ++taken;
    }
    (void)claim.ack().wait();
  } catch (const Json::exception& error) {  // no event: for people to look at, and the others go on
    (void)claim.reject(taken, error.what()).wait();
  } catch (const lockstep::SqlError& error) {
    (void)claim.give_back(taken, pause, error.what()).wait();
  }
}

// For ever.
void hear(lockstep::SqlSessions& sessions, lockstep::Client& client) {
  const lockstep::TopicGroup mail = shop::event_topic(client).group("mail");
  // A database may be away for longer than any number of attempts that is told beforehand.
  const auto wanted =
      lockstep::TopicClaimOptions().max(events_at_once).visibility(visibility).attempts_max(1000);
  while (true) {
    auto claim = mail.claim(wanted).wait();
    if (claim) {
      take_all(sessions, *claim);
    } else {
      std::this_thread::sleep_for(pause);
    }
  }
}

void show(lockstep::SqlSessions& sessions, const std::string& order, httplib::Response& response) {
  const auto session = sessions.take();
  Json states = Json::array();
  for (const auto& row :
       session->execute("SELECT state FROM mails WHERE order_id = ? ORDER BY position", {order}).rows)
    states.push_back(*row[0]);
  shop::answer(response, 200, {{"order", order}, {"told", states}});
}

int serve(int count, char** arguments) {
  const shop::Settings settings(count, arguments,
                                {{"listen", "host:port"},
                                 {"database", "a file of SQLite, postgres://… or mariadb://…"},
                                 {"lockstep", "host:port,host:port: members of the cluster"}});
  lockstep::SqlSessions sessions(shop::open_database(settings.get("database")));
  shop::create_tables(sessions, tables);
  lockstep::Client client(settings.get("lockstep"));
  std::thread(hear, std::ref(sessions), std::ref(client)).detach();
  shop::Service service;
  service.http().Get(R"(/mails/([\w-]+))",
                     [&sessions](const httplib::Request& request, httplib::Response& response) {
                       show(sessions, request.matches[1], response);
                     });
  return service.run(settings.get("listen"));
}

}  // namespace

int main(int count, char** arguments) {
  return shop::run_program("shop-mail", serve, count, arguments);
}
