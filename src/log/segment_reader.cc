#include "log/segment_reader.h"

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/limits.h"

namespace lockstep::log {
namespace {

constexpr std::size_t buffer_bytes = limits::mebibyte;

}  // namespace

Result<SegmentReader> SegmentReader::open(env::Disk& disk, const std::string& directory,
                                          IncarnationId incarnation, std::uint64_t number) {
  SegmentReader reader;
  LS_ASSIGN_OR_RETURN(reader.file_,
                      disk.open(directory + "/" + segment_name(number), env::OpenMode::read_only));
  LS_ASSIGN_OR_RETURN(reader.size_bytes_, reader.file_->size());
  reader.incarnation_ = incarnation;
  reader.number_ = number;
  return reader;
}

Result<SharedBytes> SegmentReader::view(std::uint64_t offset, std::size_t length) {
  LS_MUST(length <= buffer_bytes);
  if (offset >= size_bytes_) return SharedBytes();
  length = std::min<std::uint64_t>(length, size_bytes_ - offset);
  if (offset < buffer_offset_ || offset + length > buffer_offset_ + buffer_.size()) {
    std::string fresh(std::min<std::uint64_t>(buffer_bytes, size_bytes_ - offset), '\0');
    LS_ASSIGN_OR_RETURN(const std::size_t got, file_->read_at(offset, fresh));
    if (got < length) return {Code::io_error, "a segment file shrank while it was read"};
    fresh.resize(got);
    buffer_ = SharedBytes(std::move(fresh));
    buffer_offset_ = offset;
  }
  return buffer_.slice(offset - buffer_offset_, length);
}

Result<SharedBytes> SegmentReader::body_at(std::uint64_t offset, std::size_t length) {
  LS_MUST(offset + length <= size_bytes_);
  const bool buffered = offset >= buffer_offset_ && offset + length <= buffer_offset_ + buffer_.size();
  if (buffered || length <= buffer_bytes / 4) return view(offset, length);
  std::string body(length, '\0');
  LS_ASSIGN_OR_RETURN(const std::size_t got, file_->read_at(offset, body));
  if (got < length) return {Code::io_error, "a segment file shrank while it was read"};
  return SharedBytes(std::move(body));
}

Result<std::optional<RecordHeader>> SegmentReader::header_at(std::uint64_t offset) {
  LS_MUST(offset % page_bytes == 0);
  LS_ASSIGN_OR_RETURN(const SharedBytes bytes, view(offset, record_header_bytes));
  return decode_record_header(bytes.view(), place(offset));
}

Result<std::optional<FoundRecord>> SegmentReader::record_at(std::uint64_t offset) {
  if (offset + record_header_bytes > size_bytes_) return std::optional<FoundRecord>();
  LS_ASSIGN_OR_RETURN(const SharedBytes bytes, view(offset, record_header_bytes));
  const auto header = decode_record_header(bytes.view(), place(offset));
  if (!header || offset + record_space(header->body_bytes) > size_bytes_) return std::optional<FoundRecord>();
  FoundRecord found;
  found.header = *header;
  found.checksum = checksum_of(bytes.view());
  LS_ASSIGN_OR_RETURN(found.body, body_at(offset + record_header_bytes, header->body_bytes));
  found.body_valid = crc32c(found.body.view()) == header->body_crc;
  return std::optional<FoundRecord>(std::move(found));
}

Result<std::optional<RingSlot>> SegmentReader::newest_ring_slot() {
  std::optional<RingSlot> newest;
  for (std::uint64_t offset = ring_offset; offset < records_offset; offset += sector_bytes) {
    LS_ASSIGN_OR_RETURN(const SharedBytes bytes, view(offset, sector_bytes));
    const auto slot = decode_ring_slot(bytes.view(), place(offset));
    if (slot && (!newest || slot->state.group > newest->state.group)) newest = slot;
  }
  return newest;
}

Result<SegmentHeader> SegmentReader::segment_header() {
  LS_ASSIGN_OR_RETURN(const SharedBytes bytes, view(0, page_bytes));
  LS_ASSIGN_OR_RETURN(const SegmentHeader header, decode_segment_header(bytes.view()));
  if (header.number != number_ || header.incarnation != incarnation_) {
    return {Code::corruption, "a segment header names another segment"};
  }
  return header;
}

}  // namespace lockstep::log
