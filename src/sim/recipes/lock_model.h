// Locks under faults: holders that write what the lock protects, and the verdict there.
//
//   token      of one lock, the tokens grow from holding to holding, and no two holdings have the same one
//   holder     when a lock was granted, at the revision that the answer names, its key stood first in line;
//   and so it
//              did at the revision of each write that the lock guarded in the store
//   resource   behind a fence outside the store, a token is used by one holding only
//   belief     nobody is given a lock while the one before it still believes to hold it: its session is alive
//   by its
//              own clock, and it has not begun to release
//   herd       a key that leaves the line wakes one waiter
//
// Sessions here have a lock delay that covers the drift of the clocks: without one, belief could not be
// promised.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "service/session/session.h"
#include "sim/recipes/fleet.h"

namespace lockstep::sim {

struct LockGrant {
  std::uint64_t number = 0;
  std::string lock;
  std::string key;
  Revision token;
  Revision at;  // the header's
  std::int64_t time_ns = 0;
  std::size_t machine = 0;
  std::uint64_t life = 0;
  std::weak_ptr<service::Session> session;
  bool over = false;  // released, or on its way
};

class LockModel final : public Model {
 public:
  static constexpr std::string_view prefix = "locks/";
  static constexpr std::string_view guarded_prefix = "guarded/";

  explicit LockModel(Fleet& fleet) : fleet_(fleet) {}
  [[nodiscard]] std::string_view name() const override { return "lock"; }
  void populate(FleetMachine& machine) override;
  [[nodiscard]] std::uint64_t achieved() const override { return grants_.size(); }
  Violations check(const History& history) override;
  void on_notice(const store::Event& event) override;

  // What workers tell.
  std::uint64_t granted(FleetWorker& worker, LockGrant grant);
  void released(std::uint64_t grant);
  [[nodiscard]] Fleet& fleet() { return fleet_; }
  // A write to the resource behind the fence, on its way there.
  void write_fenced(FleetWorker& worker, std::uint64_t grant);

 private:
  struct Fence {
    std::map<std::int64_t, std::uint64_t> users;  // who wrote with a token
    std::int64_t highest = 0;
  };
  [[nodiscard]] static std::string lock_of(const std::string& key);
  void arrive_at_fence(std::uint64_t grant);
  [[nodiscard]] bool believes(const LockGrant& grant);
  void check_tokens(Violations& violations) const;
  void check_holders(const History& history, Violations& violations);
  void check_herd(Violations& violations) const;

  Fleet& fleet_;
  std::vector<LockGrant> grants_;  // by number, from 1
  std::map<std::string, std::vector<std::uint64_t>> open_;
  std::map<std::string, Fence> fences_;
  std::map<std::string, std::uint64_t> notices_;  // removals of a lock's keys that were delivered
  std::map<std::string, std::uint64_t> removals_;
  std::map<std::string, std::uint64_t> removals_of_waiters_;
};

}  // namespace lockstep::sim
