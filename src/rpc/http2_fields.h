// Between our header fields and bytes and the HTTP/2 library's. For http2.cc alone.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <nghttp2/nghttp2.h>

#include "base/assert.h"
#include "rpc/http2.h"

namespace lockstep::rpc {

// Header fields of one submit: a response has three, a request of ours some more.
inline constexpr std::size_t submitted_headers_max = 32;

inline const std::uint8_t* bytes_of(std::string_view text) {
  return reinterpret_cast<const std::uint8_t*>(text.data());
}
inline std::string_view text_of(const std::uint8_t* bytes, std::size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

struct FieldArray {
  explicit FieldArray(std::span<const Http2Header> headers) {
    LS_MUST(headers.size() <= submitted_headers_max);
    constexpr auto lasting = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE;
    for (const Http2Header& header : headers) {
      fields[count++] = {const_cast<std::uint8_t*>(bytes_of(header.name)),
                         const_cast<std::uint8_t*>(bytes_of(header.value)), header.name.size(),
                         header.value.size(),
                         static_cast<std::uint8_t>(header.lasts ? lasting : NGHTTP2_NV_FLAG_NONE)};
    }
  }
  std::array<nghttp2_nv, submitted_headers_max> fields;
  std::size_t count = 0;
};

}  // namespace lockstep::rpc
