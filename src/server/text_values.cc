#include "server/text_values.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

namespace lockstep::server {
namespace {

struct Unit {
  std::string_view name;
  double factor;
};

constexpr std::array<Unit, 6> duration_units = {
    {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}}};
constexpr std::array<Unit, 8> byte_units = {{{"", 1},
                                             {"B", 1},
                                             {"kB", 1e3},
                                             {"MB", 1e6},
                                             {"GB", 1e9},
                                             {"KiB", 1024},
                                             {"MiB", 1024.0 * 1024},
                                             {"GiB", 1024.0 * 1024 * 1024}}};

// A number that is not negative, then a unit of the table.
template <std::size_t size>
bool parse_quantity(std::string_view text, const std::array<Unit, size>& units, double max,
                    double* quantity) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || !std::isfinite(number) || number < 0) return false;
  const std::string_view name = text.substr(static_cast<std::size_t>(end - text.data()));
  const auto unit = std::ranges::find(units, name, &Unit::name);
  if (unit == units.end()) return false;
  *quantity = number * unit->factor;
  return *quantity <= max;
}

Status wrong(std::string_view text, std::string_view expected) {
  return {Code::invalid_argument, fmt::format("'{}' is not {}", text, expected)};
}

bool is_port(std::string_view text) {
  unsigned port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc{} && end == text.data() + text.size() && port <= 65535;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const std::size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) break;
    text.remove_prefix(at + 1);
  }
  return parts;
}

}  // namespace

Result<Duration> parse_duration(std::string_view text) {
  double nanoseconds = 0;
  if (text == "0") return Duration::zero();
  if (!parse_quantity(text, duration_units, 1e18, &nanoseconds))
    return wrong(text, "a duration; write 250ms, 1.5s, 10m or 2h");
  return Duration(static_cast<std::int64_t>(nanoseconds));
}

std::string show_duration(Duration duration) {
  const std::int64_t nanoseconds = duration.count();
  if (nanoseconds == 0) return "0";
  if (nanoseconds % 1'000'000'000 == 0) return fmt::format("{}s", nanoseconds / 1'000'000'000);
  if (nanoseconds % 1'000'000 == 0) return fmt::format("{}ms", nanoseconds / 1'000'000);
  if (nanoseconds % 1'000 == 0) return fmt::format("{}us", nanoseconds / 1'000);
  return fmt::format("{}ns", nanoseconds);
}

Result<std::uint64_t> parse_bytes(std::string_view text) {
  double bytes = 0;
  if (!parse_quantity(text, byte_units, 1e18, &bytes))
    return wrong(text, "a size; write 1048576, 512KiB or 2GiB");
  return static_cast<std::uint64_t>(bytes);
}

std::string show_bytes(std::uint64_t bytes) {
  for (const auto& [name, shift] : {std::pair("GiB", 30U), std::pair("MiB", 20U), std::pair("KiB", 10U)}) {
    const std::uint64_t unit = std::uint64_t{1} << shift;
    if (bytes != 0 && bytes % unit == 0) return fmt::format("{}{}", bytes / unit, name);
  }
  return std::to_string(bytes);
}

Result<std::uint64_t> parse_count(std::string_view text) {
  std::uint64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc{} || end != text.data() + text.size()) return wrong(text, "a whole number");
  return count;
}

Result<bool> parse_flag(std::string_view text) {
  if (text == "true" || text == "1") return true;
  if (text == "false" || text == "0") return false;
  return wrong(text, "true or false");
}

Result<std::string> parse_address(std::string_view text) {
  std::string_view address = text;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (address.starts_with(scheme)) address.remove_prefix(scheme.size());
  }
  const std::size_t colon = address.rfind(':');
  const auto refuse = [&] { return wrong(text, "an address; write host:port or [v6]:port"); };
  if (colon == std::string_view::npos || colon == 0 || !is_port(address.substr(colon + 1))) return refuse();
  const std::string_view host = address.substr(0, colon);
  const bool bracketed = host.front() == '[' && host.back() == ']' && host.size() > 2;
  if (!bracketed && host.find_first_of(":[]/ ") != std::string_view::npos) return refuse();
  return std::string(address);
}

Result<std::vector<std::string>> parse_addresses(std::string_view text) {
  std::vector<std::string> addresses;
  for (const std::string_view part : split(text, ',')) {
    LS_ASSIGN_OR_RETURN(std::string address, parse_address(part));
    addresses.push_back(std::move(address));
  }
  return addresses;
}

Result<std::vector<NamedAddress>> parse_named_addresses(std::string_view text) {
  std::vector<NamedAddress> members;
  for (const std::string_view part : split(text, ',')) {
    const std::size_t equals = part.find('=');
    if (equals == std::string_view::npos || equals == 0)
      return wrong(part, "a member; write name=host:port, separated by commas");
    LS_ASSIGN_OR_RETURN(std::string address, parse_address(part.substr(equals + 1)));
    members.push_back({std::string(part.substr(0, equals)), std::move(address)});
  }
  return members;
}

bool is_loopback(std::string_view address) {
  const std::string_view host = address.substr(0, address.rfind(':'));
  return host == "localhost" || host == "[::1]" || host.starts_with("127.");
}

}  // namespace lockstep::server
