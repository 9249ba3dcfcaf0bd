// Own little-endian codec for everything we store or send between members (protobuf is for the edges only).
//
// Varints are LEB128, at most ten bytes, shortest form only: one value has one encoding, so equal states have
// equal bytes. The decoder never reads past its input, never allocates, and sticks to its first failure;
// check ok() (or done()) once at the end, and lengths against limits before memory is taken for them.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "base/strong_integer.h"

namespace lockstep {

static_assert(std::endian::native == std::endian::little, "fixed-width fields are copied as they are");

class Encoder {
 public:
  // Appends to *out, which the caller keeps alive.
  explicit Encoder(std::string* out) : out_(out) {}

  void u8(std::uint8_t value) { out_->push_back(static_cast<char>(value)); }
  void u16(std::uint16_t value) { fixed(value); }
  void u32(std::uint32_t value) { fixed(value); }
  void u64(std::uint64_t value) { fixed(value); }
  void boolean(bool value) { u8(value ? 1 : 0); }
  void varint(std::uint64_t value) {
    char buffer[10];
    std::size_t length = 0;
    while (value >= 0x80) {
      buffer[length++] = static_cast<char>(value | 0x80);
      value >>= 7;
    }
    buffer[length++] = static_cast<char>(value);
    out_->append(buffer, length);
  }
  // Zigzag: small magnitudes are short, whatever their sign.
  void signed_varint(std::int64_t value) {
    varint((static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63));
  }
  template <class Tag>
  void id(StrongInteger<Tag, std::uint64_t> value) {
    varint(value.value());
  }
  template <class Tag>
  void id(StrongInteger<Tag, std::int64_t> value) {
    signed_varint(value.value());
  }
  // Length, then the bytes.
  void bytes(std::string_view value) {
    varint(value.size());
    raw(value);
  }
  void raw(std::string_view value) { out_->append(value); }

 private:
  template <class Integer>
  void fixed(Integer value) {
    char buffer[sizeof value];
    std::memcpy(buffer, &value, sizeof value);
    out_->append(buffer, sizeof value);
  }
  std::string* out_;
};

class Decoder {
 public:
  // Views handed out point into input, which the caller keeps alive.
  explicit Decoder(std::string_view input) : rest_(input) {}

  [[nodiscard]] bool ok() const { return ok_; }
  // All was read and all of it was well formed.
  [[nodiscard]] bool done() const { return ok_ && rest_.empty(); }
  [[nodiscard]] std::string_view rest() const { return rest_; }
  // Marks the input as malformed: for rules the codec does not know.
  void fail() {
    ok_ = false;
    rest_ = {};
  }

  std::uint8_t u8() { return fixed<std::uint8_t>(); }
  std::uint16_t u16() { return fixed<std::uint16_t>(); }
  std::uint32_t u32() { return fixed<std::uint32_t>(); }
  std::uint64_t u64() { return fixed<std::uint64_t>(); }
  bool boolean() {
    const std::uint8_t value = u8();
    if (value > 1) fail();
    return value == 1;
  }
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (rest_.empty()) break;
      const auto byte = static_cast<std::uint8_t>(rest_.front());
      rest_.remove_prefix(1);
      if (shift == 63 && byte > 1) break;  // more than 64 bits
      if (shift > 0 && byte == 0) break;   // not the shortest form
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    fail();
    return 0;
  }
  std::int64_t signed_varint() {
    const std::uint64_t value = varint();
    return static_cast<std::int64_t>(value >> 1) ^ -static_cast<std::int64_t>(value & 1);
  }
  template <class Id>
  Id id() {
    if constexpr (std::is_signed_v<typename Id::rep>) {
      return Id(signed_varint());
    } else {
      return Id(varint());
    }
  }
  std::string_view bytes() { return raw(varint()); }
  std::string_view raw(std::uint64_t length) {
    if (length > rest_.size()) {
      fail();
      return {};
    }
    const std::string_view value = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return value;
  }

 private:
  template <class Integer>
  Integer fixed() {
    Integer value{};
    if (rest_.size() < sizeof value) {
      fail();
      return value;
    }
    std::memcpy(&value, rest_.data(), sizeof value);
    rest_.remove_prefix(sizeof value);
    return value;
  }
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace lockstep
