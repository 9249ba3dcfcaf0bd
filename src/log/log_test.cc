// Stories about the log on a disk that works, and on one that does not.
#include <algorithm>

#include <gtest/gtest.h>

#include "log/testing_support.h"

namespace lockstep::log {
namespace {

using Done = Log::Done;
using testing::entry;
using testing::hard_state;
using testing::Member;
using testing::small_options;

AppendBatch entries_from(std::uint64_t first, std::size_t count, std::uint64_t term, std::size_t bytes = 20) {
  AppendBatch batch;
  for (std::size_t i = 0; i < count; ++i) {
    batch.entries.push_back(
        entry(first + i, term, std::string(bytes, static_cast<char>('a' + (first + i) % 26))));
  }
  return batch;
}

AppendBatch only(raft::HardState hard) {
  AppendBatch batch;
  batch.hard_state = hard;
  return batch;
}

void restart(Member& member, sim::Loss loss = sim::Loss::power, std::uint64_t seed = 1) {
  member.die(loss, seed);
  const Status status = member.open();
  ASSERT_TRUE(status.ok()) << status.to_string();
  ASSERT_EQ(member.reconcile(), "");
}

TEST(LogTest, ANewDirectoryIsEmptyAndKnowsItsOwner) {
  Member member(1);
  ASSERT_TRUE(member.open().ok());
  EXPECT_TRUE(member.recovered.made_now);
  EXPECT_EQ(member.recovered.identity, (Identity{ClusterId(7), NodeId(1), IncarnationId(0xabcdef)}));
  EXPECT_EQ(member.recovered.last, (LogPosition{}));
  EXPECT_FALSE(member.recovered.damage);
  restart(member);
  EXPECT_FALSE(member.recovered.made_now);
  EXPECT_EQ(member.recovered.identity.incarnation, IncarnationId(0xabcdef));
}

TEST(LogTest, WhatWasAcknowledgedIsThereAfterAPowerCut) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Member member(seed);
    ASSERT_TRUE(member.open().ok());
    member.append(entries_from(1, 3, 1));
    member.append(only(hard_state(2, 1, 2)));
    AppendBatch cut = entries_from(3, 1, 2);
    cut.entries[0].payload = SharedBytes("instead");
    member.append(std::move(cut));
    member.machine.run();
    EXPECT_EQ(member.acknowledged, 3u);
    restart(member, sim::Loss::power, seed);
    ASSERT_EQ(member.recovered.entries.size(), 3u);
    EXPECT_EQ(member.recovered.entries[2].payload.view(), "instead");
    EXPECT_EQ(member.recovered.hard_state, hard_state(2, 1, 2));
  }
}

TEST(LogTest, SmallGroupsAreDoneInsideTheCallLargeOnesLater) {
  Member member(1);
  ASSERT_TRUE(member.open().ok());
  member.append(entries_from(1, 1, 1));
  EXPECT_EQ(member.acknowledged, 1u);
  member.append(entries_from(2, 1, 1, 7000));
  EXPECT_EQ(member.acknowledged, 1u);
  member.append(entries_from(3, 1, 1));
  EXPECT_EQ(member.acknowledged, 1u) << "order is kept";
  member.machine.run();
  EXPECT_EQ(member.acknowledged, 3u);
  EXPECT_EQ(member.log->stats().groups_inline, 1u + 1u) << "the third was alone again";
}

TEST(LogTest, WhatComesWhileAWriteIsUnderWayGoesOutTogether) {
  Member member(1);
  ASSERT_TRUE(member.open().ok());
  member.append(entries_from(1, 1, 1, 7000));
  for (std::uint64_t i = 2; i <= 9; ++i) member.append(entries_from(i, 1, 1));
  EXPECT_GT(member.log->queued_bytes(), 0u);
  member.machine.run();
  EXPECT_EQ(member.acknowledged, 9u);
  EXPECT_EQ(member.log->stats().groups, 2u);
  EXPECT_EQ(member.log->stats().group_appends[3], 1u) << "eight appends in one group";
  EXPECT_EQ(member.log->queued_bytes(), 0u);
  restart(member);
}

TEST(LogTest, ACallbackMayAppend) {
  Member member(1);
  ASSERT_TRUE(member.open().ok());
  std::string order;
  member.log->append(entries_from(1, 1, 1), [&] {
    order += "1(";
    member.log->append(entries_from(2, 1, 1), [&] { order += "2"; });
    order += ")";
  });
  EXPECT_EQ(order, "1()2");
}

