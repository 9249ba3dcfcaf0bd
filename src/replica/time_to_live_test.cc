// How long a lease has left, as a follower says it: by what it applied, and so after the renewals that its
// leader answered from memory and has not logged (docs/decisions/0026).
#include <gtest/gtest.h>

#include "replica/testing_sender.h"

namespace lockstep::replica {
namespace {

using namespace std::chrono_literals;

const LeaseId lease{9};

// A holder that has just renewed its session must not be told that it is nearly over.
class Follower : public testing::Test {
 protected:
  const NodeId leader{2};
  TestMember member{self, {}};
  struct Said {
    bool came = false;
    Status status;
    Duration remaining{};
  };

  void SetUp() override {
    member.start();
    member.heartbeat(leader, Term(3));
  }
  std::shared_ptr<Said> ask(const store::CallOptions& options = {}) {
    auto said = std::make_shared<Said>();
    member.replica().lease_time_to_live({lease, false}, options,
                                        [said](const Result<store::LeaseTimeToLiveResponse>& result) {
                                          EXPECT_FALSE(said->came);
                                          *said = {true, result.status()};
                                          if (result.ok()) said->remaining = result->remaining;
                                        });
    member.settle();
    return said;
  }
  // Whether the leader is asked for the renewals that it did not log.
  std::optional<ForwardId> asked() {
    const std::vector<SharedBytes> forwards = member.taken(leader, PeerMessageKind::forward);
    EXPECT_LE(forwards.size(), 1u);
    if (forwards.empty()) return std::nullopt;
    return decode_forward(forwards[0])->id;
  }
  // Its store time is none if an entry had to say that all is logged.
  void answer(ForwardId id, const Status& refused, Duration store_time = {}) {
    ForwardAnswer answer{id, leader, refused, {}};
    if (refused.ok()) {
      store::LeaseRenewResponse none;
      none.renewals.resize(1);
      none.renewals[0].ttl = store_time;
      answer.results.emplace_back(store::Response(std::move(none)));
    }
    member.receive(leader, joined(encode(answer)));
  }
  // The leader's first entry, committed: a grant.
  void grant(Duration store_time, Duration ttl) {
    store::BatchBuilder builder;
    builder.start({.store_time_ms = store_time / 1ms});
    EXPECT_TRUE(builder.lease_grant({ttl, lease}));
    raft::Message message;
    message.kind = raft::MessageKind::append;
    message.from = leader;
    message.term = Term(3);
    message.entries.push_back({Term(3), LogIndex(1), raft::EntryKind::normal, SharedBytes(builder.take())});
    message.commit = LogIndex(1);
    member.receive(std::move(message));
    member.pass(1ms);
    EXPECT_EQ(member.replica().machine().applied_index(), LogIndex(1));
  }
  // The leader confirms every read that it is asked for. False: none.
  bool confirm_reads() {
    const std::vector<raft::Message> reads = member.taken_raft(leader, raft::MessageKind::read_index);
    for (const raft::Message& read : reads) {
      raft::Message response;
      response.kind = raft::MessageKind::read_index_response;
      response.from = leader;
      response.term = member.replica().raft().term();
      response.round = read.round;
      member.receive(std::move(response));
    }
    return !reads.empty();
  }
};

TEST_F(Follower, SaysHowLongALeaseHasLeftOnceTheLeaderLoggedTheRenewals) {
  const auto said = ask();
  const auto id = asked();
  ASSERT_TRUE(id.has_value());
  EXPECT_FALSE(confirm_reads()) << "not before they are in the log";
  answer(*id, Status());
  EXPECT_FALSE(said->came);
  EXPECT_TRUE(confirm_reads());
  EXPECT_TRUE(said->came);
  EXPECT_TRUE(said->status.ok()) << said->status.to_string();
}

// Nothing was written for a while: the newest entry says nothing of the time that passed.
TEST_F(Follower, CountsFromTheLeadersStoreTime) {
  grant(1000s, 60s);
  for (const auto& [store_time, remaining] : {std::pair{Duration(1040s), Duration(20s)},
                                              {Duration{}, Duration(60s)},
                                              {Duration(1060s), Duration{}},
                                              {Duration(2000s), Duration{}}}) {
    const auto said = ask();
    const auto id = asked();
    ASSERT_TRUE(id.has_value());
    answer(*id, Status(), store_time);
    EXPECT_TRUE(confirm_reads());
    EXPECT_TRUE(said->came);
    EXPECT_EQ(said->remaining, remaining);
  }
}

TEST_F(Follower, SaysNothingOfTheTimeLeftWhenTheLeaderDidNotLogTheRenewals) {
  const auto said = ask();
  const auto id = asked();
  ASSERT_TRUE(id.has_value());
  answer(*id, Status(Code::resource_exhausted, "etcdserver: too many requests"));
  EXPECT_TRUE(said->came);
  EXPECT_EQ(said->status.code(), Code::resource_exhausted);
}

// The same leader in the same term: what it renewed from memory counts on.
TEST_F(Follower, AsksAgainWhenItsConnectionToTheLeaderWasMadeAgain) {
  const auto said = ask();
  ASSERT_TRUE(asked().has_value());
  member.lose(leader);
  member.heartbeat(leader, Term(3));
  member.pass(30ms);
  EXPECT_TRUE(confirm_reads());
  EXPECT_FALSE(said->came);
  const auto again = asked();
  ASSERT_TRUE(again.has_value());
  answer(*again, Status());
  EXPECT_TRUE(confirm_reads());
  EXPECT_TRUE(said->came);
  EXPECT_TRUE(said->status.ok()) << said->status.to_string();
}

// Whoever is cut off and healed hears of the leader it had; or of one that led already when it was asked.
TEST_F(Follower, AsksOnceItKnowsALeader) {
  for (const Term term : {Term(3), Term(4)}) {
    member.lose(leader);
    const auto said = ask();
    EXPECT_FALSE(asked().has_value());
    member.heartbeat(leader, term);
    member.pass(30ms);
    EXPECT_TRUE(confirm_reads());
    EXPECT_FALSE(said->came);
    const auto id = asked();
    ASSERT_TRUE(id.has_value());
    answer(*id, Status());
    EXPECT_TRUE(confirm_reads());
    EXPECT_TRUE(said->came);
    EXPECT_TRUE(said->status.ok()) << said->status.to_string();
  }
}

TEST_F(Follower, AsksTheNextLeaderWhateverThePreviousOneLogged) {
  const auto said = ask();
  const auto id = asked();
  ASSERT_TRUE(id.has_value());
  answer(*id, Status());
  member.heartbeat(leader, Term(4));
  member.pass(30ms);
  EXPECT_TRUE(confirm_reads());
  EXPECT_FALSE(said->came);
  EXPECT_TRUE(asked().has_value());
}

// However often it starts over.
TEST_F(Follower, AnswersByTheCallersDeadline) {
  store::CallOptions options;
  options.deadline = TimePoint(std::chrono::hours(1) + 500ms);
  const auto said = ask(options);
  for (int i = 0; i < 4; ++i) {
    EXPECT_FALSE(said->came);
    member.lose(leader);
    member.heartbeat(leader, Term(3));
    member.pass(60ms);
    confirm_reads();
    member.pass(60ms);
  }
  member.pass(50ms);
  EXPECT_TRUE(said->came);
  EXPECT_EQ(said->status.code(), Code::deadline_exceeded);
}

TEST_F(Follower, AnswersAtItsEnd) {
  const auto said = ask();
  member.replica().refuse_waiting();
  EXPECT_TRUE(said->came);
  EXPECT_FALSE(said->status.ok());
}

// Nothing that a client says reaches the leader as such a question: each may cost it an entry.
TEST_F(Follower, RenewsNoLeaseWithoutItsLeader) {
  Result<store::LeaseKeepAliveResponse> renewed = Status(Code::internal, "no answer");
  member.replica().lease_keep_alive({LeaseId{}}, {}, [&](const auto& result) { renewed = result; });
  member.settle();
  EXPECT_FALSE(asked().has_value());
  EXPECT_TRUE(confirm_reads());
  ASSERT_TRUE(renewed.ok()) << renewed.status().to_string();
  EXPECT_EQ(renewed->ttl, Duration{});
}

}  // namespace
}  // namespace lockstep::replica
