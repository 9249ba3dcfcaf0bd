#include "log/names.h"

#include <charconv>

namespace lockstep::log {

std::string number_to_name(std::uint64_t number) {
  char buffer[name_digits];
  const char* const end = std::to_chars(buffer, buffer + sizeof buffer, number, 16).ptr;
  const auto length = static_cast<std::size_t>(end - buffer);
  return std::string(name_digits - length, '0') + std::string(buffer, length);
}

std::optional<std::uint64_t> number_from_name(std::string_view digits) {
  if (digits.size() != name_digits) return std::nullopt;
  std::uint64_t number = 0;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), number, 16);
  if (parsed.ec != std::errc() || parsed.ptr != digits.data() + digits.size()) return std::nullopt;
  if (number_to_name(number) != digits) return std::nullopt;
  return number;
}

}  // namespace lockstep::log