// What changes more than the end of the log is told only when it is durable.
TEST(LogTest, OnlyEntriesThatFollowAreDoneWhileTheDiskWorks) {
  Member member(1);
  ASSERT_TRUE(member.open().ok());
  member.machine.disk.work_meanwhile(true);
  std::string story;
  const auto append = [&](const char* name, AppendBatch batch) {
    Done done = [&, name] {
      story += std::string(name) + (member.machine.disk.at_work() ? " meanwhile" : " after");
      EXPECT_EQ(member.log->disk_at_work(), member.machine.disk.at_work());
    };
    member.log->append(std::move(batch), std::move(done));
    member.machine.run();
    EXPECT_FALSE(member.log->disk_at_work());
    story += ", ";
  };
  append("off", entries_from(1, 1, 1));
  member.log->set_inline(4096, true);
  append("one", entries_from(2, 1, 1));
  append("large", entries_from(3, 1, 1, 3000));
  const auto with = [](AppendBatch batch, raft::HardState hard) {
    batch.hard_state = hard;
    return batch;
  };
  append("cut", with(entries_from(3, 2, 2), hard_state(2, 0, 0)));
  append("commit", with(entries_from(5, 1, 2), hard_state(2, 0, 3)));
  append("term", with(entries_from(6, 1, 3), hard_state(3, 0, 3)));
  append("vote", with(entries_from(7, 1, 3), hard_state(3, 1, 3)));
  append("only a commit", only(hard_state(3, 1, 4)));
  AppendBatch configuration = entries_from(8, 1, 3);
  configuration.entries[0].kind = raft::EntryKind::configuration;
  append("configuration", std::move(configuration));
  AppendBatch reset;
  reset.reset = LogPosition{LogIndex(20), Term(3)};
  reset.hard_state = hard_state(3, 1, 20);
  append("reset", std::move(reset));
  append("next", entries_from(21, 2, 3));
  EXPECT_EQ(story,
            "off after, one meanwhile, large after, cut after, commit meanwhile, term after, vote after, "
            "only a commit after, configuration after, reset after, next meanwhile, ");
}

TEST(LogTest, ABarrierIsDoneAfterEverythingBeforeIt) {
  Member member(1);
  ASSERT_TRUE(member.open().ok());
  bool done = false;
  member.log->append({}, [&] { done = true; });
  EXPECT_TRUE(done) << "nothing to wait for";
  done = false;
  member.append(entries_from(1, 1, 1, 7000));
  member.log->append({}, [&] {
    EXPECT_EQ(member.acknowledged, 1u);
    done = true;
  });
  EXPECT_FALSE(done);
  member.machine.run();
  EXPECT_TRUE(done);
}

TEST(LogTest, SegmentsAreFilledOneAfterTheOther) {
  Member member(1);
  ASSERT_TRUE(member.open().ok());
  for (std::uint64_t i = 1; i <= 60; ++i) {
    member.append(entries_from(i, 1, 1, 3000));
    member.machine.run();
  }
  EXPECT_EQ(member.acknowledged, 60u);
  EXPECT_GE(member.log->stats().segments_made, 8u);
  restart(member);
  EXPECT_EQ(member.recovered.entries.size(), 60u);
}

TEST(LogTest, OnlyTheEntriesAskedForAreReturned) {
  Member member(1);
  ASSERT_TRUE(member.open().ok());
  member.append(entries_from(1, 9, 1));
  member.machine.run();
  member.die(sim::Loss::power, 1);
  member.options.entries_after = LogIndex(6);
  ASSERT_TRUE(member.open().ok());
  ASSERT_EQ(member.recovered.entries.size(), 3u);
  EXPECT_EQ(member.recovered.entries[0].index, LogIndex(7));
  EXPECT_EQ(member.recovered.last.index, LogIndex(9));
}

TEST(LogTest, ReleasedSegmentsAreReusedAndNeverSpeakAgain) {
  Member member(1);
  ASSERT_TRUE(member.open().ok());
  for (std::uint64_t i = 1; i <= 200; ++i) {
    member.append(entries_from(i, 1, 1, 3000));
    member.machine.run();
    if (i % 20 == 0) {
      member.append(only(hard_state(1, 0, i)));
      member.release(LogIndex(i - 3));
      member.machine.run();
    }
  }
  EXPECT_GT(member.log->stats().segments_reused, 10u);
  EXPECT_LT(member.machine.disk.paths().size(), 15u);
  restart(member);
  EXPECT_GT(member.recovered.base.index, LogIndex(150));
  EXPECT_EQ(member.recovered.hard_state.commit, LogIndex(200));
}

