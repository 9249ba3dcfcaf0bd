#include "store/rows.h"

#include "base/codec.h"
#include "base/limits.h"

namespace lockstep::store {
namespace {

constexpr std::uint8_t row_tombstone = 1;
constexpr std::uint8_t row_has_lease = 2;
constexpr std::uint8_t state_version = 3;

Status malformed(std::string_view what) {
  return {Code::corruption, "malformed " + std::string(what)};
}

void big_endian(std::string* out, std::uint64_t value) {
  for (int shift = 56; shift >= 0; shift -= 8) out->push_back(static_cast<char>(value >> shift));
}

std::uint64_t read_big_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (const char byte : bytes.substr(0, 8)) value = value << 8 | static_cast<std::uint8_t>(byte);
  return value;
}

void encode_fields(Encoder& encoder, const RowView& row, bool has_lease) {
  encoder.id(row.create_revision);
  encoder.id(row.mod_revision);
  encoder.signed_varint(row.version);
  if (has_lease) encoder.id(row.lease);
}

void decode_fields(Decoder& decoder, bool has_lease, RowView* row) {
  row->create_revision = decoder.id<Revision>();
  row->mod_revision = decoder.id<Revision>();
  row->version = decoder.signed_varint();
  if (has_lease) {
    row->lease = decoder.id<LeaseId>();
    if (row->lease == LeaseId{}) decoder.fail();
  }
  if (row->create_revision <= Revision(1) || row->mod_revision < row->create_revision) {
    decoder.fail();
    return;
  }
  if (row->version < 1 || row->version - 1 > row->mod_revision - row->create_revision) decoder.fail();
}

}  // namespace

std::string encode_current_row(const CurrentRow& row) {
  std::string out;
  out.reserve(32 + row.row.value.size());
  Encoder encoder(&out);
  const bool has_lease = !row.tombstone && row.row.lease != LeaseId{};
  encoder.u8(
      static_cast<std::uint8_t>((row.tombstone ? row_tombstone : 0) | (has_lease ? row_has_lease : 0)));
  encoder.id(row.previous_revision);
  if (row.tombstone) {
    encoder.id(row.row.mod_revision);
  } else {
    encode_fields(encoder, row.row, has_lease);
    encoder.raw(row.row.value);
  }
  return out;
}

std::string encode_current_row(const EffectView& effect) {
  return encode_current_row(
      CurrentRow{effect.kind == EffectKind::remove, effect.row, effect.previous_revision});
}

Result<CurrentRow> decode_current_row(std::string_view key, std::string_view encoded) {
  Decoder decoder(encoded);
  CurrentRow row;
  const std::uint8_t flags = decoder.u8();
  if ((flags & ~(row_tombstone | row_has_lease)) != 0) decoder.fail();
  if (flags == (row_tombstone | row_has_lease)) decoder.fail();
  row.tombstone = (flags & row_tombstone) != 0;
  row.row.key = key;
  row.previous_revision = decoder.id<Revision>();
  if (row.tombstone) {
    row.row.mod_revision = decoder.id<Revision>();
  } else {
    decode_fields(decoder, (flags & row_has_lease) != 0, &row.row);
    row.row.value = decoder.rest();
  }
  if (row.previous_revision < Revision{} || row.previous_revision >= row.row.mod_revision) decoder.fail();
  if (key.empty() || key.size() > limits::key_bytes_max) decoder.fail();
  if (row.row.value.size() > limits::value_bytes_max) decoder.fail();
  if (!decoder.ok() || (row.tombstone && !decoder.done())) return malformed("current row");
  return row;
}

std::string encode_pinned_row(const RowView& row) {
  std::string out;
  out.reserve(32 + row.value.size());
  Encoder encoder(&out);
  const bool has_lease = row.lease != LeaseId{};
  encoder.u8(has_lease ? row_has_lease : 0);
  encode_fields(encoder, row, has_lease);
  encoder.raw(row.value);
  return out;
}

Result<RowView> decode_pinned_row(std::string_view key, std::string_view encoded) {
  Decoder decoder(encoded);
  RowView row;
  const std::uint8_t flags = decoder.u8();
  if ((flags & ~row_has_lease) != 0) decoder.fail();
  row.key = key;
  decode_fields(decoder, flags != 0, &row);
  row.value = decoder.rest();
  if (!decoder.ok() || row.value.size() > limits::value_bytes_max) return malformed("pinned row");
  return row;
}

std::string history_row_key(Revision first_revision) {
  std::string key;
  big_endian(&key, static_cast<std::uint64_t>(first_revision.value()));
  return key;
}

