// Writes one JSON object, member by member: what /v1 answers. Names are ours and need no escapes; texts are
// escaped as needed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace lockstep::gateway::v1 {

// `text` in quotes. What is no UTF-8 in it is replaced.
void append_json_string(std::string* out, std::string_view text);
[[nodiscard]] bool is_utf8(std::string_view bytes);

class JsonText {
 public:
  JsonText& text(std::string_view name, std::string_view value) {
    begin(name);
    append_json_string(&text_, value);
    return *this;
  }
  // As text if it is text, else in base64 under the name that says so.
  JsonText& bytes(std::string_view name, std::string_view value);
  JsonText& number(std::string_view name, std::int64_t value) {
    begin(name);
    text_ += std::to_string(value);
    return *this;
  }
  JsonText& boolean(std::string_view name, bool value) {
    begin(name);
    text_ += value ? "true" : "false";
    return *this;
  }
  JsonText& object(std::string_view name, const JsonText& value) {
    begin(name);
    text_ += value.str();
    return *this;
  }
  // `value` is JSON already.
  JsonText& json(std::string_view name, std::string_view value) {
    begin(name);
    text_ += value;
    return *this;
  }
  // What write() writes goes between brackets; elements are begun with element().
  JsonText& begin_list(std::string_view name) {
    begin(name);
    text_ += '[';
    first_ = true;
    return *this;
  }
  JsonText& element(const JsonText& value) {
    comma();
    text_ += value.str();
    return *this;
  }
  JsonText& element(std::string_view value) {
    comma();
    append_json_string(&text_, value);
    return *this;
  }
  JsonText& end_list() {
    text_ += ']';
    first_ = false;
    return *this;
  }
  // "{…}"
  [[nodiscard]] std::string str() const { return text_ + "}"; }
  [[nodiscard]] std::string take() && {
    text_ += '}';
    return std::move(text_);
  }

 private:
  void comma() {
    if (!std::exchange(first_, false)) text_ += ',';
  }
  void begin(std::string_view name) {
    comma();
    text_ += '"';
    text_ += name;
    text_ += "\":";
  }

  std::string text_ = "{";
  bool first_ = true;
};

}  // namespace lockstep::gateway::v1
