// The account of the demo: every acknowledged write, looked up at the end.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "client.h"

namespace lockstep::demo {

struct Kill {
  NodeId node;
  double at = 0;      // seconds, of the demo's clock
  double gap_ms = 0;  // longest time without an acknowledgement around it
};

struct Account {
  std::uint64_t acknowledged = 0;
  std::uint64_t found = 0;
  std::uint64_t lost = 0;
  std::uint64_t wrong = 0;          // another value than the acknowledged one
  std::uint64_t written_twice = 0;  // a repeated request took effect again
};

// Keeps `in_flight` writes going: number n goes to key_of(n), once.
class Writer {
 public:
  Writer(Client& client, std::size_t in_flight);

  void start(ClientId client_id);
  void stop() { stopping_ = true; }
  [[nodiscard]] bool idle() const { return active_ == 0; }
  [[nodiscard]] const std::vector<std::uint64_t>& acknowledged() const { return acknowledged_; }
  [[nodiscard]] const std::vector<std::string>& errors() const { return errors_; }
  // The longest time without an acknowledgement that began or ended in [from, to].
  [[nodiscard]] double longest_gap_ms(double from, double to) const;

 private:
  void write_more();
  void write_next();

  Client& client_;
  std::size_t in_flight_;
  ClientId client_id_;
  std::uint64_t last_number_ = 0;
  std::size_t active_ = 0;
  bool stopping_ = false;
  std::map<std::uint64_t, bool> open_;  // numbers not yet answered
  std::vector<std::uint64_t> acknowledged_;
  std::vector<double> acknowledged_at_;
  std::vector<std::string> errors_;
};

std::string key_of(std::uint64_t number);
std::string value_of(std::uint64_t number);

// Reads all keys back in slices and counts. `done` runs on the strand.
void take_account(Client& client, const std::vector<std::uint64_t>& acknowledged,
                  std::move_only_function<void(Account)> done);

double demo_seconds();

}  // namespace lockstep::demo
