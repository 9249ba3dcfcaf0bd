// One member against peers that are scripted: stories that need a certain message at a certain moment, more
// exact than the simulator draws them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "replica/testing_member.h"

namespace lockstep::replica {
namespace {

using namespace std::chrono_literals;

const NodeId self{1};
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

SharedBytes put_forward(ForwardId id, Term term) {
  store::PutRequest put;
  put.key = "k";
  put.value = "v";
  store::BatchBuilder builder;
  builder.start({});
  EXPECT_TRUE(builder.put(put));
  return joined(encode(Forward{id, term, SharedBytes(builder.take())}));
}

// The network may double messages (env/network.h).
TEST(Forwarding, ABatchThatComesTwiceTakesEffectOnce) {
  const NodeId peer(2);
  TestMember member(self, {self});
  member.start();
  ASSERT_TRUE(member.replica().raft().is_leader());
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

}  // namespace
}  // namespace lockstep::replica
