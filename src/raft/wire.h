// The bytes of a Message between members. docs/formats/raft-messages.md has the layout.
#pragma once

#include "base/bytes.h"
#include "base/status.h"
#include "raft/message.h"

namespace lockstep::raft {

// Payloads and snapshot bytes are shared with the message, not copied. Requires validate(message).ok().
Pieces encode(const Message& message);

// Payloads are slices of `bytes`, which they keep alive. Allocates only in proportion to bytes.size(). What
// it returns passes validate(). Errors: corruption (not an encoding), invalid_argument (validate).
Result<Message> decode(const SharedBytes& bytes);

}  // namespace lockstep::raft
