// Which damage is told from a torn end: pages that belong to one group, and how seldom a ring slot may go
// along.
#include <gtest/gtest.h>

#include "log/testing_damage.h"
#include "log/writer.h"

namespace lockstep::log {
namespace {

using sim::Loss;
using testing::expect_state;
using testing::fill;
using testing::hard_state;
using testing::Member;
using testing::Model;
using testing::one_entry;

// What docs/formats/log.md says: so many of the last groups may be lost together without a proof of them.
constexpr std::uint64_t lost_together_max = 16;
static_assert(groups_unproved_max == lost_together_max);

AppendBatch only(raft::HardState hard) {
  AppendBatch batch;
  batch.hard_state = hard;
  return batch;
}

// Where each record of the log begins, and behind the last. The log must be closed.
struct Layout {
  struct Record {
    std::string path;
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    std::uint64_t group = 0;
  };
  explicit Layout(Member& member) {
    auto& disk = member.machine.disk;
    const IncarnationId incarnation = load_identity(disk, "log").value().incarnation;
    for (const std::string& path : disk.paths()) {
      const auto number = segment_number(path.substr(4));
      if (!number) continue;
      const std::string bytes = disk.bytes_of(path).value();
      std::uint64_t at = records_offset;
      while (at < bytes.size()) {
        const auto header =
            decode_record_header(std::string_view(bytes).substr(at), {incarnation, *number, at});
        if (!header) break;
        const std::uint64_t end = at + record_space(header->body_bytes);
        records.push_back({path, at, end, header->state.group});
        at = end;
      }
    }
  }
  std::vector<Record> records;
};

enum class Garbage : std::uint8_t { noise, zeros, neighbour };

std::string garbage_for(Garbage kind, const std::string& bytes, std::uint64_t page, std::uint64_t seed) {
  if (kind == Garbage::zeros) return std::string(page_bytes, '\0');
  if (kind == Garbage::neighbour) return bytes.substr(page - page_bytes, page_bytes);
  std::string noise(page_bytes, '\0');
  Prng prng(seed);
  for (char& byte : noise) byte = static_cast<char>(prng.below(256));
  return noise;
}

void destroy(Member& member, const Layout::Record& record) {
  for (std::uint64_t page = record.begin; page < record.end; page += page_bytes) {
    ASSERT_TRUE(
        member.machine.disk.overwrite(record.path, page, garbage_for(Garbage::noise, "", page, page)).ok());
  }
}
void destroy_last(Member& member, std::size_t count) {
  const Layout layout(member);
  ASSERT_LT(count, layout.records.size());
  for (std::size_t i = 0; i < count; ++i) destroy(member, layout.records[layout.records.size() - 1 - i]);
}

// ---- pages

class PageTest : public ::testing::TestWithParam<std::tuple<Garbage, std::size_t>> {};

TEST_P(PageTest, EveryPageOfTheLastRecordsIsDamageButTheVeryLastOnes) {
  const auto [kind, payload_bytes] = GetParam();
  Member writer(1);
  ASSERT_TRUE(writer.open().ok());
  fill(writer, 2 * lost_together_max + 5, payload_bytes);
  const Model model = writer.states.back();
  writer.die(Loss::power, 1);
  const sim::SimDisk::Tree tree = writer.machine.disk.save();
  const Layout layout(writer);
  ASSERT_GT(layout.records.size(), 2 * lost_together_max);
  std::uint64_t cut = 0;
  for (const Layout::Record& record : layout.records) {
    for (std::uint64_t page = record.begin; page < record.end; page += page_bytes) {
      SCOPED_TRACE("group " + std::to_string(record.group) + ", " + record.path + " at " +
                   std::to_string(page));
      Member member(page);
      member.machine.disk.restore(tree);
      const std::string bytes = member.machine.disk.bytes_of(record.path).value();
      ASSERT_TRUE(
          member.machine.disk.overwrite(record.path, page, garbage_for(kind, bytes, page, page)).ok());
      ASSERT_TRUE(member.open().ok());
      EXPECT_LT(member.recovered.last.index, model.last_index());
      for (const raft::Entry& got : member.recovered.entries) {
        EXPECT_EQ(got, model.entries[got.index.value() - 1]);
      }
      if (record.group != layout.records.back().group) {
        ASSERT_TRUE(member.log->needs_discard()) << "acknowledged groups were cut";
        EXPECT_GE(member.recovered.damage->index_last, LogIndex(record.group));
      } else if (!member.recovered.damage) {
        EXPECT_EQ(member.recovered.last.index.next(), model.last_index()) << "no more than the last is cut";
        ++cut;
      }
      member.die(Loss::power, page);
    }
  }
  EXPECT_GT(cut, 0u) << "the last one looks torn: were it proved, the others would prove nothing here";
}

INSTANTIATE_TEST_SUITE_P(Shapes, PageTest,
                         ::testing::Combine(::testing::Values(Garbage::noise, Garbage::zeros,
                                                              Garbage::neighbour),
                                            ::testing::Values(200, 6000)));

TEST(ProofTest, NoWriteTouchesAPageWithAcknowledgedBytes) {
  Member member(1);
  ASSERT_TRUE(member.open().ok());
  fill(member, 1, 200);
  // The padding of the page says whether the page was written again.
  auto& disk = member.machine.disk;
  const std::uint64_t last_byte = records_offset + 2 * page_bytes - 1;
  ASSERT_TRUE(disk.overwrite("log/" + segment_name(1), last_byte, "!").ok());
  fill(member, 2, 200);
  member.log->flush_idle();
  member.machine.run();
  EXPECT_EQ(disk.bytes_of("log/" + segment_name(1)).value()[last_byte], '!');
  const Model model = member.states.back();
  member.die(Loss::power, 1);
  EXPECT_EQ(disk.bytes_of("log/" + segment_name(1)).value()[last_byte], '!');
  for (const Layout::Record& record : Layout(member).records) {
    EXPECT_EQ(record.begin % page_bytes, 0u);
    EXPECT_EQ(record.end % page_bytes, 0u);
  }
  expect_state(member, model);
}

TEST(ProofTest, WhateverATornWriteLeavesInItsPagesTheGroupsBeforeItStay) {
  for (const std::size_t payload_bytes : {100, 6000}) {
    for (std::uint64_t count = 0; count < 2 * lost_together_max; ++count) {
      SCOPED_TRACE(std::to_string(count) + " groups before");
      Member member(count);
      ASSERT_TRUE(member.open().ok());
      fill(member, count, 100);
      const Model acknowledged = member.states.back();
      member.append(one_entry(count + 1, 1, payload_bytes));
      member.machine.run();
      member.die(Loss::power, count);
      destroy_last(member, 1);
      ASSERT_TRUE(member.open().ok());
      ASSERT_FALSE(member.recovered.damage) << member.recovered.damage->reason;
      EXPECT_EQ(testing::difference(member.recovered, acknowledged, LogIndex{}), "");
    }
  }
}

TEST(ProofTest, ATornGroupThatBeginsASegmentStillProvesTheOneBeforeItsPredecessorsLoss) {
  for (const bool predecessor_lost : {false, true}) {
    Member member(1);
    ASSERT_TRUE(member.open().ok());
    fill(member, 4, 200);   // with the first, empty one: the segment is full
    fill(member, 1, 6000);  // begins the second
    member.die(Loss::power, 1);
    const Layout layout(member);
    const Layout::Record& last = layout.records.back();
    ASSERT_EQ(last.path, "log/" + segment_name(2));
    ASSERT_EQ(last.begin, records_offset);
    ASSERT_TRUE(member.machine.disk.overwrite(last.path, last.begin + page_bytes, "torn").ok());
    if (predecessor_lost) destroy(member, layout.records[layout.records.size() - 2]);
    ASSERT_TRUE(member.open().ok());
    EXPECT_EQ(member.recovered.damage.has_value(), predecessor_lost);
    EXPECT_EQ(member.recovered.last.index, LogIndex(predecessor_lost ? 3 : 4));
  }
}

// ---- slots

class LostTogetherTest : public ::testing::TestWithParam<std::size_t> {};

TEST_P(LostTogetherTest, MoreThanSixteenAreAlwaysNoticed) {
  for (std::uint64_t count = lost_together_max + 1; count < 4 * lost_together_max; ++count) {
    SCOPED_TRACE(std::to_string(count) + " groups");
    Member member(count);
    member.options.segment_bytes = GetParam();
    ASSERT_TRUE(member.open().ok());
    fill(member, count, 100);
    member.die(Loss::power, count);
    destroy_last(member, lost_together_max + 1);
    ASSERT_TRUE(member.open().ok());
    ASSERT_TRUE(member.recovered.damage.has_value()) << "acknowledged groups were cut";
    EXPECT_EQ(member.recovered.last.index, LogIndex(count - lost_together_max - 1));
    EXPECT_GE(member.recovered.damage->index_last, LogIndex(count - lost_together_max));
  }
}

TEST_P(LostTogetherTest, AndWithOneRingPageTwiceAsManyAndOne) {
  for (const std::uint64_t ring_page : {0, 1}) {
    for (std::uint64_t count = 3 * lost_together_max; count < 6 * lost_together_max; ++count) {
      SCOPED_TRACE(std::to_string(count) + " groups, ring page " + std::to_string(ring_page));
      Member member(count);
      member.options.segment_bytes = GetParam();
      ASSERT_TRUE(member.open().ok());
      fill(member, count, 100);
      member.die(Loss::power, count);
      for (const std::string& path : member.machine.disk.paths()) {
        if (!segment_number(path.substr(4))) continue;
        ASSERT_TRUE(member.machine.disk
                        .overwrite(path, ring_offset + ring_page * page_bytes, std::string(page_bytes, 'x'))
                        .ok());
      }
      destroy_last(member, 2 * lost_together_max + 1);
      ASSERT_TRUE(member.open().ok());
      EXPECT_TRUE(member.recovered.damage.has_value()) << "acknowledged groups were cut";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Segments, LostTogetherTest,
                         ::testing::Values(32 * limits::kibibyte, 1 * limits::mebibyte));

TEST(ProofTest, SlotsAreSeldomWhileGroupsCome) {
  Member member(1);
  member.options.segment_bytes = 1 * limits::mebibyte;
  ASSERT_TRUE(member.open().ok());
  fill(member, 10 * lost_together_max + 1, 100);
  const Stats& stats = member.log->stats();
  EXPECT_EQ(stats.bytes, stats.groups * page_bytes + 10 * sector_bytes);
}

TEST(ProofTest, AVoteIsRememberedOnceTheGroupBehindItIsDurable) {
  for (const raft::HardState changed : {hard_state(2, 3, 1), hard_state(2, 0, 1), hard_state(1, 2, 1)}) {
    Member member(1);
    ASSERT_TRUE(member.open().ok());
    AppendBatch first = one_entry(1, 1, 100);
    first.hard_state = hard_state(1, 0, 1);
    member.append(std::move(first));
    fill(member, 3, 100);
    member.append(only(changed));
    fill(member, 1, 100);
    member.die(Loss::power, 1);
    destroy_last(member, 2);
    ASSERT_TRUE(member.open().ok());
    ASSERT_TRUE(member.recovered.damage.has_value()) << "a vote was cut";
    EXPECT_EQ(member.recovered.hard_state, changed);
  }
}

TEST(ProofTest, AskedForASlotTheNextGroupCarriesIt) {
  for (const bool asked : {false, true}) {
    Member member(1);
    ASSERT_TRUE(member.open().ok());
    fill(member, 3, 100);
    if (asked) member.log->prove_with_next_group();
    EXPECT_TRUE(member.log->flush_idle_wanted());
    const std::uint64_t flushes = member.log->stats().idle_flushes;
    fill(member, 1, 100);
    EXPECT_EQ(member.log->stats().idle_flushes, flushes) << "no sync of its own";
    member.die(Loss::power, 1);
    destroy_last(member, 2);
    ASSERT_TRUE(member.open().ok());
    EXPECT_EQ(member.recovered.damage.has_value(), asked);
  }
}

}  // namespace
}  // namespace lockstep::log