std::size_t spares_of(Member& member) {
  const auto paths = member.machine.disk.paths();
  return static_cast<std::size_t>(
      std::ranges::count_if(paths, [](const std::string& path) { return path.starts_with("log/spare-"); }));
}

TEST(LogTest, FewSegmentsAreKeptForReuseWhereRoomIsShort) {
  for (const bool is_short : {false, true}) {
    Member member(1);
    ASSERT_TRUE(member.open().ok());
    for (std::uint64_t i = 1; i <= 60; ++i) {
      member.append(entries_from(i, 1, 1, 3000));
      member.machine.run();
    }
    member.append(only(hard_state(1, 0, 60)));
    member.machine.run();
    if (is_short) member.machine.disk.set_capacity(member.machine.disk.used_bytes() + (64 << 10));
    member.release(LogIndex(60));
    member.machine.run();
    EXPECT_EQ(spares_of(member) > 1, !is_short);
    restart(member);
    member.machine.run();
    EXPECT_LE(spares_of(member), is_short ? 1u : 4u);
  }
}

// Whatever the number of appends that fill a segment: after one of them the next group begins another one.
TEST(LogTest, WhatIsReleasedWhileASegmentBeginsIsNotTheLastThatIsDurable) {
  for (std::uint64_t count = 1; count <= 40; ++count) {
    SCOPED_TRACE(count);
    Member member(1);
    ASSERT_TRUE(member.open().ok());
    for (std::uint64_t i = 1; i <= count; ++i) {
      member.append(entries_from(i, 1, 1, 3000));
      member.machine.run();
    }
    member.append(only(hard_state(1, 0, count)));
    member.machine.run();
    member.machine.disk.freeze();
    member.append(entries_from(count + 1, 1, 1, 3000));
    member.release(LogIndex(count));
    member.machine.run();
    member.die(sim::Loss::power, count);
    ASSERT_TRUE(member.open().ok());
    ASSERT_FALSE(member.recovered.damage.has_value()) << member.recovered.damage->reason;
    ASSERT_EQ(member.reconcile(), "");
  }
}

TEST(LogTest, TheHardStateOutlivesEverySegmentItWasWrittenIn) {
  Member member(1);
  ASSERT_TRUE(member.open().ok());
  member.append(only(hard_state(5, 3, 0)));
  for (std::uint64_t i = 1; i <= 40; ++i) {
    member.append(entries_from(i, 5, 5, 3000));
    member.machine.run();
    member.release(LogIndex(i));
  }
  restart(member);
  EXPECT_EQ(member.recovered.hard_state, hard_state(5, 3, 0));
}

TEST(LogTest, ANotedCommitRidesAlong) {
  Member member(1);
  ASSERT_TRUE(member.open().ok());
  member.append(entries_from(1, 4, 1));
  member.log->note_commit(LogIndex(3));
  const std::uint64_t groups = member.log->stats().groups;
  member.machine.run();
  EXPECT_EQ(member.log->stats().groups, groups) << "no write of its own";
  member.append(entries_from(5, 1, 1));
  member.die(sim::Loss::power, 1);
  ASSERT_TRUE(member.open().ok());
  EXPECT_EQ(member.recovered.hard_state.commit, LogIndex(3));
}

TEST(LogTest, ANotedCommitNeverSpeaksOfEntriesThatAQueuedResetReplaces) {
  Member member(1);
  ASSERT_TRUE(member.open().ok());
  member.append(entries_from(1, 1, 1, 7000));  // under way
  member.append(entries_from(2, 4, 1));        // waits, of a dead leader
  AppendBatch reset;
  reset.reset = LogPosition{LogIndex(9), Term(2)};
  reset.hard_state = hard_state(2, 0, 9);
  reset.entries = entries_from(10, 2, 2, 7000).entries;
  member.append(std::move(reset));
  member.log->note_commit(LogIndex(11));
  member.machine.disk.crash_at_step(4);
  member.machine.run();
  member.die(sim::Loss::process, 3);
  ASSERT_TRUE(member.open().ok());
  if (member.recovered.last.index < LogIndex(9)) {
    EXPECT_EQ(member.recovered.hard_state.commit, LogIndex{});
  }
}

