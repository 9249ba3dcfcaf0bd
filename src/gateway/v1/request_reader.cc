#include "gateway/v1/request_reader.h"

#include <charconv>
#include <limits>
#include <utility>

#include <boost/json/basic_parser_impl.hpp>

#include "base/assert.h"
#include "gateway/json/base64.h"
#include "gateway/json/json_reader.h"
#include "gateway/v1/json_text.h"

namespace lockstep::gateway::v1 {
namespace {

// Of a name that is repeated to its sender.
constexpr std::size_t quoted_bytes_max = 100;

std::string quoted(std::string_view text) {
  return "'" + std::string(text.substr(0, quoted_bytes_max)) + "'";
}

std::string bounds_of(const Field& field) {
  const bool low = field.least > std::numeric_limits<std::int64_t>::min();
  const bool high = field.most < std::numeric_limits<std::int64_t>::max();
  if (low && high) return "between " + std::to_string(field.least) + " and " + std::to_string(field.most);
  if (low) return "of at least " + std::to_string(field.least);
  if (high) return "of at most " + std::to_string(field.most);
  return "between -2^63 and 2^63 - 1";
}

std::string expected(const Field& field) {
  switch (field.type) {
    case FieldType::text:
    case FieldType::bytes:
      return "a string was expected";
    case FieldType::integer:
      return "an integer " + bounds_of(field) + " was expected";
    case FieldType::boolean:
      return "true or false was expected";
    case FieldType::bytes_list:
      return "an array of strings was expected";
    case FieldType::object:
      return "an object was expected";
    case FieldType::object_list:
      return "an array of objects was expected";
    case FieldType::json:
      return "JSON of at most " + std::to_string(field.most) + " bytes was expected";
  }
  LS_UNREACHABLE("all types have a text");
}

// Which field a member of JSON gives, and how.
struct Named {
  const Field* field = nullptr;
  std::size_t index = 0;
  bool base64 = false;
};

Named find_member(const Fields& table, std::string_view name) {
  for (std::size_t i = 0; i < table.size(); ++i) {
    const Field& field = table[i];
    if (field.name == name) return {&field, i, false};
    if (field.is_bytes() && name.size() == field.name.size() + base64_suffix.size() &&
        name.starts_with(field.name) && name.ends_with(base64_suffix)) {
      return {&field, i, true};
    }
  }
  return {};
}

// Empty: the value is as the table wants it.
std::string check_length(const Field& field, std::size_t size) {
  const auto length = static_cast<std::int64_t>(size);
  if (length >= field.least && length <= field.most) return {};
  const bool list = field.type == FieldType::bytes_list || field.type == FieldType::object_list;
  return std::string(list ? "an array" : "a string") + " of " + std::to_string(field.least) + " to " +
         std::to_string(field.most) + (list ? " elements" : " bytes") + " was expected";
}

std::string check_text(const Field& field, const std::string& text) {
  if (!field.may_begin_with_zero && text.starts_with('\0')) return "what begins with a zero byte is reserved";
  if (field.choices.empty()) return check_length(field, text.size());
  std::string known;
  for (const std::string& choice : field.choices) {
    if (choice == text) return {};
    known += (known.empty() ? "" : ", ") + choice;
  }
  return "one of " + known + " was expected";
}

// The first field that is required and absent.
const Field* missing(const Arguments& arguments) {
  const Fields& table = arguments.table();
  for (std::size_t i = 0; i < table.size(); ++i) {
    if (table[i].is_required && Arguments::is_absent(arguments.at(i))) return &table[i];
  }
  return nullptr;
}

std::string is_missing(const Field& field) {
  if (!field.is_bytes()) return "is missing";
  return "is missing; give '" + field.name + "' or '" + field.name + std::string(base64_suffix) + "'";
}

// JSON of users as it comes, written again without white space.
class HandedOn {
 public:
  using Text = boost::json::string_view;
  void open(char bracket) {
    comma();
    text_ += bracket;
    comma_ = false;
    ++depth_;
  }
  void close(char bracket) {
    text_ += bracket;
    comma_ = true;
    --depth_;
  }
  void key(std::string_view name) {
    comma();
    append_json_string(&text_, name);
    text_ += ':';
    comma_ = false;
  }
  void string(std::string_view value) {
    comma();
    append_json_string(&text_, value);
  }
  void literal(std::string_view value) {
    comma();
    text_ += value;
  }
  [[nodiscard]] bool inside() const { return depth_ > 0; }
  [[nodiscard]] std::size_t size() const { return text_.size(); }
  std::string take() {
    comma_ = false;
    return std::exchange(text_, {});
  }

