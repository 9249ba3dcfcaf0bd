// A member without other voters: it applies and answers while its disk makes durable what it wrote.
#include <gtest/gtest.h>

#include "replica/testing_member.h"

namespace lockstep::replica {
namespace {

using namespace std::chrono_literals;

const NodeId self{1};

class Alone : public testing::Test {
 protected:
  void SetUp() override {
    member.options.log_inline_bytes_max_alone = 32 * limits::kibibyte;
    member.options.persistence.window_bytes = 1;  // the engine gets each entry
    member.disk().work_meanwhile(true);
    member.start();
    member.pass(5s);
    ASSERT_TRUE(member.replica().raft().is_leader());
  }
  // When the answer comes: "meanwhile" or "after".
  std::string put(const std::string& key, std::size_t value_bytes = 10) {
    std::string when;
    store::PutRequest request;
    request.key = key;
    request.value = std::string(value_bytes, 'v');
    member.replica().put(std::move(request), {}, [&](const Result<store::PutResponse>& result) {
      EXPECT_TRUE(result.ok()) << result.status().to_string();
      when = member.disk().at_work() ? "meanwhile" : "after";
    });
    member.settle();
    return when;
  }
  TestMember member{self, {self}};
};

// TestMember::submit() sees that the engine, whose files are others, gets nothing before.
TEST_F(Alone, AnswersWhileTheDiskWorksAndHandsOnToTheEngineAfterwards) {
  const engine::Position before = member.engine().written();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(put("k" + std::to_string(i)), "meanwhile");
  EXPECT_EQ(put("large", 100'000), "after");
  member.pass(5s);
  EXPECT_GT(member.engine().written(), before);
  member.stop(sim::Loss::power);
  member.start();
  member.pass(5s);
  EXPECT_EQ(member.version_of("k19"), 1);
  EXPECT_EQ(member.version_of("large"), 1);
}

// Whatever else asks for the engine's next job just then.
TEST_F(Alone, ABackupReadMeanwhileHandsNothingOnEither) {
  std::shared_ptr<store::SnapshotSource> source;
  member.replica().open_snapshot([&](const auto& opened) {
    ASSERT_TRUE(opened.ok());
    source = *opened;
  });
  member.pass(1s);
  ASSERT_NE(source, nullptr);
  std::string story;
  member.replica().put({.key = "k", .value = "v"}, {}, [&](const Result<store::PutResponse>&) {
    story += member.disk().at_work() ? "put meanwhile" : "put after";
    member.replica().read_snapshot(source, 0, 100, [&](const Result<SharedBytes>& read) {
      EXPECT_TRUE(read.ok());
      story += ", read";
    });
  });
  member.settle();
  EXPECT_EQ(story, "put meanwhile, read");
}

TEST_F(Alone, AFailedSyncEndsTheMemberWhateverWasDoneMeanwhile) {
  EXPECT_EQ(put("before"), "meanwhile");
  member.disk().fail_nth(sim::DiskCall::sync, 1);
  EXPECT_EQ(put("lost"), "meanwhile") << "which leaves this process nowhere; see platform/held_test.cc";
  EXPECT_EQ(member.fatal.code(), Code::io_error);
  const auto later = member.put("later", "v");
  member.pass(10s);
  EXPECT_NE(*later, "done");
}

TEST_F(Alone, KeepsHardlyAnyOfTheLogInMemory) {
  for (int i = 0; i < 60; ++i) put("k" + std::to_string(i), 100'000);
  member.pass(1s);
  EXPECT_LE(member.replica().raft().log().bytes(), 2 * limits::log_memory_alone_bytes_max);
  EXPECT_EQ(member.version_of("k59"), 1);
}

// A timer that is looked at now and then, a session that is renewed: the engine is flushed all the same.
TEST_F(Alone, TheEngineSettlesAlthoughALittleIsWrittenAllTheTime) {
  for (int i = 0; i < 20; ++i) put("k" + std::to_string(i), 100'000);
  const engine::Position written = member.engine().written();
  for (int i = 0; i < 10; ++i) {
    put("now and then");
    member.pass(500ms);
  }
  EXPECT_GE(member.engine().durable(), written);
}

TEST_F(Alone, TheEngineDoesNotSettleWhileMuchIsWritten) {
  const engine::Position durable = member.engine().durable();
  for (int i = 0; i < 20; ++i) {
    put("k" + std::to_string(i), 100'000);
    member.pass(500ms);
  }
  EXPECT_EQ(member.engine().durable(), durable);
}

}  // namespace
}  // namespace lockstep::replica
