// A seeded life of a member with crashes and snapshots beside a machine that never stops, on any engine.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "store/testing/persistent_member.h"

namespace lockstep::store::testing {

struct PersistenceTotals {
  std::size_t crashes = 0;
  std::size_t entries_lost = 0;  // by crashes; the log had them
  std::size_t installs = 0;
  std::size_t historical_reads = 0;
  std::size_t compactions = 0;
};

using NewHome = std::function<std::unique_ptr<EngineHome>()>;

// What went wrong first, if anything did.
std::optional<std::string> persistence_run(
    std::uint64_t seed, std::size_t entries, PersistenceTotals* totals,
    const NewHome& home = [] { return std::make_unique<MemoryHome>(); });

}  // namespace lockstep::store::testing
