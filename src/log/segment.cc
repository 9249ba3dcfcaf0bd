#include "log/segment.h"

#include <algorithm>

#include "base/assert.h"
#include "base/codec.h"
#include "base/crc32c.h"
#include "base/limits.h"
#include "base/planted.h"
#include "log/names.h"

namespace lockstep::log {
namespace {

constexpr std::uint64_t segment_magic = 0x314745534b534c;  // "LSKSEG1" in a hex dump
constexpr std::uint32_t ring_magic = 0x3152534c;           // "LSR1"
constexpr std::size_t segment_header_bytes = 32;
constexpr std::string_view segment_prefix = "segment-";
constexpr std::string_view spare_prefix = "spare-";

std::optional<std::uint64_t> number_in(std::string_view name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return std::nullopt;
  return number_from_name(name.substr(prefix.size()));
}

}  // namespace

std::string encode_ring_slot(const RingSlot& slot, const Place& place) {
  std::string rest;
  Encoder encoder(&rest);
  encoder.u32(ring_magic);
  encoder.u64(slot.segment);
  encoder.u64(slot.end_offset);
  encoder.u32(slot.checksum);
  encoder.u32(slot.state.in_doubt ? 1 : 0);
  encoder.u64(slot.state.group);
  encoder.u64(slot.state.last_index.value());
  encoder.u64(slot.state.last_term.value());
  encoder.u64(slot.state.hard_state.term.value());
  encoder.u64(slot.state.hard_state.vote.value());
  encoder.u64(slot.state.hard_state.commit.value());
  rest.resize(ring_slot_bytes - sizeof(std::uint32_t), '\0');
  std::string result;
  Encoder(&result).u32(crc32c_extend(place.salt(), rest));
  return result + rest;
}

std::optional<RingSlot> decode_ring_slot(std::string_view bytes, const Place& place) {
  if (bytes.size() < ring_slot_bytes) return std::nullopt;
  Decoder decoder(bytes.substr(0, ring_slot_bytes));
  const std::uint32_t checksum = decoder.u32();
  if (checksum != crc32c_extend(place.salt(), decoder.rest())) return std::nullopt;
  if (decoder.u32() != ring_magic) return std::nullopt;
  RingSlot slot;
  slot.segment = decoder.u64();
  slot.end_offset = decoder.u64();
  slot.checksum = decoder.u32();
  slot.state.in_doubt = decoder.u32() == 1;
  slot.state.group = decoder.u64();
  slot.state.last_index = LogIndex(decoder.u64());
  slot.state.last_term = Term(decoder.u64());
  slot.state.hard_state.term = Term(decoder.u64());
  slot.state.hard_state.vote = NodeId(decoder.u64());
  slot.state.hard_state.commit = LogIndex(decoder.u64());
  LS_MUST(decoder.ok());
  return slot;
}

std::uint64_t ring_slot_offset(std::uint64_t turn) {
  return ring_offset + turn % 2 * page_bytes + turn / 2 % ring_slots_per_page * sector_bytes;
}

env::Write ring_write(const RingSlot& slot, IncarnationId incarnation, std::uint64_t in_segment,
                      std::uint64_t turn) {
  const std::uint64_t offset = ring_slot_offset(turn);
  std::string bytes = encode_ring_slot(slot, {incarnation, in_segment, offset});
  bytes.resize(sector_bytes, '\0');
  return {.offset = offset, .bytes = SharedBytes(std::move(bytes))};
}

std::string encode_segment_header(const SegmentHeader& header) {
  std::string rest;
  Encoder encoder(&rest);
  encoder.u32(format_version);
  encoder.u64(segment_magic);
  encoder.u64(header.incarnation.value());
  encoder.u64(header.number);
  std::string result;
  Encoder(&result).u32(crc32c(rest));
  result += rest;
  LS_MUST(result.size() == segment_header_bytes);
  result.resize(page_bytes, '\0');
  return result;
}

Result<SegmentHeader> decode_segment_header(std::string_view bytes) {
  if (bytes.size() < segment_header_bytes) return {Code::corruption, "a segment file is too short"};
  Decoder decoder(bytes.substr(0, segment_header_bytes));
  if (decoder.u32() != crc32c(decoder.rest())) return {Code::corruption, "a segment header is damaged"};
  const std::uint32_t version = decoder.u32();
  if (decoder.u64() != segment_magic) return {Code::corruption, "not a segment file"};
  if (version != format_version) {
    return {Code::failed_precondition, "the log has format " + std::to_string(version) +
                                           ", this program knows format " + std::to_string(format_version)};
  }
  SegmentHeader header;
  header.incarnation = IncarnationId(decoder.u64());
  header.number = decoder.u64();
  LS_MUST(decoder.done());
  return header;
}

std::string segment_name(std::uint64_t number) {
  return std::string(segment_prefix) + number_to_name(number);
}
std::string spare_name(std::uint64_t number) {
  return std::string(spare_prefix) + number_to_name(number);
}
std::optional<std::uint64_t> segment_number(std::string_view name) {
  return number_in(name, segment_prefix);
}
std::optional<std::uint64_t> spare_number(std::string_view name) {
  return number_in(name, spare_prefix);
}

Status clean_segment(env::File& file, IncarnationId incarnation, std::uint64_t number) {
  // Header, empty ring, and no record at the first place.
  std::string head = encode_segment_header({incarnation, number});
  head.resize(records_offset + page_bytes, '\0');
  LS_RETURN_IF_ERROR(file.write_at(0, head));
  return file.sync();
}

namespace {

Result<Segment> prepare_from_spare(env::Disk& disk, const SegmentRequest& request, std::uint64_t spare) {
  const std::string path = request.directory + "/" + spare_name(spare);
  LS_ASSIGN_OR_RETURN(auto file, disk.open(path, env::OpenMode::read_write));
  LS_ASSIGN_OR_RETURN(const std::uint64_t size, file->size());
  if (size != request.size_bytes) {
    LS_RETURN_IF_ERROR(disk.remove(path));
    return {Code::not_found, "a spare of another size"};
  }
  LS_RETURN_IF_ERROR(clean_segment(*file, request.incarnation, request.number));
  LS_RETURN_IF_ERROR(disk.rename(path, request.directory + "/" + segment_name(request.number)));
  if (!LS_PLANTED(rename_without_directory_sync)) LS_RETURN_IF_ERROR(disk.sync_directory(request.directory));
  return Segment{request.number, std::move(file), size};
}

// Zeros are written ahead so that no later sync has to make the file grow.
Status fill_new_segment(env::File& file, const SegmentRequest& request) {
  const std::string zeros(std::min<std::uint64_t>(request.size_bytes, limits::mebibyte), '\0');
  for (std::uint64_t offset = 0; offset < request.size_bytes; offset += zeros.size()) {
    const std::uint64_t length = std::min<std::uint64_t>(zeros.size(), request.size_bytes - offset);
    LS_RETURN_IF_ERROR(file.write_at(offset, std::string_view(zeros).substr(0, length)));
  }
  return clean_segment(file, request.incarnation, request.number);
}

}  // namespace

Result<Segment> prepare_segment(env::Disk& disk, const SegmentRequest& request) {
  LS_MUST(request.size_bytes % page_bytes == 0);
  LS_MUST(request.number > 0);
  if (request.spare) {
    auto reused = prepare_from_spare(disk, request, *request.spare);
    if (reused.ok() || reused.status().code() != Code::not_found) return reused;
  }
  const std::string temporary = request.directory + "/making-" + std::to_string(request.number);
  if (Status removed = disk.remove(temporary); !removed.ok() && removed.code() != Code::not_found) {
    return removed;
  }
  LS_ASSIGN_OR_RETURN(auto file, disk.open(temporary, env::OpenMode::create_new));
  if (Status filled = fill_new_segment(*file, request); !filled.ok()) {
    file.reset();
    if (filled.code() == Code::resource_exhausted) LS_RETURN_IF_ERROR(disk.remove(temporary));
    return filled;
  }
  LS_RETURN_IF_ERROR(disk.rename(temporary, request.directory + "/" + segment_name(request.number)));
  if (!LS_PLANTED(rename_without_directory_sync)) LS_RETURN_IF_ERROR(disk.sync_directory(request.directory));
  return Segment{request.number, std::move(file), request.size_bytes};
}

Status recycle_segments(env::Disk& disk, const std::string& directory,
                        const std::vector<std::uint64_t>& numbers, std::size_t spares) {
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const std::string path = directory + "/" + segment_name(numbers[i]);
    LS_RETURN_IF_ERROR(i < spares ? disk.rename(path, directory + "/" + spare_name(numbers[i]))
                                  : disk.remove(path));
    LS_RETURN_IF_ERROR(disk.sync_directory(directory));
  }
  return {};
}

}  // namespace lockstep::log
