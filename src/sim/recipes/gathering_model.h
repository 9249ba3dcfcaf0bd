// Barriers and latches under faults: parties that come, wait and go on, or die.
//
//   barrier  of one generation no more parties go on than belong to it, and none before as many had come
//   latch    opens when as many different parties have counted, not before, and stays open; it opens
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "service/barrier/barriers.h"
#include "sim/recipes/fleet.h"

namespace lockstep::sim {

class GatheringModel final : public Model {
 public:
  static constexpr std::int64_t barrier_parties = 3;
  static constexpr std::int64_t latch_parties = 5;

  explicit GatheringModel(Fleet& fleet) : fleet_(fleet) {}
  [[nodiscard]] std::string_view name() const override { return "gathering"; }
  void populate(FleetMachine& machine) override;
  [[nodiscard]] std::uint64_t achieved() const override { return passed_ + opened_.size(); }
  Violations check(const History& history) override;

  // What workers tell. A session enters once at a time.
  void entering(LeaseId session) { waiting_.insert(session); }
  void passed(LeaseId session, const service::BarrierPassed& passed);
  // For certain not there any more.
  void not_entered(LeaseId session) { waiting_.erase(session); }

  [[nodiscard]] std::string latch() const { return "start-" + std::to_string(latches_); }
  void counting(const std::string& latch, const std::string& party) { counted_[latch].insert(party); }
  void acknowledged(const std::string& latch, const std::string& party) { certain_[latch].insert(party); }
  void opened(const std::string& latch);

 private:
  Fleet& fleet_;
  // Perhaps there: who was told nothing, or died, stays.
  std::set<LeaseId> waiting_;
  std::map<std::int64_t, std::set<LeaseId>> generations_;
  std::uint64_t passed_ = 0;
  std::uint64_t latches_ = 0;
  std::map<std::string, std::set<std::string>> counted_;  // or on its way
  std::map<std::string, std::set<std::string>> certain_;
  std::set<std::string> opened_;
};

}  // namespace lockstep::sim
