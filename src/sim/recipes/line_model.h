// Locks, permits and leaderships under faults: holders that write what the holding protects, and the verdict
// there.
//
//   token      of one line, the tokens grow from holding to holding, and no two holdings have the same one
//   holder     when a place was granted, at the revision that the answer names, its key stood among the first
//   of its
//              line; and so it did at the revision of each write that it guarded in the store
//   resource   behind a fence outside the store, a token is used by one holding only
//   belief     nobody is served while as many as may be served still believe to be: their sessions are alive
//   by
//              their own clocks, and they have not begun to release
//   revival    a session that was over by its holder's clock stays over
//   herd       a key that leaves the line of an exclusive lock wakes one waiter
//   leak       in the end nobody stands in line
//
// Sessions here have a lock delay that covers the drift of the clocks: without one, belief could not be
// promised.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "service/session/session.h"
#include "sim/recipes/fleet.h"
#include "sim/recipes/line_replay.h"

namespace lockstep::sim {

struct Grant {
  std::uint64_t number = 0;
  std::string line;
  std::string key;
  Revision token;
  Revision at;  // the header's
  bool shared = false;
  std::weak_ptr<service::Session> session;
  std::size_t machine = 0;
  std::uint64_t life = 0;
  bool over = false;        // released, or on its way
  bool given_back = false;  // the store said so; before, asking again is the same holding
};

struct LineRule {
  std::size_t permits = 1;
  bool wakes_one = false;   // and nobody else watches the line
  bool one_by_one = false;  // so that tokens are told in their order
};
using LineRules = std::map<std::string, LineRule>;

class LineModel : public Model {
 public:
  explicit LineModel(Fleet& fleet);
  [[nodiscard]] std::string_view name() const override { return "line"; }
  void populate(FleetMachine& machine) override;
  [[nodiscard]] std::uint64_t achieved() const override { return grants_.size(); }
  Violations check(const History& history) override;
  void on_notice(const store::Event& event) override;
  void on_tick() override;

  // What workers tell.
  std::uint64_t granted(FleetWorker& worker, Grant grant);
  void released(std::uint64_t grant) { grants_[grant - 1].over = true; }
  void given_back(std::uint64_t grant) { grants_[grant - 1].given_back = true; }
  void opened(FleetWorker& worker, const service::SessionPtr& session);
  // At that revision it did what only holders may.
  void acted(std::uint64_t grant, Revision at, const char* what) { deeds_.push_back({grant, at, what}); }
  // The value of a key below it is "GRANT:…".
  [[nodiscard]] std::string guarded_key(std::uint64_t number) const {
    return guarded_prefix_ + grant(number).line;
  }
  // A write to the resource behind the fence, on its way there.
  void write_fenced(FleetWorker& worker, std::uint64_t grant);
  [[nodiscard]] const Grant& grant(std::uint64_t number) const { return grants_.at(number - 1); }

 protected:
  LineModel(Fleet& fleet, LineRules rules, std::string guarded_prefix)
      : fleet_(fleet), rules_(std::move(rules)), guarded_prefix_(std::move(guarded_prefix)) {}
  [[nodiscard]] Fleet& fleet() { return fleet_; }

 private:
  struct Deed {
    std::uint64_t grant = 0;
    Revision at;
    const char* what = "";
  };
  struct Fence {
    std::map<std::int64_t, std::uint64_t> users;  // who wrote with a token last
    std::int64_t highest = 0;
  };
  struct Sighting {
    std::weak_ptr<service::Session> session;
    Node* node = nullptr;
    std::uint64_t life = 0;
    bool seen_over = false;
  };
  [[nodiscard]] static bool same_holding(const Grant& earlier, const Grant& later) {
    return earlier.key == later.key && earlier.token == later.token && !earlier.given_back;
  }
  void arrive_at_fence(std::uint64_t grant);
  // Whose key this is; empty: nobody's.
  [[nodiscard]] std::string line_of(const std::string& key) const;
  [[nodiscard]] bool believes(const Grant& grant);
  void check_tokens(Violations& violations) const;
  void replay(const History& history, Violations& violations);
  void judge_grant(const Grant& grant, Revision revision, const char* what, Violations& violations);
  void check_herd(Violations& violations) const;

  Fleet& fleet_;
  LineRules rules_;
  std::string guarded_prefix_;
  std::vector<Grant> grants_;  // by number, from 1
  std::vector<Deed> deeds_;
  std::map<std::string, std::vector<std::uint64_t>> open_;
  std::map<std::string, Fence> fences_;
  std::vector<Sighting> sessions_;
  std::map<std::string, LineReplay> lines_;
  std::map<std::string, std::uint64_t> notices_;  // removals of a line's keys that were delivered
  std::map<std::string, std::uint64_t> removals_;
  std::map<std::string, std::uint64_t> removals_of_waiters_;
};

}  // namespace lockstep::sim
