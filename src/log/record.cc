#include "log/record.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "base/codec.h"
#include "base/crc32c.h"
#include "base/planted.h"

namespace lockstep::log {
namespace {

constexpr std::uint32_t record_magic = 0x3147534c;  // "LSG1" in a hex dump
constexpr std::uint32_t flag_in_doubt = 1;
constexpr std::uint32_t flag_repair = 2;
constexpr std::uint8_t run_entries = 1;
constexpr std::uint8_t run_reset = 2;
// A payload from here on is written from where it lies; below, copying is cheaper than another vector
// element.
constexpr std::size_t uncopied_bytes_min = 2048;
// The smallest encoded entry: term, kind, length. Bounds what a count can announce.
constexpr std::size_t entry_bytes_min = 3;

const SharedBytes& zero_page() {
  static const SharedBytes zeros{std::string(page_bytes, '\0')};
  return zeros;
}

}  // namespace

std::uint32_t Place::salt() const {
  if (LS_PLANTED(chain_not_checked)) return 0;
  std::string bytes;
  Encoder encoder(&bytes);
  encoder.u64(incarnation.value());
  encoder.u64(segment);
  encoder.u64(offset);
  return crc32c(bytes);
}

std::uint32_t checksum_of(std::string_view encoded_header) {
  LS_MUST(encoded_header.size() >= record_header_bytes);
  std::uint32_t checksum = 0;
  std::memcpy(&checksum, encoded_header.data(), sizeof checksum);
  return checksum;
}

std::string encode_record_header(const RecordHeader& header, const Place& place) {
  std::string rest;
  rest.reserve(record_header_bytes);
  Encoder encoder(&rest);
  encoder.u32(record_magic);
  encoder.u32(header.body_crc);
  encoder.u32(header.body_bytes);
  encoder.u32(header.previous);
  encoder.u32((header.state.in_doubt ? flag_in_doubt : 0) | (header.repair ? flag_repair : 0));
  encoder.u64(header.state.group);
  encoder.u64(header.first_index.value());
  encoder.u64(header.state.last_index.value());
  encoder.u64(header.state.last_term.value());
  encoder.u64(header.state.hard_state.term.value());
  encoder.u64(header.state.hard_state.vote.value());
  encoder.u64(header.state.hard_state.commit.value());
  std::string result;
  Encoder(&result).u32(crc32c_extend(place.salt(), rest));
  result += rest;
  LS_MUST(result.size() == record_header_bytes);
  return result;
}

std::optional<RecordHeader> decode_record_header(std::string_view bytes, const Place& place) {
  if (bytes.size() < record_header_bytes) return std::nullopt;
  Decoder decoder(bytes.substr(0, record_header_bytes));
  const std::uint32_t checksum = decoder.u32();
  if (Decoder(decoder.rest()).u32() != record_magic) return std::nullopt;  // cheaper than the checksum
  if (checksum != crc32c_extend(place.salt(), decoder.rest())) return std::nullopt;
  decoder.u32();
  RecordHeader header;
  header.body_crc = decoder.u32();
  header.body_bytes = decoder.u32();
  header.previous = decoder.u32();
  const std::uint32_t flags = decoder.u32();
  header.state.in_doubt = (flags & flag_in_doubt) != 0;
  header.repair = (flags & flag_repair) != 0;
  header.state.group = decoder.u64();
  header.first_index = LogIndex(decoder.u64());
  header.state.last_index = LogIndex(decoder.u64());
  header.state.last_term = Term(decoder.u64());
  header.state.hard_state.term = Term(decoder.u64());
  header.state.hard_state.vote = NodeId(decoder.u64());
  header.state.hard_state.commit = LogIndex(decoder.u64());
  LS_MUST(decoder.done());
  if ((flags & ~(flag_in_doubt | flag_repair)) != 0) return std::nullopt;
  return header;
}

GroupEncoder::GroupEncoder() : parts_(1), counted_(record_header_bytes) {
  parts_.back().own.assign(record_header_bytes, '\0');
}

void GroupEncoder::reset(LogIndex index, Term term) {
  Encoder encoder(&parts_.back().own);
  encoder.u8(run_reset);
  encoder.id(index);
  encoder.id(term);
}

void GroupEncoder::begin_run(LogIndex first, std::size_t count) {
  LS_MUST(count > 0);
  Encoder encoder(&parts_.back().own);
  encoder.u8(run_entries);
  encoder.id(first);
  encoder.varint(count);
}

void GroupEncoder::entry(const raft::Entry& entry) {
  Encoder encoder(&parts_.back().own);
  encoder.id(entry.term);
  encoder.u8(static_cast<std::uint8_t>(entry.kind));
  encoder.varint(entry.payload.size());
  if (entry.payload.size() < uncopied_bytes_min) {
    encoder.raw(entry.payload.view());
    return;
  }
  body_bytes_ += parts_.back().own.size() - counted_ + entry.payload.size();
  counted_ = 0;
  parts_.back().shared = entry.payload;
  parts_.emplace_back();
}

GroupEncoder::Encoded GroupEncoder::finish(RecordHeader header, const Place& place,
                                           std::uint64_t segment_bytes) && {
  LS_MUST(place.offset % page_bytes == 0);
  LS_MUST(segment_bytes % page_bytes == 0);
  header.body_bytes = static_cast<std::uint32_t>(body_bytes());
  std::uint32_t crc = 0;
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    crc = crc32c_extend(crc, std::string_view(parts_[i].own).substr(i == 0 ? record_header_bytes : 0));
    crc = crc32c_extend(crc, parts_[i].shared.view());
  }
  header.body_crc = crc;
  const std::string encoded = encode_record_header(header, place);
  std::copy(encoded.begin(), encoded.end(), parts_.front().own.begin());

