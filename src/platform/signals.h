// Signals as closures on the strand, and the line to systemd.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string_view>

#include "platform/executor.h"

namespace lockstep::platform {

// While it lives, `on_signal` is called on the strand for each of the given signals, which then have no other
// effect.
class Signals {
 public:
  using OnSignal = std::function<void(int signal)>;
  Signals(AsioExecutor& executor, std::span<const int> signals, OnSignal on_signal);
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

 private:
  struct Wait;
  std::shared_ptr<Wait> wait_;
};

// Tells the service manager that started this process ("READY=1", "STOPPING=1", "STATUS=…", "WATCHDOG=1"), if
// there is one: NOTIFY_SOCKET in the environment. Best effort.
void notify_service_manager(std::string_view state);
// How often "WATCHDOG=1" is wanted; zero: never. Half of what the manager allows.
Duration watchdog_interval();

}  // namespace lockstep::platform
