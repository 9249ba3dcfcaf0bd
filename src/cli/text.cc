#include "cli/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include <fmt/format.h>

namespace lockstep::cli {
namespace {

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

std::optional<std::uint64_t> hexadecimal_number(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, 16);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace

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

Result<std::uint64_t> parse_hex_id(std::string_view text) {
  const std::string_view digits = text.starts_with("0x") ? text.substr(2) : text;
  if (const auto number = hexadecimal_number(digits)) return *number;
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

std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

}  // namespace lockstep::cli
