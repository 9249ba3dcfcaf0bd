// A union of key ranges, as few disjoint intervals in order.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lockstep::store {

class KeyRangeSet {
 public:
  // [begin, end); unbounded: every key from begin on.
  struct Interval {
    std::string begin;
    std::string end;
    bool unbounded = false;
  };

  // Ranges as in key_range.h; empty ones add nothing. Call merge() before the first find().
  void add(std::string_view key, std::string_view range_end);
  void merge();
  // The interval with the key, or null.
  [[nodiscard]] const Interval* find(std::string_view key) const;

 private:
  std::vector<Interval> intervals_;
};

}  // namespace lockstep::store
