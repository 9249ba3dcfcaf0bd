// Values that recipes write: one line of JSON, an object, for people and programs; then, after the newline,
// bytes as they are. A value without bytes needs no newline.
//
// Fields that are not known are ignored. A damaged value gives an error that names what is wrong; memory is
// bounded by the value's own size and by record_line_bytes_max.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/status.h"

namespace lockstep::service {

inline constexpr std::size_t record_line_bytes_max = 16 * 1024;

// What was read. Errors of the getters: failed_precondition, "WHAT: ...".
class Record {
 public:
  // `what` begins the error messages: "idempotency".
  static Result<Record> parse(std::string_view what, std::string_view value);

  [[nodiscard]] Result<std::string> text(std::string_view name) const;
  [[nodiscard]] Result<std::int64_t> number(std::string_view name) const;
  [[nodiscard]] std::optional<std::string> optional_text(std::string_view name) const;
  [[nodiscard]] std::optional<std::int64_t> optional_number(std::string_view name) const;
  [[nodiscard]] Result<std::vector<std::int64_t>> numbers(std::string_view name) const;
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  using Field = std::variant<std::string, std::int64_t, std::vector<std::int64_t>>;
  [[nodiscard]] const Field* find(std::string_view name) const;
  [[nodiscard]] Status wrong(std::string_view name) const;

  std::string what_;
  std::vector<std::pair<std::string, Field>> fields_;  // those of other kinds are left out
  std::string bytes_;
};

// Writes one, field by field, in that order. Texts must be printable ASCII.
class RecordWriter {
 public:
  RecordWriter& text(std::string_view name, std::string_view value);
  RecordWriter& number(std::string_view name, std::int64_t value);
  RecordWriter& numbers(std::string_view name, const std::vector<std::int64_t>& values);
  [[nodiscard]] std::string finish() const { return line_ + "}"; }
  [[nodiscard]] std::string finish(std::string_view bytes) const {
    return line_ + "}\n" + std::string(bytes);
  }

 private:
  void name(std::string_view name);
  std::string line_ = "{";
};

std::string to_hexadecimal(std::string_view bytes);
std::string to_hexadecimal(std::uint64_t number);  // 16 digits
// Nothing unless it is that: lower case, an even number of digits.
std::optional<std::string> bytes_of_hexadecimal(std::string_view digits);
std::optional<std::uint64_t> number_of_hexadecimal(std::string_view digits);  // exactly 16

}  // namespace lockstep::service
