// The outbox: what happened to orders, written in the transaction in which it happened, and told to the mail
// service afterwards, again and again until it has it; those of one order in their order.
#pragma once

#include <stop_token>
#include <string>
#include <thread>

#include <lockstep/participant/sql.h>

namespace shop {

// The table's definition. A row goes when its event has arrived.
std::string outbox_table();

// Inside the transaction that changes the order.
void add_event(lockstep::SqlSession& session, const std::string& order, const std::string& state);

// A thread that tells what the outbox has. Two of them do no harm: the receiver knows what it had.
class EventRelay {
 public:
  // The sessions outlive it.
  EventRelay(lockstep::SqlSessions& sessions, std::string receiver);

 private:
  void run(const std::stop_token& stop) const;
  // True: there may be more.
  [[nodiscard]] bool relay_some() const;

  lockstep::SqlSessions* sessions_;
  std::string receiver_;
  std::jthread thread_;  // last: it uses what is above
};

}  // namespace shop
