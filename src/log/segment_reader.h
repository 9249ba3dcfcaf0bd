// Reads records of one segment file, in large pieces.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/status.h"
#include "env/disk.h"
#include "log/record.h"
#include "log/segment.h"

namespace lockstep::log {

struct FoundRecord {
  RecordHeader header;
  std::uint32_t checksum = 0;  // of the header
  SharedBytes body;
  bool body_valid = false;
};

class SegmentReader {
 public:
  // `directory` holds segment `number`. not_found if it is missing.
  static Result<SegmentReader> open(env::Disk& disk, const std::string& directory, IncarnationId incarnation,
                                    std::uint64_t number);

  [[nodiscard]] std::uint64_t size_bytes() const { return size_bytes_; }
  // The record whose header is valid at `offset`, or nothing.
  Result<std::optional<FoundRecord>> record_at(std::uint64_t offset);
  // Only its header.
  Result<std::optional<RecordHeader>> header_at(std::uint64_t offset);
  // The newest valid ring slot.
  Result<std::optional<RingSlot>> newest_ring_slot();
  Result<SegmentHeader> segment_header();

 private:
  SegmentReader() = default;
  // [offset, offset + length) of the file, cut at its end; length at most a mebibyte. Shares the buffer.
  Result<SharedBytes> view(std::uint64_t offset, std::size_t length);
  Result<SharedBytes> body_at(std::uint64_t offset, std::size_t length);
  [[nodiscard]] Place place(std::uint64_t offset) const { return {incarnation_, number_, offset}; }

  std::unique_ptr<env::File> file_;
  IncarnationId incarnation_;
  std::uint64_t number_ = 0;
  std::uint64_t size_bytes_ = 0;
  SharedBytes buffer_;
  std::uint64_t buffer_offset_ = 0;
};

}  // namespace lockstep::log
