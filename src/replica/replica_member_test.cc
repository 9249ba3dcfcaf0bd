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

}  // namespace
}  // namespace lockstep::replica
