// Checks a history by replaying its revisions (I1, I2, I8 in part).
//
// Every effect the replicas applied must have one cause: the acknowledged operation that was answered with
// its revision, an operation with unknown outcome that would have had exactly this effect, or the end of a
// lease. The model store executes the causes in order; each answer must be what the model answers, and the
// positions so found must respect real time:
//   - a linearizable operation lies after everything that returned before it was invoked;
//   - a serializable read sees some prefix, and one client asking one life of one member never goes back;
//   - what failed had no effect; what was acknowledged is there.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "sim/history.h"
#include "sim/model_store.h"

namespace lockstep::sim {

class RevisionChecker {
 public:
  static constexpr const char* name = "revision";

  Violations check(const History& history);
  // After check(): every version of every key, for the checkers that follow.
  [[nodiscard]] const ModelStore& model() const { return model_; }
  // Revisions nobody asked for: the ends of leases.
  [[nodiscard]] const std::map<std::int64_t, LeaseId>& lease_ends() const { return lease_ends_; }
  // Unknown outcomes that turned out to have happened.
  [[nodiscard]] std::uint64_t pinned() const { return pinned_; }

 private:
  // Where an operation took effect: reads at revision r lie at 2r, writes that made r at 2r - 1.
  struct Placed {
    const Operation* operation;
    std::int64_t position;
    bool write;
  };

  // An operation that nobody knows to have happened, or at which revision.
  struct Unknown {
    const Operation* operation;
    std::int64_t above = 0;   // what returned before it was invoked reached this revision
    std::int64_t caused = 0;  // the revision it is taken for; zero: none so far
  };
  // A revision without an acknowledged operation, and what would explain it.
  struct Unclaimed {
    std::vector<std::size_t> candidates;  // in unknown_
    LeaseId lease;
  };

  void complain(std::string text);
  void index(const History& history);
  void replay(const History& history);
  void replay_revision(const RevisionEffects& effects);
  void note_what_came_before(const History& history);
  const Operation* find_unknown_cause(const RevisionEffects& effects);
  bool explain(std::int64_t revision, std::vector<bool>& tried);
  // The lease whose keys, all of them, were removed; zero: something else happened.
  [[nodiscard]] LeaseId ended_lease(const RevisionEffects& effects) const;
  void check_read(const Operation& operation);
  void check_failed_read(const Operation& operation);
  void check_failures(const History& history);
  void check_real_time();
  void check_sessions(const History& history);
  void check_final_states(const History& history);

  Violations violations_;
  ModelStore model_;
  std::map<std::int64_t, std::vector<const Operation*>> claims_;  // by revision
  std::vector<const Operation*> reads_;
  std::vector<Unknown> unknown_;
  std::map<std::int64_t, Unclaimed> unclaimed_;
  std::vector<Placed> placed_;
  std::map<std::int64_t, LeaseId> lease_ends_;
  std::int64_t last_revision_ = 1;
  std::int64_t compacted_at_most_ = 0;  // by any compaction that may have happened
  std::uint64_t pinned_ = 0;
};

}  // namespace lockstep::sim
