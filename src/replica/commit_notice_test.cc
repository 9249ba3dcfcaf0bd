// A follower says in its answers whether anybody at it waits for what is committed, as it stands when the
// answer leaves.
#include <algorithm>

#include <gtest/gtest.h>

#include "replica/testing_sender.h"

namespace lockstep::replica {
namespace {

const NodeId leader{2};

class CommitNotice : public testing::Test {
 protected:
  TestMember member{self, {}};
  LogIndex last;

  void SetUp() override {
    member.start();
    member.heartbeat(leader, Term(3));
    member.taken_raft(leader, raft::MessageKind::heartbeat_response);
  }
  // The leader's next entry, which changes nothing.
  void append() {
    raft::Message message;
    message.kind = raft::MessageKind::append;
    message.from = leader;
    message.term = Term(3);
    message.round = raft::Round(1);
    message.index = last;
    message.log_term = last == LogIndex{} ? Term{} : Term(3);
    message.entries.push_back({Term(3), last.next(), raft::EntryKind::empty, {}});
    last = last.next();
    member.receive(std::move(message));
  }
  bool eager() {
    append();
    const auto answers = member.taken_raft(leader, raft::MessageKind::append_response);
    EXPECT_EQ(answers.size(), 1u);
    member.heartbeat(leader, Term(3));
    const auto beats = member.taken_raft(leader, raft::MessageKind::heartbeat_response);
    EXPECT_EQ(beats.size(), 1u);
    if (answers.size() != 1 || beats.size() != 1) return false;
    EXPECT_FALSE(answers[0].reject);
    EXPECT_EQ(answers[0].eager, beats[0].eager);
    return answers[0].eager;
  }
  std::unique_ptr<store::Subscription> watch(bool patient) {
    store::WatchRequest request;
    request.key = "k";
    request.patient = patient;
    return *member.replica().watch(std::move(request), {});
  }
};

TEST_F(CommitNotice, WithNobodyWaitingIsInNoHurry) {
  EXPECT_FALSE(eager());
}

TEST_F(CommitNotice, IsEagerForItsWatchersButNotForPatientOnes) {
  const auto patient = watch(true);
  EXPECT_FALSE(eager());
  auto watcher = watch(false);
  EXPECT_TRUE(eager());
  watcher.reset();
  EXPECT_FALSE(eager());
}

TEST_F(CommitNotice, IsEagerUntilAForwardedWriteIsAnswered) {
  const auto outcome = member.put("k", "v");
  const auto forwards = member.taken(leader, PeerMessageKind::forward);
  ASSERT_EQ(forwards.size(), 1u);
  EXPECT_TRUE(eager());
  ForwardAnswer answer{decode_forward(forwards[0])->id, leader, Status(), {}};
  answer.results.emplace_back(store::Response(store::PutResponse()));
  member.receive(leader, joined(encode(answer)));
  EXPECT_EQ(*outcome, "done");
  EXPECT_FALSE(eager());
}

TEST_F(CommitNotice, IsEagerUntilAReadIsServed) {
  append();
  member.taken_raft(leader, raft::MessageKind::append_response);
  store::RangeRequest range;
  range.key = "k";
  bool served = false;
  member.replica().range(range, {},
                         [&](const Result<store::RangeResponse>& result) { served = result.ok(); });
  member.settle();
  const auto asked = member.taken_raft(leader, raft::MessageKind::read_index);
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_TRUE(eager());
  raft::Message confirmed;
  confirmed.kind = raft::MessageKind::read_index_response;
  confirmed.from = leader;
  confirmed.term = Term(3);
  confirmed.round = asked[0].round;
  confirmed.index = last;
  member.receive(std::move(confirmed));
  EXPECT_FALSE(served);
  EXPECT_TRUE(eager()) << "confirmed, and not applied here yet";
  raft::Message commit;
  commit.kind = raft::MessageKind::heartbeat;
  commit.from = leader;
  commit.term = Term(3);
  commit.commit = last;
  member.receive(std::move(commit));
  EXPECT_TRUE(served);
  EXPECT_FALSE(eager());
}

// The disk takes its time: the answer is stamped as it leaves, not as the entry comes.
TEST_F(CommitNotice, WhatBeginsWhileTheDiskWritesCounts) {
  member.disk().serve_small_inside(false);
  member.disk().freeze();
  append();
  EXPECT_TRUE(member.taken_raft(leader, raft::MessageKind::append_response).empty());
  const auto watcher = watch(false);
  member.disk().thaw();
  member.pass(1s);
  const auto answers = member.taken_raft(leader, raft::MessageKind::append_response);
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_TRUE(answers[0].eager);
}

// ---- at the leader

using Leader = Sender;

std::size_t notices(TestMember& member, NodeId peer) {
  const auto beats = member.taken_raft(peer, raft::MessageKind::heartbeat);
  return static_cast<std::size_t>(std::ranges::count(beats, member.replica().raft().commit_index(),
                                                     [](const raft::Message& beat) { return beat.commit; }));
}

// Whoever was told that it is done may come to another member next, which judges by what it applied.
TEST_F(Leader, NewRulesAreToldBeforeTheyAreSaidToBeDone) {
  member.answer_heartbeat(helper);  // nobody there waits
  const auto write = member.put("k", "v");
  static_cast<void>(member.taken(helper, PeerMessageKind::raft));
  member.acknowledge(helper);
  ASSERT_EQ(*write, "done");
  EXPECT_EQ(notices(member, helper), 0u);
  bool made = false;
  member.replica().security().change(store::RoleAdd{"reader"}, {},
                                     [&](const Result<store::AuthResponse>& result) { made = result.ok(); });
  member.settle();
  static_cast<void>(member.taken(helper, PeerMessageKind::raft));
  member.acknowledge(helper);
  ASSERT_TRUE(made);
  EXPECT_EQ(notices(member, helper), 1u);
}

}  // namespace
}  // namespace lockstep::replica
