// The end of a run: waits until the cluster has come to rest, reads every member's whole state and history,
// and hands all of it to the simulator's checkers.
//
// Beside theirs, three rules of its own: everything comes to rest in time once the faults have ended (I10),
// members tell the same history, and their states have the same hash (I3).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tamper.h"
#include "watchers.h"

namespace lockstep::faults {

struct Verdict {
  sim::Violations violations;
  sim::History history;
  std::uint64_t unknown_that_happened = 0;
  std::uint64_t leases_expired = 0;
  std::uint64_t watch_events = 0;
  std::uint64_t keys_linearized = 0;
  std::int64_t at_rest_after_ns = 0;   // from the end of the workload
  std::vector<std::string> unnoticed;  // changes of the history after which the checkers had nothing to say
};

class Judge {
 public:
  // All outlive this.
  Judge(Machine& machine, sim::Recorder& recorder, Collector& collector)
      : machine_(machine), recorder_(recorder), collector_(collector) {}

  // Who led, as the members themselves say: asked all the time until the workload stops.
  Task<void> observe_leaders();
  void healed() { healed_ns_ = machine_.now_ns(); }
  // `endpoints`: every member that belongs to the cluster now. `prove`: afterwards change the history in
  // every way there is, and see whether the checkers notice.
  Task<Verdict> conclude(std::vector<std::string> endpoints, bool prove);

 private:
  void complain(const std::string& checker, const std::string& text);
  Task<void> pause();
  Task<void> step_aside();
  Task<Revision> wait_for_rest(const std::vector<std::string>& endpoints);
  Task<void> read_member(std::string endpoint, Revision revision);
  Task<std::uint32_t> hash_of(remote::Connections& connections, Revision revision, std::string endpoint);
  [[nodiscard]] std::int64_t compacted_at_most() const;
  void compare(const std::string& endpoint, const std::vector<sim::RevisionEffects>& effects,
               std::int64_t up_to);

  Machine& machine_;
  sim::Recorder& recorder_;
  Collector& collector_;
  std::int64_t healed_ns_ = 0;
  std::vector<sim::LeaderObservation> leaders_;
  std::vector<sim::FinalState> final_states_;
  std::map<std::string, std::uint32_t> hashes_;
  sim::Violations violations_;
};

}  // namespace lockstep::faults
