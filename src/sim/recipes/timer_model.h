// Timers under faults: producers set them, consumers claim and acknowledge them; the verdict is at the
// consumers.
//
//   early   nothing is delivered sooner than its delay after it was asked for, in true time, whatever the
//   wall clocks
//           show; but for the drift of the monotonic clocks
//   twice   a firing is acknowledged once, and is not delivered to a claim that began after that
//   lost    what was set is acknowledged in the end
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "sim/recipes/fleet.h"

namespace lockstep::sim {

struct TimerRecord {
  std::int64_t delay_ns = 0;
  std::int64_t invoked_ns = 0;
  bool set = false;  // for certain
  std::int64_t deliveries = 0;
  std::int64_t acknowledgements = 0;  // sent, and not refused for certain
  std::int64_t acknowledged_ns = never_ns;
};

class TimerModel final : public Model {
 public:
  static constexpr const char* queue = "orders";

  explicit TimerModel(Fleet& fleet) : fleet_(fleet) {}
  [[nodiscard]] std::string_view name() const override { return "timer"; }
  void populate(FleetMachine& machine) override;
  [[nodiscard]] std::uint64_t achieved() const override { return acknowledged_; }
  Violations check(const History& history) override;

  // What workers tell.
  std::string begin_set(Duration delay);
  void was_set(const std::string& name) { timers_[name].set = true; }
  void delivered(const std::string& name, std::int64_t claimed_ns);
  void acknowledging(const std::string& name) { ++timers_[name].acknowledgements; }
  void refused(const std::string& name) { --timers_[name].acknowledgements; }
  void acknowledged(const std::string& name);
  [[nodiscard]] bool all_done() const;
  [[nodiscard]] std::int64_t now_ns() { return fleet_.world().now(); }

 private:
  [[nodiscard]] static bool done(const TimerRecord& timer) {
    return !timer.set || timer.acknowledgements > 0;
  }

  Fleet& fleet_;
  std::map<std::string, TimerRecord> timers_;
  std::uint64_t acknowledged_ = 0;
};

}  // namespace lockstep::sim
