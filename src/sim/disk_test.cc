// Stories about the simulated disk: what survives, what does not, and that a seed decides it.
#include "sim/disk.h"

#include <deque>

#include <gtest/gtest.h>

namespace lockstep::sim {
namespace {

using env::OpenMode;

struct Machine {
  explicit Machine(std::uint64_t seed = 1)
      : disk(seed, [this](std::int64_t, env::Closure closure) { queue.push_back(std::move(closure)); }) {}
  void run() {
    while (!queue.empty()) {
      env::Closure next = std::move(queue.front());
      queue.pop_front();
      next();
    }
  }
  std::unique_ptr<env::File> make(const std::string& path) {
    auto file = disk.open(path, OpenMode::create_new);
    EXPECT_TRUE(file.ok()) << file.status().to_string();
    return std::move(file.value());
  }
  void make_durable(const std::string& path, std::string_view bytes) {
    auto file = make(path);
    EXPECT_TRUE(file->write_at(0, bytes).ok());
    EXPECT_TRUE(file->sync().ok());
    EXPECT_TRUE(disk.sync_directory("").ok());
  }
  void cut_power(std::uint64_t seed) {
    Prng prng(seed);
    disk.crash(Loss::power, prng);
  }
  std::deque<env::Closure> queue;
  SimDisk disk;
};

std::string repeated(char byte, std::size_t count) {
  return std::string(count, byte);
}

TEST(SimDiskTest, WhatWasSyncedSurvivesEveryPowerCut) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Machine machine;
    machine.make_durable("a", repeated('x', 9000));
    machine.cut_power(seed);
    EXPECT_EQ(machine.disk.bytes_of("a").value(), repeated('x', 9000));
  }
}

TEST(SimDiskTest, UnsyncedSectorsSurviveInAnySubset) {
  bool none = false;
  bool whole = false;
  bool torn = false;
  bool hole = false;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Machine machine;
    machine.make_durable("a", repeated('x', 5 * sector_bytes));
    auto file = machine.disk.open("a", OpenMode::read_write);
    ASSERT_TRUE(file.value()->write_at(0, repeated('y', 5 * sector_bytes)).ok());
    machine.cut_power(seed);
    const std::string after = machine.disk.bytes_of("a").value();
    std::string pattern;
    for (std::size_t sector = 0; sector < 5; ++sector) {
      const std::string part = after.substr(sector * sector_bytes, sector_bytes);
      ASSERT_EQ(part, repeated(part[0], sector_bytes)) << "a sector is never torn";
      pattern.push_back(part[0]);
    }
    none |= pattern == "xxxxx";
    whole |= pattern == "yyyyy";
    torn |= pattern == "yyxxx";
    hole |= pattern[0] == 'y' && pattern[1] == 'x' && pattern.back() == 'y';
  }
  EXPECT_TRUE(none);
  EXPECT_TRUE(whole);
  EXPECT_TRUE(torn);
  EXPECT_TRUE(hole);
}

TEST(SimDiskTest, AKilledProcessLeavesItsWritesInTheCache) {
  Machine machine;
  machine.make_durable("a", "old");
  auto file = machine.disk.open("a", OpenMode::read_write);
  ASSERT_TRUE(file.value()->write_at(0, "new").ok());
  Prng prng(1);
  machine.disk.crash(Loss::process, prng);
  EXPECT_EQ(machine.disk.bytes_of("a").value(), "new");
  EXPECT_EQ(machine.disk.durable_bytes_of("a").value(), "old");
  EXPECT_EQ(file.value()->write_at(0, "dead").code(), Code::io_error) << "handles die with their process";
}

TEST(SimDiskTest, ANameIsDurableOnlyAfterItsDirectoryWasSynced) {
  bool survived = false;
  bool vanished = false;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Machine machine;
    auto file = machine.make("a");
    ASSERT_TRUE(file->write_at(0, "bytes").ok());
    ASSERT_TRUE(file->sync().ok());
    machine.cut_power(seed);
    const auto bytes = machine.disk.bytes_of("a");
    if (bytes.ok()) EXPECT_EQ(bytes.value(), "bytes");
    (bytes.ok() ? survived : vanished) = true;
  }
  EXPECT_TRUE(survived);
  EXPECT_TRUE(vanished);
}

TEST(SimDiskTest, ARenameIsOldOrNewNeverNothing) {
  std::set<std::string> seen;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Machine machine;
    machine.make_durable("a", "old");
    machine.make_durable("t", "new");
    ASSERT_TRUE(machine.disk.rename("t", "a").ok());
    machine.cut_power(seed);
    seen.insert(machine.disk.bytes_of("a").value());
  }
  EXPECT_EQ(seen, (std::set<std::string>{"old", "new"}));
}

