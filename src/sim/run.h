// One seed, from drawing its options to the verdict of every checker.
//
// Set-up (a leader, the accounts), the safety phase (faults and load together), the liveness phase (all
// faults end; every voter must serve a write and a read within the bound; then the clients stop and all
// replicas must come to the same state), the checkers.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "sim/coverage.h"
#include "sim/history.h"
#include "sim/run_options.h"

namespace lockstep::sim {

struct RunResult {
  RunOptions options;
  Violations violations;
  Coverage coverage;
  std::uint64_t end_number = 0;
  std::uint64_t events = 0;
  std::uint64_t operations = 0;
  std::uint64_t acknowledged = 0;
  std::uint64_t faults_that_mattered = 0;
  std::int64_t simulated_ns = 0;
  std::int64_t recovery_ns = 0;  // from healing to the last voter's first write and read

  [[nodiscard]] bool passed() const { return violations.empty(); }
};

// `trace` gets a line for each event, operation and fault; null: no tracing, which is much faster.
RunResult run_seed(std::uint64_t seed, std::function<void(const std::string&)> trace = nullptr);

}  // namespace lockstep::sim
