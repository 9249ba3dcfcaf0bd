// A leader of three whose peers are the test: one helps it to commit, the other lags.
#pragma once

#include "replica/testing_member.h"

namespace lockstep::replica {

inline const NodeId self{1};

class Sender : public testing::Test {
 protected:
  const NodeId helper{2};
  const NodeId lagging{3};
  TestMember member{self, {self, NodeId(2), NodeId(3)}};

  void SetUp() override {
    member.options.log_memory_bytes_max = 300'000;
    member.options.persistence.window_bytes = 1;
    member.start();
    member.lead(helper, lagging);
  }
  // `count` keys of 100 kB, acknowledged by the helper and written to the engine.
  void write(int count) {
    for (int i = 0; i < count; ++i) {
      const auto outcome = member.put("key " + std::to_string(next_++), std::string(100'000, 'v'));
      member.acknowledge(helper);
      ASSERT_EQ(*outcome, "done");
      member.answer_heartbeat(lagging);
    }
    member.pass(50ms);
  }
  std::vector<raft::SnapshotChunk> chunks() {
    std::vector<raft::SnapshotChunk> result;
    for (raft::Message& message : member.taken_raft(lagging, raft::MessageKind::snapshot_chunk)) {
      result.push_back(*std::move(message.chunk));
    }
    return result;
  }
  void stored(const raft::SnapshotDescription& snapshot, std::uint64_t offset, bool rewind = false) {
    raft::Message message;
    message.kind = raft::MessageKind::snapshot_chunk_response;
    message.from = lagging;
    message.term = member.replica().raft().term();
    message.index = snapshot.index;
    message.snapshot = snapshot.id;
    message.offset = offset;
    message.reject = rewind;
    member.receive(std::move(message));
  }
  // What the follower got of a snapshot, from its beginning.
  std::vector<raft::SnapshotChunk> first_chunks() {
    for (int tries = 0; tries < 20; ++tries) {
      member.answer_heartbeat(helper, member.replica().raft().log().last_index());
      member.answer_heartbeat(lagging);
      std::vector<raft::SnapshotChunk> got = chunks();
      if (!got.empty()) return got;
      member.pass(100ms);
    }
    return {};
  }
  void expect_another(const raft::SnapshotDescription& than) {
    const auto again = first_chunks();
    ASSERT_FALSE(again.empty()) << "nothing more is sent to the follower";
    EXPECT_NE(again[0].snapshot.id, than.id);
    EXPECT_EQ(again[0].offset, 0u);
  }

 private:
  int next_ = 0;
};

}  // namespace lockstep::replica