 private:
  void comma() {
    if (std::exchange(comma_, true)) text_ += ',';
  }
  std::string text_;
  std::size_t depth_ = 0;
  bool comma_ = false;
};

// Builds the arguments while the parser reads. Each on_…() returns false with `error` set to stop it.
class Builder {
 public:
  // Limits of the parser's own, which have no use here: the text is bounded.
  static constexpr std::size_t max_object_size = std::numeric_limits<std::size_t>::max();
  static constexpr std::size_t max_array_size = std::numeric_limits<std::size_t>::max();
  static constexpr std::size_t max_key_size = std::numeric_limits<std::size_t>::max();
  static constexpr std::size_t max_string_size = std::numeric_limits<std::size_t>::max();
  using Error = boost::json::error_code;
  using Text = boost::json::string_view;

  explicit Builder(Arguments* arguments) : root_(arguments) {}

  bool on_document_begin(Error& /*error*/) { return true; }
  bool on_document_end(Error& /*error*/) { return true; }
  bool on_object_begin(Error& error);
  bool on_object_end(std::size_t /*count*/, Error& error);
  bool on_array_begin(Error& error);
  bool on_array_end(std::size_t count, Error& error);
  bool on_key_part(Text part, std::size_t /*size*/, Error& /*error*/) { return append(part); }
  bool on_key(Text part, std::size_t /*size*/, Error& error);
  bool on_string_part(Text part, std::size_t /*size*/, Error& /*error*/) { return append(part); }
  bool on_string(Text part, std::size_t /*size*/, Error& error);
  bool on_number_part(Text part, Error& /*error*/) { return !hands_on() || append(part); }
  bool on_int64(std::int64_t number, Text /*text*/, Error& error);
  bool on_uint64(std::uint64_t /*number*/, Text text, Error& error) {
    return hands_on() ? hand_on_number(text, error) : refuse_value(error);
  }
  bool on_double(double /*number*/, Text text, Error& error) {
    return hands_on() ? hand_on_number(text, error) : refuse_value(error);
  }
  bool on_bool(bool value, Error& error);
  bool on_null(Error& error) { return hands_on() ? hand_on("null", error) : refuse_value(error); }
  bool on_comment_part(Text /*part*/, Error& /*error*/) { return true; }
  bool on_comment(Text /*part*/, Error& /*error*/) { return true; }

  [[nodiscard]] std::string pointer() const;
  [[nodiscard]] const std::string& reason() const { return reason_; }

 private:
  struct Frame {
    Arguments* arguments = nullptr;
    Named named;  // the member being read
    bool in_array = false;
    std::size_t position = 0;  // in the array
  };

  bool append(Text part) {
    text_.append(part.data(), part.size());
    return true;
  }
  bool refuse(std::string why, Error& error) {
    if (reason_.empty()) reason_ = std::move(why);
    error = boost::json::error::syntax;
    return false;
  }
  // It has no place where it stands.
  bool refuse_value(Error& error) {
    const Field* field = expected_field();
    return refuse(field == nullptr ? "an object was expected" : expected(*field), error);
  }
  [[nodiscard]] const Field* expected_field() const {
    return frames_.empty() ? nullptr : frames_.back().named.field;
  }
  // What comes is part of a field of any JSON.
  [[nodiscard]] bool hands_on() const {
    const Field* field = expected_field();
    return field != nullptr && field->type == FieldType::json;
  }
  bool hand_on(std::string_view literal, Error& error) {
    handed_on_.literal(literal);
    return handed_on(error);
  }
  bool hand_on_number(Text text, Error& error) {
    append(text);
    return hand_on(std::exchange(text_, {}), error);
  }
  // After each part of it: the whole is there when nothing is open any more.
  bool handed_on(Error& error) {
    const Field& field = *expected_field();
    if (handed_on_.size() > static_cast<std::size_t>(field.most)) return refuse_value(error);
    if (!handed_on_.inside()) place() = handed_on_.take();
    return true;
  }
  Arguments::Value& place() {
    const Frame& frame = frames_.back();
    return frame.arguments->at(frame.named.index);
  }

