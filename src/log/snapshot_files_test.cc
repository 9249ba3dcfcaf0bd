// Stories about snapshot files.
#include "log/snapshot_files.h"

#include <gtest/gtest.h>

#include "log/testing_support.h"

namespace lockstep::log {
namespace {

using testing::Machine;

class SnapshotFilesTest : public ::testing::Test {
 protected:
  SnapshotFilesTest() : machine(1) {
    EXPECT_TRUE(machine.disk.create_directory("log").ok());
    EXPECT_TRUE(machine.disk.sync_directory("").ok());
    files.emplace(SnapshotFiles::open(machine.disk, "log").value());
  }
  static std::string content_of(std::size_t bytes) {
    std::string content(bytes, '\0');
    for (std::size_t i = 0; i < bytes; ++i) content[i] = static_cast<char>(i * 37 + i / 251);
    return content;
  }
  void write(std::uint64_t index, const std::string& content) {
    auto writer = files->create({LogIndex(index), Term(3), "context"});
    ASSERT_TRUE(writer.ok());
    for (std::size_t at = 0; at < content.size(); at += 10'000) {
      ASSERT_TRUE((*writer)->append(at, std::string_view(content).substr(at, 10'000)).ok());
    }
    ASSERT_TRUE((*writer)->finish().ok());
  }
  void cut_power(std::uint64_t seed) {
    files.reset();
    machine.crash(sim::Loss::power, seed);
    files.emplace(SnapshotFiles::open(machine.disk, "log").value());
  }
  Machine machine;
  std::optional<SnapshotFiles> files;
};

TEST_F(SnapshotFilesTest, AreReadBackFromAnyOffset) {
  const std::string content = content_of(200'000);
  write(7, content);
  cut_power(1);
  auto reader = files->read(LogIndex(7), Term(3));
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ((*reader)->meta(), (SnapshotMeta{LogIndex(7), Term(3), "context"}));
  EXPECT_EQ((*reader)->size_bytes(), content.size());
  for (const std::uint64_t offset : {0u, 1u, 65'535u, 65'536u, 130'000u, 199'999u, 200'000u, 900'000u}) {
    std::string buffer(70'000, '\0');
    const std::size_t got = (*reader)->read_at(offset, buffer).value();
    EXPECT_EQ(buffer.substr(0, got), offset > content.size() ? "" : content.substr(offset, 70'000));
  }
}

TEST_F(SnapshotFilesTest, AnEmptyOneAndOneOfWholeBlocksAreFine) {
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{65'536}, std::size_t{131'072}}) {
    write(bytes + 1, content_of(bytes));
    auto reader = files->read(LogIndex(bytes + 1), Term(3));
    ASSERT_TRUE(reader.ok());
    EXPECT_EQ((*reader)->size_bytes(), bytes);
  }
  EXPECT_EQ(files->list()->size(), 3u);
}

TEST_F(SnapshotFilesTest, ChunksComeInOrder) {
  auto writer = files->create({LogIndex(1), Term(1), ""});
  ASSERT_TRUE((*writer)->append(0, "abc").ok());
  EXPECT_EQ((*writer)->append(0, "abc").code(), Code::invalid_argument);
  EXPECT_EQ((*writer)->append(4, "e").code(), Code::invalid_argument);
  EXPECT_TRUE((*writer)->append(3, "de").ok());
  EXPECT_EQ((*writer)->size_bytes(), 5u);
}

TEST_F(SnapshotFilesTest, AContextThatIsTooLongIsRefused) {
  EXPECT_TRUE(files->create({LogIndex(1), Term(1), std::string(snapshot_context_bytes_max, 'c')}).ok());
  EXPECT_EQ(
      files->create({LogIndex(1), Term(1), std::string(snapshot_context_bytes_max + 1, 'c')}).status().code(),
      Code::invalid_argument);
}

TEST_F(SnapshotFilesTest, AnAbandonedOneLeavesNothing) {
  {
    auto writer = files->create({LogIndex(1), Term(1), ""});
    ASSERT_TRUE((*writer)->append(0, content_of(100'000)).ok());
  }
  EXPECT_TRUE(machine.disk.paths().empty());
  EXPECT_TRUE(files->list()->empty());
}

TEST_F(SnapshotFilesTest, AreListedNewestFirstAndOldOnesGo) {
  for (const std::uint64_t index : {5, 20, 10}) write(index, "state");
  auto list = files->list().value();
  ASSERT_EQ(list.size(), 3u);
  EXPECT_EQ(list[0].index, LogIndex(20));
  EXPECT_EQ(list[2].index, LogIndex(5));
  ASSERT_TRUE(files->remove_old(2).ok());
  cut_power(1);
  list = files->list().value();
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[1].index, LogIndex(10));
}

TEST_F(SnapshotFilesTest, EveryFlippedByteIsNoticed) {
  const std::string content = content_of(300);
  write(9, content);
  const std::string path = machine.disk.paths().at(0);
  const sim::SimDisk::Tree tree = machine.disk.save();
  const std::size_t file_bytes = machine.disk.bytes_of(path)->size();
  const std::size_t padding_begin = 4 + 8 + 4 + 8 + 8 + 4 + std::string("context").size();
  for (std::size_t at = 0; at < file_bytes; ++at) {
    if (at >= padding_begin && at < sim::page_bytes) continue;
    machine.disk.restore(tree);
    Prng prng(at);
    ASSERT_TRUE(machine.disk.flip_bits(path, at, 1, 1, prng));
    auto reader = files->read(LogIndex(9), Term(3));
    std::string buffer(300, '\0');
    const Status status = reader.ok() ? (*reader)->read_at(0, buffer).status() : reader.status();
    EXPECT_EQ(status.code(), Code::corruption) << "byte " << at;
  }
}

TEST_F(SnapshotFilesTest, OneCutOffAnywhereIsLeftOutOfTheListAndRemoved) {
  write(4, "older");
  write(9, content_of(70'000));
  const std::string path = machine.disk.paths().at(1);
  const std::size_t file_bytes = machine.disk.bytes_of(path)->size();
  for (const std::size_t cut : {file_bytes - 1, file_bytes - 20, std::size_t{65'000}, std::size_t{4096},
                                std::size_t{20}, std::size_t{0}}) {
    ASSERT_TRUE(machine.disk.open(path, env::OpenMode::read_write).value()->truncate(cut).ok());
    EXPECT_EQ(files->list()->size(), 1u);
    EXPECT_EQ(files->damaged(), 1u);
  }
  ASSERT_TRUE(files->remove_old(2).ok());
  EXPECT_EQ(machine.disk.paths().size(), 1u);
}

TEST_F(SnapshotFilesTest, AnotherOnesContentUnderThisNameIsRefused) {
  write(4, "four");
  ASSERT_TRUE(
      machine.disk.rename(machine.disk.paths().at(0), "log/snapshot-0000000000000005-0000000000000003").ok());
  EXPECT_EQ(files->read(LogIndex(5), Term(3)).status().code(), Code::corruption);
}

TEST_F(SnapshotFilesTest, AFullDiskIsAnErrorAndLeavesTheOlderOnes) {
  write(4, "older");
  machine.disk.set_capacity(machine.disk.used_bytes() + 100'000);
  auto writer = files->create({LogIndex(9), Term(3), ""});
  Status status;
  for (std::size_t at = 0; at < 500'000 && status.ok(); at += 50'000) {
    status = (*writer)->append(at, std::string(50'000, 'x'));
  }
  EXPECT_EQ(status.code(), Code::resource_exhausted);
  EXPECT_EQ((*writer)->finish().code(), Code::failed_precondition);
  writer->reset();
  EXPECT_EQ(files->list()->size(), 1u);
  EXPECT_EQ(machine.disk.paths().size(), 1u);
}

}  // namespace
}  // namespace lockstep::log
