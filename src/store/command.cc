#include "store/command.h"

#include <array>
#include <utility>

#include "base/assert.h"
#include "store/auth_codec.h"
#include "store/errors.h"
#include "store/txn_codec.h"
#include "store/validate.h"

namespace lockstep::store {
namespace {

// What earlier ones decided otherwise: docs/formats/command.md.
constexpr std::uint8_t format_version = 4;
constexpr std::uint8_t header_has_digest = 1;

constexpr std::uint8_t kind_has_request_id = 0x80;
constexpr std::uint8_t kind_has_principal = 0x40;

constexpr std::uint8_t put_prev_kv = 1;
constexpr std::uint8_t put_ignore_value = 2;
constexpr std::uint8_t put_ignore_lease = 4;
constexpr std::uint8_t put_has_lease = 8;

// The largest frame around a request: kind, request id, principal, flags.
constexpr std::size_t command_overhead_bytes_max = 64;
constexpr std::size_t header_bytes_max = 64;
// Longer batches are handed out as they were built.
constexpr std::size_t copied_bytes_max = 64 * limits::kibibyte;
// validate.cc counts every operation with more than its encoded overhead.
static_assert(2 * header_bytes_max + command_overhead_bytes_max + limits::request_bytes_max <=
                  limits::entry_bytes_max,
              "the first command of a batch always fits");

void encode(Encoder& encoder, const RequestId& request_id) {
  encoder.id(request_id.client);
  encoder.id(request_id.sequence);
  encoder.id(request_id.unanswered_first);
}

RequestId decode_request_id(Decoder& decoder) {
  RequestId request_id;
  request_id.client = decoder.id<ClientId>();
  request_id.sequence = decoder.id<Sequence>();
  request_id.unanswered_first = decoder.id<Sequence>();
  if (!request_id.present() || !validate(request_id).ok()) decoder.fail();
  return request_id;
}

AlarmRequest decode_alarm(Decoder& decoder) {
  AlarmRequest request;
  const std::uint8_t action = decoder.u8();
  request.alarm.member = decoder.id<NodeId>();
  const std::uint8_t kind = decoder.u8();
  if (action > static_cast<std::uint8_t>(AlarmAction::deactivate)) decoder.fail();
  if (kind > static_cast<std::uint8_t>(AlarmKind::corrupt)) decoder.fail();
  request.action = static_cast<AlarmAction>(action);
  request.alarm.kind = static_cast<AlarmKind>(kind);
  return request;
}

LeaseGrantCommand decode_lease_grant(Decoder& decoder) {
  LeaseGrantCommand command;
  command.ttl_ms = static_cast<std::int64_t>(decoder.varint());
  command.id = decoder.id<LeaseId>();
  if (command.ttl_ms <= 0 || command.ttl_ms > limits::lease_ttl_s_max * 1000) decoder.fail();
  return command;
}

LeaseRenewCommand decode_lease_renew(Decoder& decoder) {
  LeaseRenewCommand command;
  const std::uint64_t count = decoder.varint();
  // An id takes at least a byte.
  if (count > limits::lease_renewals_per_command_max || count > decoder.rest().size()) {
    decoder.fail();
    return command;
  }
  command.ids.reserve(count);
  for (std::uint64_t i = 0; i < count; ++i) command.ids.push_back(decoder.id<LeaseId>());
  return command;
}

Principal decode_principal(Decoder& decoder) {
  const auto principal = Principal::from_number(decoder.varint());
  if (principal.is_nobody()) decoder.fail();
  return principal;
}

bool check_keys(std::string_view key, std::string_view range_end = {}) {
  return !key.empty() && key.size() <= limits::key_bytes_max && range_end.size() <= limits::key_bytes_max;
}

}  // namespace

void encode_put(Encoder& encoder, const PutRequest& request) {
  const bool has_lease = request.lease != LeaseId{};
  encoder.u8(static_cast<std::uint8_t>(
      (request.prev_kv ? put_prev_kv : 0) | (request.ignore_value ? put_ignore_value : 0) |
      (request.ignore_lease ? put_ignore_lease : 0) | (has_lease ? put_has_lease : 0)));
  encoder.bytes(request.key);
  encoder.bytes(request.value);
  if (has_lease) encoder.id(request.lease);
}

PutCommand decode_put(Decoder& decoder) {
  PutCommand command;
  const std::uint8_t flags = decoder.u8();
  command.prev_kv = (flags & put_prev_kv) != 0;
  command.ignore_value = (flags & put_ignore_value) != 0;
  command.ignore_lease = (flags & put_ignore_lease) != 0;
  command.key = decoder.bytes();
  command.value = decoder.bytes();
  if ((flags & put_has_lease) != 0) {
    command.lease = decoder.id<LeaseId>();
    if (command.lease == LeaseId{} || command.ignore_lease) decoder.fail();
  }
  if ((flags & ~(put_prev_kv | put_ignore_value | put_ignore_lease | put_has_lease)) != 0) decoder.fail();
  if (!check_keys(command.key) || command.value.size() > limits::value_bytes_max) decoder.fail();
  if (command.ignore_value && !command.value.empty()) decoder.fail();
  return command;
}

void encode_delete_range(Encoder& encoder, const DeleteRangeRequest& request) {
  encoder.boolean(request.prev_kv);
  encoder.bytes(request.key);
  encoder.bytes(request.range_end);
}

DeleteRangeCommand decode_delete_range(Decoder& decoder) {
  DeleteRangeCommand command;
  command.prev_kv = decoder.boolean();
  command.key = decoder.bytes();
  command.range_end = decoder.bytes();
  if (!check_keys(command.key, command.range_end)) decoder.fail();
  return command;
}

CommandKind Command::kind() const {
  static constexpr std::array kinds{CommandKind::nothing,      CommandKind::put,
                                    CommandKind::delete_range, CommandKind::txn,
                                    CommandKind::compact,      CommandKind::lease_grant,
                                    CommandKind::lease_revoke, CommandKind::lease_renew,
                                    CommandKind::alarm,        CommandKind::register_client,
                                    CommandKind::auth};
  static_assert(kinds.size() == std::variant_size_v<decltype(body)>);
  return kinds[body.index()];
}

void BatchBuilder::start(const BatchHeader& header) {
  payload_.clear();
  count_ = 0;
  header_ = header;
  encode_header(&payload_);
  header_bytes_ = payload_.size();
  LS_MUST(header_bytes_ <= header_bytes_max);
}

void BatchBuilder::encode_header(std::string* out) const {
  LS_MUST(header_.store_time_ms >= 0);
  Encoder encoder(out);
  encoder.u8(format_version);
  encoder.u8(header_.digest_check.has_value() ? header_has_digest : 0);
  encoder.varint(static_cast<std::uint64_t>(header_.store_time_ms));
  if (header_.digest_check.has_value()) {
    encoder.id(header_.digest_check->index);
    encoder.u64(header_.digest_check->digest);
  }
}

std::string BatchBuilder::take_at(std::int64_t store_time_ms) {
  LS_MUST(started());
  header_.store_time_ms = store_time_ms;
  std::string header;
  encode_header(&header);
  LS_MUST(header.size() <= header_bytes_max);
  payload_.replace(0, header_bytes_, header);
  return take();
}

template <class Encode>
bool BatchBuilder::append(CommandKind kind, const RequestId& request_id, Principal principal,
                          Encode encode_body) {
  LS_MUST(started());
  if (count_ == limits::entry_commands_max) return false;
  const std::size_t size_before = payload_.size();
  Encoder encoder(&payload_);
  encoder.u8(static_cast<std::uint8_t>(static_cast<std::uint8_t>(kind) |
                                       (request_id.present() ? kind_has_request_id : 0) |
                                       (principal.is_nobody() ? 0 : kind_has_principal)));
  if (request_id.present()) encode(encoder, request_id);
  if (!principal.is_nobody()) encoder.varint(principal.number());
  encode_body(encoder);
  // Whatever header it has in the end (restamp_batch), the batch fits an entry.
  if (payload_.size() > limits::entry_bytes_max - header_bytes_max) {
    LS_MUST(count_ > 0, "a single command fits; was it validated?");
    payload_.resize(size_before);
    return false;
  }
  ++count_;
  return true;
}

bool BatchBuilder::put(const PutRequest& request, const RequestId& request_id, Principal principal) {
  return append(CommandKind::put, request_id, principal,
                [&](Encoder& encoder) { encode_put(encoder, request); });
}

bool BatchBuilder::delete_range(const DeleteRangeRequest& request, const RequestId& request_id,
                                Principal principal) {
  return append(CommandKind::delete_range, request_id, principal,
                [&](Encoder& encoder) { encode_delete_range(encoder, request); });
}

bool BatchBuilder::txn(const TxnRequest& request, const RequestId& request_id, Principal principal) {
  return append(CommandKind::txn, request_id, principal,
                [&](Encoder& encoder) { encode_txn(encoder, request); });
}

bool BatchBuilder::compact(const CompactRequest& request, const RequestId& request_id, Principal principal) {
  return append(CommandKind::compact, request_id, principal,
                [&](Encoder& encoder) { encoder.id(request.revision); });
}

bool BatchBuilder::lease_grant(const LeaseGrantRequest& request, const RequestId& request_id,
                               Principal principal) {
  const std::int64_t ttl_ms = std::chrono::ceil<std::chrono::milliseconds>(request.ttl).count();
  LS_MUST(ttl_ms > 0);
  LS_MUST(ttl_ms <= limits::lease_ttl_s_max * 1000);
  return append(CommandKind::lease_grant, request_id, principal, [&](Encoder& encoder) {
    encoder.varint(static_cast<std::uint64_t>(ttl_ms));
    encoder.id(request.id);
  });
}

bool BatchBuilder::lease_revoke(const LeaseRevokeRequest& request, const RequestId& request_id,
                                Principal principal) {
  return append(CommandKind::lease_revoke, request_id, principal,
                [&](Encoder& encoder) { encoder.id(request.id); });
}

bool BatchBuilder::lease_renew(std::span<const LeaseId> ids, Principal principal) {
  LS_MUST(ids.size() <= limits::lease_renewals_per_command_max);
  return append(CommandKind::lease_renew, RequestId{}, principal, [&](Encoder& encoder) {
    encoder.varint(ids.size());
    for (const LeaseId id : ids) encoder.id(id);
  });
}

bool BatchBuilder::alarm(const AlarmRequest& request, const RequestId& request_id, Principal principal) {
  return append(CommandKind::alarm, request_id, principal, [&](Encoder& encoder) {
    encoder.u8(static_cast<std::uint8_t>(request.action));
    encoder.id(request.alarm.member);
    encoder.u8(static_cast<std::uint8_t>(request.alarm.kind));
  });
}

bool BatchBuilder::register_client(Principal principal) {
  return append(CommandKind::register_client, RequestId{}, principal, [](Encoder&) {});
}

bool BatchBuilder::nothing() {
  return append(CommandKind::nothing, RequestId{}, Principal(), [](Encoder&) {});
}

bool BatchBuilder::auth(const AuthChange& change, const RequestId& request_id, Principal principal) {
  return append(CommandKind::auth, request_id, principal,
                [&](Encoder& encoder) { encode_auth_change(encoder, change); });
}

std::string BatchBuilder::take() {
  LS_MUST(started());
  LS_MUST(payload_.size() <= limits::entry_bytes_max);
  count_ = 0;
  if (payload_.size() > copied_bytes_max) return std::exchange(payload_, {});
  // A copy has the length it needs, and the next batch does not grow byte by byte.
  std::string payload = payload_;
  payload_.clear();
  return payload;
}

BatchReader::BatchReader(std::string_view payload) : decoder_(payload) {
  if (payload.size() > limits::entry_bytes_max) {
    refuse("is too large");
    return;
  }
  read_header();
}

void BatchReader::read_header() {
  const std::uint8_t version = decoder_.u8();
  if (decoder_.ok() && version != format_version) {
    return refuse("has format " + std::to_string(version) + ", and this version of lockstepd reads " +
                  std::to_string(format_version) + ": open it with the version that wrote it");
  }
  const std::uint8_t flags = decoder_.u8();
  const std::uint64_t store_time_ms = decoder_.varint();
  if ((flags & ~header_has_digest) != 0) decoder_.fail();
  if (store_time_ms > static_cast<std::uint64_t>(INT64_MAX) / 2) decoder_.fail();  // room for any TTL
  header_.store_time_ms = static_cast<std::int64_t>(store_time_ms);
  if ((flags & header_has_digest) != 0) {
    DigestCheck check;
    check.index = decoder_.id<LogIndex>();
    check.digest = decoder_.u64();
    header_.digest_check = check;
  }
  if (!decoder_.ok()) refuse("has a malformed header");
}

void BatchReader::refuse(std::string_view why) {
  decoder_.fail();
  header_ = {};
  status_ = Status(Code::corruption, "batch " + std::string(why));
}

bool BatchReader::next(Command* command) {
  if (!status_.ok() || decoder_.rest().empty()) return false;
  if (count_ == limits::entry_commands_max) {
    refuse("has too many commands");
    return false;
  }
  const std::uint8_t kind = decoder_.u8();
  command->request_id = (kind & kind_has_request_id) != 0 ? decode_request_id(decoder_) : RequestId{};
  command->principal = (kind & kind_has_principal) != 0 ? decode_principal(decoder_) : Principal();
  bool takes_request_id = true;
  switch (static_cast<CommandKind>(kind & ~(kind_has_request_id | kind_has_principal))) {
    case CommandKind::put:
      command->body = decode_put(decoder_);
      break;
    case CommandKind::delete_range:
      command->body = decode_delete_range(decoder_);
      break;
    case CommandKind::txn:
      command->body = decode_txn(decoder_);
      if (decoder_.ok() && !validate(std::get<TxnRequest>(command->body)).ok()) decoder_.fail();
      break;
    case CommandKind::compact:
      command->body = CompactCommand{decoder_.id<Revision>()};
      break;
    case CommandKind::lease_grant:
      command->body = decode_lease_grant(decoder_);
      break;
    case CommandKind::lease_revoke:
      command->body = LeaseRevokeCommand{decoder_.id<LeaseId>()};
      break;
    case CommandKind::lease_renew:
      command->body = decode_lease_renew(decoder_);
      takes_request_id = false;
      break;
    case CommandKind::alarm:
      command->body = decode_alarm(decoder_);
      break;
    case CommandKind::register_client:
      command->body = RegisterClientCommand{};
      takes_request_id = false;
      break;
    case CommandKind::nothing:
      command->body = NothingCommand{};
      takes_request_id = false;
      if (!command->principal.is_nobody()) decoder_.fail();
      break;
    case CommandKind::auth:
      command->body = decode_auth_change(decoder_);
      break;
    default:
      decoder_.fail();
  }
  if (command->request_id.present() && !takes_request_id) decoder_.fail();
  if (!decoder_.ok()) {
    refuse("has a malformed command at position " + std::to_string(count_));
    return false;
  }
  ++count_;
  return true;
}

Result<std::string> restamp_batch(std::string_view payload, const BatchHeader& header) {
  BatchReader reader(payload);
  LS_RETURN_IF_ERROR(reader.status());
  const std::string_view commands = reader.rest();
  Command command;
  while (reader.next(&command)) continue;
  LS_RETURN_IF_ERROR(reader.status());
  BatchBuilder builder;
  builder.start(header);
  std::string restamped = builder.take();
  restamped.append(commands);
  if (restamped.size() > limits::entry_bytes_max) return Status(Code::corruption, "batch is too large");
  return restamped;
}

}  // namespace lockstep::store
