// Topics as programs see them, in the embedded cluster and on real servers.
#include <chrono>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <lockstep/lockstep.h>
#include <lockstep/testing.h>

#include "testing_world.h"

namespace {

using namespace std::chrono_literals;
using lockstep::CallOptions;
using lockstep::Client;
using lockstep::Code;
using lockstep::Outcome;
using lockstep::TopicClaim;
using lockstep::TopicClaimOptions;
using lockstep::TopicDelivery;
using lockstep::TopicMessage;
using lockstep::TopicOptions;
using lockstep::TopicPosition;
using lockstep::Txn;
using lockstep::sdk_test::Capability;
using lockstep::sdk_test::World;
using lockstep::testing::Fault;
using lockstep::testing::StoreCall;

std::string texts(const std::vector<TopicDelivery>& messages) {
  std::string all;
  for (const TopicDelivery& each : messages) all += (all.empty() ? "" : " ") + each.payload();
  return all;
}

class SdkTopic : public testing::Test {
 protected:
  SdkTopic() {
    world_.jump_while_waiting();
    topic_.create(TopicOptions().partitions(1)).wait().value();
  }
  void publish(const std::vector<std::string>& payloads) {
    std::vector<TopicMessage> messages;
    messages.reserve(payloads.size());
    for (const std::string& each : payloads) messages.emplace_back("key", each);
    topic_.publish(messages).wait().value();
  }
  Outcome<TopicClaim> claim(std::size_t max = 10) {
    return group_
        .claim(TopicClaimOptions().max(max).attempts_max(3), CallOptions().timeout(World::patience(1min)))
        .wait();
  }
  bool nothing_comes() {
    return World::was_in_vain(group_.claim(CallOptions().timeout(World::in_vain(1min))).wait().code());
  }
  std::chrono::nanoseconds now() {
    return World::has(Capability::clock) ? world_.now() : std::chrono::steady_clock::now().time_since_epoch();
  }

