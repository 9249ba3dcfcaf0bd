// Shows that the checkers notice: plants each known bug in turn and runs seeds until a checker objects.
//
// Only in the binary with the planted bugs. A bug is hunted in the seeds whose weather can bring it about, in
// their order, and given up after `seeds_max` of them. The seed that caught it must pass without it.
#pragma once

#include <cstdint>
#include <string>

namespace lockstep::sim {

struct HuntOptions {
  std::string bug;       // only this one; empty: all of them
  bool recipes = false;  // all those of the recipes instead of all others
  std::uint64_t from = 1;
  std::uint64_t seeds_max = 300;
  unsigned jobs = 2;
};

// Prints one line a bug. True if the bug was caught, or enough of all, and no seed fails without its bug.
bool hunt_planted_bugs(const HuntOptions& options);

}  // namespace lockstep::sim
