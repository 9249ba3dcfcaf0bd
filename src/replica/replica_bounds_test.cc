// What one member does at its bounds, against peers that are scripted: a slow or full disk, a slow engine, a
// quota, a change that takes too long, the end, a storm of questions, a command of a newer version.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "replica/testing_sender.h"

namespace lockstep::replica {
namespace {

using namespace std::chrono_literals;

const NodeId leader{2};

// ---- a lost engine

TEST(LostEngine, IsAnErrorThatSaysWhatToDo) {
  TestMember member(self, {self});
  member.options.persistence.window_bytes = 1;
  member.options.persistence.flush_bytes = 1;
  member.start();
  for (int i = 0; i < 50; ++i) {
    ASSERT_EQ(*member.put("k", std::string(100'000, 'v')), "done");
    member.pass(50ms);
  }
  member.stop();
  member.lose_engine();
  const Status refused = member.try_start();
  EXPECT_EQ(refused.code(), Code::corruption);
  EXPECT_THAT(refused.message(), testing::MatchesRegex("the log begins after entry [0-9]+, but the engine's "
                                                       "state ends at entry 0: .* empty directory.*"));
}

// ---- membership

TEST_F(Sender, AChangeThatIsNotCommittedInTimeIsUnknown) {
  Status outcome;
  bool called = false;
  member.replica().change_members({{raft::MemberChangeKind::add_learner, NodeId(4)}}, {{NodeId(4), "x:4"}},
                                  [&](const Status& status) {
                                    outcome = status;
                                    called = true;
                                  });
  const auto beat = [&](Duration time) {
    for (Duration passed{}; passed < time; passed += 100ms) {
      member.pass(100ms);
      member.answer_heartbeat(helper);
    }
  };
  beat(member.options.request_timeout - 200ms);
  EXPECT_FALSE(called);
  beat(400ms);
  ASSERT_TRUE(member.replica().raft().is_leader());
  EXPECT_TRUE(called);
  EXPECT_EQ(outcome.code(), Code::unknown_outcome);
}

// ---- the quota

TEST_F(Sender, AnAlarmThatWasRefusedIsRaisedByALaterEntry) {
  member.stop();
  member.options.quota_bytes = 50'000;
  member.start_new();
  member.lead(helper, lagging);
  const auto above = member.put("k", std::string(100'000, 'v'));
  ASSERT_TRUE(member.replica().transfer_leadership(lagging).ok());
  member.acknowledge(helper);
  ASSERT_EQ(*above, "done");
  EXPECT_TRUE(member.replica().machine().alarms(store::AlarmKind::no_space).empty())
      << "no proposals while leadership is transferred";
  for (int i = 0; i < 12; ++i) {  // the transfer fails
    member.pass(100ms);
    member.answer_heartbeat(helper);
  }
  const auto later = member.put("l", "v");
  member.acknowledge(helper);
  ASSERT_EQ(*later, "done");
  member.acknowledge(helper);
  EXPECT_EQ(member.replica().machine().alarms(store::AlarmKind::no_space).size(), 1u);
}

// ---- a leader whose disk stalls

TEST_F(Sender, ALeaderWhoseDiskStallsHandsOverToWhoHasEverything) {
  write(3);
  member.disk().serve_small_inside(false);
  member.disk().freeze();
  const auto outcome = member.put("k", "v");
  member.acknowledge(helper);
  member.acknowledge(lagging);
  ASSERT_GT(member.replica().raft().commit_index(), member.replica().raft().durable_index());
  const auto beat = [&](int times) {
    for (int i = 0; i < times; ++i) {
      member.pass(100ms);
      member.answer_heartbeat(helper, member.replica().raft().log().last_index());
      member.answer_heartbeat(lagging);
    }
  };
  beat(8);
  EXPECT_TRUE(member.taken_raft(helper, raft::MessageKind::timeout_now).empty()) << "a hiccup";
  beat(4);
  EXPECT_FALSE(member.taken_raft(helper, raft::MessageKind::timeout_now).empty());
  EXPECT_TRUE(member.taken_raft(lagging, raft::MessageKind::timeout_now).empty());
  EXPECT_EQ(member.replica().status().handovers, 1u);
  EXPECT_EQ(*outcome, "") << "not applied here";
}

TEST_F(Sender, ALeaderWhoseDiskStallsStaysIfNobodyElseHasMore) {
  write(3);
  member.disk().serve_small_inside(false);
  member.disk().freeze();
  member.put("k", "v");
  for (int i = 0; i < 20; ++i) {
    member.pass(100ms);
    member.answer_heartbeat(helper);
    member.answer_heartbeat(lagging);
  }
  EXPECT_TRUE(member.replica().raft().is_leader());
  EXPECT_EQ(member.replica().status().handovers, 0u);
}

// ---- a follower whose log is fast and whose engine is slow

class SlowEngine : public testing::Test {
 protected:
  static constexpr std::size_t value_bytes = 100'000;
  TestMember member{self, {}};
  LogIndex last;

  void SetUp() override {
    member.options.backlog_bytes_max = 1;
    member.options.unapplied_bytes_max = 1'000'000;
    member.start();
    raft::Message first = append();
    raft::Configuration configuration;
    configuration.voters = {leader, NodeId(3)};
    configuration.learners = {self};
    first.entries.push_back({term, LogIndex(1), raft::EntryKind::configuration,
                             SharedBytes(raft::encode_configuration(configuration))});
    member.receive(std::move(first));
    ASSERT_EQ(acknowledged(), LogIndex(1));
    last = LogIndex(1);
  }
  static raft::Message append(LogIndex after = {}) {
    raft::Message message;
    message.kind = raft::MessageKind::append;
    message.from = leader;
    message.term = term;
    message.index = after;
    message.log_term = after == LogIndex{} ? Term{} : term;
    message.commit = after;
    return message;
  }
  // Sends the next put, which the others commit. True if the member took it.
  bool put() {
    store::PutRequest put;
    put.key = "k";
    put.value = std::string(value_bytes, 'v');
    store::BatchBuilder builder;
    builder.start({});
    EXPECT_TRUE(builder.put(put));
    raft::Message message = append(last);
    message.entries.push_back({term, last.next(), raft::EntryKind::normal, SharedBytes(builder.take())});
    message.commit = last.next();
    member.receive(std::move(message));
    member.pass(1ms);
    const bool taken = acknowledged() == last.next();
    if (taken) ++last;
    return taken;
  }
  LogIndex acknowledged() {
    LogIndex index;
    for (const raft::Message& answer : member.taken_raft(leader, raft::MessageKind::append_response)) {
      EXPECT_FALSE(answer.reject);
      index = std::max(index, answer.index);
    }
    return index;
  }

 private:
  static constexpr Term term{3};
};

TEST_F(SlowEngine, TakesNoMoreThanItsBoundAndGoesOnWhenItHasDrained) {
  member.worker_stands_still = true;
  int taken = 0;
  while (taken < 100 && put()) ++taken;
  EXPECT_GT(taken, 9);
  EXPECT_LT(taken, 20) << "1 MB may wait, and what the engine is writing";
  EXPECT_FALSE(put()) << "and not later, as long as nothing drains";
  EXPECT_EQ(member.replica().status().appends_dropped, 2u);
  member.heartbeat(leader, Term(3));
  EXPECT_EQ(member.replica().status().leader, leader);

  member.worker_stands_still = false;
  member.pass(1s);
  EXPECT_EQ(member.replica().status().applied, last);
  for (int i = 0; i < 30; ++i) {
    ASSERT_TRUE(put());
    member.pass(100ms);
  }
  EXPECT_EQ(member.replica().status().applied, last);
}

// ---- a log of many segments

TEST(LongLog, TheEngineFlushesForItBeforeItWouldByItself) {
  TestMember member(self, {self});
  member.start();
  // A segment takes ten of them: 12 MB, far below what makes the engine flush.
  for (int i = 0; i < 120; ++i) {
    ASSERT_EQ(*member.put("k" + std::to_string(i), std::string(100'000, 'v')), "done");
    member.pass(25ms);
  }
  EXPECT_GE(member.replica().log_stats().segments_released, 6u);
  EXPECT_GE(member.replica().log_stats().segments_reused, 4u);
}

// ---- a full disk

TEST(FullDisk, TheMemberGoesOnWhenThereIsRoomAgain) {
  TestMember member(self, {self});
  member.start();
  member.disk().set_capacity(member.disk().used_bytes());
  std::shared_ptr<std::string> outcome;
  for (int i = 0; i < 100; ++i) {
    outcome = member.put("k", std::string(100'000, 'v'));
    if (outcome->empty()) break;
    ASSERT_EQ(*outcome, "done");
  }
  EXPECT_EQ(*outcome, "") << "the segment is full, and there is no room for another";
  member.pass(2s);
  EXPECT_EQ(*outcome, "");
  member.disk().set_capacity(UINT64_MAX);
  member.pass(2s);
  EXPECT_EQ(*outcome, "done");
}

// P39: the log shares the disk, and must not be the first to find it full.
TEST_F(Sender, ASnapshotLargerThanTheDiskIsRefusedAndTakenWhenThereIsRoom) {
  write(30);
  const std::vector<raft::SnapshotChunk> got = first_chunks();
  ASSERT_EQ(got.size(), 2U);
  TestMember follower(lagging, {});
  follower.start();
  follower.heartbeat(self, Term(100));
  const auto receive = [&] {
    for (const raft::SnapshotChunk& chunk : got) {
      raft::Message message;
      message.kind = raft::MessageKind::snapshot_chunk;
      message.from = self;
      message.term = Term(100);
      message.chunk = chunk;
      follower.receive(std::move(message));
    }
    follower.pass(10ms);
  };
  const auto stored_through = [&] {
    std::uint64_t end = 0;
    for (const auto& answer : follower.taken_raft(self, raft::MessageKind::snapshot_chunk_response)) {
      if (!answer.reject) end = std::max(end, answer.offset);
    }
    return end;
  };
  follower.disk().set_capacity(follower.disk().used_bytes() + got[0].snapshot.total_bytes / 2);
  receive();
  EXPECT_EQ(stored_through(), 0U);
  EXPECT_EQ(follower.replica().status().snapshots_refused, 1U);
  EXPECT_EQ(follower.replica().status().leader, self);
  follower.disk().set_capacity(UINT64_MAX);
  receive();
  EXPECT_EQ(stored_through(), got[1].end_offset());
  EXPECT_EQ(follower.replica().status().snapshots_refused, 1U);
}

TEST_F(Sender, WhoeverRefusesTheFirstChunkIsNotAskedAgainAtOnce) {
  write(30);
  const std::vector<raft::SnapshotChunk> got = first_chunks();
  ASSERT_EQ(got.size(), 2U);
  for (int i = 0; i < 100; ++i) stored(got[0].snapshot, 0, true);
  EXPECT_TRUE(chunks().empty());
  EXPECT_FALSE(first_chunks().empty()) << "later it is";
}

TEST_F(Sender, ALeaderThatCannotWriteTakesNoMoreThanItsBound) {
  member.disk().set_capacity(member.disk().used_bytes());
  std::size_t refused = 0;
  for (int i = 0; i < 1000; ++i) {
    const auto outcome = member.put("k", std::string(100'000, 'v'));
    member.acknowledge(helper);
    member.acknowledge(lagging);
    refused += outcome->starts_with("resource_exhausted") ? 1 : 0;
  }
  EXPECT_GT(refused, 0u);
  EXPECT_LT(refused, 500u);
}

// ---- the end, and what others may send

// A server that stops while it knows no leader: what waits would otherwise never be answered, nor the
// coroutines that asked ever be destroyed.
TEST(Ending, AnswersWhatWaitsAndTakesNoMore) {
  TestMember member(self, {});
  member.start();
  const auto held = member.put("k", "1");
  Status read;
  bool was_read = false;
  store::RangeRequest request;
  request.key = "k";
  member.replica().range(request, {}, [&](const Result<store::RangeResponse>& response) {
    was_read = true;
    read = response.status();
  });
  member.settle();
  EXPECT_FALSE(was_read);
  member.replica().refuse_waiting();
  EXPECT_EQ(*held, "unavailable: etcdserver: no leader");
  EXPECT_TRUE(was_read);
  EXPECT_EQ(read.code(), Code::deadline_exceeded);
  EXPECT_EQ(*member.put("k", "2"), "cancelled: etcdserver: server stopped");
}

TEST_F(Sender, AnEndingLeaderDoesNotKnowWhatBecomesOfItsProposals) {
  const auto proposed = member.put("k", "1");
  EXPECT_EQ(*proposed, "");
  member.replica().refuse_waiting();
  EXPECT_EQ(proposed->substr(0, 15), "unknown_outcome");
}

// P41: a member behind a bad switch asks for votes again and again; the leader, whom its quorum hears, goes
// on in its term, and each question costs one refusal.
TEST_F(Sender, AStormOfPreVotesMovesNobody) {
  const Term term = member.replica().raft().term();
  member.taken_raft(lagging, raft::MessageKind::pre_vote_response);
  constexpr int storm = 2'000;
  for (int i = 0; i < storm; ++i) {
    if (i % 100 == 0) member.answer_heartbeat(helper);
    raft::Message message;
    message.kind = raft::MessageKind::pre_vote;
    message.from = lagging;
    message.term = Term(term.value() + 1 + static_cast<std::uint64_t>(i));
    message.round = raft::Round(1 + static_cast<std::uint64_t>(i));
    member.receive(std::move(message));
  }
  EXPECT_TRUE(member.replica().raft().is_leader());
  EXPECT_EQ(member.replica().raft().term(), term);
  const std::vector<raft::Message> answers = member.taken_raft(lagging, raft::MessageKind::pre_vote_response);
  EXPECT_LE(answers.size(), static_cast<std::size_t>(storm));
  for (const raft::Message& answer : answers) EXPECT_TRUE(answer.reject);
  const auto put = member.put("k", "1");
  member.acknowledge(helper);
  EXPECT_EQ(*put, "done");
}

// P51: what a newer version wrote and this one cannot read. To skip it would be another history.
TEST(UnknownCommand, HaltsTheMemberAndSaysWhere) {
  TestMember member(self, {});
  member.start();
  member.heartbeat(leader, Term(3));
  std::string payload;
  store::BatchBuilder builder;
  builder.start({});
  ASSERT_TRUE(builder.nothing());
  payload = builder.take();
  payload.back() = static_cast<char>(200);
  raft::Message message;
  message.kind = raft::MessageKind::append;
  message.from = leader;
  message.term = Term(3);
  message.commit = LogIndex(1);
  raft::Entry entry;
  entry.index = LogIndex(1);
  entry.term = Term(3);
  entry.payload = SharedBytes(std::move(payload));
  message.entries.push_back(std::move(entry));
  member.receive(std::move(message));
  EXPECT_TRUE(member.replica().halted());
  EXPECT_EQ(member.fatal.to_string(), "corruption: batch has a malformed command at position 0");
}

}  // namespace
}  // namespace lockstep::replica