  Encoded result;
  result.checksum = checksum_of(encoded);
  result.space_bytes = record_space(header.body_bytes);
  LS_MUST(place.offset + result.space_bytes <= segment_bytes, "a group must fit its segment");
  const std::size_t fill_bytes = result.space_bytes - record_header_bytes - header.body_bytes;
  if (parts_.size() == 1) {
    parts_.front().own.append(fill_bytes, '\0');
    result.pieces.emplace_back(std::move(parts_.front().own));
  } else {
    for (Part& part : parts_) {
      if (!part.own.empty()) result.pieces.emplace_back(std::move(part.own));
      if (!part.shared.empty()) result.pieces.push_back(std::move(part.shared));
    }
    if (fill_bytes > 0) result.pieces.push_back(zero_page().slice(0, fill_bytes));
  }
  LS_MUST(size_of(result.pieces) == result.space_bytes);
  return result;
}

namespace {

bool decode_entries(Decoder& decoder, const SharedBytes& body, Run& run) {
  run.index = decoder.id<LogIndex>();
  const std::uint64_t count = decoder.varint();
  if (run.index == LogIndex{} || count == 0 || count > decoder.rest().size() / entry_bytes_min) return false;
  if (run.index.value() > UINT64_MAX - count) return false;
  run.entries.reserve(count);
  for (std::uint64_t i = 0; i < count; ++i) {
    raft::Entry entry;
    entry.index = run.index + i;
    entry.term = decoder.id<Term>();
    const std::uint8_t kind = decoder.u8();
    const std::string_view payload = decoder.bytes();
    if (!decoder.ok() || kind > static_cast<std::uint8_t>(raft::EntryKind::empty)) return false;
    if (entry.term == Term{} || (i > 0 && entry.term < run.entries.back().term)) return false;
    entry.kind = static_cast<raft::EntryKind>(kind);
    if (!payload.empty()) {
      entry.payload =
          body.slice(static_cast<std::size_t>(payload.data() - body.view().data()), payload.size());
    }
    run.entries.push_back(std::move(entry));
  }
  return true;
}

}  // namespace

Result<std::vector<Run>> decode_group_body(const SharedBytes& body) {
  std::vector<Run> runs;
  Decoder decoder(body.view());
  while (decoder.ok() && !decoder.rest().empty()) {
    Run run;
    const std::uint8_t type = decoder.u8();
    bool good = false;
    if (type == run_reset) {
      run.reset = true;
      run.index = decoder.id<LogIndex>();
      run.term = decoder.id<Term>();
      good = decoder.ok();
    } else if (type == run_entries) {
      good = decode_entries(decoder, body, run);
    }
    if (!good) return {Code::corruption, "a group of the log is malformed"};
    runs.push_back(std::move(run));
  }
  if (!decoder.done()) return {Code::corruption, "a group of the log is malformed"};
  return runs;
}

}  // namespace lockstep::log