  Arguments* root_;
  std::vector<Frame> frames_;
  std::string text_;  // parts of a key, string or number
  HandedOn handed_on_;
  std::string reason_;
};

std::string Builder::pointer() const {
  std::string pointer;
  for (const Frame& frame : frames_) {
    if (frame.named.field == nullptr) break;
    pointer += "/" + frame.named.field->name;
    if (frame.named.base64) pointer += base64_suffix;
    if (frame.in_array) pointer += "/" + std::to_string(frame.position);
  }
  return pointer;
}

bool Builder::on_object_begin(Error& error) {
  if (frames_.empty()) {
    frames_.push_back({root_, {}, false, 0});
    return true;
  }
  if (hands_on()) {
    handed_on_.open('{');
    return handed_on(error);
  }
  const Frame& frame = frames_.back();
  const Field* field = frame.named.field;
  const bool fits = field != nullptr && (field->type == FieldType::object_list
                                             ? frame.in_array
                                             : field->type == FieldType::object && !frame.in_array);
  if (!fits) return refuse_value(error);
  Arguments::Value& value = place();
  if (Arguments::is_absent(value)) value = std::vector<Arguments>();
  auto& objects = std::get<std::vector<Arguments>>(value);
  if (static_cast<std::int64_t>(objects.size()) >= field->most)
    return refuse(check_length(*field, objects.size() + 1), error);
  objects.emplace_back(field->fields);
  frames_.push_back({&objects.back(), {}, false, 0});
  return true;
}

bool Builder::on_object_end(std::size_t /*count*/, Error& error) {
  LS_MUST(!frames_.empty());
  if (handed_on_.inside()) {
    handed_on_.close('}');
    return handed_on(error);
  }
  Frame& frame = frames_.back();
  frame.named = {};
  if (const Field* absent = missing(*frame.arguments); absent != nullptr) {
    frame.named.field = absent;
    return refuse(is_missing(*absent), error);
  }
  if (frames_.size() == 1) return true;  // the root stays, for pointer()
  frames_.pop_back();
  if (frames_.back().in_array) ++frames_.back().position;
  return true;
}

bool Builder::on_array_begin(Error& error) {
  if (hands_on()) {
    handed_on_.open('[');
    return handed_on(error);
  }
  const Field* field = expected_field();
  if (field == nullptr || frames_.back().in_array ||
      (field->type != FieldType::bytes_list && field->type != FieldType::object_list)) {
    return refuse_value(error);
  }
  Frame& frame = frames_.back();
  frame.in_array = true;
  frame.position = 0;
  if (field->type == FieldType::bytes_list) {
    place() = std::vector<std::string>();
  } else {
    place() = std::vector<Arguments>();
  }
  return true;
}

bool Builder::on_array_end(std::size_t count, Error& error) {
  if (handed_on_.inside()) {
    handed_on_.close(']');
    return handed_on(error);
  }
  LS_MUST(!frames_.empty() && frames_.back().in_array);
  frames_.back().in_array = false;
  const std::string wrong = check_length(*frames_.back().named.field, count);
  return wrong.empty() || refuse(wrong, error);
}

bool Builder::on_key(Text part, std::size_t /*size*/, Error& error) {
  append(part);
  const std::string name = std::exchange(text_, {});
  if (handed_on_.inside()) {
    handed_on_.key(name);
    return handed_on(error);
  }
  Frame& frame = frames_.back();
  frame.named = {};
  const Named named = find_member(frame.arguments->table(), name);
  if (named.field == nullptr) return refuse("there is no field " + quoted(name), error);
  frame.named = named;
  if (Arguments::is_absent(place())) return true;
  return refuse(named.field->is_bytes() ? "is given twice, or both as text and in base64" : "is given twice",
                error);
}

bool Builder::on_string(Text part, std::size_t /*size*/, Error& error) {
  append(part);
  std::string text = std::exchange(text_, {});
  if (hands_on()) {
    handed_on_.string(text);
    return handed_on(error);
  }
  const Field* field = expected_field();
  if (field == nullptr) return refuse_value(error);
  Frame& frame = frames_.back();
  if (frame.named.base64) {
    std::string bytes;
    if (!decode_base64(text, &bytes)) return refuse("not base64", error);
    text = std::move(bytes);
  }
  if (field->type == FieldType::bytes_list && frame.in_array) {
    auto& texts = std::get<std::vector<std::string>>(place());
    if (static_cast<std::int64_t>(texts.size()) >= field->most)
      return refuse(check_length(*field, texts.size() + 1), error);
    if (!field->may_begin_with_zero && text.starts_with('\0'))
      return refuse("what begins with a zero byte is reserved", error);
    texts.push_back(std::move(text));
    ++frame.position;
    return true;
  }
  if (field->type != FieldType::text && field->type != FieldType::bytes) return refuse_value(error);
  if (std::string wrong = check_text(*field, text); !wrong.empty()) return refuse(std::move(wrong), error);
  place() = std::move(text);
  return true;
}

bool Builder::on_int64(std::int64_t number, Text text, Error& error) {
  if (hands_on()) return hand_on_number(text, error);
  const Field* field = expected_field();
  if (field == nullptr || field->type != FieldType::integer || number < field->least || number > field->most)
    return refuse_value(error);
  place() = number;
  return true;
}

bool Builder::on_bool(bool value, Error& error) {
  if (hands_on()) return hand_on(value ? "true" : "false", error);
  const Field* field = expected_field();
  if (field == nullptr || field->type != FieldType::boolean) return refuse_value(error);
  place() = value;
  return true;
}

int hex_value(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  const char small = static_cast<char>(digit | 0x20);
  return small >= 'a' && small <= 'f' ? small - 'a' + 10 : -1;
}

std::optional<std::string> decode_component(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i] == '+' ? ' ' : text[i]);
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const int high = hex_value(text[i + 1]);
    const int low = hex_value(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    out.push_back(static_cast<char>(high << 4 | low));
    i += 2;
  }
  return out;
}

