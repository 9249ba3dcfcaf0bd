// One member against peers that are scripted: stories that need a certain message at a certain moment, more
// exact than the simulator draws them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "replica/testing_sender.h"

namespace lockstep::replica {
namespace {

using namespace std::chrono_literals;

const NodeId leader{2};

SharedBytes put_answer(ForwardId id) {
  store::PutResponse response;
  response.header.revision = Revision(2);
  ForwardAnswer answer{id, leader, Status(), {}};
  answer.results.emplace_back(store::Response(response));
  return joined(encode(answer));
}

// A member that joined, so that nothing has to be said about its birth.
TEST(Forwarding, AnAnswerToAnEarlierLifeAnswersNothing) {
  TestMember member(self, {});
  member.start();
  member.heartbeat(leader, Term(3));
  const auto lost = member.put("k", "old");
  const auto first = member.taken(leader, PeerMessageKind::forward);
  ASSERT_EQ(first.size(), 1u);
  const ForwardId old_id = decode_forward(first[0])->id;
  member.stop();

  member.start();
  member.heartbeat(leader, Term(3));
  const auto outcome = member.put("k", "new");
  const auto second = member.taken(leader, PeerMessageKind::forward);
  ASSERT_EQ(second.size(), 1u);
  member.receive(leader, put_answer(old_id));
  EXPECT_EQ(*outcome, "") << "the leader has not decided about the new batch yet";
  member.receive(NodeId(3), put_answer(decode_forward(second[0])->id));
  EXPECT_EQ(*outcome, "") << "nobody but the leader it was sent to answers";
  member.receive(leader, put_answer(decode_forward(second[0])->id));
  EXPECT_EQ(*outcome, "done");
  EXPECT_EQ(*lost, "");
}

// A frozen leader keeps its connections, and nobody shall wait for it until a client's deadline. It may have
// answered just before.
TEST(Forwarding, WhatAnEarlierLeaderDoesNotAnswerSoonIsUnknown) {
  TestMember member(self, {});
  member.start();
  member.heartbeat(leader, Term(3));
  const auto first = member.put("k", "1");
  const auto second = member.put("k", "2");
  const auto forwards = member.taken(leader, PeerMessageKind::forward);
  ASSERT_EQ(forwards.size(), 2u);
  member.heartbeat(NodeId(3), Term(4));
  const auto third = member.put("k", "3");
  member.receive(leader, put_answer(decode_forward(forwards[0])->id));
  EXPECT_EQ(*first, "done");
  EXPECT_EQ(*second, "");
  for (int i = 0; i < 12; ++i) {
    member.heartbeat(NodeId(3), Term(4));
    member.pass(100ms);
  }
  EXPECT_EQ(second->substr(0, 15), "unknown_outcome");
  EXPECT_EQ(*third, "") << "the present leader has its time";
}

SharedBytes put_forward(ForwardId id, Term term) {
  store::PutRequest put;
  put.key = "k";
  put.value = "v";
  store::BatchBuilder builder;
  builder.start({});
  EXPECT_TRUE(builder.put(put));
  return joined(encode(Forward{id, term, SharedBytes(builder.take())}));
}

void add_learner(TestMember& member, NodeId learner) {
  Status outcome(Code::unknown_outcome, "not answered");
  member.replica().change_members({{raft::MemberChangeKind::add_learner, learner}}, {{learner, "x:2"}},
                                  [&](const Status& status) { outcome = status; });
  member.settle();
  ASSERT_EQ(outcome, Status());
}

// The network may double messages (env/network.h).
TEST(Forwarding, ABatchThatComesTwiceTakesEffectOnce) {
  const NodeId peer(2);
  TestMember member(self, {self});
  member.start();
  ASSERT_TRUE(member.replica().raft().is_leader());
  add_learner(member, peer);
  const Term term = member.replica().raft().term();
  const ForwardId id = first_forward_id(9).next();
  member.receive(peer, put_forward(id, term));
  member.receive(peer, put_forward(id, term));
  EXPECT_EQ(member.version_of("k"), 1);
  EXPECT_EQ(member.taken(peer, PeerMessageKind::forward_answer).size(), 1u);

  // The second copy may also come when the leader has forgotten the first: then it is not taken, and the
  // answer does not say that the batch never took effect.
  member.stop();
  member.start();
  ASSERT_TRUE(member.replica().raft().is_leader());
  member.receive(peer, put_forward(id, term));
  EXPECT_EQ(member.version_of("k"), 1);
  const auto answers = member.taken(peer, PeerMessageKind::forward_answer);
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(decode_forward_answer(answers[0])->refused.code(), Code::unknown_outcome);
}

TEST(Forwarding, WhoIsNoMemberWritesNothing) {
  const NodeId stranger(2);
  TestMember member(self, {self});
  member.start();
  member.receive(stranger, put_forward(first_forward_id(9).next(), member.replica().raft().term()));
  EXPECT_EQ(member.version_of("k"), 0);
  const auto answers = member.taken(stranger, PeerMessageKind::forward_answer);
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(decode_forward_answer(answers[0])->refused.code(), Code::unavailable);
}

TEST(Forwarding, ASecondCopyOfWhatARemovedMemberSentIsNotDenied) {
  const NodeId peer(2);
  TestMember member(self, {self});
  member.start();
  add_learner(member, peer);
  const ForwardId id = first_forward_id(9).next();
  const Term term = member.replica().raft().term();
  member.receive(peer, put_forward(id, term));
  EXPECT_EQ(member.version_of("k"), 1);
  EXPECT_EQ(member.taken(peer, PeerMessageKind::forward_answer).size(), 1u);
  member.replica().change_members({{raft::MemberChangeKind::remove, peer}}, {}, [](const Status&) {});
  member.settle();
  member.receive(peer, put_forward(id, term));
  EXPECT_EQ(member.taken(peer, PeerMessageKind::forward_answer).size(), 0u) << "it took effect";
}

// ---- no leader just now

TEST(Held, AnElectionIsAPauseForWriters) {
  TestMember member(self, {});
  member.start();
  const auto first = member.put("k", "1");
  const auto second = member.put("k", "2");
  member.pass(1s);
  EXPECT_EQ(*first, "");
  member.heartbeat(leader, Term(3));
  const auto sent = member.taken(leader, PeerMessageKind::forward);
  ASSERT_EQ(sent.size(), 2u) << "in the order of arrival, to the leader that appeared";
  for (const SharedBytes& forward : sent) member.receive(leader, put_answer(decode_forward(forward)->id));
  EXPECT_EQ(*first, "done");
  EXPECT_EQ(*second, "done");
}

TEST(Held, WithoutALeaderForLongAWriteIsRefusedAndNotInDoubt) {
  TestMember member(self, {});
  member.options.election_timeout = 500ms;
  member.start();
  const auto outcome = member.put("k", "1");
  member.pass(7 * member.options.election_timeout);
  EXPECT_EQ(*outcome, "");
  member.pass(2 * member.options.election_timeout);
  EXPECT_EQ(*outcome, "unavailable: etcdserver: no leader");
  member.heartbeat(leader, Term(3));
  EXPECT_EQ(member.taken(leader, PeerMessageKind::forward).size(), 0u);
}

TEST(Held, OnlySoManyBytes) {
  TestMember member(self, {});
  member.start();
  const std::string value(limits::mebibyte, 'x');
  std::vector<std::shared_ptr<std::string>> outcomes;
  while (outcomes.size() < 2 * limits::held_bytes_max / value.size())
    outcomes.push_back(member.put("k", value));
  const auto refused = std::ranges::count_if(outcomes, [](const auto& outcome) { return !outcome->empty(); });
  EXPECT_GE(refused, 16);
  EXPECT_LE(refused, 18);
  EXPECT_EQ(*outcomes.back(), "unavailable: etcdserver: no leader");
  EXPECT_EQ(*outcomes.front(), "");
}

TEST(RequestIds, OneUsedForAnotherKindOfRequestIsTheClientsMistake) {
  TestMember member(self, {self});
  member.start();
  ClientId client;
  member.replica().register_client({}, [&](const Result<store::RegisterClientResponse>& response) {
    ASSERT_TRUE(response.ok());
    client = response->client;
  });
  member.settle();
  const RequestId id{client, Sequence(1), Sequence(1)};
  EXPECT_EQ(*member.put("k", "v", id), "done");

  Status outcome;
  store::DeleteRangeRequest request;
  request.key = "k";
  store::CallOptions call;
  call.request_id = id;
  member.replica().delete_range(request, call, [&](const Result<store::DeleteRangeResponse>& response) {
    outcome = response.status();
  });
  member.settle();
  EXPECT_EQ(outcome.code(), Code::invalid_argument);
  EXPECT_EQ(member.version_of("k"), 1) << "not executed";
}

// ---- who lags, and what it knows of the others

SharedBytes members_message(std::vector<Member> members) {
  return SharedBytes(std::string(1, static_cast<char>(PeerMessageKind::members)) +
                     encode_addresses(std::move(members)));
}

// It missed the entry by which the present leader joined; all it knew may have left since.
TEST(Addresses, AMemberThatLagsLearnsFromAStrangerWhereToAnswer) {
  const NodeId stranger(5);
  TestMember member(self, {});
  member.start();
  raft::Message append;
  append.kind = raft::MessageKind::append;
  append.from = leader;
  append.term = Term(3);
  raft::Configuration configuration;
  configuration.voters = {leader};
  configuration.learners = {self};
  configuration.context = encode_addresses({{leader, "b:1"}, {self, "a:1"}});
  append.entries.push_back({Term(3), LogIndex(1), raft::EntryKind::configuration,
                            SharedBytes(raft::encode_configuration(configuration))});
  member.receive(std::move(append));
  ASSERT_EQ(member.addresses, (std::map<NodeId, std::string>{{leader, "b:1"}}));

  member.heartbeat(stranger, Term(9));
  member.receive(stranger, members_message({{leader, "old:1"}, {stranger, "e:1"}, {NodeId(7), "g:1"}}));
  EXPECT_EQ(member.addresses, (std::map<NodeId, std::string>{{leader, "b:1"}, {stranger, "e:1"}}))
      << "the newest configuration it has knows better, and nobody else waits for an answer";
}

// ---- snapshots to a follower that lags

TEST_F(Sender, OneThatTheLogDoesNotContinueAfterIsMadeAnew) {
  write(30);
  const auto got = first_chunks();
  ASSERT_EQ(got.size(), 2u) << "as many as may be under way";
  write(40);  // far more than the log may hold for its sake
  ASSERT_GT(member.replica().raft().log().base_index(), got[0].snapshot.index);
  stored(got[0].snapshot, got[0].end_offset());
  expect_another(got[0].snapshot);
}

TEST_F(Sender, TheLogIsKeptForOneThatIsOnItsWay) {
  write(30);
  const auto got = first_chunks();
  ASSERT_EQ(got.size(), 2u);
  write(6);  // more than the log holds else
  EXPECT_LE(member.replica().raft().log().base_index(), got[0].snapshot.index);
}

TEST_F(Sender, OneRefusedAfterItsLastByteIsMadeAnew) {
  write(30);
  std::vector<raft::SnapshotChunk> got = first_chunks();
  ASSERT_FALSE(got.empty());
  const raft::SnapshotDescription snapshot = got[0].snapshot;
  while (!got.empty()) {
    const std::uint64_t end = got.back().end_offset();
    stored(snapshot, end);
    got = chunks();
  }
  stored(snapshot, 0, true);
  expect_another(snapshot);
}

TEST_F(Sender, WhoHasAllOfItAndSaysNothingGetsAnother) {
  write(30);
  std::vector<raft::SnapshotChunk> got = first_chunks();
  ASSERT_FALSE(got.empty());
  const raft::SnapshotDescription snapshot = got[0].snapshot;
  while (!got.empty()) {
    const std::uint64_t end = got.back().end_offset();
    stored(snapshot, end);
    got = chunks();
  }
  for (int i = 0; i < 150; ++i) {
    member.answer_heartbeat(helper, member.replica().raft().log().last_index());
    member.pass(100ms);
  }
  expect_another(snapshot);
}

TEST_F(Sender, AnAnswerThatWasOvertakenHoldsNothingUp) {
  write(40);
  std::vector<raft::SnapshotChunk> got = first_chunks();
  ASSERT_EQ(got.size(), 2u);
  const raft::SnapshotDescription snapshot = got[0].snapshot;
  // The follower has the first chunk, saw a third before the second, and then has the second. The third is
  // being read meanwhile.
  member.worker_stands_still = true;
  stored(snapshot, got[0].end_offset());
  stored(snapshot, got[0].end_offset(), true);
  stored(snapshot, got[1].end_offset());
  member.worker_stands_still = false;
  member.settle();
  got = chunks();
  ASSERT_FALSE(got.empty());
  EXPECT_EQ(got.back().end_offset(), snapshot.total_bytes) << "all that is left is under way";
}

// ---- a follower that gets one

TEST_F(Sender, TellsTheSilentWhoTheMembersAre) {
  for (int i = 0; i < 20; ++i) {
    member.pass(100ms);
    member.answer_heartbeat(helper);
    if (i == 0) member.taken(helper, PeerMessageKind::members);
  }
  EXPECT_TRUE(member.taken(helper, PeerMessageKind::members).empty());
  const auto told = member.taken(lagging, PeerMessageKind::members);
  ASSERT_FALSE(told.empty());
  EXPECT_LE(told.size(), 3u) << "one in an election timeout";
  EXPECT_EQ(told.back().view().substr(1), member.replica().raft().configuration().context);
}

class Receiver : public Sender {
 protected:
  TestMember follower{NodeId(3), {}};

