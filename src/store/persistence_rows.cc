#include "store/persistence_rows.h"

#include "base/assert.h"
#include "base/codec.h"

namespace lockstep::store {

std::string_view folded_row_key() {
  return "pf";
}

std::string_view swept_row_key() {
  return "pc";
}

std::string_view key_count_row_key() {
  return "pk";
}

std::string_view configuration_row_key() {
  return "pm";
}

bool is_persistence_row(std::string_view key) {
  return key.starts_with('p');
}

std::string encode_revision_row(Revision revision) {
  LS_MUST(revision >= Revision());
  std::string out;
  Encoder(&out).id(revision);
  return out;
}

Result<Revision> decode_revision_row(std::string_view encoded) {
  Decoder decoder(encoded);
  const auto revision = decoder.id<Revision>();
  if (!decoder.done() || revision < Revision()) return Status(Code::corruption, "malformed revision row");
  return revision;
}

std::string encode_count_row(std::uint64_t count) {
  std::string out;
  Encoder(&out).varint(count);
  return out;
}

Result<std::uint64_t> decode_count_row(std::string_view encoded) {
  Decoder decoder(encoded);
  const std::uint64_t count = decoder.varint();
  if (!decoder.done()) return Status(Code::corruption, "malformed count row");
  return count;
}

std::string encode_pinned_entry(const PinnedEntry& entry) {
  LS_MUST(entry.successor > Revision());
  std::string out;
  out.reserve(entry.row.size() + 10);
  Encoder encoder(&out);
  encoder.id(entry.successor);
  encoder.raw(entry.row);
  return out;
}

Result<PinnedEntry> decode_pinned_entry(std::string_view encoded) {
  Decoder decoder(encoded);
  PinnedEntry entry;
  entry.successor = decoder.id<Revision>();
  entry.row = decoder.rest();
  if (!decoder.ok() || entry.successor <= Revision()) return Status(Code::corruption, "malformed pinned row");
  return entry;
}

}  // namespace lockstep::store
