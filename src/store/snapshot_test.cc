// The snapshot stream: what goes in comes out, in any pieces, and no damage gets through.
#include "store/snapshot.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "base/prng.h"
#include "engine/memory_engine.h"
#include "store/persistence_rows.h"
#include "store/rows.h"

namespace lockstep::store {
namespace {

using engine::Table;
using engine::WriteBatch;

std::unique_ptr<engine::Engine> fresh_engine() {
  return engine::open_memory_engine(std::make_shared<engine::MemoryMedium>());
}

// A few rows in each table; `large` bytes in one of them.
std::unique_ptr<engine::Engine> filled_engine(std::size_t large) {
  auto engine = fresh_engine();
  WriteBatch batch;
  batch.put(
      Table::meta, state_row_key(),
      encode_state_row({.applied_index = LogIndex(7), .applied_term = Term(2), .revision = Revision(1)}));
  batch.put(Table::meta, configuration_row_key(), "members");
  batch.put(Table::history, history_row_key(Revision(2)), std::string(large, 'h'));
  batch.put(Table::pinned, "p", "pinned");
  EXPECT_TRUE(engine->write(std::move(batch)).ok());
  return engine;
}

std::string stream_of(SnapshotSource& source, std::size_t piece) {
  while (!*source.measure(piece)) {
  }
  std::string stream;
  while (stream.size() < source.total_bytes()) stream += *source.read(stream.size(), piece);
  return stream;
}

// Every row as text.
Result<std::string> decode(std::string_view stream, std::size_t piece) {
  std::string text;
  SnapshotDecoder decoder([&](Table table, std::string_view key, std::string_view value) {
    text.append(to_string(table)).append("/").append(key).append("=").append(value).append("\n");
    return Status();
  });
  for (std::size_t offset = 0; offset < stream.size(); offset += piece) {
    LS_RETURN_IF_ERROR(decoder.feed(stream.substr(offset, piece)));
  }
  LS_RETURN_IF_ERROR(decoder.finish());
  return text;
}

TEST(Snapshot, NothingWrittenIsNoSnapshot) {
  EXPECT_EQ(SnapshotSource::open(*fresh_engine()).status().code(), Code::failed_precondition);
}

TEST(Snapshot, TheStreamIsTheSameInPiecesOfAnySize) {
  const auto engine = filled_engine(300'000);
  std::string expected;
  for (const std::size_t piece : {1'000'000, 70'000, 999}) {
    const auto source = SnapshotSource::open(*engine);
    ASSERT_TRUE(source.ok());
    EXPECT_EQ((*source)->index(), LogIndex(7));
    EXPECT_EQ((*source)->term(), Term(2));
    EXPECT_EQ((*source)->configuration(), "members");
    const std::string stream = stream_of(**source, piece);
    EXPECT_EQ(stream.size(), (*source)->total_bytes());
    if (expected.empty()) expected = stream;
    EXPECT_TRUE(stream == expected);
    const auto text = decode(stream, piece);
    ASSERT_TRUE(text.ok()) << text.status().to_string();
    EXPECT_TRUE(text->starts_with("meta/pm=members\nmeta/s="));
    EXPECT_TRUE(text->ends_with("\npinned/p=pinned\n"));
  }
}

TEST(Snapshot, ReadingAgainFromAnyOffsetGivesTheSame) {
  const auto engine = filled_engine(200'000);
  const auto source = SnapshotSource::open(*engine);
  const std::string stream = stream_of(**source, 50'000);
  Prng prng(1);
  for (int i = 0; i < 50; ++i) {
    const std::size_t offset = prng.below(stream.size() + 1);
    const std::size_t length = prng.below(100'000);
    ASSERT_TRUE(*(*source)->read(offset, length) == stream.substr(offset, length)) << offset << " " << length;
  }
}

TEST(Snapshot, NoFlippedByteAndNoCutGetsThrough) {
  const auto engine = filled_engine(20);
  const auto source = SnapshotSource::open(*engine);
  const std::string stream = stream_of(**source, 1000);
  ASSERT_TRUE(decode(stream, 7).ok());
  for (std::size_t at = 0; at < stream.size(); ++at) {
    for (const std::size_t piece : {std::size_t{3}, stream.size()}) {
      std::string flipped = stream;
      flipped[at] = static_cast<char>(flipped[at] ^ 0x10);
      EXPECT_EQ(decode(flipped, piece).status().code(), Code::corruption) << "byte " << at;
      EXPECT_EQ(decode(stream.substr(0, at), piece).status().code(), Code::corruption) << "cut at " << at;
    }
  }
  EXPECT_EQ(decode(stream + "x", stream.size() + 1).status().code(), Code::corruption);
}

TEST(Snapshot, InstallingReplacesTheContentOrNothing) {
  const auto from = filled_engine(1000);
  const auto source = SnapshotSource::open(*from);
  const std::string stream = stream_of(**source, 1000);
  const auto into = fresh_engine();
  WriteBatch batch;
  batch.put(Table::meta, "old", "1");
  ASSERT_TRUE(into->write(std::move(batch)).ok());
  {
    SnapshotInstaller cut(*into);
    ASSERT_TRUE(cut.feed(std::string_view(stream).substr(0, stream.size() - 1)).ok());
    EXPECT_EQ(cut.commit((*source)->digest()).code(), Code::corruption);
  }
  {
    SnapshotInstaller other(*into);
    ASSERT_TRUE(other.feed(stream).ok());
    EXPECT_EQ(other.commit((*source)->digest() + 1).code(), Code::corruption) << "not the announced one";
  }
  EXPECT_EQ(**into->get(Table::meta, "old"), "1");
  SnapshotInstaller installer(*into);
  ASSERT_TRUE(installer.feed(stream).ok());
  ASSERT_TRUE(installer.commit((*source)->digest()).ok());
  EXPECT_EQ(*into->get(Table::meta, "old"), std::nullopt);
  EXPECT_EQ(**into->get(Table::pinned, "p"), "pinned");
}

// The next chunk is on its way already when one is refused.
TEST(Snapshot, BehindAChunkThatFailedAllFailAndNothingIsWritten) {
  const auto from = filled_engine(1000);
  const auto source = SnapshotSource::open(*from);
  const std::string stream = stream_of(**source, 1000);
  const auto into = fresh_engine();
  Status no_room(Code::resource_exhausted, "no room");
  int asked = 0;
  SnapshotInstaller unwelcome(*into, [&] {
    ++asked;
    return no_room;
  });
  EXPECT_EQ(unwelcome.feed(std::string_view(stream).substr(0, 500)), no_room);
  EXPECT_EQ(unwelcome.feed(std::string_view(stream).substr(500)), no_room);
  EXPECT_EQ(unwelcome.commit((*source)->digest()), no_room);
  EXPECT_EQ(asked, 1);
  SnapshotInstaller misled(*into, [&] { return Status(); });
  const Status malformed = misled.feed("of another format");
  EXPECT_EQ(malformed.code(), Code::corruption);
  EXPECT_EQ(misled.feed(stream), malformed);
  EXPECT_EQ(misled.commit((*source)->digest()), malformed);
}

// The example of docs/formats/snapshot.md, byte for byte.
TEST(Snapshot, TheWorkedExample) {
  const auto engine = fresh_engine();
  WriteBatch batch;
  batch.put(
      Table::meta, state_row_key(),
      encode_state_row({.applied_index = LogIndex(3), .applied_term = Term(1), .revision = Revision(1)}));
  batch.put(Table::pinned, "k", "v");
  ASSERT_TRUE(engine->write(std::move(batch)).ok());
  const auto source = SnapshotSource::open(*engine);
  const std::string stream = stream_of(**source, 1000);
  std::string hex;
  for (const char byte : stream) {
    constexpr std::string_view digits = "0123456789abcdef";
    hex += digits[static_cast<std::uint8_t>(byte) >> 4];
    hex += digits[static_cast<std::uint8_t>(byte) & 15];
  }
  EXPECT_EQ(hex,
            "4c53534e41503031"                      // magic
            "1d000000573acbd6"                      // a frame of 29 bytes, its checksum
            "00017312"                              // meta row, key "s", 18 bytes:
            "030301020100000000000000000000000000"  // its value, the state row
            "02016b0176"                            // pinned row "k" = "v"
            "ff02");                                // the end: two rows
}

}  // namespace
}  // namespace lockstep::store