Result<Revision> decode_history_row_key(std::string_view key) {
  if (key.size() != 8) return malformed("history row key");
  return Revision(static_cast<std::int64_t>(read_big_endian(key)));
}

std::string_view state_row_key() {
  return "s";
}

std::string lease_row_key(LeaseId id) {
  std::string key = "l";
  // The sign bit is turned, so that negative ids sort first.
  big_endian(&key, static_cast<std::uint64_t>(id.value()) ^ (1ull << 63));
  return key;
}

std::string client_row_key(ClientId id) {
  std::string key = "c";
  big_endian(&key, id.value());
  return key;
}

std::string answer_row_key(ClientId client, Sequence sequence) {
  std::string key = "r";
  big_endian(&key, client.value());
  big_endian(&key, sequence.value());
  return key;
}

std::string alarm_row_key(const Alarm& alarm) {
  std::string key = "a";
  key.push_back(static_cast<char>(alarm.kind));
  big_endian(&key, alarm.member.value());
  return key;
}

std::string space_row_key(Revision revision) {
  std::string key = "h";
  big_endian(&key, static_cast<std::uint64_t>(revision.value()));
  return key;
}

std::string_view auth_row_key() {
  return "ia";
}

std::string role_row_key(std::string_view name) {
  return "ir" + std::string(name);
}

std::string user_row_key(std::string_view name) {
  return "iu" + std::string(name);
}

Result<MetaKey> decode_meta_key(std::string_view key) {
  MetaKey decoded;
  if (key.empty()) return malformed("meta row key");
  decoded.kind = key[0];
  const std::string_view rest = key.substr(1);
  switch (decoded.kind) {
    case 's':
      if (!rest.empty()) return malformed("meta row key");
      return decoded;
    case 'i': {
      const bool named = rest.size() > 1 && (rest[0] == 'r' || rest[0] == 'u');
      if (key != auth_row_key() && !named) return malformed("meta row key");
      return decoded;
    }
    case 'l':
    case 'c':
    case 'h':
      if (rest.size() != 8) return malformed("meta row key");
      decoded.first = read_big_endian(rest) ^ (decoded.kind == 'l' ? 1ull << 63 : 0);
      return decoded;
    case 'r':
      if (rest.size() != 16) return malformed("meta row key");
      decoded.first = read_big_endian(rest);
      decoded.second = read_big_endian(rest.substr(8));
      return decoded;
    case 'a':
      if (rest.size() != 9) return malformed("meta row key");
      decoded.first = static_cast<std::uint8_t>(rest[0]);
      decoded.second = read_big_endian(rest.substr(1));
      return decoded;
    default:
      return malformed("meta row key");
  }
}

std::string encode_state_row(const StateRow& row) {
  std::string out;
  Encoder encoder(&out);
  encoder.u8(state_version);
  encoder.id(row.applied_index);
  encoder.id(row.applied_term);
  encoder.id(row.revision);
  encoder.id(row.compacted);
  encoder.signed_varint(row.store_time_ms);
  encoder.signed_varint(row.term_began_ms);
  encoder.u64(row.digest);
  encoder.varint(row.live_bytes);
  encoder.varint(row.history_bytes);
  encoder.varint(row.history_bytes_compacted);
  return out;
}

Result<StateRow> decode_state_row(std::string_view encoded) {
  Decoder decoder(encoded);
  StateRow row;
  const std::uint8_t version_read = decoder.u8();
  if (decoder.ok() && version_read != state_version) {
    return {Code::corruption, "the state row has format " + std::to_string(version_read) +
                                  ", and this version of lockstepd reads " + std::to_string(state_version) +
                                  ": open it with the version that wrote it"};
  }
  row.applied_index = decoder.id<LogIndex>();
  row.applied_term = decoder.id<Term>();
  row.revision = decoder.id<Revision>();
  row.compacted = decoder.id<Revision>();
  row.store_time_ms = decoder.signed_varint();
  row.term_began_ms = decoder.signed_varint();
  row.digest = decoder.u64();
  row.live_bytes = decoder.varint();
  row.history_bytes = decoder.varint();
  row.history_bytes_compacted = decoder.varint();
  if (row.revision < Revision(1) || row.compacted < Revision(-1) || row.compacted > row.revision ||
      row.term_began_ms < 0 ||
      row.store_time_ms < row.term_began_ms - limits::lease_confirmation_age_ms_max ||
      row.history_bytes_compacted > row.history_bytes) {
    decoder.fail();
  }
  if (!decoder.done()) return malformed("state row");
  return row;
}

}  // namespace lockstep::store
