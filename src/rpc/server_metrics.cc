#include "rpc/server_metrics.h"

#include "base/assert.h"

namespace lockstep::rpc {
namespace {

constexpr std::array<std::string_view, bad_call_count> names = {
    "method_not_allowed",     "content_type",      "headers_too_large", "metadata_malformed",
    "too_much_metadata",      "timeout_malformed", "unknown_method",    "unknown_encoding",
    "bad_message_flag",       "truncated_message", "message_count",     "message_too_large",
    "too_many_request_bytes", "message_timeout",   "reset_flood",       "ping_flood",
    "settings_flood",         "empty_data_flood",  "priority_flood",    "too_many_pings",
    "handshake_timeout",      "keepalive_timeout", "stalled_reader"};

}  // namespace

std::string_view to_string(BadCall bad) {
  const auto index = static_cast<std::size_t>(bad);
  LS_MUST(index < names.size());
  return names[index];
}

}  // namespace lockstep::rpc
