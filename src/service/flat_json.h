// The values that recipes keep in the store: JSON objects with texts and whole numbers, for people to read
// with any client.
//
// Pure functions. Reading is strict about the syntax and takes memory bounded by the text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/status.h"

namespace lockstep::service {

// How deep what is skipped may nest; bounds the reader's recursion.
inline constexpr std::size_t flat_json_depth_max = 16;

// One object, its fields in the order they were given. Texts must be UTF-8 (is_utf8).
class FlatJsonWriter {
 public:
  FlatJsonWriter& text(std::string_view name, std::string_view value);
  FlatJsonWriter& number(std::string_view name, std::int64_t value);
  [[nodiscard]] std::string str() const { return text_ + "}"; }

 private:
  void begin_field(std::string_view name);
  std::string text_ = "{";
};

class FlatJson {
 public:
  // invalid_argument, with the place, for anything but one object. Fields of other kinds are skipped; of a
  // field that comes twice the last one counts.
  static Result<FlatJson> parse(std::string_view text);
  // Nothing: there is no such field, or it is of another kind.
  [[nodiscard]] std::optional<std::string> text(std::string_view name) const;
  [[nodiscard]] std::optional<std::int64_t> number(std::string_view name) const;

 private:
  friend class FlatJsonReader;
  std::map<std::string, std::variant<std::string, std::int64_t>, std::less<>> fields_;
};

bool is_utf8(std::string_view text);
// The bytes as hexadecimal digits, for names that are no text.
std::string to_hex(std::string_view bytes);

}  // namespace lockstep::service
