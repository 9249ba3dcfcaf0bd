#include "rpc/http2_error.h"

#include <array>

#include "base/assert.h"

namespace lockstep::rpc {
namespace {

constexpr std::array<std::string_view, http2_error_count> error_names = {"NO_ERROR",
                                                                         "PROTOCOL_ERROR",
                                                                         "INTERNAL_ERROR",
                                                                         "FLOW_CONTROL_ERROR",
                                                                         "SETTINGS_TIMEOUT",
                                                                         "STREAM_CLOSED",
                                                                         "FRAME_SIZE_ERROR",
                                                                         "REFUSED_STREAM",
                                                                         "CANCEL",
                                                                         "COMPRESSION_ERROR",
                                                                         "CONNECT_ERROR",
                                                                         "ENHANCE_YOUR_CALM",
                                                                         "INADEQUATE_SECURITY",
                                                                         "HTTP_1_1_REQUIRED"};

constexpr std::uint8_t goaway_frame_type = 7;

void append_uint32(std::string& out, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift & 0xff));
}

}  // namespace

std::string_view to_string(Http2Error error) {
  const auto index = static_cast<std::size_t>(error);
  LS_MUST(index < error_names.size());
  return error_names[index];
}

Http2Error http2_error_of(std::uint32_t code) {
  return code < http2_error_count ? static_cast<Http2Error>(code) : Http2Error::internal_error;
}

void append_goaway_frame(std::string& out, std::int32_t last_id, Http2Error error, std::string_view text) {
  const auto payload = static_cast<std::uint32_t>(8 + text.size());
  append_uint32(out, payload << 8 | goaway_frame_type);
  out.push_back(0);
  append_uint32(out, 0);
  append_uint32(out, static_cast<std::uint32_t>(last_id));
  append_uint32(out, static_cast<std::uint32_t>(error));
  out.append(text);
}

}  // namespace lockstep::rpc
