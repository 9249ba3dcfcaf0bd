// A seeded run of the state machine beside the model, with everything compared.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace lockstep::store::testing {

struct RunTotals {
  std::size_t commands = 0;
  std::size_t errors = 0;
  std::size_t duplicates = 0;
  std::size_t expired_leases = 0;
  std::size_t restarts = 0;
  std::size_t terms = 0;
  std::size_t historical_reads = 0;
  std::size_t read_transactions = 0;
};

// What went wrong first, if anything did.
std::optional<std::string> random_run(std::uint64_t seed, std::size_t entries, RunTotals* totals);

}  // namespace lockstep::store::testing
