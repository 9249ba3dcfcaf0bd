// Logs whose bytes are changed behind their back: what is written, and where it lies.
#pragma once

#include <string>
#include <vector>

#include "log/recovery.h"
#include "log/testing_support.h"

namespace lockstep::log::testing {

inline AppendBatch one_entry(std::uint64_t index, std::uint64_t term, std::size_t bytes) {
  AppendBatch batch;
  std::string payload(bytes, '\0');
  for (std::size_t i = 0; i < bytes; ++i) payload[i] = static_cast<char>(index * 31 + i * 7 + term);
  batch.entries.push_back(entry(index, term, std::move(payload)));
  return batch;
}

// Appends `count` entries, each a group of its own, all acknowledged.
inline void fill(Member& member, std::uint64_t count, std::size_t bytes) {
  for (std::uint64_t i = 0; i < count; ++i) {
    member.append(one_entry(member.states.back().last_index().value() + 1, 1, bytes));
    member.machine.run();
  }
}

struct Spot {
  std::string path;
  std::uint64_t begin = 0;     // of the last record
  std::uint64_t body_end = 0;  // where its padding begins
  std::uint64_t end = 0;
};

// Where the last record lies. The log must be closed.
inline Spot last_record(Member& member) {
  auto& disk = member.machine.disk;
  std::vector<std::uint64_t> numbers;
  for (const std::string& path : disk.paths()) {
    if (const auto number = segment_number(path.substr(4))) numbers.push_back(*number);
  }
  const Identity identity = load_identity(disk, "log").value();
  const RecoveredLog log = recover(disk, "log", identity, numbers, LogIndex{}).value();
  Spot spot;
  spot.path = "log/" + segment_name(log.tail.segment);
  spot.begin = log.tail.last_record_offset;
  spot.end = log.tail.offset;
  const std::string bytes = disk.bytes_of(spot.path).value();
  const auto header = decode_record_header(std::string_view(bytes).substr(spot.begin),
                                           {identity.incarnation, log.tail.segment, spot.begin});
  spot.body_end = spot.begin + record_header_bytes + header->body_bytes;
  return spot;
}

inline void expect_state(Member& member, const Model& model) {
  const Status opened = member.open();
  ASSERT_TRUE(opened.ok()) << opened.to_string();
  ASSERT_FALSE(member.recovered.damage.has_value()) << member.recovered.damage->reason;
  ASSERT_EQ(difference(member.recovered, model, member.released), "");
}

}  // namespace lockstep::log::testing
