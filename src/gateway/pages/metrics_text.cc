#include "gateway/pages/metrics_text.h"

#include <array>
#include <charconv>

namespace lockstep::gateway {
namespace {

void append_escaped(std::string_view value, std::string* text) {
  for (const char character : value) {
    if (character == '\n') {
      *text += "\\n";
      continue;
    }
    if (character == '"' || character == '\\') *text += '\\';
    *text += character;
  }
}

// As short as it can be without losing anything.
std::string seconds(Duration duration) {
  std::array<char, 32> text{};
  const double value = std::chrono::duration<double>(duration).count();
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed).ptr;
  return {text.data(), end};
}

}  // namespace

void MetricsText::family(std::string_view name, Kind kind, std::string_view help) {
  constexpr std::array<std::string_view, 3> kinds = {"counter", "gauge", "histogram"};
  name_ = name;
  text_.append("# HELP ").append(name).append(" ").append(help);
  text_.append("\n# TYPE ")
      .append(name)
      .append(" ")
      .append(kinds[static_cast<std::size_t>(kind)])
      .append("\n");
}

void MetricsText::begin_sample(std::string_view suffix, Labels labels, std::string_view bound) {
  text_.append(name_).append(suffix);
  char separator = '{';
  const auto add = [&](std::string_view label, std::string_view content) {
    text_ += separator;
    separator = ',';
    text_.append(label).append("=\"");
    append_escaped(content, &text_);
    text_ += '"';
  };
  for (const auto& [label, content] : labels) add(label, content);
  if (!bound.empty()) add("le", bound);
  if (separator == ',') text_ += '}';
  text_ += ' ';
}

void MetricsText::sample(Labels labels, std::uint64_t value) {
  begin_sample("", labels, "");
  text_.append(std::to_string(value)).append("\n");
}

void MetricsText::sample_seconds(Labels labels, Duration value) {
  begin_sample("", labels, "");
  text_.append(seconds(value)).append("\n");
}

void MetricsText::sample(Labels labels, const LatencyHistogram& histogram) {
  std::uint64_t below = 0;
  for (std::size_t slot = 0; slot < histogram.slots.size(); ++slot) {
    below += histogram.slots[slot];
    const bool bounded = slot < LatencyHistogram::bounds.size();
    begin_sample("_bucket", labels, bounded ? seconds(LatencyHistogram::bounds[slot]) : "+Inf");
    text_.append(std::to_string(below)).append("\n");
  }
  begin_sample("_sum", labels, "");
  text_.append(seconds(histogram.sum)).append("\n");
  begin_sample("_count", labels, "");
  text_.append(std::to_string(histogram.count)).append("\n");
}

void MetricsText::counter_seconds(std::string_view name, std::string_view help, Duration value) {
  family(name, Kind::counter, help);
  sample_seconds({}, value);
}

void MetricsText::histogram(std::string_view name, std::string_view help, const LatencyHistogram& histogram) {
  family(name, Kind::histogram, help);
  sample({}, histogram);
}

void MetricsText::counter(std::string_view name, std::string_view help, std::uint64_t value) {
  family(name, Kind::counter, help);
  sample({}, value);
}

void MetricsText::gauge(std::string_view name, std::string_view help, std::uint64_t value) {
  family(name, Kind::gauge, help);
  sample({}, value);
}

}  // namespace lockstep::gateway
