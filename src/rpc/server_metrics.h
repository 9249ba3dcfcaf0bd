// What a server counted. Plain numbers, read on the strand.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/latency_histogram.h"
#include "rpc/grpc_status.h"
#include "rpc/http2.h"

namespace lockstep::rpc {

// Bad input that HTTP/2 itself does not name. Each is counted once where it is found.
enum class BadCall : std::uint8_t {
  method_not_allowed,  // HTTP 405
  content_type,        // HTTP 415
  headers_too_large,   // HTTP 431
  metadata_malformed,
  too_much_metadata,  // of the open calls of a connection
  timeout_malformed,
  unknown_method,
  unknown_encoding,
  bad_message_flag,
  truncated_message,
  message_count,  // none or two where one is due
  message_too_large,
  too_many_request_bytes,  // of messages that are not complete
  message_timeout,         // a message was not complete in time
  reset_flood,
  ping_flood,
  settings_flood,
  empty_data_flood,
  priority_flood,
  too_many_pings,     // a keepalive more often than allowed
  handshake_timeout,  // no preface and SETTINGS in time
  keepalive_timeout,  // our ping was not answered
  stalled_reader,     // takes nothing of what it asked for
  count,
};
inline constexpr std::size_t bad_call_count = static_cast<std::size_t>(BadCall::count);
// In snake_case, as a metric's label.
std::string_view to_string(BadCall bad);

struct ServerMetrics {
  std::uint64_t connections_accepted = 0;
  std::uint64_t connections_refused = 0;  // over the limit
  std::uint64_t connections_open = 0;
  std::uint64_t calls_started = 0;
  std::uint64_t calls_refused = 0;  // over a limit: REFUSED_STREAM or RESOURCE_EXHAUSTED
  std::uint64_t calls_open = 0;
  std::uint64_t bytes_received = 0;
  std::uint64_t bytes_sent = 0;
  std::uint64_t reads = 0;
  std::uint64_t writes = 0;
  std::uint64_t request_bytes_buffered = 0;  // of messages that are not complete
  std::uint64_t answer_bytes_unsent = 0;
  std::array<std::uint64_t, http2_error_count> connection_errors{};  // GOAWAYs sent, by code
  std::array<std::uint64_t, http2_error_count> stream_errors{};      // RST_STREAMs sent, by code
  std::array<std::uint64_t, bad_call_count> bad_calls{};

  [[nodiscard]] std::uint64_t bad(BadCall what) const { return bad_calls[static_cast<std::size_t>(what)]; }
  [[nodiscard]] std::uint64_t connection_error(Http2Error error) const {
    return connection_errors[static_cast<std::size_t>(error)];
  }
  [[nodiscard]] std::uint64_t stream_error(Http2Error error) const {
    return stream_errors[static_cast<std::size_t>(error)];
  }
};

inline constexpr std::size_t grpc_code_count = 17;

struct MethodMetrics {
  std::uint64_t started = 0;
  std::array<std::uint64_t, grpc_code_count> ended{};  // by code, whoever ended it
  LatencyHistogram seconds;  // from the headers to the end, of those the server ended
};

}  // namespace lockstep::rpc
