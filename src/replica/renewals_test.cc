// Renewals answered from memory: every way in which one could be followed by an early end, or be said of a
// lease that is gone (docs/decisions/0026). One member and scripted peers; time passes when a test says so.
#include <gtest/gtest.h>

#include "replica/testing_sender.h"

namespace lockstep::replica {
namespace {

using namespace std::chrono_literals;

const LeaseId lease{9};
constexpr Duration confirmation_age_max = std::chrono::milliseconds(limits::lease_confirmation_age_ms_max);

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

// Store time counts whole milliseconds: what is granted, renewed or begun within one has its whole time
// nevertheless.
TEST_F(Lone, NoLeaseEndsEvenAFractionOfAMillisecondEarly) {
  member.pass(900us);
  grant(member, 1s);
  member.pass(1s);
  EXPECT_TRUE(alive(member));
  member.pass(1ms);
  EXPECT_FALSE(alive(member));
  grant(member, 1s);
  member.pass(500ms + 700us);
  expect_renewed(member, 1s);
  member.pass(1s);
  EXPECT_TRUE(alive(member));
}

// Commands of one turn share an entry, and the strand may have waited for its disk since the first came.
TEST_F(Lone, ALeasesTimeBeginsWhenItWasAskedForNotWhenItsEntryWasBegun) {
  member.replica().put({.key = "k", .value = "v"}, {}, [](const Result<store::PutResponse>&) {});
  member.stand_still(20ms);
  grant(member, 1s);
  EXPECT_EQ(member.replica().machine().revision(), Revision(2)) << "both in one";
  member.pass(1s);
  EXPECT_TRUE(alive(member));
  member.pass(2ms);
  EXPECT_FALSE(alive(member));
}

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
  member.pass(1s);  // the term's beginning gives every lease a little more
  grant(member, 2s);
  member.stand_still(2s + 1ms);
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
  Duration remaining{};
  member.replica().lease_time_to_live(
      {lease, false}, {},
      [&](const Result<store::LeaseTimeToLiveResponse>& result) { remaining = result->remaining; });
  member.settle();
  EXPECT_EQ(remaining, 10s) << "nobody is told of more than was granted";
  member.pass(10s + confirmation_age_max - 1ms);
  EXPECT_TRUE(alive(member)) << "its last confirmation may have been so old";
  member.pass(300ms);
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

// Whatever leads later gives every lease so much more: nobody needs to be asked.
TEST_F(Leader, AsksNobodyWhileItWasConfirmedLately) {
  grant_among_three(member, helper, 60s);
  const auto first = renew(member);
  member.settle();
  confirm(member, helper);
  ASSERT_TRUE(first->came);
  member.stand_still(confirmation_age_max);
  const auto second = renew(member);
  member.settle();
  EXPECT_EQ(second->ttl, 60s);
  member.stand_still(1ms);
  const auto third = renew(member);
  member.settle();
  EXPECT_FALSE(third->came) << "it may have been replaced by one whose leases ended";
  confirm(member, helper);
  EXPECT_EQ(third->ttl, 60s);
}

// Counted from when the others were asked, not from when they answered.
TEST_F(Leader, AConfirmationIsAsOldAsItsQuestion) {
  grant_among_three(member, helper, 60s);
  static_cast<void>(member.taken(helper, PeerMessageKind::raft));
  const auto first = renew(member);
  member.settle();
  member.stand_still(confirmation_age_max);
  confirm(member, helper);
  EXPECT_EQ(first->ttl, 60s);
  member.stand_still(1ms);
  const auto second = renew(member);
  member.settle();
  EXPECT_FALSE(second->came);
}

// A leader that was replaced does not know of leases granted, nor of users made, since.
TEST_F(Leader, AsksBeforeItSaysThatALeaseIsGone) {
  grant_among_three(member, helper, 60s);
  const auto first = renew(member);
  member.settle();
  confirm(member, helper);
  ASSERT_TRUE(first->came);
  const auto there = renew(member);
  const auto unknown = renew(member, LeaseId(77));
  member.settle();
  EXPECT_EQ(there->ttl, 60s) << "not held up by the other";
  EXPECT_FALSE(unknown->came);
  confirm(member, helper);
  ASSERT_TRUE(unknown->came);
  EXPECT_TRUE(unknown->status.ok());
  EXPECT_EQ(unknown->ttl, Duration{});
}

// Somebody else asked for the revocation, and was told that it is done.
TEST_F(Leader, WhatIsCommittedIsAppliedBeforeAnybodyIsAnswered) {
  grant_among_three(member, helper, 60s);
  const auto first = renew(member);
  member.settle();
  confirm(member, helper);
  ASSERT_TRUE(first->came);
  member.replica().lease_revoke({lease}, {}, [](const Result<store::LeaseRevokeResponse>&) {});
  member.settle();
  ASSERT_TRUE(alive(member)) << "not committed yet";
  const auto second = renew(member);
  member.acknowledge(helper);  // comes first in the turn that answers
  EXPECT_FALSE(alive(member));
  EXPECT_FALSE(second->came);
  confirm(member, helper);
  ASSERT_TRUE(second->came);
  EXPECT_EQ(second->ttl, Duration{});
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

// What the leader's only answer to `asker` says of each lease; nothing if there is no such answer.
std::vector<store::LeaseKeepAliveResponse> renewals_answered(TestMember& member, NodeId asker) {
  const auto answers = member.taken(asker, PeerMessageKind::forward_answer);
  EXPECT_EQ(answers.size(), 1u);
  if (answers.size() != 1) return {};
  const Result<ForwardAnswer> answer = decode_forward_answer(answers[0]);
  EXPECT_TRUE(answer.ok());
  if (!answer.ok() || answer->results.size() != 1 || !answer->results[0].ok()) return {};
  return std::get<store::LeaseRenewResponse>(*answer->results[0]).renewals;
}

TEST_F(Leader, RenewsFromMemoryWhatAnotherMemberPassesOn) {
  grant_among_three(member, helper, 60s);
  const LogIndex before = member.replica().raft().log().last_index();
  const ForwardId id = first_forward_id(5).next();
  static_cast<void>(member.taken(helper, PeerMessageKind::raft));
  member.receive(lagging, renewals_forward(id, member.replica().raft().term(), {lease, LeaseId(77)}));
  EXPECT_TRUE(member.taken(lagging, PeerMessageKind::forward_answer).empty()) << "not confirmed yet";
  confirm(member, helper);
  const auto renewals = renewals_answered(member, lagging);
  ASSERT_EQ(renewals.size(), 2u);
  EXPECT_EQ(renewals[0].ttl, 60s);
  EXPECT_EQ(renewals[1].ttl, Duration{}) << "there is no such lease";
  EXPECT_EQ(member.replica().raft().log().last_index(), before);
}

// A member that is asked how long a lease has left renews none, and counts from what the leader's clock says.
TEST_F(Leader, TellsItsStoreTimeToWhoRenewsNoLease) {
  grant_among_three(member, helper, 60s);
  const Duration granted = std::chrono::milliseconds(member.replica().machine().store_time_ms());
  member.stand_still(100ms);
  static_cast<void>(member.taken(helper, PeerMessageKind::raft));
  member.receive(lagging,
                 renewals_forward(first_forward_id(5).next(), member.replica().raft().term(), {LeaseId{}}));
  confirm(member, helper);
  const auto renewals = renewals_answered(member, lagging);
  ASSERT_EQ(renewals.size(), 1u);
  EXPECT_GE(renewals[0].ttl, granted + 100ms);
  EXPECT_LE(renewals[0].ttl, granted + 200ms);
}

TEST_F(Leader, RenewsAtOnceWhatAnotherMemberPassesOn) {
  grant_among_three(member, helper, 60s);
  const auto renewed = renew(member);
  member.settle();
  confirm(member, helper);
  ASSERT_TRUE(renewed->came);
  const Term term = member.replica().raft().term();
  ForwardId id = first_forward_id(5).next();
  member.receive(lagging, renewals_forward(id, term, {lease, lease}));
  EXPECT_EQ(member.taken(lagging, PeerMessageKind::forward_answer).size(), 1u);
  id = id.next();
  member.receive(lagging, renewals_forward(id, term, {lease, LeaseId(77)}));
  EXPECT_TRUE(member.taken(lagging, PeerMessageKind::forward_answer).empty()) << "one of them may be gone";
  confirm(member, helper);
  EXPECT_EQ(member.taken(lagging, PeerMessageKind::forward_answer).size(), 1u);
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

}  // namespace
}  // namespace lockstep::replica