TEST(SimDiskTest, AfterAFailedSyncTheUnsyncedBytesAreGoneWhateverTheNextSyncSays) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    Machine machine(seed);
    machine.make_durable("a", repeated('x', 2 * sector_bytes));
    auto file = machine.disk.open("a", OpenMode::read_write);
    ASSERT_TRUE(file.value()->write_at(0, repeated('y', 2 * sector_bytes)).ok());
    machine.disk.fail_nth(DiskCall::sync, 1);
    EXPECT_EQ(file.value()->sync().code(), Code::io_error);
    EXPECT_TRUE(file.value()->sync().ok());
    machine.cut_power(seed);
    EXPECT_EQ(machine.disk.bytes_of("a").value(), repeated('x', 2 * sector_bytes));
  }
}

TEST(SimDiskTest, WriteAndSyncCompletesInOrderThroughTheScheduler) {
  Machine machine;
  auto file = machine.make("a");
  std::string order;
  const auto write = [&](char name, bool small) {
    file->write_and_sync({{.offset = 0, .bytes = SharedBytes(std::string(1, name))}}, small,
                         [&order, name](const Status& status) {
                           EXPECT_TRUE(status.ok());
                           order.push_back(name);
                         });
  };
  write('1', true);
  EXPECT_EQ(order, "1") << "small and nothing under way: inside the call";
  write('2', false);
  write('3', true);
  EXPECT_EQ(order, "1");
  machine.run();
  EXPECT_EQ(order, "123");
  EXPECT_EQ(machine.disk.durable_bytes_of("a").status().code(), Code::not_found) << "the name is not durable";
  ASSERT_TRUE(machine.disk.sync_directory("").ok());
  EXPECT_EQ(machine.disk.durable_bytes_of("a").value(), "3");
}

TEST(SimDiskTest, SmallRequestsCanBeMadeToWaitLikeOthers) {
  Machine machine;
  auto file = machine.make("a");
  machine.disk.serve_small_inside(false);
  bool done = false;
  file->write_and_sync({{.offset = 0, .bytes = SharedBytes("x")}}, true, [&](const Status&) { done = true; });
  EXPECT_FALSE(done);
  machine.run();
  EXPECT_TRUE(done);
}

TEST(SimDiskTest, AFrozenDiskCompletesNothingUntilItThaws) {
  Machine machine;
  auto file = machine.make("a");
  bool done = false;
  machine.disk.freeze();
  file->write_and_sync({{.offset = 0, .bytes = SharedBytes("x")}}, true, [&](const Status&) { done = true; });
  machine.run();
  EXPECT_FALSE(done);
  machine.disk.thaw();
  machine.run();
  EXPECT_TRUE(done);
}

TEST(SimDiskTest, NothingCompletesAfterACrash) {
  Machine machine;
  auto file = machine.make("a");
  bool done = false;
  file->write_and_sync({{.offset = 0, .bytes = SharedBytes("x")}}, false,
                       [&](const Status&) { done = true; });
  machine.cut_power(1);
  machine.run();
  EXPECT_FALSE(done);
}

TEST(SimDiskTest, StopsInTheMiddleOfTheChosenStep) {
  Machine machine;
  machine.make_durable("a", "old");
  auto file = machine.disk.open("a", OpenMode::read_write);
  bool told = false;
  machine.disk.crash_at_step(2, [&] { told = true; });
  EXPECT_TRUE(file.value()->write_at(0, "new").ok());
  EXPECT_FALSE(told);
  EXPECT_FALSE(file.value()->sync().ok());
  EXPECT_TRUE(told);
  EXPECT_TRUE(machine.disk.stopped());
  EXPECT_FALSE(machine.disk.list("").ok());
  EXPECT_EQ(machine.disk.durable_bytes_of("a").value(), "old");
  machine.cut_power(3);
  EXPECT_TRUE(machine.disk.list("").ok());
}

TEST(SimDiskTest, LostAndMisdirectedWritesAreAcknowledgedAndSeenAfterThePowerCut) {
  Machine lost;
  lost.make_durable("a", repeated('x', 8 * page_bytes));
  auto file = lost.disk.open("a", OpenMode::read_write);
  lost.disk.set_write_fate(WriteFate::lost, 1, "a");
  ASSERT_TRUE(file.value()->write_at(page_bytes, repeated('y', page_bytes)).ok());
  ASSERT_TRUE(file.value()->sync().ok());
  EXPECT_EQ(lost.disk.bytes_of("a").value()[page_bytes], 'y');
  lost.cut_power(1);
  EXPECT_EQ(lost.disk.bytes_of("a").value(), repeated('x', 8 * page_bytes));

  Machine misdirected;
  misdirected.make_durable("a", repeated('x', 8 * page_bytes));
  file = misdirected.disk.open("a", OpenMode::read_write);
  misdirected.disk.set_write_fate(WriteFate::misdirected, 1, "a");
  ASSERT_TRUE(file.value()->write_at(page_bytes, repeated('y', sector_bytes)).ok());
  ASSERT_TRUE(file.value()->sync().ok());
  misdirected.cut_power(1);
  const std::string after = misdirected.disk.bytes_of("a").value();
  EXPECT_EQ(after[page_bytes], 'x');
  EXPECT_NE(after.find(repeated('y', sector_bytes)), std::string::npos);
}

