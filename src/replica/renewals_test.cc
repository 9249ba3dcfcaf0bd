// Renewals answered from memory: every way in which one could be followed by an early end, or be said of a
// lease that is gone (docs/decisions/0026). One member and scripted peers; time passes when a test says so.
#include <gtest/gtest.h>

#include "replica/testing_sender.h"
#include "replica/unlogged_renewals.h"

namespace lockstep::replica {
namespace {

using namespace std::chrono_literals;

TimePoint at(Duration since) {
  return TimePoint(since);
}

// ---- the clock and the table

TEST(HeldClock, StandsStillBelowTheCeilingAndGoesOnFromThere) {
  StoreClock clock;
  clock.restart(at(0ms), 5000);
  clock.hold_below(at(10ms), 5100);
  EXPECT_EQ(clock.read_ms(at(99ms)), 5099);
  EXPECT_EQ(clock.read_ms(at(10s)), 5099) << "whatever time passed";
  clock.hold_below(at(10s), 5300);
  EXPECT_EQ(clock.read_ms(at(10s)), 5099) << "it does not make up for it";
  EXPECT_EQ(clock.read_ms(at(10s + 100ms)), 5199);
  clock.hold_below(at(10s + 100ms), StoreClock::no_ceiling);
  EXPECT_EQ(clock.read_ms(at(20s)), 15099);
  clock.hold_below(at(20s), 16000);
  clock.restart(at(30s), 7000);
  EXPECT_EQ(clock.read_ms(at(60s)), 37000) << "another leadership's renewals hold it no more";
}

// Entries are applied thousands of times a second: each may be told to the clock.
TEST(HeldClock, RunsHoweverOftenItIsSet) {
  StoreClock clock;
  clock.restart(at(0ms), 1000);
  for (Duration now = 0ms; now <= 1s; now += 100us) clock.set(at(now), 1000);
  EXPECT_EQ(clock.read_ms(at(1s)), 2000);
}

TEST(UnloggedRenewals, HoldTheSmallestDeadlineUntilAllAreLogged) {
  UnloggedRenewals renewals;
  StoreClock clock;
  clock.restart(at(0ms), 1000);
  EXPECT_EQ(renewals.due(clock), no_deadline);
  renewals.note(at(0ms), LeaseId(2), 1000, 9000);
  renewals.note(at(50ms), LeaseId(1), 1050, 5000);
  renewals.note(at(60ms), LeaseId(2), 1060, 9000);
  EXPECT_EQ(renewals.ceiling_ms(), 5000);
  EXPECT_EQ(renewals.due(clock), at(100ms)) << "counted from the oldest";
  EXPECT_EQ(renewals.renewed_ms(LeaseId(2)), 1060);
  ASSERT_EQ(renewals.first(1), std::vector{LeaseId(1)});
  renewals.logged(1, LogIndex(7));
  EXPECT_EQ(renewals.ceiling_ms(), 5000) << "as long as any is not logged";
  renewals.logged(1, LogIndex(8));
  EXPECT_EQ(renewals.ceiling_ms(), StoreClock::no_ceiling);
  EXPECT_EQ(renewals.renewed_ms(LeaseId(1)), 1050) << "not applied yet";
  renewals.applied(LogIndex(7));
  EXPECT_EQ(renewals.renewed_ms(LeaseId(1)), 1050);
  renewals.applied(LogIndex(8));
  EXPECT_TRUE(renewals.all_applied());
  EXPECT_EQ(renewals.renewed_ms(LeaseId(1)), std::nullopt);
}

TEST(UnloggedRenewals, AreLoggedBeforeTheClockWouldStand) {
  UnloggedRenewals renewals;
  StoreClock clock;
  clock.restart(at(0ms), 1000);
  renewals.note(at(0ms), LeaseId(1), 1000, 1350);
  EXPECT_EQ(renewals.due(clock), at(50ms));
  renewals.logged(1, LogIndex(7));
  renewals.note(at(10ms), LeaseId(1), 1010, 1350);
  EXPECT_EQ(renewals.due(clock), at(250ms)) << "an entry of renewals is under way";
}

// ---- a member

const LeaseId lease{9};

struct Answer {
  bool came = false;
  Status status;
  Duration ttl{};
};

std::shared_ptr<Answer> renew(TestMember& member, LeaseId id = lease) {
  auto answer = std::make_shared<Answer>();
  store::LeaseKeepAliveRequest request;
  request.id = id;
  member.replica().lease_keep_alive(
      request, {}, [answer](const Result<store::LeaseKeepAliveResponse>& result) {
        *answer = {true, result.status(), result.ok() ? result->ttl : Duration{}};
      });
  return answer;
}

void grant(TestMember& member, Duration ttl) {
  member.replica().lease_grant({ttl, lease}, {}, [](const Result<store::LeaseGrantResponse>& result) {
    EXPECT_TRUE(result.ok()) << result.status().to_string();
  });
  member.settle();
}

void expect_renewed(TestMember& member, Duration ttl) {
  const auto answer = renew(member);
  member.settle();
  ASSERT_TRUE(answer->came);
  EXPECT_TRUE(answer->status.ok()) << answer->status.to_string();
  EXPECT_EQ(answer->ttl, ttl);
}

bool alive(TestMember& member) {
  return member.replica().machine().lease(lease).has_value();
}

class Lone : public testing::Test {
 protected:
  TestMember member{self, {self}};
  void SetUp() override {
    member.start();
    ASSERT_TRUE(member.replica().raft().is_leader());
  }
  LogIndex applied() { return member.replica().status().applied; }
};

TEST_F(Lone, AnswersWithoutAnEntryAndLogsALittleLater) {
  grant(member, 10s);
  member.pass(5s);
  const LogIndex before = applied();
  for (int i = 0; i < 50; ++i) expect_renewed(member, 10s);
  EXPECT_EQ(applied(), before);
  Duration remaining{};
  member.replica().lease_time_to_live(
      {lease, false}, {},
      [&](const Result<store::LeaseTimeToLiveResponse>& result) { remaining = result->remaining; });
  member.settle();
  EXPECT_EQ(remaining, 10s) << "whoever asks is told what was promised";
  member.pass(200ms);
  EXPECT_EQ(applied(), before.next()) << "one entry for all of them";
  member.pass(9700ms);
  EXPECT_TRUE(alive(member));
  member.pass(300ms);
  EXPECT_FALSE(alive(member));
}

TEST_F(Lone, WhatWasRenewedWhileTheProcessStoodStillLives) {
  grant(member, 2s);
  member.pass(1s);
  expect_renewed(member, 2s);
  // Nothing runs for a while: the first thing that happens then is a write, stamped with the time it is.
  member.stand_still(30s);
  EXPECT_EQ(*member.put("k", "v"), "done");
  EXPECT_TRUE(alive(member));
  member.pass(1800ms);
  EXPECT_TRUE(alive(member)) << "the store's clock went on from where it was held";
  member.pass(500ms);
  EXPECT_FALSE(alive(member)) << "and the lease is not immortal";
}

TEST_F(Lone, RenewedAgainAfterAStandstillItHasItsWholeTime) {
  grant(member, 2s);
  member.pass(1s);
  expect_renewed(member, 2s);
  member.stand_still(30s);
  expect_renewed(member, 2s);
  member.pass(1900ms);
  EXPECT_TRUE(alive(member));
}

TEST_F(Lone, WhoseTimeIsOverIsNotRenewed) {
  grant(member, 2s);
  member.stand_still(2s);
  const auto answer = renew(member);
  member.settle();
  ASSERT_TRUE(answer->came);
  EXPECT_EQ(answer->ttl, Duration{}) << "its end stands in the log before the renewal";
  EXPECT_FALSE(alive(member));
}

TEST_F(Lone, WhatWasRevokedOrNeverWasIsNotRenewed) {
  const auto unknown = renew(member);
  member.settle();
  EXPECT_TRUE(unknown->came);
  EXPECT_EQ(unknown->ttl, Duration{});
  grant(member, 60s);
  expect_renewed(member, 60s);
  member.replica().lease_revoke({lease}, {}, [](const Result<store::LeaseRevokeResponse>&) {});
  member.settle();
  const auto answer = renew(member);
  member.settle();
  EXPECT_TRUE(answer->came);
  EXPECT_EQ(answer->ttl, Duration{});
  member.pass(1s);  // what was renewed before is written now, for a lease that is gone
  EXPECT_FALSE(alive(member));
}

TEST_F(Lone, ShortLeasesAreRenewedAndEndInTime) {
  grant(member, 100ms);
  for (int i = 0; i < 20; ++i) {
    member.pass(60ms);
    expect_renewed(member, 100ms);
  }
  member.pass(300ms);
  EXPECT_FALSE(alive(member));
}

// A renewal that was answered and not yet logged is lost with the leader: the next term makes up for it.
TEST_F(Lone, ARenewalThatWasLostWithTheLeaderCountsAllTheSame) {
  grant(member, 10s);
  member.pass(9s);
  EXPECT_EQ(*member.put("k", "v"), "done") << "so that the store's time is known to the next leader";
  expect_renewed(member, 10s);
  member.stop(sim::Loss::power);
  member.start();
  ASSERT_TRUE(member.replica().raft().is_leader());
  member.pass(9900ms);
  EXPECT_TRUE(alive(member));
  member.pass(500ms);
  EXPECT_FALSE(alive(member));
}

TEST_F(Lone, AClockOfAnEarlierStartIsNotUsed) {
  grant(member, 10s);
  member.stop();
  member.pass(60s);
  member.start();
  EXPECT_EQ(*member.put("k", "v"), "done");
  EXPECT_TRUE(alive(member)) << "the time without a leader is everybody's";
}

TEST_F(Lone, ManyAreLoggedInAFewEntries) {
  for (int id = 1; id <= 3000; ++id) {
    member.replica().lease_grant({60s, LeaseId(id)}, {}, [](const Result<store::LeaseGrantResponse>&) {});
  }
  member.settle();
  const LogIndex before = applied();
  for (int turn = 0; turn < 10; ++turn) {
    for (int id = 1; id <= 3000; ++id) renew(member, LeaseId(id));
    member.pass(5ms);
  }
  member.pass(200ms);
  EXPECT_EQ(applied(), before.next());
}

// ---- one of three

using Leader = Sender;

void confirm(TestMember& member, NodeId voter) {
  for (const raft::Message& asked : member.taken_raft(voter, raft::MessageKind::heartbeat)) {
    raft::Message answer;
    answer.kind = raft::MessageKind::heartbeat_response;
    answer.from = voter;
    answer.term = asked.term;
    answer.round = asked.round;
    member.receive(std::move(answer));
  }
}

void grant_among_three(TestMember& member, NodeId voter, Duration ttl) {
  grant(member, ttl);
  member.acknowledge(voter);
  ASSERT_TRUE(alive(member));
}

TEST_F(Leader, AnswersOnlyOnceAMajorityStillKnowsItAsTheLeader) {
  grant_among_three(member, helper, 60s);
  member.pass(1ms);
  static_cast<void>(member.taken(helper, PeerMessageKind::raft));
  const auto answer = renew(member);
  member.settle();
  EXPECT_FALSE(answer->came);
  confirm(member, helper);
  EXPECT_TRUE(answer->came);
  EXPECT_EQ(answer->ttl, 60s);
}

TEST_F(Leader, WhoLostTheLeadPassesTheRenewalOn) {
  grant_among_three(member, helper, 60s);
  const auto answer = renew(member);
  member.settle();
  member.heartbeat(helper, Term(member.replica().raft().term().value() + 1));
  member.pass(100ms);
  EXPECT_FALSE(answer->came) << "the round was of a leadership that is over";
}

SharedBytes renewals_forward(ForwardId id, Term term, const std::vector<LeaseId>& ids) {
  store::BatchBuilder builder;
  builder.start({});
  EXPECT_TRUE(builder.lease_renew(ids));
  return joined(encode(Forward{id, term, SharedBytes(builder.take())}));
}

TEST_F(Leader, RenewsFromMemoryWhatAnotherMemberPassesOn) {
  grant_among_three(member, helper, 60s);
  const LogIndex before = member.replica().raft().log().last_index();
  const ForwardId id = first_forward_id(5).next();
  static_cast<void>(member.taken(helper, PeerMessageKind::raft));
  member.receive(lagging, renewals_forward(id, member.replica().raft().term(), {lease, LeaseId(77)}));
  EXPECT_TRUE(member.taken(lagging, PeerMessageKind::forward_answer).empty()) << "not confirmed yet";
  confirm(member, helper);
  const auto answers = member.taken(lagging, PeerMessageKind::forward_answer);
  ASSERT_EQ(answers.size(), 1u);
  const Result<ForwardAnswer> answer = decode_forward_answer(answers[0]);
  ASSERT_TRUE(answer.ok());
  ASSERT_EQ(answer->results.size(), 1u);
  const auto& renewals = std::get<store::LeaseRenewResponse>(*answer->results[0]).renewals;
  ASSERT_EQ(renewals.size(), 2u);
  EXPECT_EQ(renewals[0].ttl, 60s);
  EXPECT_EQ(renewals[1].ttl, Duration{}) << "there is no such lease";
  EXPECT_EQ(member.replica().raft().log().last_index(), before);
}

// Followers say how long a lease has left by what they applied: they ask for all of it first.
TEST_F(Leader, LogsWhatItAnsweredWhenAMemberWantsToKnow) {
  grant_among_three(member, helper, 60s);
  const auto renewed = renew(member);
  member.settle();
  confirm(member, helper);
  ASSERT_TRUE(renewed->came);
  const LogIndex before = member.replica().raft().log().last_index();
  member.receive(lagging,
                 renewals_forward(first_forward_id(5).next(), member.replica().raft().term(), {LeaseId{}}));
  confirm(member, helper);
  EXPECT_GT(member.replica().raft().log().last_index(), before);
  EXPECT_TRUE(member.taken(lagging, PeerMessageKind::forward_answer).empty()) << "not committed yet";
  member.acknowledge(helper);
  EXPECT_EQ(member.taken(lagging, PeerMessageKind::forward_answer).size(), 1u);
}

// Writes are refused; leases live on.
TEST_F(Leader, RenewsWhileItTakesNoWrites) {
  grant_among_three(member, helper, 60s);
  member.disk().set_capacity(member.disk().used_bytes());
  std::size_t refused = 0;
  for (int i = 0; i < 1000 && refused == 0; ++i) {
    const auto outcome = member.put("k", std::string(100'000, 'v'));
    member.acknowledge(helper);
    refused += outcome->starts_with("resource_exhausted") ? 1 : 0;
  }
  ASSERT_GT(refused, 0u);
  static_cast<void>(member.taken(helper, PeerMessageKind::raft));
  const auto answer = renew(member);
  member.settle();
  confirm(member, helper);
  EXPECT_TRUE(answer->came);
  EXPECT_EQ(answer->ttl, 60s);
}

class CrampedLeader : public Leader {
 protected:
  static constexpr int leases = 400;
  void SetUp() override {
    member.options.uncommitted_bytes_max = 2000;
    Leader::SetUp();
    for (int id = 1; id <= leases; ++id) {
      member.replica().lease_grant({60s, LeaseId(id)}, {}, [](const Result<store::LeaseGrantResponse>&) {});
    }
    member.settle();
    member.acknowledge(helper);
    static_cast<void>(member.taken(helper, PeerMessageKind::raft));
    for (int id = 1; id <= leases; ++id) renew(member, LeaseId(id));
    member.settle();
    confirm(member, helper);
    ASSERT_EQ(*member.put("k", std::string(1500, 'v')), "");
  }
};

// Small as it is, the question found room where they did not, and was applied before them.
TEST_F(CrampedLeader, AnswersNobodyBeforeAllItRenewedIsLogged) {
  const LogIndex before = member.replica().raft().log().last_index();
  member.receive(lagging,
                 renewals_forward(first_forward_id(5).next(), member.replica().raft().term(), {LeaseId{}}));
  confirm(member, helper);
  const auto answers = member.taken(lagging, PeerMessageKind::forward_answer);
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(decode_forward_answer(answers[0])->refused.code(), Code::resource_exhausted);
  EXPECT_EQ(member.replica().raft().log().last_index(), before);
}

// ---- one that follows, and its leader

// A holder that has just renewed its session must not be told that it is nearly over.
class Follower : public testing::Test {
 protected:
  const NodeId leader{2};
  TestMember member{self, {}};
  struct Said {
    bool came = false;
    Status status;
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
  void answer(ForwardId id, const Status& refused) {
    ForwardAnswer answer{id, leader, refused, {}};
    if (refused.ok()) {
      store::LeaseRenewResponse none;
      none.renewals.resize(1);
      answer.results.emplace_back(store::Response(std::move(none)));
    }
    member.receive(leader, joined(encode(answer)));
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
  options.deadline = at(std::chrono::hours(1) + 500ms);
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
  const auto renewed = renew(member, LeaseId{});
  member.settle();
  EXPECT_FALSE(asked().has_value());
  EXPECT_TRUE(confirm_reads());
  EXPECT_TRUE(renewed->came);
  EXPECT_TRUE(renewed->status.ok()) << renewed->status.to_string();
  EXPECT_EQ(renewed->ttl, Duration{});
}

}  // namespace
}  // namespace lockstep::replica
