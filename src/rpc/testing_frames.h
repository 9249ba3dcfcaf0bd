// For tests: HTTP/2 frames written by hand, right and wrong, and frames read back as text.
#pragma once

#include <array>
#include <cstdint>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nghttp2/nghttp2.h>

#include "base/assert.h"
#include "rpc/http2.h"

namespace lockstep::rpc {

inline constexpr std::string_view http2_preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

enum FrameType : std::uint8_t {
  frame_data = 0,
  frame_headers = 1,
  frame_priority = 2,
  frame_rst_stream = 3,
  frame_settings = 4,
  frame_push_promise = 5,
  frame_ping = 6,
  frame_goaway = 7,
  frame_window_update = 8,
  frame_continuation = 9,
};
inline constexpr std::array<std::string_view, 10> frame_names = {
    "DATA",         "HEADERS", "PRIORITY", "RST_STREAM",    "SETTINGS",
    "PUSH_PROMISE", "PING",    "GOAWAY",   "WINDOW_UPDATE", "CONTINUATION"};
inline constexpr std::uint8_t flag_end_stream = 1;  // ACK for SETTINGS and PING
inline constexpr std::uint8_t flag_end_headers = 4;
inline constexpr std::uint8_t flag_padded = 8;

inline std::string big_endian(std::uint32_t value, int bytes) {
  std::string out;
  for (int i = bytes - 1; i >= 0; --i) out.push_back(static_cast<char>(value >> (8 * i) & 0xff));
  return out;
}

inline std::string frame(std::uint8_t type, std::uint8_t flags, std::uint32_t stream,
                         std::string_view payload) {
  std::string out = big_endian(static_cast<std::uint32_t>(payload.size()), 3);
  out.push_back(static_cast<char>(type));
  out.push_back(static_cast<char>(flags));
  out += big_endian(stream, 4);
  return out.append(payload);
}

// An HPACK integer with a prefix of seven bits, the eighth being zero.
inline std::string hpack_size(std::size_t value) {
  std::string out;
  if (value < 127) return {static_cast<char>(value)};
  out.push_back(127);
  for (value -= 127; value >= 128; value /= 128) out.push_back(static_cast<char>(value % 128 | 128));
  out.push_back(static_cast<char>(value));
  return out;
}
// A literal field that is not indexed.
inline std::string hpack_field(std::string_view name, std::string_view value) {
  std::string out(1, '\0');
  out.append(hpack_size(name.size())).append(name);
  return out.append(hpack_size(value.size())).append(value);
}

// Reads what one side sent, a line a frame.
class FrameReader {
 public:
  FrameReader() { LS_MUST(nghttp2_hd_inflate_new(&inflater_) == 0); }
  ~FrameReader() { nghttp2_hd_inflate_del(inflater_); }
  FrameReader(const FrameReader&) = delete;
  FrameReader& operator=(const FrameReader&) = delete;

  std::string read(std::string_view bytes) {
    rest_.append(bytes);
    std::string out;
    while (rest_.size() >= 9) {
      const std::size_t size = number(0, 3);
      if (rest_.size() < 9 + size) break;
      const std::string line =
          describe(static_cast<std::uint8_t>(rest_[3]), static_cast<std::uint8_t>(rest_[4]),
                   static_cast<std::uint32_t>(number(5, 4)), std::string_view(rest_).substr(9, size));
      if (!line.empty()) out += line + "\n";
      rest_.erase(0, 9 + size);
    }
    return out;
  }

 private:
  [[nodiscard]] std::size_t number(std::size_t at, std::size_t bytes) const {
    return number_in(rest_, at, bytes);
  }
  static std::size_t number_in(std::string_view text, std::size_t at, std::size_t bytes) {
    std::size_t value = 0;
    for (const char byte : text.substr(at, bytes)) value = value << 8 | static_cast<unsigned char>(byte);
    return value;
  }
  static std::string error_name(std::size_t code) {
    return std::string(to_string(static_cast<Http2Error>(code)));
  }

  // Empty for what every connection sends.
  std::string describe(std::uint8_t type, std::uint8_t flags, std::uint32_t stream,
                       std::string_view payload) {
    if (type == frame_settings) return "";
    std::ostringstream out;
    out << (type < frame_names.size() ? frame_names[type] : "?");
    if (stream != 0) out << ' ' << stream;
    if ((flags & flag_end_stream) != 0) out << (type == frame_ping ? " ack" : " end");
    switch (type) {
      case frame_data:
        out << ' ' << payload.size() << " bytes";
        break;
      case frame_headers:
        out << fields(payload);
        break;
      case frame_rst_stream:
        out << ' ' << error_name(number_in(payload, 0, 4));
        break;
      case frame_goaway:
        out << ' ' << error_name(number_in(payload, 4, 4))
            << " last=" << (number_in(payload, 0, 4) & 0x7fffffff);
        if (payload.size() > 8) out << " \"" << payload.substr(8) << '"';
        break;
      case frame_window_update:
        if (stream == 0) return "";
        break;
      default:
        break;
    }
    return out.str();
  }

  std::string fields(std::string_view block) {
    std::string out;
    const auto* at = reinterpret_cast<const std::uint8_t*>(block.data());
    std::size_t left = block.size();
    while (true) {
      nghttp2_nv field{};
      int flags = 0;
      const ssize_t taken = nghttp2_hd_inflate_hd2(inflater_, &field, &flags, at, left, 1);
      LS_MUST(taken >= 0);
      at += taken;
      left -= static_cast<std::size_t>(taken);
      if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
        out += ' ';
        out.append(reinterpret_cast<const char*>(field.name), field.namelen) += '=';
        out.append(reinterpret_cast<const char*>(field.value), field.valuelen);
      }
      if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) break;
    }
    nghttp2_hd_inflate_end_headers(inflater_);
    return out;
  }

  std::string rest_;
  nghttp2_hd_inflater* inflater_ = nullptr;
};

}  // namespace lockstep::rpc
