// What a peer's load client prints: the same names as `lockstep bench -o json`.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <vector>

namespace lockstep::bench {

using SteadyClock = std::chrono::steady_clock;

// Cycles that began after the warm-up and ended before the end.
class Cycles {
 public:
  Cycles(std::chrono::milliseconds warm_up, std::chrono::milliseconds duration)
      : from_(SteadyClock::now() + warm_up),
        to_(from_ + duration),
        seconds_(std::chrono::duration<double>(duration).count()) {}

  [[nodiscard]] bool over() const { return SteadyClock::now() >= to_; }
  [[nodiscard]] SteadyClock::time_point end() const { return to_; }
  void add(SteadyClock::time_point begun) {
    const auto now = SteadyClock::now();
    if (begun < from_ || now >= to_) return;
    took_us_.push_back(std::chrono::duration<double, std::micro>(now - begun).count());
  }
  void failed() { ++failures_; }

  void print() {
    std::ranges::sort(took_us_);
    std::printf(
        "{\"requests\": %zu, \"seconds\": %.3f, \"requests_per_second\": %.1f, \"p50_us\": %.1f, \"p99_us\": "
        "%.1f, "
        "\"failures\": %llu, \"misses\": 0}\n",
        took_us_.size(), seconds_, static_cast<double>(took_us_.size()) / seconds_, quantile(0.5),
        quantile(0.99), static_cast<unsigned long long>(failures_));
  }

 private:
  [[nodiscard]] double quantile(double share) const {
    if (took_us_.empty()) return 0;
    return took_us_[std::min(took_us_.size() - 1,
                             static_cast<std::size_t>(share * static_cast<double>(took_us_.size())))];
  }

  SteadyClock::time_point from_;
  SteadyClock::time_point to_;
  double seconds_;
  std::vector<double> took_us_;
  std::uint64_t failures_ = 0;
};

}  // namespace lockstep::bench
