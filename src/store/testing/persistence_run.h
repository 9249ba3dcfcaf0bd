// A seeded life of a member with crashes and snapshots beside a machine that never stops.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace lockstep::store::testing {

struct PersistenceTotals {
  std::size_t crashes = 0;
  std::size_t batches_lost = 0;
  std::size_t installs = 0;
  std::size_t historical_reads = 0;
  std::size_t compactions = 0;
};

// What went wrong first, if anything did.
std::optional<std::string> persistence_run(std::uint64_t seed, std::size_t entries,
                                           PersistenceTotals* totals);

}  // namespace lockstep::store::testing
