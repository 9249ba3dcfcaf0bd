#include "store/result_codec.h"

#include "base/codec.h"
#include "base/limits.h"

namespace lockstep::store {
namespace {

constexpr std::uint8_t tag_none = 0;
constexpr std::uint8_t tag_range = 1;
constexpr std::uint8_t tag_put = 2;
constexpr std::uint8_t tag_delete_range = 3;
constexpr std::uint8_t tag_txn = 4;

class ResultEncoder {
 public:
  explicit ResultEncoder(std::string* out) : encoder_(out) {}

  void status(const Status& status) {
    encoder_.u8(static_cast<std::uint8_t>(status.code()));
    encoder_.bytes(status.message());
  }
  void response(const Response& response) {
    encoder_.u8(static_cast<std::uint8_t>(Code::ok));
    encoder_.u8(static_cast<std::uint8_t>(response.index()));
    std::visit([this](const auto& body) { encode(body); }, response);
  }

 private:
  void header(const Header& header) { encoder_.id(header.revision); }
  void key_value(const KeyValue& kv) {
    encoder_.bytes(kv.key);
    encoder_.bytes(kv.value);
    encoder_.id(kv.create_revision);
    encoder_.id(kv.mod_revision);
    encoder_.signed_varint(kv.version);
    encoder_.id(kv.lease);
  }
  void key_values(const std::vector<KeyValue>& kvs) {
    encoder_.varint(kvs.size());
    for (const KeyValue& kv : kvs) key_value(kv);
  }
  void encode(const NothingResponse& response) { header(response.header); }
  void encode(const PutResponse& response) {
    header(response.header);
    encoder_.boolean(response.prev_kv.has_value());
    if (response.prev_kv.has_value()) key_value(*response.prev_kv);
  }
  void encode(const DeleteRangeResponse& response) {
    header(response.header);
    encoder_.signed_varint(response.deleted);
    key_values(response.prev_kvs);
  }
  void encode(const RangeResponse& response) {
    header(response.header);
    encoder_.boolean(response.more);
    encoder_.signed_varint(response.count);
    key_values(response.kvs);
  }
  void encode(const TxnResponse& response) {
    header(response.header);
    encoder_.boolean(response.succeeded);
    encoder_.varint(response.responses.size());
    for (const ResponseOperation& operation : response.responses) encode(operation);
  }
  void encode(const ResponseOperation& operation) {
    const auto& body = operation.response;
    if (const auto* range = std::get_if<RangeResponse>(&body)) {
      encoder_.u8(tag_range);
      encode(*range);
    } else if (const auto* put = std::get_if<PutResponse>(&body)) {
      encoder_.u8(tag_put);
      encode(*put);
    } else if (const auto* removal = std::get_if<DeleteRangeResponse>(&body)) {
      encoder_.u8(tag_delete_range);
      encode(*removal);
    } else if (const auto* txn = std::get_if<TxnResponse>(&body)) {
      encoder_.u8(tag_txn);
      encode(*txn);
    } else {
      encoder_.u8(tag_none);
    }
  }
  void encode(const CompactResponse& response) { header(response.header); }
  void encode(const LeaseGrantResponse& response) {
    header(response.header);
    encoder_.id(response.id);
    encoder_.signed_varint(response.ttl.count());
  }
  void encode(const LeaseRevokeResponse& response) { header(response.header); }
  void encode(const LeaseRenewResponse& response) {
    header(response.header);
    encoder_.varint(response.renewals.size());
    for (const LeaseKeepAliveResponse& renewal : response.renewals) {
      encoder_.id(renewal.id);
      encoder_.signed_varint(renewal.ttl.count());
    }
  }
  void encode(const AlarmResponse& response) {
    header(response.header);
    encoder_.varint(response.alarms.size());
    for (const Alarm& alarm : response.alarms) {
      encoder_.id(alarm.member);
      encoder_.u8(static_cast<std::uint8_t>(alarm.kind));
    }
  }
  void encode(const AuthResponse& response) { header(response.header); }
  void encode(const RegisterClientResponse& response) {
    header(response.header);
    encoder_.id(response.client);
  }

  Encoder encoder_;
};

class ResultDecoder {
 public:
  explicit ResultDecoder(std::string_view encoded) : decoder_(encoded) {}

  Result<CommandResult> result() {
    const std::uint8_t code = decoder_.u8();
    if (code > static_cast<std::uint8_t>(Code::internal)) decoder_.fail();
    if (static_cast<Code>(code) != Code::ok) {
      Status status(static_cast<Code>(code), std::string(decoder_.bytes()));
      if (!decoder_.done()) return malformed();
      return CommandResult(std::move(status));
    }
    Response response = body(decoder_.u8());
    if (!decoder_.done()) return malformed();
    return CommandResult(std::move(response));
  }

 private:
  static Status malformed() { return {Code::corruption, "malformed kept answer"}; }

