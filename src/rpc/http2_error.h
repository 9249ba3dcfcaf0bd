// Why an HTTP/2 stream or connection ended.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace lockstep::rpc {

// Codes of RFC 9113, section 7.
enum class Http2Error : std::uint32_t {
  no_error = 0,
  protocol_error = 1,
  internal_error = 2,
  flow_control_error = 3,
  settings_timeout = 4,
  stream_closed = 5,
  frame_size_error = 6,
  refused_stream = 7,
  cancel = 8,
  compression_error = 9,
  connect_error = 10,
  enhance_your_calm = 11,
  inadequate_security = 12,
  http_1_1_required = 13,
};
inline constexpr std::size_t http2_error_count = 14;
std::string_view to_string(Http2Error error);
// What nobody defined is an internal error.
Http2Error http2_error_of(std::uint32_t code);

// A whole GOAWAY frame, for errors after which no session can make one any more.
void append_goaway_frame(std::string& out, std::int32_t last_id, Http2Error error, std::string_view text);

}  // namespace lockstep::rpc
