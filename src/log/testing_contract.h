// What the log promises on any Disk: included by one test program for each, which instantiates LogContract.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "log/log.h"
#include "log/segment.h"
#include "log/snapshot_files.h"

namespace lockstep::log::testing {

// A disk with one member on it.
class ContractWorld {
 public:
  virtual ~ContractWorld() = default;
  virtual env::Disk& disk() = 0;
  virtual env::Worker& worker() = 0;
  // Lets time go on until the condition holds; fails the test if it never does.
  virtual void run_until(const std::function<bool()>& condition) = 0;
  // Waits until nothing is under way: then the log is destroyed as by the end of a process.
  virtual void settle() = 0;
};
using ContractWorldFactory = std::function<std::unique_ptr<ContractWorld>()>;

class LogContract : public ::testing::TestWithParam<ContractWorldFactory> {
 protected:
  LogContract() : world(GetParam()()) {
    options.cluster = ClusterId(3);
    options.node = NodeId(2);
    options.new_incarnation = IncarnationId(77);
    options.entry_bytes_max = 64 * limits::kibibyte;
    options.group_bytes_max = 256 * limits::kibibyte;
    options.segment_bytes = 512 * limits::kibibyte;
  }
  ~LogContract() override { close(); }

  Status open() {
    auto opened =
        Log::open(world->disk(), world->worker(), options, [this](Status why) { fatal = std::move(why); });
    if (!opened.ok()) return opened.status();
    log = std::move(opened->log);
    recovered = std::move(opened->recovered);
    return {};
  }
  void close() {
    world->settle();
    log.reset();
  }
  void reopen() {
    close();
    const Status opened = open();
    ASSERT_TRUE(opened.ok()) << opened.to_string();
  }
  static raft::Entry entry(std::uint64_t index, std::uint64_t term, std::size_t bytes) {
    raft::Entry result;
    result.index = LogIndex(index);
    result.term = Term(term);
    std::string payload(bytes, '\0');
    for (std::size_t i = 0; i < bytes; ++i) payload[i] = static_cast<char>(index * 131 + term * 17 + i * 7);
    result.payload = SharedBytes(std::move(payload));
    return result;
  }
  void append(std::uint64_t first, std::size_t count, std::uint64_t term, std::size_t bytes) {
    AppendBatch batch;
    for (std::size_t i = 0; i < count; ++i) batch.entries.push_back(entry(first + i, term, bytes));
    ++appended;
    log->append(std::move(batch), [this] { ++acknowledged; });
  }
  void append(raft::HardState hard) {
    AppendBatch batch;
    batch.hard_state = hard;
    ++appended;
    log->append(std::move(batch), [this] { ++acknowledged; });
  }
  void run() {
    world->run_until([this] { return acknowledged == appended || fatal.has_value(); });
    ASSERT_FALSE(fatal.has_value()) << fatal->to_string();
  }

