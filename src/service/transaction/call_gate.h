// How many calls are under way, in all and to each host; who waits for room is told in the order of asking,
// hosts taking turns.
//
//   1. taken() <= calls_max, and of one host <= calls_per_host_max.
//   2. Whoever was told and does not take leaves its room to the next: hand_out() is asked again.
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
  CallGate(std::size_t calls_max, std::size_t calls_per_host_max)
      : calls_max_(calls_max), calls_per_host_max_(calls_per_host_max) {
    LS_MUST(calls_max > 0 && calls_per_host_max > 0);
  }

  [[nodiscard]] std::size_t taken() const { return taken_; }
  // False: there is no room; wait().
  bool take(const std::string& host) {
    if (taken_ >= calls_max_) return false;
    Lane& lane = lanes_[host];
    if (lane.taken >= calls_per_host_max_) return false;
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
  void wait(const std::string& host, std::uint64_t who) { lanes_[host].waiters.push_back(who); }

  // Those for whom there is room now; they do not wait any more.
  std::vector<std::pair<std::string, std::uint64_t>> hand_out() {
    std::vector<std::pair<std::string, std::uint64_t>> told;
    if (lanes_.empty() || taken_ >= calls_max_) return told;
    std::size_t room = calls_max_ - taken_;
    auto lane = lanes_.upper_bound(last_);
    for (std::size_t seen = lanes_.size(); seen > 0 && room > 0; --seen) {
      if (lane == lanes_.end()) lane = lanes_.begin();
      Lane& here = lane->second;
      std::size_t part = here.taken < calls_per_host_max_ ? calls_per_host_max_ - here.taken : 0;
      for (; part > 0 && room > 0 && !here.waiters.empty(); --part, --room) {
        told.emplace_back(lane->first, here.waiters.front());
        here.waiters.pop_front();
        last_ = lane->first;
      }
      const auto next = std::next(lane);
      forget_if_idle(lane);
      lane = next;
    }
    return told;
  }

 private:
  struct Lane {
    std::size_t taken = 0;
    std::deque<std::uint64_t> waiters;
  };
  void forget_if_idle(std::map<std::string, Lane>::iterator lane) {
    if (lane->second.taken == 0 && lane->second.waiters.empty()) lanes_.erase(lane);
  }

  std::size_t calls_max_;
  std::size_t calls_per_host_max_;
  std::size_t taken_ = 0;
  std::map<std::string, Lane> lanes_;
  std::string last_;  // the host that was handed out to last
};

}  // namespace lockstep::service::transaction