  void SetUp() override {
    Sender::SetUp();
    follower.options.backlog_bytes_max = 1;
    follower.start();
  }
  void pass_on(raft::Message message) {
    message.from = self;
    follower.receive(std::move(message));
  }
  // The entries so far, committed.
  void pass_on_entries() {
    LogIndex end;
    for (raft::Message& message : member.taken_raft(helper, raft::MessageKind::append)) {
      if (message.index > end) continue;
      end = std::max(end, message.index + message.entries.size());
      message.commit = end;
      pass_on(std::move(message));
    }
  }
  // All of a snapshot, as it is now.
  raft::SnapshotDescription pass_on_snapshot() {
    std::vector<raft::SnapshotChunk> got = first_chunks();
    EXPECT_FALSE(got.empty());
    const raft::SnapshotDescription snapshot = got[0].snapshot;
    while (!got.empty()) {
      for (const raft::SnapshotChunk& chunk : got) {
        raft::Message message;
        message.kind = raft::MessageKind::snapshot_chunk;
        message.term = member.replica().raft().term();
        message.chunk = chunk;
        pass_on(std::move(message));
      }
      stored(snapshot, got.back().end_offset());
      got = chunks();
    }
    return snapshot;
  }
  void expect_at(const raft::SnapshotDescription& snapshot) {
    EXPECT_TRUE(follower.fatal.ok()) << follower.fatal.to_string();
    EXPECT_EQ(follower.replica().machine().applied_index(), snapshot.index);
    EXPECT_EQ(follower.replica().machine().digest(),
              member.replica().machine().digest_at(snapshot.index).value_or(0));
  }
};

// Its log does not get to write anything: not even the term it heard of. It is a voter, not one in doubt.
TEST_F(Receiver, InstalledBeforeTheTermWasDurable) {
  write(12);
  follower.options.founders = member.options.founders;
  for (const std::uint64_t crash_seed : {1, 2, 3, 4, 5, 6}) {  // what was under way may be lost, or not
    follower.stop();
    follower.crash_seed = crash_seed;
    follower.start_new();
    follower.be_born(self);
    follower.disk().serve_small_inside(false);
    follower.disk().freeze();
    const raft::SnapshotDescription snapshot = pass_on_snapshot();
    expect_at(snapshot);
    follower.stop(sim::Loss::power);
    follower.disk().serve_small_inside(true);
    follower.start();
    expect_at(snapshot);
    EXPECT_TRUE(follower.replica().raft().may_vote());
    EXPECT_EQ(follower.replica().raft().term(), snapshot.term);
    follower.stop();
    follower.start();
    expect_at(snapshot);
    // The leader makes another for the next round.
    stored(snapshot, 0, true);
  }
}

TEST_F(Receiver, InstalledWhileCommittedEntriesWaitForTheEngine) {
  follower.worker_stands_still = true;
  write(12);
  pass_on_entries();
  ASSERT_LT(follower.replica().machine().applied_index(), follower.replica().raft().commit_index());
  write(20);
  const raft::SnapshotDescription snapshot = pass_on_snapshot();
  follower.worker_stands_still = false;
  follower.settle();
  expect_at(snapshot);
}

// Sound bytes of rows that no machine can be made from: the engine has them already, so the old machine must
// not go on beside it.
TEST_F(Receiver, ContentThatCannotBeLoadedEndsTheMember) {
  write(12);
  engine::WriteBatch batch;
  batch.put(engine::Table::meta, "zz", "rubbish");
  ASSERT_TRUE(member.engine().write(std::move(batch)).ok());
  pass_on_snapshot();
  EXPECT_EQ(follower.fatal.code(), Code::corruption);
}

// ---- transactions that write nothing

TEST(ReadTransaction, CostsNoEntryAndSeesWhatWasAcknowledged) {
  TestMember member(self, {self});
  member.start();
  const auto written = member.put("k", "v");
  member.settle();
  ASSERT_EQ(*written, "done");
  const LogIndex last = member.replica().raft().log().last_index();
  store::Compare exists;
  exists.key = "k";
  exists.target = store::CompareTarget::version;
  exists.number = 1;
  store::RangeRequest range;
  range.key = "k";
  store::TxnRequest txn;
  txn.compare.push_back(exists);
  txn.success.push_back({range});
  std::optional<store::TxnResponse> response;
  member.replica().txn(txn, {}, [&](const Result<store::TxnResponse>& result) {
    ASSERT_TRUE(result.ok());
    response = *result;
  });
  member.settle();
  ASSERT_TRUE(response.has_value());
  EXPECT_TRUE(response->succeeded);
  EXPECT_EQ(std::get<store::RangeResponse>(response->responses.at(0).response).kvs.at(0).value, "v");
  EXPECT_EQ(response->header.revision, member.replica().machine().revision());
  EXPECT_EQ(member.replica().raft().log().last_index(), last);
}

TEST(ReadTransaction, OfSerializableRangesAsksNobody) {
  TestMember member(self, {self, NodeId(2), NodeId(3)});
  member.start();  // nobody leads
  store::RangeRequest range;
  range.key = "k";
  const auto ask = [&] {
    store::TxnRequest txn;
    txn.success.push_back({range});
    bool answered = false;
    member.replica().txn(txn, {}, [&](const Result<store::TxnResponse>& result) { answered = result.ok(); });
    member.settle();
    return answered;
  };
  EXPECT_FALSE(ask());
  range.serializable = true;
  EXPECT_TRUE(ask());
}

}  // namespace
}  // namespace lockstep::replica
