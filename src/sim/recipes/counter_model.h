// Counters under faults: many add, some read; the verdict is the sequence of values that the store went
// through.
//
//   counter   every acknowledged add is one step of the counter, between its call and its answer, at the
//   revision and
//             from and to the values that it was told; what no acknowledged add explains is covered by adds
//             whose outcome is unknown, each at most once; a read tells the value of its revision
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "sim/recipes/fleet.h"

namespace lockstep::sim {

struct CounterCall {
  std::string counter;
  std::int64_t delta = 0;  // 0: a read
  std::int64_t invoked_ns = 0;
  std::int64_t returned_ns = never_ns;
  Outcome outcome = Outcome::unknown;  // also if the process died before the answer
  std::int64_t value = 0;
  Revision revision;
};

class CounterModel final : public Model {
 public:
  explicit CounterModel(Fleet& fleet) : fleet_(fleet) {}
  [[nodiscard]] std::string_view name() const override { return "counter"; }
  void populate(FleetMachine& machine) override;
  [[nodiscard]] std::uint64_t achieved() const override { return acknowledged_; }
  Violations check(const History& history) override;

  // References stay good.
  CounterCall& begin(std::string counter, std::int64_t delta);
  void end(CounterCall& call, const Status& status, std::int64_t value, Revision revision);

 private:
  struct Step {
    std::int64_t before = 0;
    std::int64_t after = 0;
    std::int64_t seen_ns = 0;
  };
  using Steps = std::map<std::int64_t, Step>;  // by revision
  void check_counter(const std::string& counter, const Steps& steps, Violations& violations) const;
  void check_read(const CounterCall& call, const Steps& steps, Violations& violations) const;

  Fleet& fleet_;
  std::deque<CounterCall> calls_;
  std::uint64_t acknowledged_ = 0;
};

}  // namespace lockstep::sim
