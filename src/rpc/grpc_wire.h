// gRPC's own layer on HTTP/2: message frames, and the encodings of its headers. Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/time.h"

namespace lockstep::rpc {

// One flag byte, then the length as four bytes, the highest first.
inline constexpr std::size_t message_prefix_bytes = 5;

// Appends `message` with its prefix, uncompressed.
void append_message(std::string& out, std::string_view message);

enum class FrameVerdict : std::uint8_t {
  message,     // `message` is complete, `size` bytes are done with
  more,        // not complete yet
  compressed,  // the flag says so
  bad_flag,    // neither 0 nor 1
  too_large,   // `size` bytes announced, more than allowed
};

struct FrameLook {
  FrameVerdict verdict = FrameVerdict::more;
  std::string_view message;
  std::size_t size = 0;
};

// What stands at the beginning of `bytes`. The length is checked against the limit before anything is
// expected of it.
FrameLook look_at_frame(std::string_view bytes, std::size_t message_bytes_max);

// "100m" is 100 milliseconds. Nothing if it is none (at most eight digits, one unit of HMSmun).
std::optional<Duration> parse_timeout(std::string_view text);
// As many digits as fit, rounded up; at least 1n.
std::string format_timeout(Duration timeout);

// Of the grpc-message trailer: everything but printable ASCII without '%' is escaped. Cut at `bytes_max`.
std::string percent_encode(std::string_view text, std::size_t bytes_max);
// Broken escapes stay as they are.
std::string percent_decode(std::string_view text);

// Metadata whose names end in "-bin": padding is optional. False if `text` is not base64.
bool append_base64_decoded(std::string& out, std::string_view text);
std::string base64_encode(std::string_view bytes);

[[nodiscard]] inline bool is_binary_name(std::string_view name) {
  return name.ends_with("-bin");
}
// "application/grpc", alone or followed by '+' or ';'.
[[nodiscard]] bool is_grpc_content_type(std::string_view value);

}  // namespace lockstep::rpc
