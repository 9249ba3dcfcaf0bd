// What befalls the machines of a fleet: they are killed, stopped for longer than their sessions last, their
// clocks run fast or slow, their wall clocks jump, they are cut off from everybody.
//
// Beside the nemesis, which strikes the members and the wires.
#pragma once

#include <cstdint>

#include "base/prng.h"
#include "sim/recipes/fleet.h"

namespace lockstep::sim {

class MachineFaults {
 public:
  MachineFaults(Fleet& fleet, std::int64_t interval_ns, Prng prng)
      : fleet_(fleet), world_(fleet.world()), interval_ns_(interval_ns), prng_(prng) {}

  void start();
  // A machine's process died: another one starts there some time later.
  void on_death(Node& node);
  // Everybody runs and is heard again; no more strikes. Clocks keep their rates.
  void heal();
  [[nodiscard]] std::uint64_t strikes() const { return strikes_; }

 private:
  void schedule_next();
  void strike();
  void cut_off(std::size_t index);
  void note(const std::string& what);
  [[nodiscard]] std::int64_t draw_ns(std::int64_t low_ms, std::int64_t high_ms);

  Fleet& fleet_;
  World& world_;
  std::int64_t interval_ns_;
  Prng prng_;
  std::uint64_t strikes_ = 0;
  bool healed_ = false;
};

}  // namespace lockstep::sim
