#include "store/key_range_set.h"

#include <algorithm>
#include <utility>

namespace lockstep::store {

void KeyRangeSet::add(std::string_view key, std::string_view range_end) {
  Interval interval{std::string(key), std::string(range_end)};
  if (range_end.empty()) {
    interval.end = interval.begin + '\0';  // the next key there can be
  } else if (range_end == std::string_view("\0", 1)) {
    interval.end.clear();
    interval.unbounded = true;
  } else if (range_end <= key) {
    return;
  }
  intervals_.push_back(std::move(interval));
}

void KeyRangeSet::merge() {
  std::ranges::sort(intervals_, {}, &Interval::begin);
  std::vector<Interval> merged;
  for (Interval& interval : intervals_) {
    Interval* last = merged.empty() ? nullptr : &merged.back();
    if (last == nullptr || (!last->unbounded && last->end < interval.begin)) {
      merged.push_back(std::move(interval));
    } else if (!last->unbounded && (interval.unbounded || interval.end > last->end)) {
      last->end = std::move(interval.end);
      last->unbounded = interval.unbounded;
    }
  }
  intervals_ = std::move(merged);
}

const KeyRangeSet::Interval* KeyRangeSet::find(std::string_view key) const {
  const auto above = std::ranges::upper_bound(
      intervals_, key, {}, [](const Interval& interval) { return std::string_view(interval.begin); });
  if (above == intervals_.begin()) return nullptr;
  const Interval& candidate = *std::prev(above);
  return candidate.unbounded || key < candidate.end ? &candidate : nullptr;
}

}  // namespace lockstep::store
