#include "gateway/json/json_reader.h"

#include <charconv>
#include <limits>
#include <optional>
#include <set>
#include <vector>

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/src.hpp>
#include <google/protobuf/descriptor.h>

#include "base/assert.h"
#include "gateway/json/base64.h"

namespace lockstep::gateway {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

const FieldDescriptor* find_field(const Descriptor* type, std::string_view name) {
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    if (field->name() == name || field->json_name() == name) return field;
  }
  return nullptr;
}

template <class Integer>
std::optional<Integer> parse_integer(std::string_view text) {
  Integer number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// Builds the message while the parser reads. Each on_…() returns false with `error` set to stop it.
class Builder {
 public:
  // Limits of the parser's own, which have no use here: the text is bounded.
  static constexpr std::size_t max_object_size = std::numeric_limits<std::size_t>::max();
  static constexpr std::size_t max_array_size = std::numeric_limits<std::size_t>::max();
  static constexpr std::size_t max_key_size = std::numeric_limits<std::size_t>::max();
  static constexpr std::size_t max_string_size = std::numeric_limits<std::size_t>::max();
  using Error = boost::json::error_code;

  explicit Builder(Message* message) : root_(message) {}

  bool on_document_begin(Error&) { return true; }
  bool on_document_end(Error&) { return true; }
  bool on_object_begin(Error& error);
  bool on_object_end(std::size_t, Error&);
  bool on_array_begin(Error& error);
  bool on_array_end(std::size_t, Error&);
  bool on_key_part(boost::json::string_view part, std::size_t, Error&) {
    text_.append(part.data(), part.size());
    return true;
  }
  bool on_key(boost::json::string_view part, std::size_t, Error& error);
  bool on_string_part(boost::json::string_view part, std::size_t, Error&) {
    text_.append(part.data(), part.size());
    return true;
  }
  bool on_string(boost::json::string_view part, std::size_t, Error& error);
  bool on_number_part(boost::json::string_view, Error&) { return true; }
  bool on_int64(std::int64_t number, boost::json::string_view, Error& error) {
    return set_number(std::to_string(number), error);
  }
  bool on_uint64(std::uint64_t number, boost::json::string_view, Error& error) {
    return set_number(std::to_string(number), error);
  }
  bool on_double(double, boost::json::string_view, Error& error) {
    return refuse("an integer between -2^63 and 2^63 - 1 was expected", error);
  }
  bool on_bool(bool value, Error& error);
  bool on_null(Error& error);
  bool on_comment_part(boost::json::string_view, Error&) { return true; }
  bool on_comment(boost::json::string_view, Error&) { return true; }

  [[nodiscard]] std::string place() const;
  [[nodiscard]] const std::string& reason() const { return reason_; }

 private:
  struct Frame {
    Message* message = nullptr;
    std::set<int> seen;  // field numbers
    const FieldDescriptor* field = nullptr;
    bool in_array = false;
    std::size_t position = 0;  // in the array
  };

  bool refuse(std::string why, Error& error) {
    if (reason_.empty()) reason_ = std::move(why);
    error = boost::json::error::syntax;
    return false;
  }
  // The field that the value being read is for; null (and refused) where none can be.
  const FieldDescriptor* value_field(Error& error);
  bool set_number(const std::string& digits, Error& error);
  bool set_enum(const FieldDescriptor* field, std::string_view text, Error& error);
  bool set_integer(const FieldDescriptor* field, std::string_view text, Error& error);
  bool set_text(const FieldDescriptor* field, std::string text, Error& error);
  template <class Set, class Add>
  bool store(const FieldDescriptor* field, Set set, Add add);
  void value_done() {
    if (!frames_.empty() && frames_.back().in_array) ++frames_.back().position;
  }

  Message* root_;
  std::vector<Frame> frames_;
  std::string text_;  // parts of a key or string
  std::string reason_;
};

std::string Builder::place() const {
  std::string pointer;
  for (const Frame& frame : frames_) {
    if (frame.field == nullptr) break;
    pointer += "/" + frame.field->name();
    if (frame.in_array) pointer += "/" + std::to_string(frame.position);
  }
  return pointer.empty() ? "/" : pointer;
}

const FieldDescriptor* Builder::value_field(Error& error) {
  if (frames_.empty()) {
    refuse("an object was expected", error);
    return nullptr;
  }
  const Frame& frame = frames_.back();
  LS_MUST(frame.field != nullptr);
  if (frame.field->is_repeated() && !frame.in_array) {
    refuse("an array was expected", error);
    return nullptr;
  }
  return frame.field;
}

bool Builder::on_object_begin(Error& error) {
  if (frames_.empty()) {
    frames_.push_back({root_, {}, nullptr, false, 0});
    return true;
  }
  const FieldDescriptor* field = value_field(error);
  if (field == nullptr) return false;
  if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE)
    return refuse("an object was not expected", error);
  Message* parent = frames_.back().message;
  const Reflection* reflection = parent->GetReflection();
  Message* child = field->is_repeated() ? reflection->AddMessage(parent, field)
                                        : reflection->MutableMessage(parent, field);
  frames_.push_back({child, {}, nullptr, false, 0});
  return true;
}