TEST(LogTest, AResetDropsTheLogAndGoesOnBehindTheSnapshot) {
  Member member(1);
  ASSERT_TRUE(member.open().ok());
  member.append(entries_from(1, 5, 1));
  AppendBatch reset;
  reset.reset = LogPosition{LogIndex(100), Term(3)};
  reset.hard_state = hard_state(3, 0, 100);
  member.append(std::move(reset));
  member.append(entries_from(101, 2, 3));
  member.machine.run();
  restart(member);
  EXPECT_EQ(member.recovered.base, (LogPosition{LogIndex(100), Term(3)}));
  ASSERT_EQ(member.recovered.entries.size(), 2u);
  EXPECT_EQ(member.recovered.entries[0].index, LogIndex(101));
}

TEST(LogTest, AnAppendLargerThanASegmentIsSplitInOrder) {
  Member member(1);
  ASSERT_TRUE(member.open().ok());
  AppendBatch large = entries_from(1, 40, 2, 3000);
  large.hard_state = hard_state(2, 1, 40);
  member.append(std::move(large));
  member.machine.run();
  EXPECT_EQ(member.acknowledged, 1u);
  EXPECT_GT(member.log->stats().groups, 4u);
  restart(member);
  EXPECT_EQ(member.recovered.entries.size(), 40u);
}

TEST(LogTest, TheLargestEntryFits) {
  Member member(1);
  ASSERT_TRUE(member.open().ok());
  for (std::uint64_t i = 1; i <= 10; ++i) member.append(entries_from(i, 1, 1, 8 * limits::kibibyte));
  member.machine.run();
  restart(member);
  EXPECT_EQ(member.recovered.entries.size(), 10u);
}

TEST(LogTest, ASecondOpenerIsRefused) {
  Member member(1);
  ASSERT_TRUE(member.open().ok());
  auto second = Log::open(member.machine.disk, member.machine, small_options(), nullptr);
  EXPECT_EQ(second.status().code(), Code::failed_precondition);
  member.append(entries_from(1, 1, 1));
  EXPECT_EQ(member.acknowledged, 1u) << "the first is not disturbed";
}

TEST(LogTest, AnotherMembersDirectoryIsRefused) {
  Member member(1);
  ASSERT_TRUE(member.open().ok());
  member.die(sim::Loss::power, 1);
  member.options.node = NodeId(2);
  EXPECT_EQ(member.open().code(), Code::failed_precondition);
  member.options.node = NodeId(1);
  member.options.cluster = ClusterId(8);
  EXPECT_EQ(member.open().code(), Code::failed_precondition);
  member.options.cluster = ClusterId(7);
  EXPECT_TRUE(member.open().ok());
}

TEST(LogTest, OneDamagedIdentityIsRestoredFromTheOtherTwoHalt) {
  for (const bool first : {true, false}) {
    Member member(1);
    ASSERT_TRUE(member.open().ok());
    member.die(sim::Loss::power, 1);
    Prng prng(3);
    ASSERT_TRUE(member.machine.disk.flip_bits(first ? "log/identity-a" : "log/identity-b", 0, 40, 1, prng));
    ASSERT_TRUE(member.open().ok());
    EXPECT_EQ(member.machine.disk.bytes_of("log/identity-a").value(),
              member.machine.disk.bytes_of("log/identity-b").value());
    member.die(sim::Loss::power, 1);
    ASSERT_TRUE(member.machine.disk.flip_bits("log/identity-a", 0, 40, 1, prng));
    ASSERT_TRUE(member.machine.disk.flip_bits("log/identity-b", 0, 40, 1, prng));
    EXPECT_EQ(member.open().code(), Code::corruption);
  }
}

TEST(LogTest, ALogWithoutIdentityIsNotTakenForANewDirectory) {
  Member member(1);
  ASSERT_TRUE(member.open().ok());
  member.append(entries_from(1, 1, 1));
  member.die(sim::Loss::power, 1);
  ASSERT_TRUE(member.machine.disk.remove("log/identity-a").ok());
  ASSERT_TRUE(member.machine.disk.remove("log/identity-b").ok());
  EXPECT_EQ(member.open().code(), Code::corruption);
}

