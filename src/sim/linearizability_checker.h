// Linearizability of single keys without looking at revisions (I2): Wing and Gong's search with Lowe's cache
// of visited configurations.
//
// An operation with unknown outcome may take effect at any time after its invocation, or never: its return
// lies at infinity. Each key is one history, because linearizability is local. The search has a budget; a
// history it cannot decide within it FAILS, for a checker that gives up proves nothing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/history.h"

namespace lockstep::sim {

// One operation on one register. Values are small numbers; 0 is "absent".
struct RegisterOperation {
  enum class Kind : std::uint8_t { write, read, remove, swap };
  Kind kind = Kind::read;
  std::uint32_t value = 0;     // written by write and swap; seen by read, and by a swap that failed
  std::uint32_t expected = 0;  // swap: what must be there
  bool answered = true;        // false: unknown outcome
  bool succeeded = false;      // swap: the branch taken; remove: something was there
  bool sees = false;           // a failed swap that says what it saw (in `seen`)
  std::uint32_t seen = 0;
  std::int64_t invoked_ns = 0;
  std::int64_t returned_ns = never_ns;
};

enum class Linearizability : std::uint8_t { yes, no, undecided };

// `steps` counts configurations tried, up to steps_max.
Linearizability is_linearizable(std::vector<RegisterOperation> operations, std::uint64_t steps_max,
                                std::uint64_t* steps = nullptr);

// What the replicas applied narrows unknown writes down, which keeps the search small: one without an effect
// never happened (whoever read its value read a phantom), and one with an effect happened before it was seen.
// Orders and answers are judged by the search alone.
class LinearizabilityChecker {
 public:
  static constexpr const char* name = "linearizability";
  static constexpr std::uint64_t default_steps_max = 2'000'000;

  // Looks at keys that begin with `prefix`. Nothing else may touch them: no multi-key operation, no lease.
  explicit LinearizabilityChecker(std::string prefix, std::uint64_t steps_max = default_steps_max)
      : prefix_(std::move(prefix)), steps_max_(steps_max) {}
  Violations check(const History& history);
  [[nodiscard]] std::uint64_t keys_checked() const { return keys_checked_; }

 private:
  std::string prefix_;
  std::uint64_t steps_max_;
  std::uint64_t keys_checked_ = 0;
};

}  // namespace lockstep::sim
