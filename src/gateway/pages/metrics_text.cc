#include "gateway/pages/metrics_text.h"

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

}  // namespace

void MetricsText::family(std::string_view name, Kind kind, std::string_view help) {
  name_ = name;
  text_ += "# HELP " + name_ + " ";
  text_ += help;
  text_ += "\n# TYPE " + name_ + (kind == Kind::counter ? " counter\n" : " gauge\n");
}

void MetricsText::sample(Labels labels, std::uint64_t value) {
  text_ += name_;
  char separator = '{';
  for (const auto& [label, content] : labels) {
    text_ += separator;
    separator = ',';
    text_ += label;
    text_ += "=\"";
    append_escaped(content, &text_);
    text_ += '"';
  }
  if (separator == ',') text_ += '}';
  text_ += " " + std::to_string(value) + "\n";
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
