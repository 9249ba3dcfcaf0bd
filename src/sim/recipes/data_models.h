// Unique numbers and idempotency under faults.
//
//   unique   no number is given twice; one generator's grow
//   once     of a piece of work asked for by many, whose effect and completion are one transaction behind
//            owned(), one effect stands in the store; whoever is told that it was done is told that one's
//            answer; whoever's transaction was answered as done did it
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unordered_set>

#include "sim/recipes/fleet.h"

namespace lockstep::sim {

class IdsModel final : public Model {
 public:
  explicit IdsModel(Fleet& fleet) : fleet_(fleet) {}
  [[nodiscard]] std::string_view name() const override { return "ids"; }
  void populate(FleetMachine& machine) override;
  [[nodiscard]] std::uint64_t achieved() const override { return given_.size(); }
  Violations check(const History& /*history*/) override { return {}; }

  void given(const std::string& to, const std::vector<std::uint64_t>& ids);

 private:
  Fleet& fleet_;
  std::unordered_set<std::uint64_t> given_;
};

class OnceModel final : public Model {
 public:
  static constexpr std::string_view effects = "effects/";

  explicit OnceModel(Fleet& fleet) : fleet_(fleet) {}
  [[nodiscard]] std::string_view name() const override { return "once"; }
  void populate(FleetMachine& machine) override;
  [[nodiscard]] std::uint64_t achieved() const override { return told_; }
  Violations check(const History& history) override;

  // The piece of work that several should ask for now.
  std::string work();
  // The answer of an effect that is on its way.
  std::string attempt() { return "answer " + std::to_string(++attempts_); }
  void done(const std::string& work, const std::string& answer);

 private:
  Fleet& fleet_;
  std::map<std::string, std::string> answers_;
  std::uint64_t asked_ = 0;
  std::uint64_t attempts_ = 0;
  std::uint64_t told_ = 0;
};

}  // namespace lockstep::sim
