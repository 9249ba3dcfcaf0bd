// The bytes on disk: the worked example of docs/formats/log.md, and what its decoders refuse.
#include <cstdio>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "log/record.h"
#include "log/segment.h"
#include "log/testing_support.h"

namespace lockstep::log {
namespace {

using testing::entry;
using testing::hard_state;
using testing::Member;

// Sixteen bytes a line, as in the document; a line of zeros ends the dump.
std::string dump(const std::string& bytes, std::uint64_t begin, std::uint64_t length) {
  std::string result;
  for (std::uint64_t at = begin; at < begin + length; at += 16) {
    char line[80];
    int used = std::snprintf(line, sizeof line, "%06llx ", static_cast<unsigned long long>(at));
    for (std::uint64_t i = at; i < std::min(at + 16, begin + length); ++i) {
      used += std::snprintf(line + used, sizeof line - static_cast<std::size_t>(used), " %02x",
                            static_cast<unsigned char>(bytes[i]));
    }
    result += std::string(line) + "\n";
  }
  return result;
}

TEST(FormatTest, TheDocumentShowsTheseBytes) {
  Member member(1);
  ASSERT_TRUE(member.open().ok());
  AppendBatch batch;
  batch.hard_state = hard_state(2, 1, 0);
  batch.entries.push_back(entry(1, 2, "hello"));
  member.append(std::move(batch));
  member.die(sim::Loss::power, 1);
  const std::string segment = member.machine.disk.bytes_of("log/segment-0000000000000001").value();
  const std::string identity = member.machine.disk.bytes_of("log/identity-a").value();
  const std::string dumps[] = {dump(identity, 0, identity.size()), dump(segment, 0, 32),
                               dump(segment, ring_slot_offset(1), 80),
                               dump(segment, records_offset, record_header_bytes),
                               dump(segment, records_offset + page_bytes, record_header_bytes + 11)};
  std::stringstream document;
  document << std::ifstream("docs/formats/log.md").rdbuf();
  for (const std::string& text : dumps) {
    EXPECT_NE(document.str().find(text), std::string::npos) << "docs/formats/log.md should have:\n" << text;
  }
}

TEST(FormatTest, AHeaderIsValidInItsPlaceOnly) {
  RecordHeader header;
  header.body_bytes = 7;
  header.state.group = 4;
  const Place place{IncarnationId(5), 6, 12800};
  const std::string bytes = encode_record_header(header, place);
  EXPECT_EQ(decode_record_header(bytes, place), header);
  EXPECT_FALSE(decode_record_header(bytes, {IncarnationId(4), 6, 12800}));
  EXPECT_FALSE(decode_record_header(bytes, {IncarnationId(5), 7, 12800}));
  EXPECT_FALSE(decode_record_header(bytes, {IncarnationId(5), 6, 13312}));
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(decode_record_header(flipped, place)) << "bit " << bit;
  }
}

TEST(FormatTest, ABodyIsReadBackAndEveryBeginningOfItIsRefused) {
  GroupEncoder encoder;
  encoder.reset(LogIndex(9), Term(2));
  encoder.begin_run(LogIndex(10), 2);
  encoder.entry(entry(10, 3, std::string(5000, 'x')));
  encoder.entry(entry(11, 3, ""));
  const auto encoded = std::move(encoder).finish({}, {IncarnationId(1), 1, 0}, 64 * 1024);
  std::string bytes;
  for (const SharedBytes& piece : encoded.pieces) bytes += piece.view();
  EXPECT_EQ(bytes.size() % page_bytes, 0u);
  const auto header = decode_record_header(bytes, {IncarnationId(1), 1, 0});
  ASSERT_TRUE(header);
  const SharedBytes body(bytes.substr(record_header_bytes, header->body_bytes));
  const auto runs = decode_group_body(body);
  ASSERT_TRUE(runs.ok());
  ASSERT_EQ(runs->size(), 2u);
  EXPECT_TRUE((*runs)[0].reset);
  EXPECT_EQ((*runs)[1].entries[0], entry(10, 3, std::string(5000, 'x')));
  EXPECT_EQ((*runs)[1].entries[1].kind, raft::EntryKind::empty);
  int accepted = 0;
  for (std::size_t length = 0; length < body.size(); ++length) {
    accepted += decode_group_body(body.slice(0, length)).ok() ? 1 : 0;
  }
  EXPECT_EQ(accepted, 2) << "nothing, and the reset alone";
}

struct BadBody {
  const char* why;
  std::string bytes;
};

TEST(FormatTest, MalformedBodiesAreRefused) {
  const BadBody table[] = {
      {"an unknown kind of run", std::string("\x03\x01\x01", 3)},
      {"no entries", std::string("\x01\x01\x00", 3)},
      {"more entries than bytes", std::string("\x01\x01\xff\xff\xff\x7f\x01\x00\x00", 9)},
      {"index zero", std::string("\x01\x00\x01\x01\x00\x00", 6)},
      {"term zero", std::string("\x01\x01\x01\x00\x00\x00", 6)},
      {"a term that falls", std::string("\x01\x01\x02\x02\x00\x00\x01\x00\x00", 9)},
      {"an unknown kind of entry", std::string("\x01\x01\x01\x01\x03\x00", 6)},
      {"a payload longer than the body", std::string("\x01\x01\x01\x01\x00\x05xy", 8)},
      {"an index near the end of numbers",
       std::string("\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x01\x01\x00\x00", 15)},
  };
  for (const BadBody& bad : table) {
    EXPECT_EQ(decode_group_body(SharedBytes(bad.bytes)).status().code(), Code::corruption) << bad.why;
  }
}

TEST(FormatTest, NamesHaveOneSpelling) {
  EXPECT_EQ(segment_name(0xab), "segment-00000000000000ab");
  EXPECT_EQ(segment_number("segment-00000000000000ab"), 0xabu);
  for (const char* name :
       {"segment-00000000000000AB", "segment-ab", "segment-00000000000000ag", "segment-",
        "segment-00000000000000ab ", "spare-00000000000000ab", "segment--0000000000000ab"}) {
    EXPECT_FALSE(segment_number(name)) << name;
  }
}

// With another version, its checksum put right.
std::string of_version(std::string bytes, std::size_t version_at, std::size_t length, char version) {
  bytes[version_at] = version;
  const std::uint32_t crc = crc32c(std::string_view(bytes).substr(4, length - 4));
  return bytes.replace(0, 4, reinterpret_cast<const char*>(&crc), 4);
}

TEST(FormatTest, AnotherFormatIsRefusedNotRepaired) {
  static_assert(format_version == 2, "1 began groups at multiples of 512 and proved every one");
  for (const char version : {1, 3}) {
    const std::string found = std::to_string(version);
    Member member(1);
    ASSERT_TRUE(member.open().ok());
    member.die(sim::Loss::power, 1);
    auto& disk = member.machine.disk;
    const sim::SimDisk::Tree tree = disk.save();

    const std::string identity = encode_identity(member.recovered.identity);
    const std::string other = of_version(identity, 12, identity.size(), version);
    ASSERT_TRUE(disk.overwrite("log/identity-b", 0, other).ok());
    Status opened = member.open();
    EXPECT_EQ(opened.code(), Code::failed_precondition);
    EXPECT_NE(opened.message().find("has format " + found + ", this program knows format 2"),
              std::string::npos)
        << opened.to_string();
    EXPECT_EQ(disk.bytes_of("log/identity-b").value(), other);

    disk.restore(tree);
    const std::string segment = disk.bytes_of("log/" + segment_name(1)).value();
    const std::string head = of_version(segment.substr(0, page_bytes), 4, 32, version);
    ASSERT_TRUE(disk.overwrite("log/" + segment_name(1), 0, head).ok());
    opened = member.open();
    EXPECT_EQ(opened.code(), Code::failed_precondition);
    EXPECT_NE(opened.message().find("has format " + found + ", this program knows format 2"),
              std::string::npos)
        << opened.to_string();
    EXPECT_EQ(disk.bytes_of("log/" + segment_name(1)).value().substr(0, page_bytes), head);
  }
}

}  // namespace
}  // namespace lockstep::log
