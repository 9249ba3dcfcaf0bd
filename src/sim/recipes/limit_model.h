// Rate limits under faults: many take, and the verdict is the sequence of what was used in the store.
//
//   limit  in no stretch of the limiter's time more was used than the rule allows from what was there; each
//          use is that of acknowledged takes at that revision, or of takes whose outcome is unknown, each at
//          most once
//   time   the limiter's time never goes back, and is not ahead of what every wall clock showed and time that
//          passed
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>

#include "service/limiter/limiter.h"
#include "sim/recipes/fleet.h"

namespace lockstep::sim {

struct TakeCall {
  std::string limit;
  std::int64_t cost = 0;
  Outcome outcome = Outcome::unknown;  // also if the process died before the answer
  bool allowed = false;
  Revision revision;
};

class LimitModel final : public Model {
 public:
  explicit LimitModel(Fleet& fleet) : fleet_(fleet) {}
  [[nodiscard]] std::string_view name() const override { return "limit"; }
  void populate(FleetMachine& machine) override;
  [[nodiscard]] std::uint64_t achieved() const override { return allowed_; }
  Violations check(const History& history) override;
  void on_tick() override;

  // References stay good.
  TakeCall& begin(std::string limit, std::int64_t cost);
  void end(TakeCall& call, const Result<service::LimitAnswer>& answer);

 private:
  class Replay;

  Fleet& fleet_;
  std::deque<TakeCall> calls_;
  std::uint64_t allowed_ = 0;
  std::int64_t wall_ahead_ns_max_ = 0;  // of true time: the most any machine's clock was
};

}  // namespace lockstep::sim
