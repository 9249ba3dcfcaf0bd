// The bytes between members: frames, and the hello that opens a connection (docs/formats/peer-frame.md).
//
// Pure functions. Every length is checked against its limit before memory is taken for it (I11); a frame that
// fails a check closes its connection, since nothing behind it can be trusted.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/limits.h"

namespace lockstep::platform {

inline constexpr std::size_t frame_header_bytes = 20;
inline constexpr std::size_t frame_body_bytes_max = limits::frame_bytes_max;
// Before a peer has introduced itself it may send a hello and nothing larger. The fixed part is 36 bytes;
// later versions may append to it.
inline constexpr std::size_t hello_body_bytes_max = 256;
static_assert(hello_body_bytes_max < frame_body_bytes_max);

// The versions of the protocol this build speaks. 2: answers of followers say whether anybody there waits for
// commits (docs/decisions/0027). 3: entries have format 4 (docs/formats/command.md), which a member that
// knows only others must not be sent: it would halt.
inline constexpr std::uint16_t protocol_version_min = 3;
inline constexpr std::uint16_t protocol_version_max = 3;
// The layout of the header and of the hello's fixed part: the same in every version of the protocol.
inline constexpr std::uint8_t frame_layout = 1;

enum class FrameKind : std::uint8_t {
  hello = 1,    // the first frame of the side that connected
  welcome = 2,  // its answer, the only frame of the side that accepted
  message = 3,  // what env::Network carries
};

// Why a connection was closed by the side that reads.
enum class BadInput : std::uint8_t {
  none,
  magic,              // not our protocol at all
  header_checksum,    // the header's bytes are damaged
  layout,             // a header layout we do not know
  kind,               // a kind we do not know, or reserved flags set
  length_zero,        // a frame without body
  length_too_large,   // beyond the limit of this stage of the connection
  body_checksum,      // the body is damaged, or the length lies
  truncated,          // the connection ended inside a frame
  unexpected_kind,    // a known kind at the wrong moment
  hello_malformed,    // the hello does not parse
  protocol_version,   // no version in common
  wrong_cluster,      // a member of another cluster
  unknown_peer,       // not (or no longer) a member we know
  own_id,             // claims to be ourselves
  misaddressed,       // meant for another member
  too_slow,           // no hello, or no complete frame, in time
  flood,              // gave way to newer connections before it introduced itself
  wrong_certificate,  // does not prove to be reachable where the member it claims to be is
};
inline constexpr std::size_t bad_input_count = static_cast<std::size_t>(BadInput::wrong_certificate) + 1;
std::string_view to_string(BadInput reason);

struct FrameHeader {
  FrameKind kind = FrameKind::message;
  std::uint32_t body_bytes = 0;
  std::uint32_t body_checksum = 0;

  friend bool operator==(const FrameHeader&, const FrameHeader&) = default;
};

std::array<char, frame_header_bytes> encode_header(const FrameHeader& header);
// Reads exactly frame_header_bytes. *header is set only if the answer is none.
BadInput decode_header(std::string_view bytes, std::size_t body_bytes_max, FrameHeader* header);
// A whole frame in one string.
std::string encode_frame(FrameKind kind, std::string_view body);

// Who speaks, to whom, in which words.
struct Hello {
  std::uint16_t version_min = protocol_version_min;
  std::uint16_t version_max = protocol_version_max;
  ClusterId cluster;
  NodeId from;
  NodeId to;
  IncarnationId incarnation;  // zero: not stated

  friend bool operator==(const Hello&, const Hello&) = default;
};

std::string encode_hello(const Hello& hello);
// False if it is too short or contradicts itself. Bytes behind the fixed part are for later versions.
bool decode_hello(std::string_view body, Hello* hello);
// Everything but membership: what `ours` (from = this member) says about a peer's hello.
BadInput check_hello(const Hello& theirs, const Hello& ours);

}  // namespace lockstep::platform
