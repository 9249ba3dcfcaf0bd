// What happened to orders, as events: written into the outbox in the transaction in which it happened,
// relayed to a topic of Lockstep's, and read there by whoever wants to know; those of one order in their
// order.
#pragma once

#include <stop_token>
#include <string>
#include <thread>

#include <lockstep/client.h>
#include <lockstep/participant/outbox.h>

namespace shop {

// Inside the transaction that changes the order.
void add_event(lockstep::SqlSession& session, const std::string& order, const std::string& state);

// The topic of the events, for whoever reads them. Waits until Lockstep is there, and creates it if nobody
// has.
lockstep::Topic event_topic(lockstep::Client& client);

// A thread that relays what the outbox has.
class EventRelay {
 public:
  // Both outlive it.
  EventRelay(lockstep::SqlSessions& sessions, lockstep::Client& client);

 private:
  std::jthread thread_;
};

}  // namespace shop
