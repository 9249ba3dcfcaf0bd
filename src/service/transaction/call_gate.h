// How many calls are under way, in all and to each host; who waits for room is told in the order of asking,
// hosts taking turns.
//
//   1. taken() <= calls_max, and of one host <= calls_per_host_max.
//   2. A quarter of each is for urgent calls only, so that whoever begins much holds up nobody's end. They
//      are told first.
//   3. Whoever was told has its room kept, however long it reads before it can use it, until it looked().
//      What it leaves goes to the next: hand_out() is asked again.
//
// Memory: a few numbers for each host with calls or waiters, one for each waiter. Strand only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <iterator>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/assert.h"

namespace lockstep::service::transaction {

class CallGate {
 public:
  struct Told {
    std::string host;
    bool urgent = false;
    std::uint64_t who = 0;
    friend bool operator==(const Told&, const Told&) = default;
  };

  CallGate(std::size_t calls_max, std::size_t calls_per_host_max)
      : calls_max_(calls_max), calls_per_host_max_(calls_per_host_max) {
    LS_MUST(calls_max > 0 && calls_per_host_max > 0);
  }

  [[nodiscard]] std::size_t taken() const { return taken_; }
  // False: there is no room; wait().
  bool take(const std::string& host, bool urgent) {
    if (taken_ + kept_ >= share(calls_max_, urgent)) return false;
    Lane& lane = lanes_[host];
    if (lane.taken + lane.kept >= share(calls_per_host_max_, urgent)) return false;
    ++lane.taken;
    ++taken_;
    return true;
  }
  void give_back(const std::string& host) {
    const auto lane = lanes_.find(host);
    LS_MUST(lane != lanes_.end() && lane->second.taken > 0);
    --lane->second.taken;
    --taken_;
    forget_if_idle(lane);
  }
  void wait(const std::string& host, bool urgent, std::uint64_t who) {
    lanes_[host].waiters_of(urgent).push_back(who);
  }

  // Somebody who was told of room at that host takes it now, or does not need it.
  void looked(const std::string& host) {
    const auto lane = lanes_.find(host);
    LS_MUST(lane != lanes_.end() && lane->second.kept > 0 && kept_ > 0);
    --lane->second.kept;
    --kept_;
    forget_if_idle(lane);
  }

  // Those for whom there is room now; they do not wait any more, and it is kept for them.
  std::vector<Told> hand_out() {
    std::vector<Told> told;
    hand_out(true, told);
    hand_out(false, told);
    return told;
  }

 private:
  struct Lane {
    std::size_t taken = 0;
    std::size_t kept = 0;  // for those who were told
    std::deque<std::uint64_t> urgent;
    std::deque<std::uint64_t> others;
    std::deque<std::uint64_t>& waiters_of(bool is_urgent) { return is_urgent ? urgent : others; }
  };
  static std::size_t share(std::size_t all, bool urgent) { return urgent ? all : all - all / 4; }
  void forget_if_idle(std::map<std::string, Lane>::iterator lane) {
    const Lane& idle = lane->second;
    if (idle.taken + idle.kept == 0 && idle.urgent.empty() && idle.others.empty()) lanes_.erase(lane);
  }

  void hand_out(bool urgent, std::vector<Told>& told) {
    const std::size_t most = share(calls_max_, urgent);
    if (lanes_.empty() || taken_ + kept_ >= most) return;
    std::size_t room = most - taken_ - kept_;
    auto lane = lanes_.upper_bound(last_);
    for (std::size_t seen = lanes_.size(); seen > 0 && room > 0; --seen) {
      if (lane == lanes_.end()) lane = lanes_.begin();
      Lane& here = lane->second;
      const std::size_t used = here.taken + here.kept;
      const std::size_t host_most = share(calls_per_host_max_, urgent);
      std::size_t part = used < host_most ? host_most - used : 0;
      std::deque<std::uint64_t>& waiters = here.waiters_of(urgent);
      for (; part > 0 && room > 0 && !waiters.empty(); --part, --room) {
        told.push_back({lane->first, urgent, waiters.front()});
        waiters.pop_front();
        ++here.kept;
        ++kept_;
        last_ = lane->first;
      }
      const auto next = std::next(lane);
      forget_if_idle(lane);
      lane = next;
    }
  }

  std::size_t calls_max_;
  std::size_t calls_per_host_max_;
  std::size_t taken_ = 0;
  std::size_t kept_ = 0;
  std::map<std::string, Lane> lanes_;
  std::string last_;  // the host that was handed out to last
};

}  // namespace lockstep::service::transaction