  Response body(std::uint8_t kind) {
    switch (kind) {
      case 0:
        return NothingResponse{header()};
      case 1:
        return put();
      case 2:
        return delete_range();
      case 3:
        return txn(1);
      case 4:
        return CompactResponse{header()};
      case 5: {
        LeaseGrantResponse response;
        response.header = header();
        response.id = decoder_.id<LeaseId>();
        response.ttl = Duration(decoder_.signed_varint());
        return response;
      }
      case 6:
        return LeaseRevokeResponse{header()};
      case 7:
        return renewals();
      case 8:
        return alarms();
      case 9: {
        RegisterClientResponse response;
        response.header = header();
        response.client = decoder_.id<ClientId>();
        return response;
      }
      case 10:
        return AuthResponse{header()};
      default:
        decoder_.fail();
        return NothingResponse{};
    }
  }
  static_assert(std::is_same_v<std::variant_alternative_t<1, Response>, PutResponse>);
  static_assert(std::is_same_v<std::variant_alternative_t<3, Response>, TxnResponse>);
  static_assert(std::is_same_v<std::variant_alternative_t<6, Response>, LeaseRevokeResponse>);
  static_assert(std::is_same_v<std::variant_alternative_t<7, Response>, LeaseRenewResponse>);
  static_assert(std::is_same_v<std::variant_alternative_t<8, Response>, AlarmResponse>);
  static_assert(std::is_same_v<std::variant_alternative_t<9, Response>, RegisterClientResponse>);
  static_assert(std::is_same_v<std::variant_alternative_t<10, Response>, AuthResponse>);

  Header header() {
    Header header;
    header.revision = decoder_.id<Revision>();
    return header;
  }
  // Of elements that take at least `bytes_min` each.
  std::size_t count(std::size_t bytes_min) {
    const std::uint64_t value = decoder_.varint();
    if (value > decoder_.rest().size() / bytes_min) {
      decoder_.fail();
      return 0;
    }
    return value;
  }
  KeyValue key_value() {
    KeyValue kv;
    kv.key = decoder_.bytes();
    kv.value = decoder_.bytes();
    kv.create_revision = decoder_.id<Revision>();
    kv.mod_revision = decoder_.id<Revision>();
    kv.version = decoder_.signed_varint();
    kv.lease = decoder_.id<LeaseId>();
    return kv;
  }
  std::vector<KeyValue> key_values() {
    std::vector<KeyValue> kvs(count(6));
    for (KeyValue& kv : kvs) kv = key_value();
    return kvs;
  }
  LeaseRenewResponse renewals() {
    LeaseRenewResponse response;
    response.header = header();
    response.renewals.resize(count(2));
    for (LeaseKeepAliveResponse& renewal : response.renewals) {
      renewal.id = decoder_.id<LeaseId>();
      renewal.ttl = Duration(decoder_.signed_varint());
    }
    return response;
  }
  PutResponse put() {
    PutResponse response;
    response.header = header();
    if (decoder_.boolean()) response.prev_kv = key_value();
    return response;
  }
  DeleteRangeResponse delete_range() {
    DeleteRangeResponse response;
    response.header = header();
    response.deleted = decoder_.signed_varint();
    response.prev_kvs = key_values();
    return response;
  }
  RangeResponse range() {
    RangeResponse response;
    response.header = header();
    response.more = decoder_.boolean();
    response.count = decoder_.signed_varint();
    response.kvs = key_values();
    return response;
  }
  TxnResponse txn(std::size_t depth) {
    TxnResponse response;
    if (depth > limits::txn_depth_max) decoder_.fail();
    response.header = header();
    response.succeeded = decoder_.boolean();
    response.responses.resize(count(1));
    for (ResponseOperation& operation : response.responses) {
      if (!decoder_.ok()) break;
      operation = this->operation(depth);
    }
    return response;
  }
  ResponseOperation operation(std::size_t depth) {
    switch (decoder_.u8()) {
      case tag_none:
        return {};
      case tag_range:
        return {range()};
      case tag_put:
        return {put()};
      case tag_delete_range:
        return {delete_range()};
      case tag_txn:
        return {txn(depth + 1)};
      default:
        decoder_.fail();
        return {};
    }
  }
  AlarmResponse alarms() {
    AlarmResponse response;
    response.header = header();
    response.alarms.resize(count(2));
    for (Alarm& alarm : response.alarms) {
      alarm.member = decoder_.id<NodeId>();
      const std::uint8_t kind = decoder_.u8();
      if (kind > static_cast<std::uint8_t>(AlarmKind::corrupt)) decoder_.fail();
      alarm.kind = static_cast<AlarmKind>(kind);
    }
    return response;
  }

  Decoder decoder_;
};

}  // namespace

std::string encode_result(const CommandResult& result) {
  std::string out;
  ResultEncoder encoder(&out);
  if (result.ok()) {
    encoder.response(*result);
  } else {
    encoder.status(result.status());
  }
  return out;
}

Result<CommandResult> decode_result(std::string_view encoded) {
  // Bounded before anything is built: nothing larger passes between members.
  if (encoded.size() > limits::frame_bytes_max) {
    return Status(Code::corruption, "answer is too large");
  }
  return ResultDecoder(encoded).result();
}

}  // namespace lockstep::store
