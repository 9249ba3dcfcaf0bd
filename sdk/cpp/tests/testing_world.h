// Where the suites run: in the embedded cluster, or on real servers if the program is told which.
//
// On servers each test begins with an empty store, and time is the machine's: a test says what it needs of
// the embedded cluster, and is named as left out where that is not to be had.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <lockstep/lockstep.h>
#include <lockstep/testing.h>

namespace lockstep::sdk_test {

enum class Capability {
  clock,           // time that the test moves
  cutting_off,     // a client that reaches nobody for a while
  faults,          // single calls of the store that go wrong
  no_coordinator,  // nobody but the test moves transactions
  login,           // users with passwords and permissions
  certificates,    // TLS with certificates on both ends
};
std::string name_of(Capability capability);

// Real servers, from the command line.
struct Servers {
  std::string name;
  ClientOptions options;
  std::vector<Capability> capabilities;
  std::string user_of_one_prefix;  // may touch the keys under "allowed/", if there is a login; same password
};

class World {
 public:
  // Removes all keys, if these are servers.
  World();

  [[nodiscard]] static const std::string& name();
  [[nodiscard]] static bool has(Capability capability);
  // Those of a user who may do everything; anybody's in the embedded cluster.
  [[nodiscard]] static const ClientOptions& options();
  [[nodiscard]] static const std::string& user_of_one_prefix();

  Client client(const ClientOptions& options = {});

  // For what must not happen: how long that is waited for.
  [[nodiscard]] static std::chrono::nanoseconds in_vain(std::chrono::nanoseconds virtual_time);
  // How such a call ends. On servers its time may be over just after something was sent, too.
  [[nodiscard]] static bool was_in_vain(Code code);
  [[nodiscard]] static bool was_stopped(Code code);
  // For what must happen.
  [[nodiscard]] static std::chrono::nanoseconds patience(std::chrono::nanoseconds virtual_time);
  // True as soon as it holds. In the embedded cluster it must when so much time has passed.
  bool comes(std::chrono::nanoseconds virtual_time, const std::function<bool()>& holds);

  // As testing::Cluster's; each needs its capability.
  void advance(std::chrono::nanoseconds by) { cluster().advance(by); }
  [[nodiscard]] std::chrono::nanoseconds now() { return cluster().now(); }
  void set_wall_clock(std::chrono::nanoseconds since_epoch) { cluster().set_wall_clock(since_epoch); }
  void cut_off(const Client& client) { cluster().cut_off(client); }
  void reconnect(const Client& client) { cluster().reconnect(client); }
  void set_faults(const Client& client, std::function<testing::Fault(const testing::StoreCall&)> decide) {
    cluster().set_faults(client, std::move(decide));
  }
  [[nodiscard]] std::uint64_t store_calls(const Client& client) { return cluster().store_calls(client); }
  // On servers time passes while it is waited for, anyway.
  void jump_while_waiting();

 private:
  testing::Cluster& cluster();

  std::unique_ptr<testing::Cluster> cluster_;
};

// Tells what a test lacks here; empty: nothing.
std::string lacks(const std::vector<Capability>& needed);

}  // namespace lockstep::sdk_test

#define LOCKSTEP_NEEDS(...)                                                                   \
  if (const std::string lacking = lockstep::sdk_test::lacks({__VA_ARGS__}); !lacking.empty()) \
  GTEST_SKIP() << "[  LACKS   ] " << lacking
