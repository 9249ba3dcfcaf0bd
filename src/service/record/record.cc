#include "service/record/record.h"

#include <charconv>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/assert.h"

namespace lockstep::service {
namespace {

constexpr std::string_view digits_of_sixteen = "0123456789abcdef";

int digit_value(char digit) {
  const std::size_t at = digits_of_sixteen.find(digit);
  return at == std::string_view::npos ? -1 : static_cast<int>(at);
}

std::optional<std::vector<std::int64_t>> numbers_of(const nlohmann::json& array) {
  std::vector<std::int64_t> numbers;
  for (const nlohmann::json& element : array) {
    if (!element.is_number_integer()) return std::nullopt;
    numbers.push_back(element.get<std::int64_t>());
  }
  return numbers;
}

}  // namespace

Result<Record> Record::parse(std::string_view what, std::string_view value) {
  Record record;
  record.what_ = what;
  const std::size_t end = value.find('\n');
  const std::string_view line = value.substr(0, end);
  const Status damaged(Code::failed_precondition, record.what_ + ": the key does not hold what it should");
  if (line.size() > record_line_bytes_max) return damaged;
  const nlohmann::json parsed = nlohmann::json::parse(line, nullptr, false);
  if (!parsed.is_object()) return damaged;
  for (const auto& [name, field] : parsed.items()) {
    if (field.is_string()) {
      record.fields_.emplace_back(name, field.get<std::string>());
    } else if (field.is_number_unsigned() && field.get<std::uint64_t>() > INT64_MAX) {
      continue;
    } else if (field.is_number_integer()) {
      record.fields_.emplace_back(name, field.get<std::int64_t>());
    } else if (field.is_array()) {
      if (auto numbers = numbers_of(field)) record.fields_.emplace_back(name, *std::move(numbers));
    }
  }
  if (end != std::string_view::npos) record.bytes_ = value.substr(end + 1);
  return record;
}

const Record::Field* Record::find(std::string_view name) const {
  for (const auto& [known, field] : fields_) {
    if (known == name) return &field;
  }
  return nullptr;
}

Status Record::wrong(std::string_view name) const {
  return {Code::failed_precondition, what_ + ": the key holds no good \"" + std::string(name) + "\""};
}

Result<std::string> Record::text(std::string_view name) const {
  auto text = optional_text(name);
  if (!text.has_value()) return wrong(name);
  return *std::move(text);
}

Result<std::int64_t> Record::number(std::string_view name) const {
  const auto number = optional_number(name);
  if (!number.has_value()) return wrong(name);
  return *number;
}

std::optional<std::string> Record::optional_text(std::string_view name) const {
  const Field* field = find(name);
  const auto* text = field == nullptr ? nullptr : std::get_if<std::string>(field);
  if (text == nullptr) return std::nullopt;
  return *text;
}

std::optional<std::int64_t> Record::optional_number(std::string_view name) const {
  const Field* field = find(name);
  const auto* number = field == nullptr ? nullptr : std::get_if<std::int64_t>(field);
  if (number == nullptr) return std::nullopt;
  return *number;
}

Result<std::vector<std::int64_t>> Record::numbers(std::string_view name) const {
  const Field* field = find(name);
  const auto* numbers = field == nullptr ? nullptr : std::get_if<std::vector<std::int64_t>>(field);
  if (numbers == nullptr) return wrong(name);
  return *numbers;
}

void RecordWriter::name(std::string_view name) {
  if (line_.size() > 1) line_ += ',';
  line_.append("\"").append(name).append("\":");
}

RecordWriter& RecordWriter::text(std::string_view name, std::string_view value) {
  this->name(name);
  line_ += '"';
  for (const char character : value) {
    LS_MUST(character >= ' ' && character <= '~', "printable ASCII");
    if (character == '"' || character == '\\') line_ += '\\';
    line_ += character;
  }
  line_ += '"';
  return *this;
}

RecordWriter& RecordWriter::number(std::string_view name, std::int64_t value) {
  this->name(name);
  line_ += std::to_string(value);
  return *this;
}

RecordWriter& RecordWriter::numbers(std::string_view name, const std::vector<std::int64_t>& values) {
  this->name(name);
  line_ += '[';
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i > 0) line_ += ',';
    line_ += std::to_string(values[i]);
  }
  line_ += ']';
  return *this;
}

std::string to_hexadecimal(std::string_view bytes) {
  std::string digits;
  digits.reserve(bytes.size() * 2);
  for (const char byte : bytes) {
    digits += digits_of_sixteen[static_cast<unsigned char>(byte) >> 4];
    digits += digits_of_sixteen[static_cast<unsigned char>(byte) & 15];
  }
  return digits;
}

std::string to_hexadecimal(std::uint64_t number) {
  std::string digits(16, '0');
  for (std::size_t i = digits.size(); i-- > 0; number >>= 4) digits[i] = digits_of_sixteen[number & 15];
  return digits;
}

std::optional<std::string> bytes_of_hexadecimal(std::string_view digits) {
  if (digits.size() % 2 != 0) return std::nullopt;
  std::string bytes;
  bytes.reserve(digits.size() / 2);
  for (std::size_t i = 0; i < digits.size(); i += 2) {
    const int high = digit_value(digits[i]);
    const int low = digit_value(digits[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes += static_cast<char>(high * 16 + low);
  }
  return bytes;
}

std::optional<std::uint64_t> number_of_hexadecimal(std::string_view digits) {
  if (digits.size() != 16) return std::nullopt;
  std::uint64_t number = 0;
  for (const char digit : digits) {
    const int value = digit_value(digit);
    if (value < 0) return std::nullopt;
    number = number << 4 | static_cast<unsigned>(value);
  }
  return number;
}

}  // namespace lockstep::service
