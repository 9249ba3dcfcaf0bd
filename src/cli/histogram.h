// Latencies by logarithmic buckets of at most 1/64 relative error, from 1 ns to hours, in 20 KiB.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/time.h"

namespace lockstep::cli {

class Histogram {
 public:
  void add(Duration value) {
    const auto nanoseconds = static_cast<std::uint64_t>(std::max<std::int64_t>(value.count(), 0));
    ++buckets_[bucket_of(nanoseconds)];
    ++count_;
    max_ = std::max(max_, value);
  }
  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] Duration max() const { return max_; }
  // The value that `fraction` of all do not exceed; zero if there are none.
  [[nodiscard]] Duration quantile(double fraction) const {
    const auto rank = static_cast<std::uint64_t>(fraction * static_cast<double>(count_));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
      seen += buckets_[i];
      if (seen > rank) return std::min(max_, Duration(static_cast<std::int64_t>(upper_end(i))));
    }
    return max_;
  }

 private:
  static constexpr std::size_t steps = 64;  // to each power of two
  static constexpr std::size_t powers = 42;

  static std::size_t bucket_of(std::uint64_t value) {
    if (value < steps) return value;
    const auto shift = static_cast<std::size_t>(std::bit_width(value)) - std::bit_width(steps);
    return std::min((shift + 1) * steps + static_cast<std::size_t>(value >> shift) - steps,
                    powers * steps - 1);
  }
  static std::uint64_t upper_end(std::size_t bucket) {
    if (bucket < steps) return bucket;
    const std::size_t shift = bucket / steps - 1;
    return ((bucket % steps + steps + 1) << shift) - 1;
  }

  std::array<std::uint64_t, powers * steps> buckets_{};
  std::uint64_t count_ = 0;
  Duration max_{};
};

}  // namespace lockstep::cli
