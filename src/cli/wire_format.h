// Just enough of protobuf's wire format to write a request into a buffer that is kept, and to find a few
// numbers in an answer, without making a message. For the load client's hot path.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace lockstep::cli {

class WireWriter {
 public:
  explicit WireWriter(std::string& out) : out_(out) { out_.clear(); }
  void number(int field, std::uint64_t value) {
    varint(static_cast<std::uint64_t>(field) << 3);
    varint(value);
  }
  void bytes(int field, std::string_view value) {
    varint(static_cast<std::uint64_t>(field) << 3 | 2);
    varint(value.size());
    out_.append(value);
  }

 private:
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) out_.push_back(static_cast<char>(value | 0x80));
    out_.push_back(static_cast<char>(value));
  }
  std::string& out_;
};

// Walks the fields of one message. Malformed bytes end the walk.
class WireReader {
 public:
  explicit WireReader(std::string_view rest) : rest_(rest) {}
  bool next() {
    std::uint64_t tag = 0;
    if (rest_.empty() || !varint(&tag)) return false;
    field_ = static_cast<int>(tag >> 3);
    bytes_ = {};
    switch (tag & 7) {
      case 0:
        return varint(&number_);
      case 2:
        if (!varint(&number_) || number_ > rest_.size()) return false;
        bytes_ = rest_.substr(0, number_);
        rest_.remove_prefix(number_);
        return true;
      default:
        return false;
    }
  }
  [[nodiscard]] int field() const { return field_; }
  [[nodiscard]] std::uint64_t number() const { return number_; }
  [[nodiscard]] std::string_view bytes() const { return bytes_; }

 private:
  bool varint(std::uint64_t* value) {
    std::uint64_t sum = 0;
    const std::size_t bytes_max = std::min(rest_.size(), varint_bytes_max);
    for (std::size_t i = 0; i < bytes_max; ++i) {
      const auto byte = static_cast<unsigned char>(rest_[i]);
      sum |= static_cast<std::uint64_t>(byte & 0x7f) << (7 * i);
      if (byte >= 0x80) continue;
      rest_.remove_prefix(i + 1);
      *value = sum;
      return true;
    }
    return false;
  }
  static constexpr std::size_t varint_bytes_max = 10;

  std::string_view rest_;
  int field_ = 0;
  std::uint64_t number_ = 0;
  std::string_view bytes_;
};

}  // namespace lockstep::cli
