#include "store/txn_codec.h"

#include "base/assert.h"
#include "base/limits.h"

namespace lockstep::store {
namespace {

constexpr std::uint8_t tag_range = 1;
constexpr std::uint8_t tag_put = 2;
constexpr std::uint8_t tag_delete_range = 3;
constexpr std::uint8_t tag_txn = 4;

constexpr std::uint8_t range_serializable = 1;
constexpr std::uint8_t range_keys_only = 2;
constexpr std::uint8_t range_count_only = 4;

// validate() counts each with at least 16 bytes against the size of a request.
constexpr std::size_t operations_max = limits::request_bytes_max / 16;

void encode_range(Encoder& encoder, const RangeRequest& request) {
  encoder.u8(static_cast<std::uint8_t>((request.serializable ? range_serializable : 0) |
                                       (request.keys_only ? range_keys_only : 0) |
                                       (request.count_only ? range_count_only : 0)));
  encoder.u8(static_cast<std::uint8_t>(static_cast<std::uint8_t>(request.sort_order) << 4 |
                                       static_cast<std::uint8_t>(request.sort_target)));
  encoder.bytes(request.key);
  encoder.bytes(request.range_end);
  encoder.signed_varint(request.limit);
  encoder.id(request.revision);
  encoder.id(request.min_mod_revision);
  encoder.id(request.max_mod_revision);
  encoder.id(request.min_create_revision);
  encoder.id(request.max_create_revision);
}

RangeRequest decode_range(Decoder& decoder) {
  RangeRequest request;
  const std::uint8_t flags = decoder.u8();
  const std::uint8_t sort = decoder.u8();
  if ((flags & ~(range_serializable | range_keys_only | range_count_only)) != 0) decoder.fail();
  if ((sort >> 4) > static_cast<std::uint8_t>(SortOrder::descend)) decoder.fail();
  if ((sort & 0x0f) > static_cast<std::uint8_t>(SortTarget::value)) decoder.fail();
  request.serializable = (flags & range_serializable) != 0;
  request.keys_only = (flags & range_keys_only) != 0;
  request.count_only = (flags & range_count_only) != 0;
  request.sort_order = static_cast<SortOrder>(sort >> 4);
  request.sort_target = static_cast<SortTarget>(sort & 0x0f);
  request.key = std::string(decoder.bytes());
  request.range_end = std::string(decoder.bytes());
  request.limit = decoder.signed_varint();
  request.revision = decoder.id<Revision>();
  request.min_mod_revision = decoder.id<Revision>();
  request.max_mod_revision = decoder.id<Revision>();
  request.min_create_revision = decoder.id<Revision>();
  request.max_create_revision = decoder.id<Revision>();
  return request;
}

void encode_compare(Encoder& encoder, const Compare& compare) {
  encoder.u8(static_cast<std::uint8_t>(static_cast<std::uint8_t>(compare.result) << 4 |
                                       static_cast<std::uint8_t>(compare.target)));
  encoder.bytes(compare.key);
  encoder.bytes(compare.range_end);
  if (compare.target == CompareTarget::value) {
    encoder.bytes(compare.value);
  } else {
    encoder.signed_varint(compare.number);
  }
}

Compare decode_compare(Decoder& decoder) {
  Compare compare;
  const std::uint8_t what = decoder.u8();
  if ((what >> 4) > static_cast<std::uint8_t>(CompareResult::not_equal)) decoder.fail();
  if ((what & 0x0f) > static_cast<std::uint8_t>(CompareTarget::lease)) decoder.fail();
  compare.result = static_cast<CompareResult>(what >> 4);
  compare.target = static_cast<CompareTarget>(what & 0x0f);
  compare.key = std::string(decoder.bytes());
  compare.range_end = std::string(decoder.bytes());
  if (compare.target == CompareTarget::value) {
    compare.value = std::string(decoder.bytes());
  } else {
    compare.number = decoder.signed_varint();
  }
  return compare;
}

class TxnDecoder {
 public:
  explicit TxnDecoder(Decoder& decoder) : decoder_(decoder) {}

  TxnRequest txn(std::size_t depth) {
    TxnRequest request;
    if (depth > limits::txn_depth_max) decoder_.fail();
    const std::size_t compare_count = count();
    request.compare.reserve(compare_count);
    for (std::size_t i = 0; i < compare_count && decoder_.ok(); ++i) {
      request.compare.push_back(decode_compare(decoder_));
    }
    for (auto* list : {&request.success, &request.failure}) {
      const std::size_t operation_count = count();
      list->reserve(operation_count);
      for (std::size_t i = 0; i < operation_count && decoder_.ok(); ++i) list->push_back(operation(depth));
    }
    return request;
  }

 private:
  // Length of a list, within the limits; every element takes at least three bytes.
  std::size_t count() {
    const std::uint64_t value = decoder_.varint();
    if (value > limits::txn_operations_max || value * 3 > decoder_.rest().size() ||
        (total_ += value) > operations_max) {
      decoder_.fail();
      return 0;
    }
    return value;
  }

  RequestOperation operation(std::size_t depth) {
    switch (decoder_.u8()) {
      case tag_range:
        return {decode_range(decoder_)};
      case tag_put: {
        const PutCommand put = decode_put(decoder_);
        return {PutRequest{std::string(put.key), std::string(put.value), put.lease, put.prev_kv,
                           put.ignore_value, put.ignore_lease}};
      }
      case tag_delete_range: {
        const DeleteRangeCommand removal = decode_delete_range(decoder_);
        return {
            DeleteRangeRequest{std::string(removal.key), std::string(removal.range_end), removal.prev_kv}};
      }
      case tag_txn:
        return {txn(depth + 1)};
      default:
        decoder_.fail();
        return {};
    }
  }

  Decoder& decoder_;
  std::size_t total_ = 0;
};

void encode_operation(Encoder& encoder, const RequestOperation& operation) {
  if (const auto* range = std::get_if<RangeRequest>(&operation.request)) {
    encoder.u8(tag_range);
    encode_range(encoder, *range);
  } else if (const auto* put = std::get_if<PutRequest>(&operation.request)) {
    encoder.u8(tag_put);
    encode_put(encoder, *put);
  } else if (const auto* removal = std::get_if<DeleteRangeRequest>(&operation.request)) {
    encoder.u8(tag_delete_range);
    encode_delete_range(encoder, *removal);
  } else if (const auto* txn = std::get_if<TxnRequest>(&operation.request)) {
    encoder.u8(tag_txn);
    encode_txn(encoder, *txn);
  } else {
    LS_UNREACHABLE("an empty operation does not pass validation");
  }
}

}  // namespace

void encode_txn(Encoder& encoder, const TxnRequest& request) {
  LS_MUST(request.compare.size() <= limits::txn_operations_max);
  encoder.varint(request.compare.size());
  for (const Compare& compare : request.compare) encode_compare(encoder, compare);
  for (const auto* list : {&request.success, &request.failure}) {
    LS_MUST(list->size() <= limits::txn_operations_max);
    encoder.varint(list->size());
    for (const RequestOperation& operation : *list) encode_operation(encoder, operation);
  }
}

TxnRequest decode_txn(Decoder& decoder) {
  return TxnDecoder(decoder).txn(1);
}

}  // namespace lockstep::store
