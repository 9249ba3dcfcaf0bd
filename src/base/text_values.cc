#include "base/text_values.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>

namespace lockstep {
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
// Fits into 63 bits with room to spare, as nanoseconds and as bytes.
constexpr double quantity_max = 1e18;

// A number that is not negative, then a unit of the table.
template <std::size_t size>
bool parse_quantity(std::string_view text, const std::array<Unit, size>& units, double* quantity) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || !std::isfinite(number) || number < 0) return false;
  const std::string_view name = text.substr(static_cast<std::size_t>(end - text.data()));
  const auto unit = std::ranges::find(units, name, &Unit::name);
  if (unit == units.end()) return false;
  *quantity = number * unit->factor;
  return *quantity <= quantity_max;
}

Status wrong(std::string_view text, std::string_view expected) {
  std::string message = "'";
  message.append(text).append("' is not ").append(expected);
  return {Code::invalid_argument, std::move(message)};
}

bool is_port(std::string_view text) {
  unsigned port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc{} && end == text.data() + text.size() && port <= 65535;
}

std::vector<std::string_view> split_at_commas(std::string_view text) {
  std::vector<std::string_view> parts;
  if (text.empty()) return parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t comma = std::min(text.find(',', begin), text.size());
    parts.push_back(text.substr(begin, comma - begin));
    begin = comma + 1;
  }
  return parts;
}

// Edits between two words; neighbours that changed places are one.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> rows(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) rows[i][0] = i;
  for (std::size_t j = 0; j <= b.size(); ++j) rows[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t changed = rows[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      rows[i][j] = std::min({changed, rows[i - 1][j] + 1, rows[i][j - 1] + 1});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) rows[i][j] = std::min(rows[i][j], rows[i - 2][j - 2] + 1);
    }
  }
  return rows[a.size()][b.size()];
}

}  // namespace

Result<Duration> parse_duration(std::string_view text) {
  double nanoseconds = 0;
  if (text == "0") return Duration::zero();
  if (!parse_quantity(text, duration_units, &nanoseconds))
    return wrong(text, "a duration; write 250ms, 1.5s, 10m or 2h");
  return Duration(static_cast<std::int64_t>(nanoseconds));
}

std::string show_duration(Duration duration) {
  const std::int64_t nanoseconds = duration.count();
  if (nanoseconds == 0) return "0";
  if (nanoseconds % 1'000'000'000 == 0) return std::to_string(nanoseconds / 1'000'000'000) + "s";
  if (nanoseconds % 1'000'000 == 0) return std::to_string(nanoseconds / 1'000'000) + "ms";
  if (nanoseconds % 1'000 == 0) return std::to_string(nanoseconds / 1'000) + "us";
  return std::to_string(nanoseconds) + "ns";
}

Result<std::uint64_t> parse_bytes(std::string_view text) {
  double bytes = 0;
  if (!parse_quantity(text, byte_units, &bytes)) return wrong(text, "a size; write 1048576, 512KiB or 2GiB");
  return static_cast<std::uint64_t>(bytes);
}

Result<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return wrong(text, "a whole number");
  return number;
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
  for (const std::string_view part : split_at_commas(text)) {
    LS_ASSIGN_OR_RETURN(std::string address, parse_address(part));
    addresses.push_back(std::move(address));
  }
  return addresses;
}

Result<std::vector<NamedAddress>> parse_named_addresses(std::string_view text) {
  std::vector<NamedAddress> members;
  for (const std::string_view part : split_at_commas(text)) {
    const std::size_t equals = part.find('=');
    if (equals == std::string_view::npos || equals == 0)
      return wrong(part, "a member; write name=host:port, separated by commas");
    LS_ASSIGN_OR_RETURN(std::string address, parse_address(part.substr(equals + 1)));
    members.push_back({std::string(part.substr(0, equals)), std::move(address)});
  }
  return members;
}

std::string nearest(std::string_view name, std::span<const std::string> names) {
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(1, (name.size() + 2) / 3) + 1;
  for (const std::string& candidate : names) {
    const std::size_t candidate_distance = distance(name, candidate);
    if (candidate_distance >= best_distance) continue;
    best_distance = candidate_distance;
    best = candidate;
  }
  return best;
}

}  // namespace lockstep
