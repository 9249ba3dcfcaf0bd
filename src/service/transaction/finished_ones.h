// Finished transactions in the order in which they finished. Each is remembered until its time is out; when
// there are many the oldest are kept no longer in whole.
//
//   1. What is remembered is remembered for its time, however many there are: a gid that is submitted again
//      within it begins nothing anew. Whoever is asked for more than can be remembered refuses.
//   2. Those of which only the end is left are older than all others.
//
// Memory: about a hundred bytes for each. Strand only.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.h"

namespace lockstep::service::transaction {

class FinishedOnes {
 public:
  struct One {
    std::string gid;
    Revision revision;             // of its finished or remembered key: it is that end's
    std::int64_t at_ms = 0;        // by the coordinators' clock
    bool has_more = false;         // branches or audits of its own
    bool only_remembered = false;  // nothing else is left of it
  };

  void add(One one) { (one.only_remembered ? remembered_ : whole_).push_back(std::move(one)); }
  [[nodiscard]] std::size_t size() const { return whole_.size() + remembered_.size(); }

  // The oldest whose time is out, at most `count`.
  std::vector<One> take_due(std::int64_t now_ms, std::int64_t kept_ms, std::size_t count) {
    std::vector<One> due;
    for (std::deque<One>* ones : {&remembered_, &whole_}) {
      while (due.size() < count && !ones->empty() && ones->front().at_ms + kept_ms <= now_ms) {
        due.push_back(std::move(ones->front()));
        ones->pop_front();
      }
    }
    return due;
  }
  // The oldest of those in whole beyond `whole_max`, at most `count`.
  std::vector<One> take_surplus(std::size_t whole_max, std::size_t count) {
    std::vector<One> surplus;
    while (surplus.size() < count && whole_.size() > whole_max) {
      surplus.push_back(std::move(whole_.front()));
      whole_.pop_front();
    }
    return surplus;
  }
  // What take_due() or take_surplus() took.
  void give_back(std::vector<One> ones) {
    std::reverse(ones.begin(), ones.end());
    for (One& one : ones) (one.only_remembered ? remembered_ : whole_).push_front(std::move(one));
  }

 private:
  std::deque<One> whole_;
  std::deque<One> remembered_;
};

}  // namespace lockstep::service::transaction