  std::unique_ptr<ContractWorld> world;
  Options options;
  std::unique_ptr<Log> log;
  Recovered recovered;
  std::optional<Status> fatal;
  std::uint64_t appended = 0;
  std::uint64_t acknowledged = 0;
};

TEST_P(LogContract, ANewDirectoryIsEmpty) {
  ASSERT_TRUE(open().ok());
  EXPECT_TRUE(recovered.made_now);
  EXPECT_EQ(recovered.last, LogPosition{});
  reopen();
  EXPECT_FALSE(recovered.made_now);
  EXPECT_EQ(recovered.identity, (Identity{ClusterId(3), NodeId(2), IncarnationId(77)}));
}

TEST_P(LogContract, SmallAndLargeAppendsAreReadBack) {
  ASSERT_TRUE(open().ok());
  append(1, 3, 1, 100);
  append(4, 2, 1, 60'000);
  append({Term(2), NodeId(1), LogIndex(4)});
  append(6, 1, 2, 0);
  append(7, 10, 2, 5'000);
  run();
  reopen();
  EXPECT_EQ(recovered.hard_state, (raft::HardState{Term(2), NodeId(1), LogIndex(4)}));
  ASSERT_EQ(recovered.entries.size(), 16u);
  EXPECT_EQ(recovered.entries[3], entry(4, 1, 60'000));
  EXPECT_EQ(recovered.entries[15], entry(16, 2, 5'000));
}

TEST_P(LogContract, WhatWasCutDoesNotReturn) {
  ASSERT_TRUE(open().ok());
  append(1, 20, 1, 1000);
  append(5, 2, 2, 10);
  run();
  reopen();
  ASSERT_EQ(recovered.entries.size(), 6u);
  EXPECT_EQ(recovered.entries[4], entry(5, 2, 10));
}

TEST_P(LogContract, AppendsOfManyCallersGoOutInGroups) {
  ASSERT_TRUE(open().ok());
  for (std::uint64_t i = 1; i <= 50; ++i) append(i, 1, 1, 200);
  append(51, 1, 1, 50'000);
  for (std::uint64_t i = 52; i <= 1000; ++i) append(i, 1, 1, 200);
  run();
  EXPECT_LE(log->stats().groups, 54u);
  reopen();
  ASSERT_EQ(recovered.entries.size(), 1000u);
  EXPECT_EQ(recovered.entries[999], entry(1000, 1, 200));
}

TEST_P(LogContract, SegmentsAreFilledReleasedAndUsedAgain) {
  ASSERT_TRUE(open().ok());
  for (std::uint64_t i = 1; i <= 150; ++i) {
    append(i, 1, 1, 40'000);
    run();
    if (i % 25 == 0) log->release(LogIndex(i - 2));
  }
  EXPECT_GE(log->stats().segments_released, 8u);
  EXPECT_GE(log->stats().segments_reused, 3u);
  reopen();
  EXPECT_EQ(recovered.last.index, LogIndex(150));
  EXPECT_GT(recovered.base.index, LogIndex(100));
  EXPECT_EQ(recovered.entries.back(), entry(150, 1, 40'000));
}

TEST_P(LogContract, ASecondOpenerIsRefused) {
  ASSERT_TRUE(open().ok());
  auto second = Log::open(world->disk(), world->worker(), options, nullptr);
  EXPECT_EQ(second.status().code(), Code::failed_precondition);
}

TEST_P(LogContract, ATornLastRecordIsCutADamagedOneReported) {
  for (const bool proved : {false, true}) {
    options.directory = proved ? "proved" : "torn";
    ASSERT_TRUE(open().ok());
    append(1, 1, 1, 100);
    append(2, 1, 1, 100);
    run();
    if (proved) {
      log->flush_idle();
      world->run_until([this] { return !log->flush_idle_wanted(); });
    }
    close();
    auto file = world->disk().open(options.directory + "/" + segment_name(1), env::OpenMode::read_write);
    ASSERT_TRUE(file.ok());
    // The third record: after the empty first and the one of entry 1, which take a page each.
    ASSERT_TRUE((*file)->write_at(records_offset + 2 * page_bytes + 150, "torn").ok());
    ASSERT_TRUE((*file)->sync().ok());
    ASSERT_TRUE(open().ok());
    EXPECT_EQ(recovered.last.index, LogIndex(1));
    EXPECT_EQ(recovered.damage.has_value(), proved);
    close();
  }
}

TEST_P(LogContract, SnapshotsAreWholeOrAbsent) {
  ASSERT_TRUE(open().ok());
  const std::string content(300'000, 'c');
  {
    auto files = SnapshotFiles::open(world->disk(), options.directory);
    ASSERT_TRUE(files.ok());
    auto whole = files->create({LogIndex(5), Term(1), "members"});
    ASSERT_TRUE(whole.ok());
    ASSERT_TRUE((*whole)->append(0, content).ok());
    ASSERT_TRUE((*whole)->finish().ok());
    auto part = files->create({LogIndex(9), Term(1), "members"});
    ASSERT_TRUE(part.ok());
    ASSERT_TRUE((*part)->append(0, content).ok());
  }
  reopen();
  auto files = SnapshotFiles::open(world->disk(), options.directory);
  ASSERT_TRUE(files.ok());
  const auto list = files->list();
  ASSERT_TRUE(list.ok());
  ASSERT_EQ(list->size(), 1u);
  auto reader = files->read(LogIndex(5), Term(1));
  ASSERT_TRUE(reader.ok());
  std::string read(content.size(), '\0');
  EXPECT_EQ((*reader)->read_at(0, read).value(), content.size());
  EXPECT_EQ(read, content);
}

}  // namespace lockstep::log::testing
