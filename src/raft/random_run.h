// One random run of a small cluster: a safety phase in which anything may happen to messages, disks and
// members, then a liveness phase in which all is well and the cluster must agree on one more entry.
//
// Checked all along: one leader a term (R1), log matching (R3), leader completeness (R4), the same committed
// sequence and state everywhere (R5), reads never older than what was committed when they were asked for
// (R7). Everything follows from the seed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace lockstep::raft {

struct RandomRunResult {
  std::optional<std::string> failure;  // which rule broke, and where
  std::uint64_t committed = 0;
  std::uint64_t elections = 0;
  std::uint64_t reads = 0;
  std::uint64_t crashes = 0;
  std::uint64_t wipes = 0;
  std::uint64_t changes = 0;
  std::uint64_t snapshots = 0;
  std::uint64_t fingerprint = 0;  // of the whole run: equal for equal seeds
};

// An assertion of the code under test counts as a failure too, prefixed "assertion". With `trace`, everything
// that happens is printed.
RandomRunResult random_run(std::uint64_t seed, bool trace = false);

}  // namespace lockstep::raft