  World world_;
  Client one_ = world_.client();
  Client two_ = world_.client();
  lockstep::Topic topic_ = one_.topic("orders");
  lockstep::TopicGroup group_ = two_.topic("orders").group("mail");
};

TEST_F(SdkTopic, WhatIsPublishedComesOnceItIsAcknowledgedNeverAgain) {
  const TopicPosition at =
      topic_.publish(TopicMessage("o1", "paid").header("kind", "sale").event("/shop", "o1-3")).wait().value();
  EXPECT_EQ(at, (TopicPosition{0, 0}));
  TopicClaim first = claim().value();
  ASSERT_EQ(first.messages().size(), 1U);
  const TopicDelivery& message = first.messages().front();
  EXPECT_EQ(message.key(), "o1");
  EXPECT_EQ(message.payload(), "paid");
  EXPECT_EQ(message.header("kind"), "sale");
  EXPECT_EQ(message.header("none"), "");
  EXPECT_EQ(message.identity(), "/shop o1-3");
  EXPECT_EQ(message.position(), at);
  EXPECT_EQ(first.attempt(), 1);
  EXPECT_TRUE(first.ack().wait().is_done());
  EXPECT_TRUE(nothing_comes());
  EXPECT_EQ(texts(topic_.read({0, 0}, 10).wait().value()), "paid") << "it stays, for others";
}

TEST_F(SdkTopic, IsMadeOnceAndRefusesWhatIsWrong) {
  EXPECT_TRUE(topic_.create(TopicOptions().partitions(1)).wait().is_done());
  EXPECT_EQ(topic_.create(TopicOptions().partitions(2)).wait().code(), Code::already_exists);
  EXPECT_EQ(one_.topic("none").publish(TopicMessage("", "")).wait().code(), Code::not_found);
  EXPECT_EQ(one_.topic("none").group("g").claim().wait().code(), Code::not_found);
  EXPECT_EQ(topic_.publish(std::vector<TopicMessage>()).wait().code(), Code::invalid_argument);
  EXPECT_EQ(topic_.publish(TopicMessage("k", std::string(1 << 20, 'x'))).wait().code(),
            Code::invalid_argument);
  EXPECT_EQ(claim(0).code(), Code::invalid_argument);
  EXPECT_EQ(topic_.read({7, 0}, 10).wait().code(), Code::invalid_argument);
  EXPECT_TRUE(topic_.remove().wait().is_done());
  EXPECT_EQ(topic_.remove().wait().code(), Code::not_found);
}

TEST_F(SdkTopic, WhatIsNotSettledIsGivenBackByItsEndAndComesAlone) {
  LOCKSTEP_NEEDS(Capability::clock);
  publish({"a", "b"});
  std::int64_t token = 0;
  {
    const TopicClaim lost = claim().value();
    EXPECT_EQ(texts(lost.messages()), "a b");
    token = lost.token();
  }
  const auto before = world_.now();
  const TopicClaim again = claim().value();
  EXPECT_GE(world_.now() - before, 1s) << "a pause before the second attempt";
  EXPECT_LT(world_.now() - before, 30s) << "but not its whole visibility";
  EXPECT_EQ(texts(again.messages()), "a");
  EXPECT_EQ(again.attempt(), 2);
  EXPECT_GT(again.token(), token);
}

TEST_F(SdkTopic, SomeAreAcknowledgedAndTheOthersGivenBack) {
  publish({"a", "b", "c"});
  TopicClaim first = claim().value();
  EXPECT_EQ(first.give_back(4, 0s).wait().code(), Code::invalid_argument);
  const auto pause = World::has(Capability::clock) ? 5s : 1s;
  EXPECT_TRUE(first.give_back(1, pause, "the mail server is away").wait().is_done());
  const auto before = now();
  TopicClaim second = claim().value();
  EXPECT_GE(now() - before, pause);
  EXPECT_EQ(texts(second.messages()), "b");
  EXPECT_EQ(first.ack().wait().code(), Code::failed_precondition) << "it is over";
  EXPECT_TRUE(second.ack().wait().is_done());
  EXPECT_EQ(texts(claim().value().messages()), "c");
}

TEST_F(SdkTopic, ARejectedMessageIsADeadLetterUntilItIsRedriven) {
  publish({"a", "poison", "c"});
  EXPECT_TRUE(claim().value().reject(1, "no such customer").wait().is_done());
  TopicClaim rest = claim().value();
  EXPECT_EQ(texts(rest.messages()), "c");
  EXPECT_TRUE(rest.ack().wait().is_done());
  const auto dead = group_.dead().wait().value();
  ASSERT_EQ(dead.size(), 1U);
  EXPECT_EQ(dead[0].message.payload(), "poison");
  EXPECT_EQ(dead[0].reason, "no such customer");
  EXPECT_TRUE(group_.redrive(dead[0].message.position()).wait().is_done());
  EXPECT_EQ(group_.redrive(dead[0].message.position()).wait().code(), Code::not_found);
  TopicClaim again = claim().value();
  EXPECT_EQ(texts(again.messages()), "poison");
  EXPECT_TRUE(again.reject(0, "still none").wait().is_done());
  EXPECT_TRUE(group_.drop(group_.dead().wait().value().at(0).message.position()).wait().is_done());
  EXPECT_TRUE(group_.dead().wait().value().empty());
}

TEST_F(SdkTopic, AMessageThatNobodyAcknowledgesIsADeadLetterInTheEnd) {
  LOCKSTEP_NEEDS(Capability::clock);
  publish({"a"});
  for (int attempt = 1; attempt <= 3; ++attempt) EXPECT_EQ(claim().value().attempt(), attempt);
  EXPECT_EQ(claim().code(), Code::deadline_exceeded);
  EXPECT_EQ(group_.dead().wait().value().at(0).attempts, 3);
}

TEST_F(SdkTopic, AGroupGoesBackToTheBeginningOrAMoment) {
  LOCKSTEP_NEEDS(Capability::clock);
  world_.set_wall_clock(1'000s);
  publish({"a"});
  world_.set_wall_clock(2'000s);
  publish({"b"});
  EXPECT_TRUE(claim().value().ack().wait().is_done());
  EXPECT_TRUE(group_.seek_to_first().wait().is_done());
  TopicClaim all = claim().value();
  EXPECT_EQ(texts(all.messages()), "a b");
  EXPECT_EQ(all.messages()[0].published_at(), 1'000s);
  EXPECT_TRUE(group_.seek_to(std::chrono::system_clock::time_point(1'500s)).wait().is_done());
  EXPECT_EQ(all.ack().wait().code(), Code::failed_precondition) << "lost by seeking";
  EXPECT_EQ(texts(claim().value().messages()), "b");
  EXPECT_TRUE(group_.seek_to_end().wait().is_done());
  EXPECT_EQ(claim().code(), Code::deadline_exceeded);
}

// Its consumer slept too long: what it writes with held() has no effect.
TEST_F(SdkTopic, AClaimThatIsOverWritesNothing) {
  LOCKSTEP_NEEDS(Capability::cutting_off);
  publish({"a"});
  TopicClaim mine = claim().value();
  Txn write;
  mine.held(write).put("sent/a", "1");
  EXPECT_TRUE(two_.commit(write).wait().value().succeeded);
  EXPECT_TRUE(mine.extend().wait().is_done());
  world_.cut_off(two_);
  world_.advance(1min);
  world_.reconnect(two_);
  EXPECT_EQ(mine.extend().wait().code(), Code::failed_precondition);
  Txn late;
  mine.held(late).put("sent/a", "2");
  EXPECT_FALSE(two_.commit(late).wait().value().succeeded);
  EXPECT_EQ(texts(one_.topic("orders").group("mail").claim().wait().value().messages()), "a");
}

TEST_F(SdkTopic, AnAnswerThatIsLostIsNoSecondMessage) {
  LOCKSTEP_NEEDS(Capability::faults);
  bool lost = false;
  world_.set_faults(one_, [&lost](const StoreCall& call) {
    if (lost || !call.changes) return Fault::none;
    lost = true;
    return Fault::answer_lost;
  });
  publish({"a"});
  EXPECT_TRUE(lost);
  EXPECT_EQ(texts(topic_.read({0, 0}, 10).wait().value()), "a");
}

TEST_F(SdkTopic, AClaimThatIsStoppedOrWhoseClientClosesLeavesTheMessagesToOthers) {
  std::stop_source stop;
  std::thread waiting([&] {
    EXPECT_TRUE(World::was_stopped(group_.claim(CallOptions().stop(stop.get_token())).wait().code()));
  });
  stop.request_stop();
  waiting.join();
  publish({"a"});
  const TopicClaim held = claim().value();
  two_.close();
  const auto before = now();
  EXPECT_EQ(texts(topic_.group("mail").claim().wait().value().messages()), "a");
  if (World::has(Capability::clock)) {
    EXPECT_LT(now() - before, 30s) << "given back, not run out";
  }
}

lockstep::Task<std::string> consume(lockstep::TopicGroup group) {
  auto claimed = co_await group.claim();
  if (!claimed) co_return claimed.error().to_string();
  const auto acknowledged = co_await claimed->ack();
  co_return acknowledged ? texts(claimed->messages()) : acknowledged.error().to_string();
}

TEST_F(SdkTopic, ACoroutineConsumes) {
  publish({"a"});
  EXPECT_EQ(lockstep::wait(consume(group_)), "a");
}

}  // namespace
