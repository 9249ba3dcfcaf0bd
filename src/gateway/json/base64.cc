#include "gateway/json/base64.h"

#include <array>
#include <cstdint>

namespace lockstep::gateway {
namespace {

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::int8_t none = -1;

constexpr std::array<std::int8_t, 256> make_values() {
  std::array<std::int8_t, 256> values{};
  values.fill(none);
  for (std::size_t i = 0; i < alphabet.size(); ++i) {
    values[static_cast<unsigned char>(alphabet[i])] = static_cast<std::int8_t>(i);
  }
  return values;
}

constexpr std::array<std::int8_t, 256> value_of = make_values();

}  // namespace

bool decode_base64(std::string_view text, std::string* bytes) {
  bytes->clear();
  if (text.size() % 4 != 0) return false;
  std::size_t padding = 0;
  while (padding < 2 && text.size() > padding && text[text.size() - 1 - padding] == '=') ++padding;
  text.remove_suffix(padding);
  bytes->reserve(text.size() * 3 / 4);
  std::uint32_t bits = 0;
  std::size_t bits_count = 0;
  for (const char character : text) {
    const std::int8_t value = value_of[static_cast<unsigned char>(character)];
    if (value == none) return false;
    bits = (bits << 6) | static_cast<std::uint32_t>(value);
    bits_count += 6;
    if (bits_count < 8) continue;
    bits_count -= 8;
    bytes->push_back(static_cast<char>((bits >> bits_count) & 0xff));
  }
  // What is left over must be zeros, or two texts would mean the same bytes.
  return (bits & ((1U << bits_count) - 1)) == 0;
}

std::string encode_base64(std::string_view bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const std::string_view group = bytes.substr(at, 3);
    std::uint32_t bits = 0;
    for (std::size_t i = 0; i < 3; ++i)
      bits = bits << 8 | (i < group.size() ? static_cast<unsigned char>(group[i]) : 0U);
    for (std::size_t i = 0; i < 4; ++i)
      text.push_back(i <= group.size() ? alphabet[bits >> (18 - 6 * i) & 0x3f] : '=');
  }
  return text;
}

}  // namespace lockstep::gateway