TEST(SimDiskTest, ErrorsOnDemand) {
  Machine machine;
  machine.make_durable("a", repeated('x', 100));
  auto file = machine.disk.open("a", OpenMode::read_write);
  char byte = 0;
  machine.disk.fail_nth(DiskCall::read, 2);
  EXPECT_TRUE(file.value()->read_at(0, {&byte, 1}).ok());
  EXPECT_EQ(file.value()->read_at(0, {&byte, 1}).status().code(), Code::io_error);
  machine.disk.set_unreadable("a", 50, 10);
  EXPECT_TRUE(file.value()->read_at(0, {&byte, 1}).ok());
  EXPECT_EQ(file.value()->read_at(55, {&byte, 1}).status().code(), Code::io_error);
  machine.disk.fail_nth(DiskCall::write, 1);
  EXPECT_EQ(file.value()->write_at(0, "y").code(), Code::io_error);
  machine.disk.set_capacity(150);
  EXPECT_TRUE(file.value()->write_at(100, repeated('z', 50)).ok());
  EXPECT_EQ(file.value()->write_at(150, "z").code(), Code::resource_exhausted);
  EXPECT_EQ(machine.disk.free_bytes().value(), 0u);
}

TEST(SimDiskTest, FlipsExactlyTheBitsAskedFor) {
  Machine machine;
  machine.make_durable("a", repeated('\0', 1000));
  Prng prng(7);
  ASSERT_TRUE(machine.disk.flip_bits("a", 100, 10, 3, prng));
  const std::string after = machine.disk.durable_bytes_of("a").value();
  int flipped = 0;
  for (std::size_t i = 0; i < after.size(); ++i) {
    const int here = __builtin_popcount(static_cast<unsigned char>(after[i]));
    if (i < 100 || i >= 110) EXPECT_EQ(here, 0);
    flipped += here;
  }
  EXPECT_EQ(flipped, 3);
  EXPECT_FALSE(machine.disk.flip_bits("a", 1000, 10, 3, prng));
}

TEST(SimDiskTest, LocksBelongToOneProcess) {
  Machine machine;
  ASSERT_TRUE(machine.disk.create_directory("d").ok());
  auto first = machine.disk.lock_directory("d");
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(machine.disk.lock_directory("d").status().code(), Code::failed_precondition);
  machine.cut_power(1);
  // The directory may be gone with the power; its lock is in any case.
  ASSERT_TRUE(machine.disk.create_directory("d").ok());
  auto second = machine.disk.lock_directory("d");
  EXPECT_TRUE(second.ok());
  first.value().reset();  // the dead process's object releases nothing
  EXPECT_FALSE(machine.disk.lock_directory("d").ok());
}

TEST(SimDiskTest, AnEarlierCopyCanBePutBack) {
  Machine machine;
  machine.make_durable("a", "one");
  const SimDisk::Tree tree = machine.disk.save();
  auto file = machine.disk.open("a", OpenMode::read_write);
  ASSERT_TRUE(file.value()->write_at(0, "two").ok());
  machine.make_durable("b", "more");
  machine.cut_power(1);
  machine.disk.restore(tree);
  EXPECT_EQ(machine.disk.paths(), std::vector<std::string>{"a"});
  EXPECT_EQ(machine.disk.bytes_of("a").value(), "one");
  machine.disk.wipe();
  EXPECT_TRUE(machine.disk.paths().empty());
}

TEST(SimDiskTest, TheSeedDecidesEverything) {
  const auto outcome = [](std::uint64_t seed) {
    Machine machine(seed);
    machine.make_durable("a", repeated('x', 20 * sector_bytes));
    auto file = machine.disk.open("a", OpenMode::read_write);
    EXPECT_TRUE(file.value()->write_at(0, repeated('y', 20 * sector_bytes)).ok());
    machine.cut_power(seed);
    return machine.disk.bytes_of("a").value();
  };
  std::set<std::string> outcomes;
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    EXPECT_EQ(outcome(seed), outcome(seed));
    outcomes.insert(outcome(seed));
  }
  EXPECT_GT(outcomes.size(), 5u);
}

}  // namespace
}  // namespace lockstep::sim
