#include "service/transaction/saga/json.h"

#include <algorithm>
#include <set>

#include <nlohmann/json.hpp>

#include "base/assert.h"

namespace lockstep::service::transaction::saga {

// What the parser tells, made into values. One open array or object for each level.
class JsonBuilder final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit JsonBuilder(std::string_view text) : source_(text) {}

  bool null() override { return add(Json()); }
  bool boolean(bool value) override { return add(Json(value)); }
  bool number_integer(number_integer_t value) override { return add(Json(std::int64_t{value})); }
  bool number_unsigned(number_unsigned_t value) override {
    if (value <= static_cast<number_unsigned_t>(INT64_MAX))
      return add(Json(static_cast<std::int64_t>(value)));
    return add(Json(Json::Real{static_cast<double>(value), std::to_string(value)}));
  }
  bool number_float(number_float_t value, const string_t& digits) override {
    return add(Json(Json::Real{value, digits}));
  }
  bool string(string_t& value) override { return add(Json(std::move(value))); }
  bool binary(binary_t& /*value*/) override { return fail("there is no such value"); }
  bool start_object(std::size_t /*size*/) override { return open(Json(Json::Object{})); }
  bool start_array(std::size_t /*size*/) override { return open(Json(Json::Array{})); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    Level& level = levels_.back();
    level.name = name;
    if (!level.names.insert(name).second) return fail("stands there twice");
    return true;
  }
  bool parse_error(std::size_t position, const std::string& /*token*/,
                   const nlohmann::json::exception& /*error*/) override {
    const std::size_t at = std::min(position == 0 ? 0 : position - 1, source_.size());
    const std::string_view before = source_.substr(0, at);
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const std::size_t column =
        at - (before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1);
    error_ = "line " + std::to_string(line) + ", column " + std::to_string(column + 1) + ": this is no JSON";
    if (at >= source_.size()) error_ += ", it ends too early";
    return false;
  }

  [[nodiscard]] const std::string& error() const { return error_; }
  Json take() { return std::move(root_); }

 private:
  struct Level {
    Json value;
    std::string name;  // of the member that is read
    std::set<std::string, std::less<>> names;
  };

  [[nodiscard]] std::string path() const {
    std::string path;
    for (const Level& level : levels_) {
      const Json::Array* array = level.value.array();
      path = array != nullptr ? path_to(path, array->size()) : path_to(path, level.name);
    }
    return path;
  }
  bool fail(std::string_view what) {
    error_ = path() + ": " + std::string(what);
    return false;
  }
  bool open(Json value) {
    if (levels_.size() == json_depth_max) return fail("nested deeper than " + std::to_string(json_depth_max));
    if (++values_ > json_values_max) return fail("more than " + std::to_string(json_values_max) + " values");
    levels_.push_back({std::move(value), {}, {}});
    return true;
  }
  bool close() {
    LS_MUST(!levels_.empty());
    Json value = std::move(levels_.back().value);
    levels_.pop_back();
    put(std::move(value));
    return true;
  }
  bool add(Json value) {
    if (++values_ > json_values_max) return fail("more than " + std::to_string(json_values_max) + " values");
    put(std::move(value));
    return true;
  }
  void put(Json value) {
    if (levels_.empty()) {
      root_ = std::move(value);
      return;
    }
    Level& level = levels_.back();
    if (auto* array = std::get_if<Json::Array>(&level.value.value_)) {
      array->push_back(std::move(value));
    } else {
      std::get<Json::Object>(level.value.value_).push_back({level.name, std::move(value)});
    }
  }

  std::string_view source_;
  std::vector<Level> levels_;
  Json root_;
  std::size_t values_ = 0;
  std::string error_;
};

Result<Json> Json::parse(std::string_view text) {
  JsonBuilder builder(text);
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder)) {
    LS_MUST(!builder.error().empty());
    return Status(Code::invalid_argument, builder.error());
  }
  return builder.take();
}

Json Json::of_answer(std::string_view body) {
  if (body.find_first_not_of(" \t\r\n") == std::string_view::npos) return {};
  Result<Json> parsed = parse(body);
  if (parsed.ok()) return *std::move(parsed);
  std::string text;
  for (const char letter : body) {
    const auto byte = static_cast<unsigned char>(letter);
    text += byte < 0x80 ? letter : '?';  // it must be UTF-8 wherever it is written again
  }
  return Json(std::move(text));
}

