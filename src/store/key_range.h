// Which keys a (key, range_end) pair of the wire means.
#pragma once

#include <string_view>

namespace lockstep::store {

class KeyRange {
 public:
  // An empty range_end means the one key; "\0" every key from `key` on; else [key, range_end), which is empty
  // when range_end <= key. The views must outlive this.
  KeyRange(std::string_view key, std::string_view range_end)
      : begin_(key),
        end_(range_end),
        point_(range_end.empty()),
        unbounded_(range_end.size() == 1 && range_end[0] == '\0') {}

  [[nodiscard]] std::string_view begin() const { return begin_; }
  [[nodiscard]] bool is_point() const { return point_; }
  [[nodiscard]] bool is_unbounded() const { return unbounded_; }
  // Requires neither of the two above.
  [[nodiscard]] std::string_view end() const { return end_; }
  [[nodiscard]] bool contains(std::string_view key) const { return key >= begin_ && !is_above(key); }
  // For a key at or above begin(): it lies behind the range.
  [[nodiscard]] bool is_above(std::string_view key) const {
    if (point_) return key != begin_;
    return !unbounded_ && key >= end_;
  }

 private:
  std::string_view begin_;
  std::string_view end_;
  bool point_;
  bool unbounded_;
};

}  // namespace lockstep::store
