// What the log's files hold: group bodies, record headers, ring slots, heads of segments, identities, heads
// of snapshots.
//
// Checked beside not crashing: what decodes is written back to the same bytes, and a decoder takes no more
// memory than its input explains.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "base/assert.h"
#include "base/crc32c.h"
#include "log/identity.h"
#include "log/record.h"
#include "log/segment.h"
#include "log/snapshot_files.h"

namespace {

using namespace lockstep;
using namespace lockstep::log;

void body(std::string_view bytes) {
  const auto runs = decode_group_body(SharedBytes(std::string(bytes)));
  if (!runs.ok()) return;
  GroupEncoder encoder;
  for (const Run& run : *runs) {
    if (run.reset) {
      encoder.reset(run.index, run.term);
      continue;
    }
    encoder.begin_run(run.index, run.entries.size());
    for (const raft::Entry& entry : run.entries) encoder.entry(entry);
  }
  LS_MUST(encoder.body_bytes() == bytes.size());
  const std::uint64_t segment_bytes = (record_space(bytes.size()) / page_bytes + 2) * page_bytes;
  const auto encoded = std::move(encoder).finish({}, {IncarnationId(1), 1, 0}, segment_bytes);
  std::string written;
  for (const SharedBytes& piece : encoded.pieces) written += piece.view();
  LS_MUST(std::string_view(written).substr(record_header_bytes, bytes.size()) == bytes);
}

// With the checksum put right, so that mutations get past it.
std::string sealed(std::string_view bytes, std::uint32_t salt) {
  std::string result(bytes);
  if (result.size() < sizeof(std::uint32_t)) return result;
  const std::uint32_t crc = crc32c_extend(salt, std::string_view(result).substr(sizeof(std::uint32_t)));
  std::memcpy(result.data(), &crc, sizeof crc);
  return result;
}

void fixed_layouts(std::string_view bytes) {
  const Place place{IncarnationId(3), 2, 4096};
  for (const std::string& input :
       {std::string(bytes), sealed(bytes.substr(0, record_header_bytes), place.salt())}) {
    if (const auto header = decode_record_header(input, place)) {
      LS_MUST(encode_record_header(*header, place) == input.substr(0, record_header_bytes));
    }
  }
  const std::string slot_bytes = sealed(bytes.substr(0, ring_slot_bytes), place.salt());
  if (const auto slot = decode_ring_slot(slot_bytes, place)) {
    LS_MUST(decode_ring_slot(encode_ring_slot(*slot, place), place) == slot);
  }
  for (const std::string& input : {std::string(bytes), sealed(bytes, 0), sealed(bytes.substr(0, 32), 0)}) {
    if (const auto header = decode_segment_header(input); header.ok()) {
      LS_MUST(encode_segment_header(*header).starts_with(std::string_view(input).substr(0, 32)));
    }
    if (const auto identity = decode_identity(input); identity.ok()) {
      LS_MUST(encode_identity(*identity) == input);
    }
    if (const auto meta = decode_snapshot_header(input); meta.ok()) {
      LS_MUST(meta->context.size() <= input.size());
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  body(bytes);
  fixed_layouts(bytes);
  return 0;
}