bool Builder::on_object_end(std::size_t, Error&) {
  LS_MUST(!frames_.empty());
  if (frames_.size() == 1) return true;  // the root stays, for place()
  frames_.pop_back();
  value_done();
  return true;
}

bool Builder::on_array_begin(Error& error) {
  if (frames_.empty()) return refuse("an object was expected", error);
  Frame& frame = frames_.back();
  LS_MUST(frame.field != nullptr);
  if (!frame.field->is_repeated() || frame.in_array) return refuse("an array was not expected", error);
  frame.in_array = true;
  frame.position = 0;
  return true;
}

bool Builder::on_array_end(std::size_t, Error&) {
  LS_MUST(!frames_.empty() && frames_.back().in_array);
  frames_.back().in_array = false;
  return true;
}

bool Builder::on_key(boost::json::string_view part, std::size_t, Error& error) {
  text_.append(part.data(), part.size());
  const std::string name = std::exchange(text_, {});
  Frame& frame = frames_.back();
  frame.field = nullptr;
  const FieldDescriptor* field = find_field(frame.message->GetDescriptor(), name);
  if (field == nullptr) return refuse("there is no field '" + name.substr(0, 100) + "'", error);
  frame.field = field;
  if (!frame.seen.insert(field->number()).second) return refuse("is given twice", error);
  const auto* oneof = field->containing_oneof();
  if (oneof != nullptr && frame.message->GetReflection()->HasOneof(*frame.message, oneof)) {
    return refuse("excludes what was given before", error);
  }
  return true;
}

template <class Set, class Add>
bool Builder::store(const FieldDescriptor* field, Set set, Add add) {
  Message* message = frames_.back().message;
  const Reflection* reflection = message->GetReflection();
  if (field->is_repeated()) {
    add(reflection, message);
  } else {
    set(reflection, message);
  }
  value_done();
  return true;
}

bool Builder::set_text(const FieldDescriptor* field, std::string text, Error& error) {
  if (field->type() == FieldDescriptor::TYPE_BYTES) {
    std::string bytes;
    if (!decode_base64(text, &bytes)) return refuse("not base64", error);
    text = std::move(bytes);
  }
  return store(
      field, [&](const Reflection* r, Message* m) { r->SetString(m, field, std::move(text)); },
      [&](const Reflection* r, Message* m) { r->AddString(m, field, std::move(text)); });
}

bool Builder::set_enum(const FieldDescriptor* field, std::string_view text, Error& error) {
  const EnumValueDescriptor* value = field->enum_type()->FindValueByName(std::string(text));
  std::optional<std::int32_t> number = parse_integer<std::int32_t>(text);
  if (value != nullptr) number = value->number();
  if (!number.has_value()) return refuse("not one of " + field->enum_type()->name(), error);
  return store(
      field, [&](const Reflection* r, Message* m) { r->SetEnumValue(m, field, *number); },
      [&](const Reflection* r, Message* m) { r->AddEnumValue(m, field, *number); });
}

