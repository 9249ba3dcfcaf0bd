// How followers learn of a commit that no append carries: late if nobody there waits for it, else at once
// (testdata/late_word_of_a_commit.txt shows the messages; here they are counted).
#include <gtest/gtest.h>

#include "raft/test_cluster.h"

namespace lockstep::raft {
namespace {

const NodeId leader{1};
const NodeId second{2};
const NodeId third{3};

class CommitNotice : public testing::Test {
 protected:
  TestCluster cluster{options(), 1};
  std::map<NodeId, int> got;  // messages of the leader, by receiver

  static Options options() {
    Options options;
    options.commit_notice_delay = 5ms;
    return options;
  }
  void SetUp() override {
    Configuration configuration;
    configuration.voters = {leader, second, third};
    cluster.auto_persist = true;
    for (const NodeId id : configuration.voters) cluster.add(id, configuration);
    cluster.raft(leader).campaign(cluster.now());
    cluster.pump(leader);
    settle();
    pass(5ms);
    ASSERT_TRUE(cluster.raft(leader).is_leader());
    cluster.hooks.sent = [this](const Message& message) {
      if (message.from == leader) ++got[message.to];
    };
  }
  // Everything arrives, and no time passes.
  void settle() {
    while (!cluster.network().empty()) {
      const Message message = cluster.network().front();
      cluster.network().erase(cluster.network().begin());
      cluster.deliver(message);
    }
  }
  void pass(Duration duration) {
    cluster.advance(duration);
    for (auto& [id, member] : cluster.members()) {
      if (member.raft->next_deadline() <= cluster.now()) cluster.tick(id);
    }
    settle();
  }
  void put() {
    const SharedBytes payload("x");
    ASSERT_TRUE(cluster.raft(leader).propose(cluster.now(), {&payload, 1}).ok());
    cluster.pump(leader);
    settle();
  }
  LogIndex commit(NodeId id) { return cluster.raft(id).commit_index(); }
};

TEST_F(CommitNotice, ComesAtOnceIfTheLeaderIsInAHurry) {
  put();
  ASSERT_LT(commit(second), commit(leader));
  cluster.raft(leader).hurry_commit(cluster.now());
  cluster.pump(leader);
  settle();
  EXPECT_EQ(commit(second), commit(leader));
  EXPECT_EQ(commit(third), commit(leader));
  put();
  EXPECT_LT(commit(second), commit(leader)) << "once";
}

TEST_F(CommitNotice, OnePutCostsEachFollowerOneMessage) {
  for (int i = 0; i < 20; ++i) {
    put();
    pass(1ms);
  }
  for (const NodeId follower : {second, third}) {
    EXPECT_EQ(got[follower], 20);
    EXPECT_EQ(commit(follower), commit(leader).previous()) << "of the last one no append has told yet";
  }
  // The log goes quiet.
  pass(4ms);
  for (const NodeId follower : {second, third}) {
    EXPECT_EQ(got[follower], 21);
    EXPECT_EQ(commit(follower), commit(leader));
  }
}

TEST_F(CommitNotice, WhereSomebodyWaitsItComesAtOnce) {
  cluster.member(second).eager = true;
  put();
  EXPECT_EQ(got[second], 2);
  EXPECT_EQ(commit(second), commit(leader));
  EXPECT_EQ(got[third], 1);
  EXPECT_EQ(commit(third), commit(leader).previous());
  cluster.member(second).eager = false;
  put();
  EXPECT_EQ(got[second], 3) << "nobody waits there any more";
}

TEST_F(CommitNotice, ItsDeadlineGoesWhenAnAppendCarriesIt) {
  put();
  EXPECT_EQ(cluster.raft(leader).next_deadline(), cluster.now() + 5ms);
  const SharedBytes payload("x");
  ASSERT_TRUE(cluster.raft(leader).propose(cluster.now(), {&payload, 1}).ok());
  cluster.pump(leader);
  EXPECT_GT(cluster.raft(leader).next_deadline(), cluster.now() + 5ms);
}

}  // namespace
}  // namespace lockstep::raft
