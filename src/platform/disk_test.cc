#include "platform/disk.h"

#include <fcntl.h>
#include <filesystem>
#include <future>
#include <signal.h>
#include <string>
#include <unistd.h>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "platform/test_support.h"

namespace lockstep::platform {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct DiskTest : testing::Test {
  std::unique_ptr<FileDisk> reopen() { return *FileDisk::open(directory.path(), strand.executor); }
  std::unique_ptr<env::File> create(const std::string& path) {
    return *disk->open(path, env::OpenMode::create_new);
  }
  static std::string read(env::File& file, std::uint64_t offset, std::size_t length) {
    std::string buffer(length, '?');
    const auto got = file.read_at(offset, buffer);
    EXPECT_TRUE(got.ok()) << got.status().to_string();
    buffer.resize(*got);
    return buffer;
  }
  static env::Write write(std::uint64_t offset, std::string bytes) {
    return {offset, SharedBytes(std::move(bytes))};
  }

  TemporaryDirectory directory;
  StrandThread strand;
  std::unique_ptr<FileDisk> disk = reopen();
};

TEST_F(DiskTest, ReadsWhatWasWrittenAndLessAtTheEnd) {
  const auto file = create("data");
  EXPECT_TRUE(file->write_at(3, "abcdef").ok());
  EXPECT_EQ(read(*file, 0, 4), std::string("\0\0\0a", 4));
  EXPECT_EQ(read(*file, 7, 100), "ef");
  EXPECT_EQ(read(*file, 100, 10), "");
  EXPECT_EQ(*file->size(), 9u);
  EXPECT_TRUE(file->truncate(5).ok());
  EXPECT_EQ(read(*file, 3, 10), "ab");
  EXPECT_TRUE(file->truncate(7).ok());
  EXPECT_EQ(read(*file, 3, 10), std::string("ab\0\0", 4));
  EXPECT_TRUE(file->sync().ok());
}

TEST_F(DiskTest, OpenModesSayWhatMustExist) {
  EXPECT_EQ(disk->open("f", env::OpenMode::read_only).status().code(), Code::not_found);
  EXPECT_EQ(disk->open("f", env::OpenMode::read_write).status().code(), Code::not_found);
  EXPECT_TRUE(disk->open("f", env::OpenMode::create_new).ok());
  EXPECT_EQ(disk->open("f", env::OpenMode::create_new).status().code(), Code::already_exists);
  const auto reader = *disk->open("f", env::OpenMode::read_only);
  EXPECT_EQ(reader->write_at(0, "x").code(), Code::io_error);
  EXPECT_TRUE(disk->create_directory("d").ok());
  EXPECT_EQ(disk->open("d", env::OpenMode::read_only).status().code(), Code::failed_precondition);
}

TEST_F(DiskTest, ListsNamesSortedAndCreatesMissingParents) {
  EXPECT_TRUE(disk->create_directory("a/b/c").ok());
  EXPECT_TRUE(disk->create_directory("a/b/c").ok());
  create("a/z");
  create("a/m");
  EXPECT_THAT(*disk->list("a"), ElementsAre("b", "m", "z"));
  EXPECT_THAT(*disk->list(""), ElementsAre("a"));
  EXPECT_EQ(disk->list("missing").status().code(), Code::not_found);
  EXPECT_EQ(disk->create_directory("a/z").code(), Code::failed_precondition);
  EXPECT_EQ(disk->create_directory("a/z/under").code(), Code::failed_precondition);
  EXPECT_TRUE(disk->sync_directory("a").ok());
  EXPECT_TRUE(disk->sync_directory("").ok());
  EXPECT_EQ(disk->sync_directory("missing").code(), Code::not_found);
}

TEST_F(DiskTest, RenameReplacesAndRemoveRemoves) {
  EXPECT_TRUE(create("old")->write_at(0, "old").ok());
  EXPECT_TRUE(create("new")->write_at(0, "new").ok());
  EXPECT_TRUE(disk->rename("new", "old").ok());
  EXPECT_EQ(read(**disk->open("old", env::OpenMode::read_only), 0, 9), "new");
  EXPECT_EQ(disk->rename("new", "old").code(), Code::not_found);
  EXPECT_TRUE(disk->remove("old").ok());
  EXPECT_EQ(disk->remove("old").code(), Code::not_found);
  EXPECT_TRUE(disk->create_directory("d/e").ok());
  create("d/e/f");
  EXPECT_EQ(disk->remove("d").code(), Code::failed_precondition);
  EXPECT_TRUE(disk->remove_tree("d").ok());
  EXPECT_TRUE(disk->remove_tree("d").ok());
  EXPECT_THAT(*disk->list(""), IsEmpty());
}

TEST_F(DiskTest, PathsThatLeaveTheRootAreRefusedByEveryCall) {
  for (const std::string& path : {std::string("/etc/passwd"), std::string(".."), std::string("../x"),
                                  std::string("a/../../x"), std::string("a//b"), std::string("a/"),
                                  std::string("./a"), std::string("a\0b", 3), std::string(2000, 'a')}) {
    SCOPED_TRACE(path);
    EXPECT_EQ(disk->open(path, env::OpenMode::create_new).status().code(), Code::invalid_argument);
    EXPECT_EQ(disk->list(path).status().code(), Code::invalid_argument);
    EXPECT_EQ(disk->create_directory(path).code(), Code::invalid_argument);
    EXPECT_EQ(disk->rename(path, "x").code(), Code::invalid_argument);
    EXPECT_EQ(disk->rename("x", path).code(), Code::invalid_argument);
    EXPECT_EQ(disk->remove(path).code(), Code::invalid_argument);
    EXPECT_EQ(disk->remove_tree(path).code(), Code::invalid_argument);
    EXPECT_EQ(disk->sync_directory(path).code(), Code::invalid_argument);
    EXPECT_EQ(disk->lock_directory(path).status().code(), Code::invalid_argument);
  }
  EXPECT_EQ(disk->remove_tree("").code(), Code::invalid_argument);
  EXPECT_THAT(*disk->list(""), IsEmpty());
}

TEST_F(DiskTest, AFullDiskIsResourceExhaustedEverywhere) {
  std::filesystem::create_symlink("/dev/full", directory.path() + "/full");
  const auto file = *disk->open("full", env::OpenMode::read_write);
  const Status status = file->write_at(0, "x");
  EXPECT_EQ(status.code(), Code::resource_exhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("No space left"));
  for (const bool small : {true, false}) {
    std::promise<Code> code;
    strand.on([&] {
      file->write_and_sync({write(0, "x")}, small, [&](const Status& done) { code.set_value(done.code()); });
    });
    EXPECT_EQ(code.get_future().get(), Code::resource_exhausted);
  }
}

// In a child: the limit and the signal's disposition are the whole process's.
TEST_F(DiskTest, AFileAtTheProcessSizeLimitIsResourceExhaustedAndKeepsWhatFits) {
  strand.stop();
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{4096, 4096};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    const auto file = create("limited");
    const Status fits = file->write_at(0, std::string(4096, 'x'));
    const Status beyond = file->write_at(4090, std::string(10, 'y'));
    ::_exit(fits.ok() && beyond.code() == Code::resource_exhausted ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(DiskTest, ADirectoryIsLockedOnceInThisProcess) {
  EXPECT_EQ(disk->lock_directory("missing").status().code(), Code::not_found);
  auto held = disk->lock_directory("");
  ASSERT_TRUE(held.ok());
  const auto second = reopen();
  EXPECT_EQ(second->lock_directory("").status().code(), Code::failed_precondition);
  EXPECT_THAT(*disk->list(""), IsEmpty());  // the lock leaves no file behind
  held->reset();
  EXPECT_TRUE(second->lock_directory("").ok());
}

TEST_F(DiskTest, ADirectoryLockedByAnotherProcessIsFreeWhenThatDies) {
  strand.stop();
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto held = disk->lock_directory("");
    const char answer = held.ok() ? 'y' : 'n';
    if (::write(ready[1], &answer, 1) != 1) ::_exit(1);
    while (true) ::pause();
  }
  char answer = '?';
  ASSERT_EQ(::read(ready[0], &answer, 1), 1);
  EXPECT_EQ(answer, 'y');
  const Status refused = disk->lock_directory("").status();
  EXPECT_EQ(refused.code(), Code::failed_precondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("in use by another process"));
  ASSERT_EQ(::kill(child, SIGKILL), 0);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_TRUE(disk->lock_directory("").ok());
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_F(DiskTest, DescriptorsAreNotInheritedByExecutedPrograms) {
  const auto file = create("secret");
  const auto held = disk->lock_directory("");
  int open_descriptors = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code error;
    const std::string target = std::filesystem::read_symlink(entry.path(), error).string();
    if (error || !target.starts_with(directory.path())) continue;
    ++open_descriptors;
    const int flags = ::fcntl(std::stoi(entry.path().filename().string()), F_GETFD);
    EXPECT_NE(flags & FD_CLOEXEC, 0) << target;
  }
  EXPECT_EQ(open_descriptors, 3);  // root, file, lock
}

TEST_F(DiskTest, ASmallWriteIsDoneByTheStrandBehindWhatIsReady) {
  const auto file = create("log");
  std::vector<std::string> order;
  std::promise<void> finished;
  strand.on([&] {
    file->write_and_sync({write(0, "ab"), write(2, "cd"), write(10, "k")}, true, [&](const Status& status) {
      EXPECT_TRUE(status.ok()) << status.to_string();
      EXPECT_TRUE(strand.executor.on_strand());
      order.emplace_back("written");
      strand.executor.at_turn_end([&] {
        order.emplace_back("told");
        finished.set_value();
      });
    });
    strand.executor.post([&] { order.emplace_back("posted"); });
    strand.executor.at_turn_end([&] { order.emplace_back("sent"); });
  });
  finished.get_future().wait();
  EXPECT_EQ(order, (std::vector<std::string>{"sent", "posted", "written", "told"}));
  EXPECT_EQ(read(*file, 0, 20), std::string("abcd\0\0\0\0\0\0k", 11));
}

TEST_F(DiskTest, WritesAreServedInOrderWhateverTheirSize) {
  const auto file = create("log");
  std::vector<int> order;
  std::promise<void> finished;
  constexpr int calls = 60;
  strand.on([&] {
    for (int call = 0; call < calls; ++call) {
      // All go to the same place: the last one must win. Every third is small and may not overtake.
      file->write_and_sync({write(0, std::to_string(100 + call))}, call % 3 == 1,
                           [&, call](const Status& status) {
                             EXPECT_TRUE(status.ok());
                             EXPECT_TRUE(strand.executor.on_strand());
                             order.push_back(call);
                             if (call == calls - 1) finished.set_value();
                           });
    }
  });
  finished.get_future().wait();
  EXPECT_EQ(order.size(), static_cast<std::size_t>(calls));
  EXPECT_TRUE(std::ranges::is_sorted(order));
  EXPECT_EQ(read(*file, 0, 3), std::to_string(100 + calls - 1));
}

TEST_F(DiskTest, AGroupOfManyPiecesArrivesWhole) {
  const auto file = create("log");
  std::vector<env::Write> writes;
  std::string expected;
  for (int piece = 0; piece < 3000; ++piece) {  // more than the kernel takes in one call
    const std::string bytes(1 + piece % 7, static_cast<char>('a' + piece % 26));
    writes.push_back(write(expected.size(), bytes));
    expected += bytes;
  }
  std::promise<Status> done;
  strand.on([&] {
    file->write_and_sync(std::move(writes), false, [&](Status status) { done.set_value(std::move(status)); });
  });
  EXPECT_TRUE(done.get_future().get().ok());
  EXPECT_EQ(read(*file, 0, expected.size() + 1), expected);
}

TEST_F(DiskTest, AFileClosedWithWritesUnderWayStillCompletesThem) {
  std::promise<Status> done;
  strand.on([&] {
    const auto file = create("log");
    file->write_and_sync({write(0, "kept")}, false,
                         [&](Status status) { done.set_value(std::move(status)); });
  });
  EXPECT_TRUE(done.get_future().get().ok());
  EXPECT_EQ(read(**disk->open("log", env::OpenMode::read_only), 0, 10), "kept");
}

TEST_F(DiskTest, FreeSpaceIsWhatTheFileSystemSays) {
  const auto space = std::filesystem::space(directory.path());
  const auto free = disk->free_bytes();
  ASSERT_TRUE(free.ok());
  EXPECT_NEAR(static_cast<double>(*free), static_cast<double>(space.available), 1e9);
}

TEST(DiskOpen, SaysWhyARootCannotBeUsed) {
  StrandThread strand;
  EXPECT_EQ(FileDisk::open("/dev/null/x", strand.executor).status().code(), Code::failed_precondition);
  TemporaryDirectory directory;
  EXPECT_TRUE(FileDisk::open(directory.path() + "/made/on/demand", strand.executor).ok());
}

}  // namespace
}  // namespace lockstep::platform
