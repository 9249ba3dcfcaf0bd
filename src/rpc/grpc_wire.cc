#include "rpc/grpc_wire.h"

#include <array>
#include <limits>

#include "base/assert.h"

namespace lockstep::rpc {
namespace {

constexpr std::size_t timeout_digits_max = 8;
constexpr std::int64_t timeout_value_max = 99'999'999;

struct Unit {
  char letter;
  Duration duration;
};
constexpr std::array<Unit, 6> units = {
    {{'n', 1ns}, {'u', 1us}, {'m', 1ms}, {'S', 1s}, {'M', 1min}, {'H', 1h}}};

constexpr std::string_view base64_alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view hex_digits = "0123456789ABCDEF";

constexpr std::array<int, 256> base64_values = [] {
  std::array<int, 256> values{};
  values.fill(-1);
  for (std::size_t i = 0; i < base64_alphabet.size(); ++i)
    values[static_cast<unsigned char>(base64_alphabet[i])] = static_cast<int>(i);
  return values;
}();

int hex_value(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  return -1;
}

}  // namespace

void append_message(std::string& out, std::string_view message) {
  LS_MUST(message.size() <= std::numeric_limits<std::uint32_t>::max());
  const auto size = static_cast<std::uint32_t>(message.size());
  const std::array<char, message_prefix_bytes> prefix = {
      0, static_cast<char>(size >> 24), static_cast<char>(size >> 16), static_cast<char>(size >> 8),
      static_cast<char>(size)};
  out.append(prefix.data(), prefix.size());
  out.append(message);
}

FrameLook look_at_frame(std::string_view bytes, std::size_t message_bytes_max) {
  if (bytes.empty()) return {};
  if (bytes[0] == 1) return {FrameVerdict::compressed, {}, 0};
  if (bytes[0] != 0) return {FrameVerdict::bad_flag, {}, 0};
  if (bytes.size() < message_prefix_bytes) return {};
  std::uint32_t size = 0;
  for (const char byte : bytes.substr(1, 4)) size = size << 8 | static_cast<unsigned char>(byte);
  if (size > message_bytes_max) return {FrameVerdict::too_large, {}, size};
  if (bytes.size() - message_prefix_bytes < size) return {};
  return {FrameVerdict::message, bytes.substr(message_prefix_bytes, size), message_prefix_bytes + size};
}

std::optional<Duration> parse_timeout(std::string_view text) {
  if (text.size() < 2 || text.size() > timeout_digits_max + 1) return std::nullopt;
  std::int64_t value = 0;
  for (const char digit : text.substr(0, text.size() - 1)) {
    if (digit < '0' || digit > '9') return std::nullopt;
    value = value * 10 + (digit - '0');
  }
  for (const Unit& unit : units) {
    if (unit.letter != text.back()) continue;
    const std::int64_t most = Duration::max().count() / 2 / unit.duration.count();
    return Duration(std::min(value, most) * unit.duration.count());
  }
  return std::nullopt;
}

std::string format_timeout(Duration timeout) {
  if (timeout <= 0ns) return "1n";
  for (const Unit& unit : units) {
    const std::int64_t value = (timeout.count() - 1) / unit.duration.count() + 1;
    if (value <= timeout_value_max) return std::to_string(value) + unit.letter;
  }
  return std::to_string(timeout_value_max) + 'H';
}

std::string percent_encode(std::string_view text, std::size_t bytes_max) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = byte >= 0x20 && byte <= 0x7e && c != '%';
    if (out.size() + (plain ? 1 : 3) > bytes_max) break;
    if (plain) {
      out.push_back(c);
    } else {
      out.push_back('%');
      out.push_back(hex_digits[byte >> 4]);
      out.push_back(hex_digits[byte & 15]);
    }
  }
  return out;
}

std::string percent_decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const int high = text[i] == '%' && i + 2 < text.size() ? hex_value(text[i + 1]) : -1;
    const int low = high >= 0 ? hex_value(text[i + 2]) : -1;
    if (low >= 0) {
      out.push_back(static_cast<char>(high << 4 | low));
      i += 2;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

bool append_base64_decoded(std::string& out, std::string_view text) {
  if (text.ends_with('=')) {
    if (text.size() % 4 != 0) return false;
    text.remove_suffix(text.ends_with("==") ? 2 : 1);
  }
  if (text.size() % 4 == 1) return false;
  std::uint32_t bits = 0;
  int bit_count = 0;
  for (const char c : text) {
    const int value = base64_values[static_cast<unsigned char>(c)];
    if (value < 0) return false;
    bits = (bits << 6 | static_cast<std::uint32_t>(value)) & 0xffffff;
    bit_count += 6;
    if (bit_count < 8) continue;
    bit_count -= 8;
    out.push_back(static_cast<char>(bits >> bit_count & 0xff));
  }
  return true;
}

std::string base64_encode(std::string_view bytes) {
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::string_view group = bytes.substr(i, 3);
    std::uint32_t bits = 0;
    for (std::size_t j = 0; j < 3; ++j)
      bits = bits << 8 | (j < group.size() ? static_cast<unsigned char>(group[j]) : 0U);
    for (std::size_t j = 0; j <= group.size(); ++j) out.push_back(base64_alphabet[bits >> (18 - 6 * j) & 63]);
    out.append(3 - group.size(), '=');
  }
  return out;
}

bool is_grpc_content_type(std::string_view value) {
  constexpr std::string_view base = "application/grpc";
  if (!value.starts_with(base)) return false;
  return value.size() == base.size() || value[base.size()] == '+' || value[base.size()] == ';';
}

}  // namespace lockstep::rpc
