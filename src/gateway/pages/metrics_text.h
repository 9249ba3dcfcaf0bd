// Writes metrics as Prometheus reads them (text format 0.0.4). Names are of base units and end in _total for
// counters; labels come from small fixed sets only (I11). Pure.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "base/latency_histogram.h"

namespace lockstep::gateway {

class MetricsText {
 public:
  enum class Kind : std::uint8_t { counter, gauge, histogram };
  using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

  // The head of a family; its samples follow.
  void family(std::string_view name, Kind kind, std::string_view help);
  void sample(Labels labels, std::uint64_t value);
  void sample_seconds(Labels labels, Duration value);
  // All samples of a histogram in seconds.
  void sample(Labels labels, const LatencyHistogram& histogram);
  // A family of one sample without labels.
  void counter(std::string_view name, std::string_view help, std::uint64_t value);
  void gauge(std::string_view name, std::string_view help, std::uint64_t value);
  void counter_seconds(std::string_view name, std::string_view help, Duration value);
  void histogram(std::string_view name, std::string_view help, const LatencyHistogram& histogram);

  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  // The name with `suffix` and the labels, `bound` among them unless it is empty.
  void begin_sample(std::string_view suffix, Labels labels, std::string_view bound);

  std::string text_;
  std::string name_;  // of the family
};

}  // namespace lockstep::gateway
