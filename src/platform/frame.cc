#include "platform/frame.h"

#include <cstring>

#include "base/assert.h"
#include "base/codec.h"
#include "base/crc32c.h"

namespace lockstep::platform {
namespace {

constexpr std::string_view frame_magic = "LSPF";
constexpr std::size_t checked_header_bytes = frame_header_bytes - sizeof(std::uint32_t);

}  // namespace

std::string_view to_string(BadInput reason) {
  static constexpr std::array<std::string_view, bad_input_count> names = {
      "none",          "magic",           "header_checksum",  "layout",
      "kind",          "length_zero",     "length_too_large", "body_checksum",
      "truncated",     "unexpected_kind", "hello_malformed",  "protocol_version",
      "wrong_cluster", "unknown_peer",    "own_id",           "misaddressed",
      "too_slow",      "flood",           "wrong_certificate"};
  return names[static_cast<std::size_t>(reason)];
}

std::array<char, frame_header_bytes> encode_header(const FrameHeader& header) {
  LS_MUST(header.body_bytes > 0);
  LS_MUST(header.body_bytes <= frame_body_bytes_max);
  std::array<char, frame_header_bytes> bytes{};
  std::memcpy(bytes.data(), frame_magic.data(), frame_magic.size());
  bytes[4] = static_cast<char>(frame_layout);
  bytes[5] = static_cast<char>(header.kind);  // bytes 6 and 7: flags, zero
  std::memcpy(bytes.data() + 8, &header.body_bytes, sizeof header.body_bytes);
  std::memcpy(bytes.data() + 12, &header.body_checksum, sizeof header.body_checksum);
  const std::uint32_t checksum = crc32c(std::string_view(bytes.data(), checked_header_bytes));
  std::memcpy(bytes.data() + checked_header_bytes, &checksum, sizeof checksum);
  return bytes;
}

BadInput decode_header(std::string_view bytes, std::size_t body_bytes_max, FrameHeader* header) {
  LS_MUST(bytes.size() == frame_header_bytes);
  Decoder decoder(bytes);
  const std::string_view magic = decoder.raw(frame_magic.size());
  const std::uint8_t layout = decoder.u8();
  const std::uint8_t kind = decoder.u8();
  const std::uint16_t flags = decoder.u16();
  const std::uint32_t body_bytes = decoder.u32();
  const std::uint32_t body_checksum = decoder.u32();
  const std::uint32_t checksum = decoder.u32();
  LS_MUST(decoder.done());
  if (magic != frame_magic) return BadInput::magic;
  if (checksum != crc32c(bytes.substr(0, checked_header_bytes))) return BadInput::header_checksum;
  if (layout != frame_layout) return BadInput::layout;
  if (kind < static_cast<std::uint8_t>(FrameKind::hello)) return BadInput::kind;
  if (kind > static_cast<std::uint8_t>(FrameKind::message)) return BadInput::kind;
  if (flags != 0) return BadInput::kind;
  if (body_bytes == 0) return BadInput::length_zero;
  if (body_bytes > body_bytes_max) return BadInput::length_too_large;
  *header = FrameHeader{static_cast<FrameKind>(kind), body_bytes, body_checksum};
  return BadInput::none;
}

std::string encode_frame(FrameKind kind, std::string_view body) {
  const auto header = encode_header({kind, static_cast<std::uint32_t>(body.size()), crc32c(body)});
  std::string frame(header.data(), header.size());
  frame.append(body);
  return frame;
}

std::string encode_hello(const Hello& hello) {
  std::string body;
  Encoder encoder(&body);
  encoder.u16(hello.version_min);
  encoder.u16(hello.version_max);
  encoder.u64(hello.cluster.value());
  encoder.u64(hello.from.value());
  encoder.u64(hello.to.value());
  encoder.u64(hello.incarnation.value());
  LS_MUST(body.size() <= hello_body_bytes_max);
  return body;
}

bool decode_hello(std::string_view body, Hello* hello) {
  Decoder decoder(body);
  Hello read;
  read.version_min = decoder.u16();
  read.version_max = decoder.u16();
  read.cluster = ClusterId(decoder.u64());
  read.from = NodeId(decoder.u64());
  read.to = NodeId(decoder.u64());
  read.incarnation = IncarnationId(decoder.u64());
  if (!decoder.ok()) return false;
  if (read.version_min > read.version_max) return false;
  if (read.from == NodeId()) return false;
  *hello = read;
  return true;
}

BadInput check_hello(const Hello& theirs, const Hello& ours) {
  if (theirs.version_min > ours.version_max) return BadInput::protocol_version;
  if (theirs.version_max < ours.version_min) return BadInput::protocol_version;
  if (theirs.cluster != ours.cluster) return BadInput::wrong_cluster;
  if (theirs.from == ours.from) return BadInput::own_id;
  if (theirs.to != ours.from) return BadInput::misaddressed;
  return BadInput::none;
}

}  // namespace lockstep::platform
