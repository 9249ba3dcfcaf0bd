#include "replica/peer_message.h"

#include <utility>

#include "base/assert.h"
#include "base/codec.h"
#include "base/limits.h"
#include "store/result_codec.h"

namespace lockstep::replica {
namespace {

void start(Encoder& encoder, PeerMessageKind kind) {
  encoder.u8(static_cast<std::uint8_t>(kind));
}

// Requires that peer_message_kind() said so.
Decoder body_of(const SharedBytes& message, PeerMessageKind kind) {
  LS_MUST(peer_message_kind(message.view()) == static_cast<std::uint8_t>(kind));
  return Decoder(message.view().substr(1));
}

constexpr std::size_t status_text_bytes_max = 1024;

std::string encode_answer(const ForwardAnswer& answer) {
  std::string bytes;
  Encoder encoder(&bytes);
  start(encoder, PeerMessageKind::forward_answer);
  encoder.id(answer.id);
  encoder.id(answer.leader);
  encoder.u8(static_cast<std::uint8_t>(answer.refused.code()));
  encoder.bytes(answer.refused.message().substr(0, status_text_bytes_max));
  encoder.varint(answer.results.size());
  for (const store::CommandResult& result : answer.results) encoder.bytes(store::encode_result(result));
  return bytes;
}

}  // namespace

Pieces wrap_raft(Pieces encoded) {
  std::string kind(1, static_cast<char>(PeerMessageKind::raft));
  encoded.insert(encoded.begin(), SharedBytes(std::move(kind)));
  return encoded;
}

Pieces encode(const Forward& forward) {
  std::string head;
  Encoder encoder(&head);
  start(encoder, PeerMessageKind::forward);
  encoder.id(forward.id);
  encoder.id(forward.term);
  return {SharedBytes(std::move(head)), forward.batch};
}

Pieces encode(const ForwardAnswer& answer) {
  std::string bytes = encode_answer(answer);
  if (bytes.size() > limits::frame_bytes_max) {
    // The commands did take effect; only their answers have no room.
    ForwardAnswer unknown{answer.id,
                          answer.leader,
                          Status(Code::unknown_outcome, "the answer is too large to pass between members"),
                          {}};
    bytes = encode_answer(unknown);
  }
  return {SharedBytes(std::move(bytes))};
}

Result<Forward> decode_forward(const SharedBytes& message) {
  Decoder decoder = body_of(message, PeerMessageKind::forward);
  Forward forward;
  forward.id = decoder.id<ForwardId>();
  forward.term = decoder.id<Term>();
  if (!decoder.ok() || forward.id == ForwardId{}) {
    return Status(Code::corruption, "forward: bad id or term");
  }
  const std::size_t batch_bytes = decoder.rest().size();
  if (batch_bytes > limits::entry_bytes_max) return Status(Code::corruption, "forward: batch too large");
  forward.batch = message.slice(message.size() - batch_bytes, batch_bytes);
  return forward;
}

Result<ForwardAnswer> decode_forward_answer(const SharedBytes& message) {
  Decoder decoder = body_of(message, PeerMessageKind::forward_answer);
  ForwardAnswer answer;
  answer.id = decoder.id<ForwardId>();
  answer.leader = decoder.id<NodeId>();
  const std::uint8_t code = decoder.u8();
  const std::string_view text = decoder.bytes();
  const std::uint64_t count = decoder.varint();
  if (!decoder.ok() || answer.id == ForwardId{} || code > static_cast<std::uint8_t>(Code::internal) ||
      text.size() > status_text_bytes_max || count > limits::entry_commands_max) {
    return Status(Code::corruption, "forward answer: bad head");
  }
  answer.refused = Status(static_cast<Code>(code), std::string(text));
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::string_view encoded = decoder.bytes();
    if (!decoder.ok()) break;
    LS_ASSIGN_OR_RETURN(store::CommandResult result, store::decode_result(encoded));
    answer.results.push_back(std::move(result));
  }
  if (!decoder.done()) return Status(Code::corruption, "forward answer: bad results");
  return answer;
}

}  // namespace lockstep::replica
