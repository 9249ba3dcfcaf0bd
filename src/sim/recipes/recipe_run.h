// One seed of the recipes: a cluster and a fleet of machines that use it, from drawing the options to the
// verdicts.
//
// As run.h: a calm beginning, faults of members, wires, disks and machines under load, then none: every
// recipe must achieve something again, every worker must come to its end (nobody waits for a notice that
// never comes), and the replicas to the same state. Then the models judge, each at the resource that its
// recipe protects.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "sim/recipes/fleet.h"
#include "sim/run.h"

namespace lockstep::sim {

// The faults of the members as run_seed() draws them, and a fleet beside them.
struct RecipeOptions {
  RunOptions run;
  FleetOptions fleet;
  std::int64_t machine_fault_interval_ns = 0;
  std::string recipes;  // names, each followed by a space

  [[nodiscard]] bool has(const std::string& recipe) const { return recipes.contains(recipe + " "); }
  [[nodiscard]] std::string to_string() const;
};
RecipeOptions draw_recipe_options(std::uint64_t seed);

RunResult run_recipe_seed(std::uint64_t seed, std::function<void(const std::string&)> trace = nullptr);

}  // namespace lockstep::sim