// Empty: stored.
std::string store_parameter(const Named& named, std::string text, Arguments::Value* place) {
  const Field& field = *named.field;
  if (named.base64) {
    std::string bytes;
    if (!decode_base64(text, &bytes)) return "not base64";
    text = std::move(bytes);
  }
  if (field.type == FieldType::integer) {
    std::int64_t number = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (failed != std::errc() || end != text.data() + text.size() || number < field.least ||
        number > field.most)
      return expected(field);
    *place = number;
  } else if (field.type == FieldType::boolean) {
    if (text != "true" && text != "false") return expected(field);
    *place = text == "true";
  } else {
    LS_MUST(field.type == FieldType::text || field.type == FieldType::bytes, "queries hold no lists");
    if (std::string wrong = check_text(field, text); !wrong.empty()) return wrong;
    *place = std::move(text);
  }
  return {};
}

}  // namespace

std::optional<Misread> read_body(std::string_view text, const Fields& table, Arguments* arguments) {
  *arguments = Arguments(table);
  if (text.empty()) text = "{}";
  boost::json::parse_options options;
  options.max_depth = json_depth_max;
  boost::json::basic_parser<Builder> parser(options, arguments);
  boost::json::error_code error;
  const std::size_t read = parser.write_some(false, text.data(), text.size(), error);
  const Builder& builder = parser.handler();
  if (error == boost::json::error::incomplete) return Misread{builder.pointer(), "the JSON ends too early"};
  if (error && builder.reason().empty()) return Misread{builder.pointer(), "not JSON: " + error.message()};
  if (error) return Misread{builder.pointer(), builder.reason()};
  const std::size_t more = text.substr(read).find_first_not_of(" \t\r\n");
  if (more == std::string_view::npos) return std::nullopt;
  return Misread{"", "something follows the object at byte " + std::to_string(read + more)};
}

std::optional<Misread> read_query(std::string_view query, const Fields& table, Arguments* arguments) {
  *arguments = Arguments(table);
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    const std::size_t equals = std::min(pair.find('='), pair.size());
    const std::optional<std::string> name = decode_component(pair.substr(0, equals));
    std::optional<std::string> text =
        decode_component(equals == pair.size() ? std::string_view() : pair.substr(equals + 1));
    if (!name.has_value() || !text.has_value()) return Misread{"", "the query has a broken escape"};
    const Named named = find_member(table, *name);
    if (named.field == nullptr) return Misread{"", "there is no field " + quoted(*name)};
    Arguments::Value& place = arguments->at(named.index);
    if (!Arguments::is_absent(place)) return Misread{"/" + *name, "is given twice"};
    std::string wrong = store_parameter(named, *std::move(text), &place);
    if (!wrong.empty()) return Misread{"/" + *name, std::move(wrong)};
  }
  if (const Field* absent = missing(*arguments); absent != nullptr)
    return Misread{"/" + absent->name, is_missing(*absent)};
  return std::nullopt;
}

}  // namespace lockstep::gateway::v1