TEST(LogTest, AFailedSyncIsFatalAndNothingIsAcknowledgedAfterIt) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Member member(seed);
    ASSERT_TRUE(member.open().ok());
    member.append(entries_from(1, 2, 1));
    member.machine.run();
    member.machine.disk.fail_nth(sim::DiskCall::sync, 1);
    member.append(entries_from(3, 2, 1, 4000));
    member.append(entries_from(5, 2, 1));
    member.machine.run();
    ASSERT_TRUE(member.fatal.has_value());
    EXPECT_EQ(member.fatal->code(), Code::io_error);
    EXPECT_EQ(member.acknowledged, 1u);
    bool done = false;
    member.log->append({}, [&] { done = true; });
    member.machine.run();
    EXPECT_FALSE(done);
    // The process restarts and sees in the cache what the disk never got; then the power goes.
    member.die(sim::Loss::process, seed);
    ASSERT_TRUE(member.open().ok());
    ASSERT_EQ(member.reconcile(), "");
    const LogIndex seen = member.recovered.last.index;
    restart(member, sim::Loss::power, seed);
    EXPECT_EQ(member.recovered.last.index, seen) << "what a start built on must stay";
  }
}

TEST(LogTest, AFailedWriteIsFatal) {
  Member member(1);
  ASSERT_TRUE(member.open().ok());
  member.machine.disk.fail_nth(sim::DiskCall::write, 1);
  member.append(entries_from(1, 2, 1));
  ASSERT_TRUE(member.fatal.has_value());
  EXPECT_EQ(member.acknowledged, 0u);
}

TEST(LogTest, AFullDiskStopsTheLogAtTheSegmentsEndAndFreeSpaceLetsItGoOn) {
  Member member(1);
  ASSERT_TRUE(member.open().ok());
  member.machine.run();
  member.machine.disk.set_capacity(member.machine.disk.used_bytes());
  std::uint64_t appended = 0;
  while (!member.log->disk_full() || member.acknowledged == appended) {
    member.append(entries_from(++appended, 1, 1, 3000));
    member.machine.run();
    ASSERT_LT(appended, 100u);
  }
  // Five pages of records in each of two segments; the first page was taken.
  EXPECT_EQ(member.acknowledged, 9u) << "the segment prepared ahead is used up first";
  EXPECT_FALSE(member.fatal.has_value());
  member.log->try_again();
  member.machine.run();
  EXPECT_TRUE(member.log->disk_full());
  EXPECT_LT(member.acknowledged, appended);
  // A crash now loses only what was not acknowledged.
  restart(member);
  member.machine.disk.set_capacity(UINT64_MAX);
  member.log->try_again();
  member.machine.run();
  EXPECT_FALSE(member.log->disk_full());
  member.append(entries_from(member.recovered.last.index.value() + 1, 1, 1, 3000));
  member.machine.run();
  EXPECT_EQ(member.acknowledged, 1u);
}

TEST(LogTest, AReleaseMakesRoomOnAFullDisk) {
  Member member(1);
  ASSERT_TRUE(member.open().ok());
  member.machine.run();
  member.machine.disk.set_capacity(member.machine.disk.used_bytes());
  std::uint64_t appended = 0;
  while (!member.log->disk_full() || member.acknowledged == appended) {
    member.append(entries_from(++appended, 1, 1, 3000));
    member.machine.run();
  }
  member.release(LogIndex(9));
  member.machine.run();
  EXPECT_EQ(member.acknowledged, appended) << "the released segment took what had waited";
  restart(member);
}

TEST(LogTest, AFrozenDiskAcknowledgesNothing) {
  Member member(1);
  ASSERT_TRUE(member.open().ok());
  member.machine.disk.freeze();
  member.append(entries_from(1, 1, 1));
  member.machine.run();
  EXPECT_EQ(member.acknowledged, 0u);
  member.machine.disk.thaw();
  member.machine.run();
  EXPECT_EQ(member.acknowledged, 1u);
}

TEST(LogTest, AnUnreadableSectorStopsTheOpen) {
  Member member(1);
  ASSERT_TRUE(member.open().ok());
  member.append(entries_from(1, 1, 1));
  member.die(sim::Loss::power, 1);
  member.machine.disk.set_unreadable("log/segment-0000000000000001", 3 * 4096, 512);
  EXPECT_EQ(member.open().code(), Code::io_error);
}

}  // namespace
}  // namespace lockstep::log
