#include "cli/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>

#include <fmt/format.h>

namespace lockstep::cli {
namespace {

struct Unit {
  std::string_view name;
  double nanoseconds;
};
constexpr std::array<Unit, 6> units = {
    {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}}};

Status wrong(std::string_view text, std::string_view expected) {
  return {Code::invalid_argument, fmt::format("'{}' is not {}", text, expected)};
}

// How many bytes the well-formed, shortest-form UTF-8 sequence at the front has; 0: it is none.
std::size_t utf8_length(std::string_view bytes) {
  const auto byte = [&](std::size_t index) { return static_cast<unsigned char>(bytes[index]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  std::size_t length = 0;
  if (first >= 0xc2 && first <= 0xdf) length = 2;
  if (first >= 0xe0 && first <= 0xef) length = 3;
  if (first >= 0xf0 && first <= 0xf4) length = 4;
  if (length == 0 || bytes.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  if (first == 0xe0 && byte(1) < 0xa0) return 0;
  if (first == 0xed && byte(1) > 0x9f) return 0;  // surrogates
  if (first == 0xf0 && byte(1) < 0x90) return 0;
  if (first == 0xf4 && byte(1) > 0x8f) return 0;
  return length;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
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

template <int base>
std::optional<std::uint64_t> whole_number(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace

Result<Duration> parse_duration(std::string_view text) {
  if (text == "0") return Duration::zero();
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit_name =
      error == std::errc{} ? text.substr(static_cast<std::size_t>(end - text.data())) : std::string_view();
  const auto unit = std::ranges::find(units, unit_name, &Unit::name);
  const double duration_max = 1e18;
  if (unit == units.end() || !std::isfinite(number) || number < 0 ||
      number * unit->nanoseconds > duration_max)
    return wrong(text, "a duration; write 250ms, 1.5s, 10m or 2h");
  return Duration(static_cast<std::int64_t>(number * unit->nanoseconds));
}

std::string show_duration(Duration duration) {
  const std::int64_t nanoseconds = duration.count();
  if (nanoseconds == 0) return "0";
  if (nanoseconds % 1'000'000'000 == 0) return fmt::format("{}s", nanoseconds / 1'000'000'000);
  if (nanoseconds % 1'000'000 == 0) return fmt::format("{}ms", nanoseconds / 1'000'000);
  if (nanoseconds % 1'000 == 0) return fmt::format("{}us", nanoseconds / 1'000);
  return fmt::format("{}ns", nanoseconds);
}

std::string show_latency(Duration duration) {
  const auto nanoseconds = static_cast<double>(duration.count());
  if (nanoseconds < 1e3) return fmt::format("{}ns", duration.count());
  if (nanoseconds < 1e6) return fmt::format("{:.3g}us", nanoseconds / 1e3);
  if (nanoseconds < 1e9) return fmt::format("{:.3g}ms", nanoseconds / 1e6);
  return fmt::format("{:.3g}s", nanoseconds / 1e9);
}

std::string show_bytes(std::uint64_t bytes) {
  constexpr std::array<std::string_view, 5> names = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto amount = static_cast<double>(bytes);
  std::size_t index = 0;
  for (; amount >= 1024 && index + 1 < names.size(); ++index) amount /= 1024;
  return index == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", amount, names[index]);
}

Result<std::vector<std::string>> parse_addresses(std::string_view text) {
  std::vector<std::string> addresses;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t comma = std::min(text.find(',', begin), text.size());
    std::string_view part = text.substr(begin, comma - begin);
    begin = comma + 1;
    for (const std::string_view scheme : {"http://", "https://"}) {
      if (part.starts_with(scheme)) part.remove_prefix(scheme.size());
    }
    const std::size_t colon = part.rfind(':');
    const auto port =
        colon == std::string_view::npos ? std::nullopt : whole_number<10>(part.substr(colon + 1));
    const std::string_view host = part.substr(0, port ? colon : 0);
    const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
    if (!port || *port > 65535 || host.empty() ||
        (!bracketed && host.find_first_of(":[]/ ") != std::string_view::npos))
      return wrong(part, "an address; write host:port or [v6]:port, separated by commas");
    addresses.emplace_back(part);
  }
  return addresses;
}

Result<std::uint64_t> parse_number(std::string_view text) {
  if (const auto number = whole_number<10>(text)) return *number;
  return wrong(text, "a whole number");
}

Result<std::uint64_t> parse_hex_id(std::string_view text) {
  const std::string_view digits = text.starts_with("0x") ? text.substr(2) : text;
  if (const auto number = whole_number<16>(digits)) return *number;
  return wrong(text, "an id; they are written in hexadecimal");
}

std::string show_hex_id(std::uint64_t id) {
  return fmt::format("{:x}", id);
}

std::string escape(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  while (!bytes.empty()) {
    const auto first = static_cast<unsigned char>(bytes[0]);
    const std::size_t length = utf8_length(bytes);
    const bool control = length == 1 && (first < 0x20 || first == 0x7f);
    // C1 controls move cursors as well as C0 ones do.
    const bool high_control = length == 2 && first == 0xc2 && static_cast<unsigned char>(bytes[1]) < 0xa0;
    std::size_t taken = 1;
    if (first == '\\') {
      text += "\\\\";
    } else if (first == '\n') {
      text += "\\n";
    } else if (first == '\t') {
      text += "\\t";
    } else if (first == '\r') {
      text += "\\r";
    } else if (length == 0 || control || high_control) {
      text += fmt::format("\\x{:02x}", first);
    } else {
      text += bytes.substr(0, length);
      taken = length;
    }
    bytes.remove_prefix(taken);
  }
  return text;
}

bool is_plain(std::string_view bytes) {
  return escape(bytes) == bytes;
}

Result<std::string> unescape(std::string_view text) {
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      bytes.push_back(text[i]);
      continue;
    }
    const char kind = i + 1 < text.size() ? text[i + 1] : '\0';
    constexpr std::string_view letters = "\\ntr\"'";
    constexpr std::string_view meanings = "\\\n\t\r\"'";
    if (const std::size_t at = letters.find(kind); kind != '\0' && at != std::string_view::npos) {
      bytes.push_back(meanings[at]);
      ++i;
      continue;
    }
    const int high = kind == 'x' && i + 3 < text.size() ? hex_digit(text[i + 2]) : -1;
    const int low = high >= 0 ? hex_digit(text[i + 3]) : -1;
    if (low < 0) return wrong(text, R"(escaped text: after a backslash comes \, n, t, r, ", ' or xNN)");
    bytes.push_back(static_cast<char>(high * 16 + low));
    i += 3;
  }
  return bytes;
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

std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

}  // namespace lockstep::cli
