// Runs many seeds, each in a child process's turn, on several processors.
//
// Workers are forked: a seed that brings its process down (or hangs it) is a failure of that seed, and the
// run goes on. Results come back over a pipe, one record a seed.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "sim/run.h"

namespace lockstep::sim {

struct SeedSummary {
  std::uint64_t seed = 0;
  Violations violations;
  Coverage coverage;
  std::uint64_t end_number = 0;
  std::uint64_t events = 0;
  std::uint64_t operations = 0;
  std::uint64_t acknowledged = 0;
  std::uint64_t faults_that_mattered = 0;
  std::int64_t simulated_ns = 0;
  std::int64_t recovery_ns = 0;
};

using RunOneSeed = RunResult (*)(std::uint64_t seed, std::function<void(const std::string&)> trace);

struct SweepOptions {
  RunOneSeed run = run_seed;
  std::vector<std::uint64_t> seeds;
  unsigned jobs = 2;
  // Seeds are handed out in small blocks: a fork for each costs a little.
  std::size_t block_seeds = 8;
  // One seed in so many runs twice and must end with the same number; 0: none.
  std::uint64_t twice_every = 20;
  // A seed that takes longer than this of real time is a failure.
  unsigned seed_seconds_max = 120;
};

// Calls `each` for every seed, in their order, whichever finishes first; stops early when it returns false.
void sweep(const SweepOptions& options, const std::function<bool(const SeedSummary&)>& each);

}  // namespace lockstep::sim
