// Writes metrics as Prometheus reads them (text format 0.0.4). Names are of base units and end in _total for
// counters; labels come from small fixed sets only (I11). Pure.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace lockstep::gateway {

class MetricsText {
 public:
  enum class Kind : std::uint8_t { counter, gauge };
  using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

  // The head of a family; its samples follow.
  void family(std::string_view name, Kind kind, std::string_view help);
  void sample(Labels labels, std::uint64_t value);
  // A family of one sample without labels.
  void counter(std::string_view name, std::string_view help, std::uint64_t value);
  void gauge(std::string_view name, std::string_view help, std::uint64_t value);

  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
  std::string name_;  // of the family
};

}  // namespace lockstep::gateway
