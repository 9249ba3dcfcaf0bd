#include "raft/wire.h"

#include "base/assert.h"
#include "base/codec.h"
#include "base/limits.h"

namespace lockstep::raft {
namespace {

constexpr std::uint8_t format_version = 1;

enum Flag : std::uint8_t {
  flag_reject = 1,
  flag_transfer = 2,
  flag_in_doubt = 4,
  flag_eager = 8,
  flag_all = flag_reject | flag_transfer | flag_in_doubt | flag_eager,
};

// The smallest entry: term, kind, length, each one byte (the index follows from its place).
constexpr std::size_t entry_bytes_min = 3;

Result<Message> malformed(std::string_view what) {
  return Result<Message>(Code::corruption, "raft message: " + std::string(what));
}

// Bytes so far become a piece, followed by a shared one.
void add_shared(Pieces& pieces, std::string& header, const SharedBytes& bytes) {
  pieces.emplace_back(std::move(header));
  header.clear();
  if (!bytes.empty()) pieces.push_back(bytes);
}

void encode_entries(const Message& message, Pieces& pieces, std::string& header) {
  Encoder encoder(&header);
  encoder.varint(message.entries.size());
  for (const Entry& entry : message.entries) {
    encoder.id(entry.term);
    encoder.u8(static_cast<std::uint8_t>(entry.kind));
    encoder.varint(entry.payload.size());
    if (!entry.payload.empty()) add_shared(pieces, header, entry.payload);
  }
}

void encode_chunk(const SnapshotChunk& chunk, Pieces& pieces, std::string& header) {
  Encoder encoder(&header);
  encoder.id(chunk.snapshot.id);
  encoder.id(chunk.snapshot.index);
  encoder.id(chunk.snapshot.term);
  encoder.bytes(encode_configuration(chunk.snapshot.configuration));
  encoder.varint(chunk.snapshot.total_bytes);
  encoder.u64(chunk.snapshot.digest);
  encoder.varint(chunk.offset);
  encoder.varint(chunk.bytes.size());
  if (!chunk.bytes.empty()) add_shared(pieces, header, chunk.bytes);
}

// The bytes just read as a slice of the whole.
SharedBytes slice_of(const SharedBytes& whole, std::string_view part) {
  if (part.empty()) return {};
  return whole.slice(static_cast<std::size_t>(part.data() - whole.view().data()), part.size());
}

Status decode_entries(Decoder& decoder, const SharedBytes& bytes, Message& message) {
  const std::uint64_t count = decoder.varint();
  if (count > decoder.rest().size() / entry_bytes_min) return malformed("more entries than bytes").status();
  if (count > message_entries_max) return malformed("too many entries").status();
  message.entries.reserve(count);
  LogIndex index = message.index;
  for (std::uint64_t i = 0; i < count; ++i) {
    Entry entry;
    index = index.next();
    entry.index = index;
    entry.term = decoder.id<Term>();
    const std::uint8_t kind = decoder.u8();
    if (kind > static_cast<std::uint8_t>(EntryKind::empty))
      return malformed("unknown kind of entry").status();
    entry.kind = static_cast<EntryKind>(kind);
    entry.payload = slice_of(bytes, decoder.bytes());
    if (!decoder.ok()) return malformed("truncated entry").status();
    message.entries.push_back(std::move(entry));
  }
  return {};
}

Status decode_chunk(Decoder& decoder, const SharedBytes& bytes, Message& message) {
  SnapshotChunk chunk;
  chunk.snapshot.id = decoder.id<SnapshotId>();
  chunk.snapshot.index = decoder.id<LogIndex>();
  chunk.snapshot.term = decoder.id<Term>();
  const std::string_view configuration = decoder.bytes();
  chunk.snapshot.total_bytes = decoder.varint();
  chunk.snapshot.digest = decoder.u64();
  chunk.offset = decoder.varint();
  chunk.bytes = slice_of(bytes, decoder.bytes());
  if (!decoder.ok()) return malformed("truncated snapshot chunk").status();
  LS_ASSIGN_OR_RETURN(chunk.snapshot.configuration, decode_configuration(configuration));
  message.chunk = std::move(chunk);
  return {};
}

}  // namespace

Pieces encode(const Message& message) {
  LS_MUST(validate(message).ok());
  Pieces pieces;
  std::string header;
  Encoder encoder(&header);
  encoder.u8(format_version);
  encoder.u8(static_cast<std::uint8_t>(message.kind));
  encoder.u8(
      static_cast<std::uint8_t>((message.reject ? flag_reject : 0) | (message.transfer ? flag_transfer : 0) |
                                (message.in_doubt ? flag_in_doubt : 0) | (message.eager ? flag_eager : 0)));
  encoder.id(message.from);
  encoder.id(message.to);
  encoder.id(message.term);
  encoder.u64(message.boot.value());
  encoder.u64(message.doubt_boot.value());
  encoder.id(message.round);
  encoder.id(message.index);
  encoder.id(message.log_term);
  encoder.id(message.commit);
  encoder.id(message.hint_index);
  encoder.id(message.hint_term);
  encoder.id(message.restored_index);
  encoder.id(message.snapshot);
  encoder.varint(message.offset);
  if (message.kind == MessageKind::append) encode_entries(message, pieces, header);
  if (message.kind == MessageKind::snapshot_chunk) encode_chunk(*message.chunk, pieces, header);
  if (!header.empty()) pieces.emplace_back(std::move(header));
  LS_MUST(size_of(pieces) <= limits::frame_bytes_max);
  return pieces;
}

Result<Message> decode(const SharedBytes& bytes) {
  if (bytes.size() > limits::frame_bytes_max) return malformed("too large");
  Decoder decoder(bytes.view());
  const std::uint8_t version = decoder.u8();
  const std::uint8_t kind = decoder.u8();
  const std::uint8_t flags = decoder.u8();
  if (!decoder.ok()) return malformed("truncated");
  if (version != format_version) return malformed("unknown format version");
  if (kind == 0 || kind > message_kind_max) return malformed("unknown kind");
  if ((flags & ~flag_all) != 0) return malformed("unknown flag");
  Message message;
  message.kind = static_cast<MessageKind>(kind);
  message.reject = (flags & flag_reject) != 0;
  message.transfer = (flags & flag_transfer) != 0;
  message.in_doubt = (flags & flag_in_doubt) != 0;
  message.eager = (flags & flag_eager) != 0;
  message.from = decoder.id<NodeId>();
  message.to = decoder.id<NodeId>();
  message.term = decoder.id<Term>();
  message.boot = BootId(decoder.u64());
  message.doubt_boot = BootId(decoder.u64());
  message.round = decoder.id<Round>();
  message.index = decoder.id<LogIndex>();
  message.log_term = decoder.id<Term>();
  message.commit = decoder.id<LogIndex>();
  message.hint_index = decoder.id<LogIndex>();
  message.hint_term = decoder.id<Term>();
  message.restored_index = decoder.id<LogIndex>();
  message.snapshot = decoder.id<SnapshotId>();
  message.offset = decoder.varint();
  if (!decoder.ok()) return malformed("truncated");
  if (message.kind == MessageKind::append) LS_RETURN_IF_ERROR(decode_entries(decoder, bytes, message));
  if (message.kind == MessageKind::snapshot_chunk) LS_RETURN_IF_ERROR(decode_chunk(decoder, bytes, message));
  if (!decoder.done()) return malformed("trailing bytes");
  LS_RETURN_IF_ERROR(validate(message));
  return message;
}

}  // namespace lockstep::raft
