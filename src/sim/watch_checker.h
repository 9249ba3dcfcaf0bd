// The six guarantees of a watch, against the effects the replicas applied (I4).
//
//   ordered    revisions never go back within a logical watch
//   unique     no event twice
//   complete   every matching event between the start and the last bookmark was delivered
//   atomic     the events of one revision come in one answer (unless fragments were asked for)
//   resumable  a watch that goes on after a loss continues at the next revision, without hole or repetition
//   bookmark   header.revision is true: nothing at or below it comes later
// Besides, each event must be right in every field: key, value, revisions, version, lease, prev_kv, and only
// what the filters let through.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "sim/history.h"
#include "sim/model_store.h"

namespace lockstep::sim {

class WatchChecker {
 public:
  static constexpr const char* name = "watch";

  // The model must have replayed all effects of the history.
  explicit WatchChecker(const ModelStore& model) : model_(model) {}
  Violations check(const History& history);
  [[nodiscard]] std::uint64_t events_checked() const { return events_checked_; }

 private:
  struct Progress {
    std::int64_t covered = 0;  // everything up to here was delivered
  };

  void complain(const WatchRecord& watch, const std::string& text);
  void check_segment(const WatchRecord& watch, Progress& progress);
  void check_answer(const WatchRecord& watch, const store::WatchResponse& response, Progress& progress);
  void check_event(const WatchRecord& watch, const store::Event& event);
  // Matching events in (after, up_to].
  [[nodiscard]] std::vector<const store::Event*> expected(const WatchRecord& watch, std::int64_t after,
                                                          std::int64_t up_to) const;

  const ModelStore& model_;
  std::map<std::int64_t, const RevisionEffects*> effects_;
  std::int64_t compacted_at_most_ = 0;
  std::uint64_t events_checked_ = 0;
  Violations violations_;
};

}  // namespace lockstep::sim
