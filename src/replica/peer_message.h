// What members say to each other around raft: one kind byte, then the body (docs/formats/peer-messages.md).
//
// A member that does not lead passes mutations on to the leader and gets their answers back, so clients may
// talk to any member. The answer may be lost: then the outcome is unknown.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/status.h"
#include "base/strong_integer.h"
#include "store/result.h"

namespace lockstep::replica {

// Names one forwarded batch of one member. Never reused by it, also not by a later start: an answer that was
// under way when the member restarted must answer nothing.
using ForwardId = StrongInteger<struct ForwardIdTag, std::uint64_t>;
// The low bits count; those above are drawn anew at each start. 2^40 batches are years.
inline constexpr unsigned forward_count_bits = 40;
// The id before the first of a start.
inline ForwardId first_forward_id(std::uint64_t random) {
  return ForwardId((random >> forward_count_bits | 1) << forward_count_bits);
}

enum class PeerMessageKind : std::uint8_t {
  raft = 1,
  forward = 2,
  forward_answer = 3,
  birth = 4,
  members = 5
};

struct Forward {
  ForwardId id;
  Term term;          // whose leader is meant; another one does not take it. Zero: whoever leads, and if the
                      // message comes twice it is taken twice: only for commands that carry RequestIds
  SharedBytes batch;  // as store::BatchBuilder made it; the leader sets the time
};

struct ForwardAnswer {
  ForwardId id;
  NodeId leader;  // whom the answering member believes to lead; zero: unknown
  // Not ok: none of the batch took effect (or it is unknown, by the code).
  Status refused;
  std::vector<store::CommandResult> results;  // in the batch's order, if not refused
};

// The kind of a message; 0 if it is empty.
inline std::uint8_t peer_message_kind(std::string_view message) {
  return message.empty() ? 0 : static_cast<std::uint8_t>(message.front());
}

Pieces wrap_raft(Pieces encoded);
Pieces encode(const Forward& forward);
Pieces encode(const ForwardAnswer& answer);
// Both take the whole message, kind byte included. Errors: corruption.
Result<Forward> decode_forward(const SharedBytes& message);
Result<ForwardAnswer> decode_forward_answer(const SharedBytes& message);

}  // namespace lockstep::replica
