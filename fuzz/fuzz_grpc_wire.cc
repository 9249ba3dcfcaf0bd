// gRPC's own encodings: message frames, timeouts, base64, percent escapes.
//
// Checked beside not crashing: a frame is never larger than what is there or allowed, and what was decoded is
// encoded to something that decodes to the same.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "rpc/grpc_wire.h"

namespace {

using namespace lockstep;
using namespace lockstep::rpc;

void check_frames(std::string_view bytes) {
  constexpr std::size_t message_bytes_max = 1000;
  while (true) {
    const FrameLook look = look_at_frame(bytes, message_bytes_max);
    if (look.verdict == FrameVerdict::too_large) LS_MUST(look.size > message_bytes_max);
    if (look.verdict != FrameVerdict::message) break;
    LS_MUST(look.size <= bytes.size());
    LS_MUST(look.message.size() + message_prefix_bytes == look.size);
    std::string again;
    append_message(again, look.message);
    LS_MUST(again == bytes.substr(0, look.size));
    bytes.remove_prefix(look.size);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  check_frames(bytes);
  if (const auto timeout = parse_timeout(bytes); timeout.has_value()) {
    LS_MUST(*timeout >= 0ns);
    const auto again = parse_timeout(format_timeout(*timeout));
    LS_MUST(again.has_value());
    LS_MUST(*again >= *timeout || *timeout > 99'999'998h, "a deadline is never shortened on its way");
  }
  std::string decoded;
  if (append_base64_decoded(decoded, bytes)) {
    std::string again;
    LS_MUST(append_base64_decoded(again, base64_encode(decoded)));
    LS_MUST(again == decoded);
  }
  LS_MUST(percent_decode(percent_encode(bytes, 3 * bytes.size())) == bytes);
  LS_MUST(percent_encode(bytes, 10).size() <= 10);
  LS_MUST(percent_decode(bytes).size() <= bytes.size());
  LS_MUST(!is_grpc_content_type(bytes) || bytes.starts_with("application/grpc"));
  return 0;
}
