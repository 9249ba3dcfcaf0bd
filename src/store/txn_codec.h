// Encoding of single operations and of transactions inside commands (docs/formats/command.md).
//
// decode_txn() marks the decoder as failed for anything over its limits: depth, list lengths, lengths of
// keys, and operations together (so that a decoded transaction takes a bounded multiple of its bytes). The
// rules between operations are validate()'s.
#pragma once

#include "base/codec.h"
#include "store/command.h"
#include "store/types.h"

namespace lockstep::store {

void encode_put(Encoder& encoder, const PutRequest& request);
PutCommand decode_put(Decoder& decoder);
void encode_delete_range(Encoder& encoder, const DeleteRangeRequest& request);
DeleteRangeCommand decode_delete_range(Decoder& decoder);

// Requires a valid request.
void encode_txn(Encoder& encoder, const TxnRequest& request);
TxnRequest decode_txn(Decoder& decoder);

}  // namespace lockstep::store
