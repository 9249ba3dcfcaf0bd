#include "server/text_values.h"

#include <utility>

#include <fmt/format.h>

namespace lockstep::server {

std::string show_bytes(std::uint64_t bytes) {
  for (const auto& [name, shift] : {std::pair("GiB", 30U), std::pair("MiB", 20U), std::pair("KiB", 10U)}) {
    const std::uint64_t unit = std::uint64_t{1} << shift;
    if (bytes != 0 && bytes % unit == 0) return fmt::format("{}{}", bytes / unit, name);
  }
  return std::to_string(bytes);
}

Result<bool> parse_flag(std::string_view text) {
  if (text == "true" || text == "1") return true;
  if (text == "false" || text == "0") return false;
  return Status(Code::invalid_argument, fmt::format("'{}' is not true or false", text));
}

bool is_loopback(std::string_view address) {
  const std::string_view host = address.substr(0, address.rfind(':'));
  return host == "localhost" || host == "[::1]" || host.starts_with("127.");
}

}  // namespace lockstep::server
