// What the load client runs on: one strand, the real clock, and connections to a cluster with TLS and a
// login.
//
// Everything on the thread that made it; only post() may come from another one.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "env/stream.h"
#include "platform/executor.h"
#include "platform/system.h"
#include "remote/connections.h"

namespace lockstep::faults {

struct Target {
  std::vector<std::string> endpoints;
  std::string ca_file;
  std::string user;
  std::string password;
};

class Machine {
 public:
  static Result<std::unique_ptr<Machine>> make(Target target);

  [[nodiscard]] const Target& target() const { return target_; }
  [[nodiscard]] platform::AsioExecutor& executor() { return executor_; }
  // CLOCK_BOOTTIME, as whoever injects the faults reads it too.
  [[nodiscard]] std::int64_t now_ns() { return clock_.now().time_since_epoch().count(); }
  [[nodiscard]] TimePoint after(Duration duration) { return clock_.now() + duration; }
  std::unique_ptr<remote::Connections> connect(const std::vector<std::string>& endpoints);

 private:
  explicit Machine(Target target) : target_(std::move(target)), executor_(clock_) {}

  Target target_;
  platform::RealClock clock_;
  platform::RealRandom random_;
  platform::AsioExecutor executor_;
  std::unique_ptr<env::Streams> streams_;
};

}  // namespace lockstep::faults
