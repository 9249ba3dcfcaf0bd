// A random life of a hub: writes in blocks of any shape, compactions, history read back from "disk",
// subscribers of every speed that come, go, resume and fall behind. Everything delivered is compared with
// what was written.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lockstep::watch::testing {

struct RunResult {
  // Empty: every promise was kept. Each names the guarantee of I4 that was broken.
  std::vector<std::string> violations;
  // What happened, so that a run that tests nothing is noticed.
  std::uint64_t events = 0;
  std::uint64_t answers_fragmented = 0;
  std::uint64_t cancelled_compacted = 0;
  std::uint64_t resumed = 0;
  std::uint64_t parked = 0;
  std::uint64_t effects_scanned = 0;
  std::uint64_t read_from_disk = 0;
};

RunResult random_run(std::uint64_t seed);

}  // namespace lockstep::watch::testing
