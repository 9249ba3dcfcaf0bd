// Readers of events: watchers, whose subscriptions the checkers judge, and the collector of everything that
// happened.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "client.h"

namespace lockstep::faults {

// Until Recorder::stop(). Subscribes, drops and resumes; what it saw is added to Recorder::watches().
Task<void> run_watcher(RealActor& client);

// The effects of every revision from `first` on, as one subscription to everything delivers them.
class Collector {
 public:
  // Reads from these members, whichever is up.
  Collector(Machine& machine, const std::vector<std::string>& endpoints, std::int64_t first);
  Collector(const Collector&) = delete;
  Collector& operator=(const Collector&) = delete;

  // Everything up to this revision was collected. Its address stays.
  [[nodiscard]] const std::int64_t& covered() const { return covered_; }
  // Not empty: it cannot go on, and why.
  [[nodiscard]] const std::string& trouble() const { return trouble_; }
  [[nodiscard]] const std::vector<sim::RevisionEffects>& effects() const { return effects_; }
  // Makes sure that covered() comes to the store's present revision, if nothing happens there.
  void ask() { subscription_->request_progress(); }

 private:
  void read();
  void take(const store::WatchResponse& response);

  Machine& machine_;
  std::unique_ptr<remote::Connections> connections_;
  remote::Store store_;
  std::unique_ptr<store::Subscription> subscription_;
  std::vector<sim::RevisionEffects> effects_;
  std::int64_t covered_;
  std::string trouble_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // posted work asks before it touches this
};

}  // namespace lockstep::faults