bool Builder::set_integer(const FieldDescriptor* field, std::string_view text, Error& error) {
  const char* const out_of_range = "an integer in the field's range was expected";
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_INT64) {
    const std::optional<std::int64_t> number = parse_integer<std::int64_t>(text);
    if (!number.has_value()) return refuse(out_of_range, error);
    return store(
        field, [&](const Reflection* r, Message* m) { r->SetInt64(m, field, *number); },
        [&](const Reflection* r, Message* m) { r->AddInt64(m, field, *number); });
  }
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_UINT64) {
    const std::optional<std::uint64_t> number = parse_integer<std::uint64_t>(text);
    if (!number.has_value()) return refuse(out_of_range, error);
    return store(
        field, [&](const Reflection* r, Message* m) { r->SetUInt64(m, field, *number); },
        [&](const Reflection* r, Message* m) { r->AddUInt64(m, field, *number); });
  }
  return refuse("an integer was not expected", error);
}

bool Builder::set_number(const std::string& digits, Error& error) {
  const FieldDescriptor* field = value_field(error);
  if (field == nullptr) return false;
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_ENUM) return set_enum(field, digits, error);
  return set_integer(field, digits, error);
}

bool Builder::on_string(boost::json::string_view part, std::size_t, Error& error) {
  text_.append(part.data(), part.size());
  std::string text = std::exchange(text_, {});
  const FieldDescriptor* field = value_field(error);
  if (field == nullptr) return false;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      return set_text(field, std::move(text), error);
    case FieldDescriptor::CPPTYPE_ENUM:
      return set_enum(field, text, error);
    case FieldDescriptor::CPPTYPE_INT64:
    case FieldDescriptor::CPPTYPE_UINT64:
      return set_integer(field, text, error);
    default:
      return refuse("a string was not expected", error);
  }
}

bool Builder::on_bool(bool value, Error& error) {
  const FieldDescriptor* field = value_field(error);
  if (field == nullptr) return false;
  if (field->cpp_type() != FieldDescriptor::CPPTYPE_BOOL) return refuse("a boolean was not expected", error);
  return store(
      field, [&](const Reflection* r, Message* m) { r->SetBool(m, field, value); },
      [&](const Reflection* r, Message* m) { r->AddBool(m, field, value); });
}

bool Builder::on_null(Error& error) {
  if (frames_.empty()) return refuse("an object was expected", error);
  if (frames_.back().in_array) return refuse("null was not expected", error);
  return true;
}

}  // namespace

Status read_json(std::string_view text, Message* message, std::size_t* read) {
  *read = text.size();
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) return {};
  boost::json::parse_options options;
  options.max_depth = json_depth_max;
  boost::json::basic_parser<Builder> parser(options, message);
  boost::json::error_code error;
  *read = parser.write_some(false, text.data(), text.size(), error);
  if (!error) return {};
  const Builder& builder = parser.handler();
  if (error == boost::json::error::incomplete) {
    return {Code::invalid_argument, "lockstep: " + builder.place() + ": the JSON ends too early"};
  }
  const std::string reason = builder.reason().empty() ? "not JSON: " + error.message() : builder.reason();
  return {Code::invalid_argument, "lockstep: " + builder.place() + ": " + reason};
}

Status read_json(std::string_view text, Message* message) {
  std::size_t read = 0;
  LS_RETURN_IF_ERROR(read_json(text, message, &read));
  const std::size_t more = text.substr(read).find_first_not_of(" \t\r\n");
  if (more == std::string_view::npos) return {};
  return {Code::invalid_argument,
          "lockstep: /: something follows the message at byte " + std::to_string(read + more)};
}

}  // namespace lockstep::gateway
