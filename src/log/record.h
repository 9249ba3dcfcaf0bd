// The bytes of one group: a header that names its place, and a body of runs. docs/formats/log.md.
//
// Invariants: a header is valid only in the place it was written for (its checksum starts from incarnation,
// segment and offset), so bytes of an earlier use of the file, of another directory, or written to a wrong
// place never pass. Each header repeats the checksum of the one before it: a chain over all segments. A valid
// record proves that every earlier one was durable when it was written.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/status.h"
#include "raft/types.h"

namespace lockstep::log {

// What a disk writes as one.
inline constexpr std::uint64_t sector_bytes = 512;
// Records begin at multiples of this and are written to the end of their last page: a page holds bytes of one
// group only, so that one destroyed page is one group's, and no write touches a page with acknowledged bytes.
inline constexpr std::uint64_t page_bytes = 4096;
static_assert(page_bytes % sector_bytes == 0);

inline constexpr std::size_t record_header_bytes = 80;
static_assert(record_header_bytes <= sector_bytes, "a header is written atomically");

// Where something lies, as far as its checksum is concerned.
struct Place {
  IncarnationId incarnation;
  std::uint64_t segment = 0;
  std::uint64_t offset = 0;
  [[nodiscard]] std::uint32_t salt() const;
};

// What the log stands at after a group; the header of each record and each ring slot carries it.
struct LogState {
  std::uint64_t group = 0;  // counts groups; gaps only after a repair
  LogIndex last_index;
  Term last_term;
  raft::HardState hard_state;
  bool in_doubt = false;  // a damaged tail was discarded and the member not restored since
  friend bool operator==(const LogState&, const LogState&) = default;
};

struct RecordHeader {
  std::uint32_t body_crc = 0;
  std::uint32_t body_bytes = 0;
  std::uint32_t previous = 0;  // checksum of the header before; 0 for the first of a log
  bool repair = false;         // the first record after a discarded tail: earlier segments may end anywhere
  LogIndex first_index;        // the lowest index the group writes or cuts; 0: none
  LogState state;
  friend bool operator==(const RecordHeader&, const RecordHeader&) = default;
};

// The checksum of an encoded header: what the next header's `previous` must be.
std::uint32_t checksum_of(std::string_view encoded_header);
// Exactly record_header_bytes.
std::string encode_record_header(const RecordHeader& header, const Place& place);
// Nothing if these bytes are not a header written for this place.
std::optional<RecordHeader> decode_record_header(std::string_view bytes, const Place& place);

// The space a record takes.
constexpr std::uint64_t record_space(std::uint64_t body_bytes) {
  return (record_header_bytes + body_bytes + page_bytes - 1) / page_bytes * page_bytes;
}

// A run changes the log: a reset to a snapshot's position, or entries from an index on.
struct Run {
  bool reset = false;
  LogIndex index;  // reset: of the snapshot; else of the first entry
  Term term;       // reset only
  std::vector<raft::Entry> entries;
};

// Upper bounds of what encoding adds.
inline constexpr std::size_t run_frame_bytes_max = 1 + 10 + 10;
inline constexpr std::size_t entry_frame_bytes_max = 10 + 1 + 10;

// Encodes a group into pieces, large payloads uncopied.
class GroupEncoder {
 public:
  GroupEncoder();
  void reset(LogIndex index, Term term);
  // Followed by exactly `count` entries.
  void begin_run(LogIndex first, std::size_t count);
  void entry(const raft::Entry& entry);

  [[nodiscard]] std::size_t body_bytes() const { return body_bytes_ + parts_.back().own.size() - counted_; }
  struct Encoded {
    Pieces pieces;  // header, body, zeros to the end of the page
    std::uint32_t checksum = 0;
    std::uint64_t space_bytes = 0;  // of all pieces: the next record begins behind
  };
  // body_crc and body_bytes of `header` are filled in. Ends the encoder.
  Encoded finish(RecordHeader header, const Place& place, std::uint64_t segment_bytes) &&;

 private:
  struct Part {
    std::string own;
    SharedBytes shared;  // follows own
  };
  std::vector<Part> parts_;
  std::size_t body_bytes_ = 0;  // in all parts but the last's own
  std::size_t counted_ = 0;     // bytes of the last part's own that are no body (the header's room)
};

// Payloads are slices of `body`. corruption if malformed (never reads past it, allocates in proportion to
// it).
Result<std::vector<Run>> decode_group_body(const SharedBytes& body);

}  // namespace lockstep::log
