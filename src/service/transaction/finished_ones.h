// Finished transactions in the order in which they finished, to be removed when their time is out or they
// are too many.
//
// Memory: about a hundred bytes for each that is kept in the store. Strand only.
#pragma once

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
    Revision revision;       // of its finished key
    std::int64_t at_ms = 0;  // by the coordinators' clock
    bool has_more = false;   // branches or audits of its own
  };

  void add(One one) { ones_.push_back(std::move(one)); }
  [[nodiscard]] std::size_t size() const { return ones_.size(); }

  // The oldest that are to go, at most `count`.
  std::vector<One> take_due(std::int64_t now_ms, std::int64_t kept_ms, std::size_t kept_max,
                            std::size_t count) {
    std::vector<One> due;
    while (due.size() < count && !ones_.empty()) {
      if (ones_.size() <= kept_max && ones_.front().at_ms + kept_ms > now_ms) break;
      due.push_back(std::move(ones_.front()));
      ones_.pop_front();
    }
    return due;
  }
  void give_back(std::vector<One> ones) {
    for (auto one = ones.rbegin(); one != ones.rend(); ++one) ones_.push_front(std::move(*one));
  }

 private:
  std::deque<One> ones_;
};

}  // namespace lockstep::service::transaction