std::string_view Json::kind() const {
  constexpr std::string_view kinds[] = {"null",   "true or false", "a number", "a number",
                                        "a text", "an array",      "an object"};
  return kinds[value_.index()];
}

const Json* Json::find(std::string_view name) const {
  const Object* members = object();
  if (members == nullptr) return nullptr;
  const auto found = std::ranges::find(*members, name, &JsonMember::name);
  return found == members->end() ? nullptr : &found->value;
}

void Json::set(const std::string& name, Json value) {
  if (is_null()) value_ = Object{};
  auto* members = std::get_if<Object>(&value_);
  LS_MUST(members != nullptr);
  const auto found = std::ranges::find(*members, name, &JsonMember::name);
  if (found == members->end()) {
    members->push_back({name, std::move(value)});
  } else {
    found->value = std::move(value);
  }
}

namespace {

void append_quoted(std::string_view text, std::string& out) {
  constexpr std::string_view digits = "0123456789abcdef";
  out += '"';
  for (const char letter : text) {
    const auto byte = static_cast<unsigned char>(letter);
    if (letter == '"' || letter == '\\') {
      (out += '\\') += letter;
    } else if (letter == '\n') {
      out += "\\n";
    } else if (byte < 0x20) {
      ((out += "\\u00") += digits[byte >> 4U]) += digits[byte & 15U];
    } else {
      out += letter;
    }
  }
  out += '"';
}

}  // namespace

void Json::append_to(std::string& out) const {
  if (is_null()) out += "null";
  if (const bool* value = boolean()) out += *value ? "true" : "false";
  if (const std::int64_t* value = whole()) out += std::to_string(*value);
  if (const Real* value = real()) out += value->text;
  if (const std::string* value = text()) append_quoted(*value, out);
  if (const Array* values = array()) {
    out += '[';
    for (const Json& value : *values) {
      if (&value != values->data()) out += ',';
      value.append_to(out);
    }
    out += ']';
  }
  if (const Object* members = object()) {
    out += '{';
    for (const JsonMember& member : *members) {
      if (&member != members->data()) out += ',';
      append_quoted(member.name, out);
      out += ':';
      member.value.append_to(out);
    }
    out += '}';
  }
}

std::string Json::dump() const {
  std::string out;
  append_to(out);
  return out;
}

bool operator==(const Json& a, const Json& b) {
  if (a.whole() != nullptr && b.real() != nullptr) return static_cast<double>(*a.whole()) == b.real()->value;
  if (a.real() != nullptr && b.whole() != nullptr) return a.real()->value == static_cast<double>(*b.whole());
  return a.value_ == b.value_;
}

JsonSize size_of(const Json& value) {
  JsonSize size{8, 0};
  if (const std::string* text = value.text()) size.bytes += text->size();
  if (const Json::Real* real = value.real()) size.bytes += real->text.size();
  const auto add = [&](const Json& inner) {
    const JsonSize own = size_of(inner);
    size.bytes += own.bytes;
    size.depth = std::max(size.depth, own.depth + 1);
  };
  if (const Json::Array* values = value.array()) {
    size.depth = 1;
    for (const Json& inner : *values) add(inner);
  }
  if (const Json::Object* members = value.object()) {
    size.depth = 1;
    for (const JsonMember& member : *members) {
      size.bytes += member.name.size();
      add(member.value);
    }
  }
  return size;
}

std::string shorten(std::string_view text) {
  constexpr std::size_t bytes_max = 80;
  if (text.size() <= bytes_max) return std::string(text);
  std::size_t end = bytes_max;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;  // between letters
  return std::string(text.substr(0, end)) + "...";
}

std::string path_to(std::string_view path, std::string_view name) {
  std::string result = std::string(path) + "/";
  for (const char letter : shorten(name)) {
    if (letter == '~') {
      result += "~0";
    } else if (letter == '/') {
      result += "~1";
    } else {
      result += letter;
    }
  }
  return result;
}

std::string path_to(std::string_view path, std::size_t index) {
  return std::string(path) + "/" + std::to_string(index);
}

}  // namespace lockstep::service::transaction::saga
