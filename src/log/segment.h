// Segment files: their names, their head (identity page and ring), how they are prepared and recycled.
//
//   page 0   the segment header: format version, incarnation, number
//   page 1,2 the ring: slots that say "the group that ended here was durable", in turn in both pages
//   page 3…  records
//
// A file is named segment-<number> only when its head is durable; numbers only grow, so a recycled file never
// holds bytes that pass for its new number. Released files wait as spare-<number>; what has another name was
// being prepared and is rubbish after a crash.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "env/disk.h"
#include "log/record.h"

namespace lockstep::log {

inline constexpr std::uint32_t format_version = 2;
inline constexpr std::uint64_t ring_offset = page_bytes;
inline constexpr std::uint64_t records_offset = 3 * page_bytes;
inline constexpr std::uint64_t ring_slots_per_page = page_bytes / sector_bytes;

// The place of a log whose last group is known to be durable.
struct RingSlot {
  std::uint64_t segment = 0;
  std::uint64_t end_offset = 0;  // where the group's space ends
  std::uint32_t checksum = 0;    // of the group's header
  LogState state;
  friend bool operator==(const RingSlot&, const RingSlot&) = default;
};
inline constexpr std::size_t ring_slot_bytes = 96;
static_assert(ring_slot_bytes <= sector_bytes);

std::string encode_ring_slot(const RingSlot& slot, const Place& place);
std::optional<RingSlot> decode_ring_slot(std::string_view bytes, const Place& place);
// Consecutive turns go to alternate pages, and around in each.
std::uint64_t ring_slot_offset(std::uint64_t turn);
// A whole sector, ready to be written.
env::Write ring_write(const RingSlot& slot, IncarnationId incarnation, std::uint64_t in_segment,
                      std::uint64_t turn);

struct SegmentHeader {
  IncarnationId incarnation;
  std::uint64_t number = 0;
};
// A whole page.
std::string encode_segment_header(const SegmentHeader& header);
// failed_precondition: a newer format. corruption: damaged.
Result<SegmentHeader> decode_segment_header(std::string_view bytes);

std::string segment_name(std::uint64_t number);
std::string spare_name(std::uint64_t number);
// The number in such a name, or nothing.
std::optional<std::uint64_t> segment_number(std::string_view name);
std::optional<std::uint64_t> spare_number(std::string_view name);

struct Segment {
  std::uint64_t number = 0;
  std::unique_ptr<env::File> file;
  std::uint64_t size_bytes = 0;
};

struct SegmentRequest {
  std::string directory;
  IncarnationId incarnation;
  std::uint64_t number = 0;
  std::uint64_t size_bytes = 0;        // of a new file
  std::optional<std::uint64_t> spare;  // reuse this one, unless its size differs
};
// Makes the file, durable under its name, with nothing in it. Blocks. Errors: resource_exhausted (full:
// nothing is left behind), io_error.
Result<Segment> prepare_segment(env::Disk& disk, const SegmentRequest& request);
// Takes segments that are no longer needed out of the log, in the order given (the oldest first), each
// durably before the next: what a crash leaves has no hole. The first `spares` of them become spares, the
// others go.
Status recycle_segments(env::Disk& disk, const std::string& directory,
                        const std::vector<std::uint64_t>& numbers, std::size_t spares);
// Makes an existing segment file without valid records as good as new.
Status clean_segment(env::File& file, IncarnationId incarnation, std::uint64_t number);

}  // namespace lockstep::log
