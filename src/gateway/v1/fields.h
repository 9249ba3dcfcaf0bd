// What a request of /v1 may hold and what an answer holds, as tables: the same ones decode requests, check
// answers and describe both in the OpenAPI document, so that those cannot differ.
//
// A field of bytes is two members of JSON: "name" for text and "name_base64" for anything, one of which is
// given. Numbers are integers; there are no floating-point numbers in /v1, but in JSON that it only hands on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace lockstep::gateway::v1 {

enum class FieldType : std::uint8_t {
  text,
  bytes,
  integer,
  boolean,
  bytes_list,  // ["a", "b"]; with "…_base64" each of them in base64
  object,
  object_list,
  json,  // any JSON at all, kept as text without white space
};

struct Field {
  std::string name;
  FieldType type = FieldType::text;
  std::string meaning;
  bool is_required = false;
  // Of an integer; of text, bytes and lists: how many bytes or elements.
  std::int64_t least = 0;
  std::int64_t most = std::numeric_limits<std::int64_t>::max();
  bool may_begin_with_zero = true;
  std::vector<std::string> choices;  // of text; empty: any
  std::vector<Field> fields;         // of objects

  [[nodiscard]] Field required() && {
    is_required = true;
    return std::move(*this);
  }
  [[nodiscard]] Field between(std::int64_t from, std::int64_t to) && {
    least = from;
    most = to;
    return std::move(*this);
  }
  // The server's own keys begin with a zero byte: what becomes the begin of a key does not.
  [[nodiscard]] Field not_reserved() && {
    may_begin_with_zero = false;
    return std::move(*this);
  }
  [[nodiscard]] Field one_of(std::vector<std::string> texts) && {
    choices = std::move(texts);
    return std::move(*this);
  }
  [[nodiscard]] bool is_bytes() const { return type == FieldType::bytes || type == FieldType::bytes_list; }
};

using Fields = std::vector<Field>;

Field text_field(std::string name, std::string meaning);
Field bytes_field(std::string name, std::string meaning);
Field integer_field(std::string name, std::string meaning);
Field boolean_field(std::string name, std::string meaning);
Field bytes_list_field(std::string name, std::string meaning);
Field object_field(std::string name, std::string meaning, Fields fields);
// `between` counts its bytes as they are kept.
Field json_field(std::string name, std::string meaning);
Field object_list_field(std::string name, std::string meaning, Fields fields);

// The member of JSON by which a field of bytes is given that is no text.
inline constexpr std::string_view base64_suffix = "_base64";

// What a request gave, by the table that it was read with.
class Arguments {
 public:
  using Value = std::variant<std::monostate, bool, std::int64_t, std::string, std::vector<std::string>,
                             std::vector<Arguments>>;

  Arguments() = default;
  // The table outlives the arguments.
  explicit Arguments(const Fields& table) : table_(&table), values_(table.size()) {}

  [[nodiscard]] bool has(std::string_view name) const { return !is_absent(value(name)); }
  // Of text, bytes and JSON. Empty if it was not given.
  [[nodiscard]] const std::string& text(std::string_view name) const;
  [[nodiscard]] std::int64_t integer(std::string_view name, std::int64_t otherwise = 0) const;
  // Zero also if the table has no such field.
  [[nodiscard]] std::int64_t integer_or(std::string_view name) const;
  [[nodiscard]] bool boolean(std::string_view name, bool otherwise = false) const;
  [[nodiscard]] const std::vector<std::string>& texts(std::string_view name) const;
  // Of objects; the one of a single object is the first.
  [[nodiscard]] const std::vector<Arguments>& objects(std::string_view name) const;

  [[nodiscard]] const Fields& table() const { return *table_; }
  [[nodiscard]] Value& at(std::size_t index) { return values_[index]; }
  [[nodiscard]] const Value& at(std::size_t index) const { return values_[index]; }
  [[nodiscard]] static bool is_absent(const Value& value) {
    return std::holds_alternative<std::monostate>(value);
  }

 private:
  [[nodiscard]] const Value& value(std::string_view name) const;

  const Fields* table_ = nullptr;
  std::vector<Value> values_;
};

}  // namespace lockstep::gateway::v1
