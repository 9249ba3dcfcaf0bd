#include "replica/peer_calls.h"

#include <optional>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lockstep::replica {
namespace {

// A wire between two: what was sent lies here until the test delivers it, or not.
class Wire final : public env::Network {
 public:
  struct Sent {
    NodeId to;
    SharedBytes message;
  };
  void set_receiver(env::Receiver*) override {}
  void set_peer(NodeId, const std::string&) override {}
  void remove_peer(NodeId) override {}
  void send(NodeId to, Pieces pieces) override {
    std::string bytes;
    for (const SharedBytes& piece : pieces) bytes += piece.view();
    sent.push_back({to, SharedBytes(std::move(bytes))});
  }
  std::vector<Sent> sent;
};

constexpr NodeId asker{1};
constexpr NodeId leader{2};

struct PeerCallsTest : testing::Test {
  void ask(const std::string& question, TimePoint deadline = no_deadline) {
    asking.call(leader, question, deadline,
                [this](Result<std::string> result) { answer = std::move(result); });
  }
  SharedBytes last() { return wire.sent.back().message; }

  Wire wire;
  PeerCalls asking{wire, 7};
  PeerCalls answering{wire, 9};
  std::optional<Result<std::string>> answer;
};

TEST_F(PeerCallsTest, AnAnswerFindsItsQuestionOnce) {
  answering.set_handler([](NodeId from, std::string_view request, PeerCalls::Answer done) {
    EXPECT_EQ(from, asker);
    done(std::string(request) + " is here");
  });
  ask("cat");
  EXPECT_EQ(wire.sent.back().to, leader);
  ASSERT_TRUE(answering.on_call(asker, last()));
  const SharedBytes said = last();
  EXPECT_TRUE(asking.on_answer(NodeId(3), said)) << "not the one that was asked";
  EXPECT_FALSE(answer.has_value());
  EXPECT_TRUE(asking.on_answer(leader, said));
  ASSERT_TRUE(answer && answer->ok());
  EXPECT_EQ(**answer, "cat is here");
  answer.reset();
  EXPECT_TRUE(asking.on_answer(leader, said));
  EXPECT_FALSE(answer.has_value()) << "messages come twice";
}

TEST_F(PeerCallsTest, ARefusalArrivesWithCodeAndText) {
  ask("cat");
  ASSERT_TRUE(answering.on_call(asker, last()));
  ASSERT_TRUE(asking.on_answer(leader, last()));
  EXPECT_EQ(answer->status(), Status(Code::unavailable, "this member takes no calls"));
}

TEST_F(PeerCallsTest, SilenceIsAnUnknownOutcome) {
  ask("cat", TimePoint(5s));
  EXPECT_EQ(asking.next_deadline(), TimePoint(5s));
  asking.expire(TimePoint(4s));
  EXPECT_FALSE(answer.has_value());
  asking.expire(TimePoint(5s));
  EXPECT_TRUE(is_unknown(answer->status()));
  answer.reset();
  ask("dog");
  asking.peer_lost(NodeId(3));
  EXPECT_FALSE(answer.has_value());
  asking.peer_lost(leader);
  EXPECT_TRUE(is_unknown(answer->status()));
}

TEST_F(PeerCallsTest, WhatIsTooMuchOrMalformedIsRefused) {
  ask(std::string(PeerCalls::bytes_max + 1, 'x'));
  EXPECT_EQ(answer->status().code(), Code::invalid_argument);
  EXPECT_TRUE(wire.sent.empty());
  for (const std::string& bytes :
       {std::string("\x08"), std::string("\x08\x00", 2), std::string("\x08\x80")}) {
    EXPECT_FALSE(answering.on_call(asker, SharedBytes(bytes)));
    EXPECT_FALSE(asking.on_answer(leader, SharedBytes(bytes)));
  }
  for (std::size_t i = 0; i < PeerCalls::waiting_max; ++i) ask("cat");
  answer.reset();
  ask("one too many");
  EXPECT_EQ(answer->status().code(), Code::resource_exhausted);
}

}  // namespace
}  // namespace lockstep::replica
