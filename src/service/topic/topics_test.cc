#include "service/topic/topics.h"

#include <map>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "service/testing/recipe_test.h"
#include "service/testing/unruly_store.h"
#include "service/topic/values.h"

namespace lockstep::service::testing {
namespace {

TopicMessage message(std::string key, std::string payload) {
  TopicMessage made;
  made.key = std::move(key);
  made.payload = std::move(payload);
  return made;
}

class TopicsTest : public RecipeTest {
 protected:
  Status create(const std::string& topic, std::int64_t partitions = 1) {
    TopicConfig config;
    config.partitions = partitions;
    return run(topics.create(topic, config, {}));
  }
  Result<std::vector<MessagePosition>> publish(const std::string& topic,
                                               const std::vector<std::string>& payloads,
                                               const std::string& key = "k") {
    std::vector<TopicMessage> messages;
    for (const std::string& payload : payloads) messages.push_back(message(key, payload));
    return run(topics.publish(topic, std::move(messages), {}));
  }
  MessageClaim claim(const std::string& topic, std::size_t max = 10, std::int64_t attempts_max = 16,
                     const std::string& group = "g") {
    MessageClaimRequest request;
    request.max = max;
    request.visibility = 10s;
    request.attempts_max = attempts_max;
    return run(topics.claim(topic, group, request, {})).value();
  }
  Status acknowledge(const std::string& topic, const MessageClaim& claim, const std::string& group = "g") {
    MessageSettlement settlement;
    settlement.acknowledged_through = claim.messages.back().offset;
    return run(topics.settle(topic, group, claim.token, settlement, {}));
  }
  Status give_back(const std::string& topic, const MessageClaim& claim, const std::string& reason,
                   Duration delay = {}) {
    MessageSettlement settlement;
    settlement.reason = reason;
    settlement.delay = delay;
    return run(topics.settle(topic, "g", claim.token, settlement, {}));
  }
  // "0:a 1:b": offsets and payloads.
  static std::string show(const MessageClaim& claim) {
    std::string text;
    for (const DeliveredMessage& one : claim.messages)
      text += (text.empty() ? "" : " ") + std::to_string(one.offset) + ":" + one.message.payload;
    return text;
  }

  Topics topics{world.context};
};

TEST_F(TopicsTest, MessagesComeInTheirOrderAndStayForEveryGroup) {
  ASSERT_EQ(create("orders"), Status());
  ASSERT_TRUE(publish("orders", {"a", "b", "c"}).ok());
  const MessageClaim first = claim("orders", 2);
  EXPECT_EQ(show(first), "0:a 1:b");
  EXPECT_EQ(show(claim("orders")), "") << "the partition is worked on";
  EXPECT_EQ(acknowledge("orders", first), Status());
  const MessageClaim second = claim("orders");
  EXPECT_EQ(show(second), "2:c");
  EXPECT_EQ(show(claim("orders", 10, 16, "other")), "0:a 1:b 2:c");
  EXPECT_EQ(acknowledge("orders", second), Status());
  EXPECT_EQ(show(claim("orders")), "");
}

TEST_F(TopicsTest, WhatIsNotAcknowledgedComesAgainAloneWithALargerToken) {
  ASSERT_EQ(create("orders"), Status());
  ASSERT_TRUE(publish("orders", {"a", "b"}).ok());
  const MessageClaim first = claim("orders");
  world.advance(9s, 100ms);
  EXPECT_EQ(show(claim("orders")), "") << "never before its time";
  world.advance(4s, 100ms);
  const MessageClaim again = claim("orders");
  EXPECT_EQ(show(again), "0:a");
  EXPECT_EQ(again.token.attempts, 2);
  EXPECT_GT(again.token.revision, first.token.revision);
  EXPECT_EQ(acknowledge("orders", first), errors::claim_lost());
  EXPECT_EQ(acknowledge("orders", again), Status());
  EXPECT_EQ(show(claim("orders")), "1:b");
}

TEST_F(TopicsTest, AClaimThatIsExtendedStays) {
  ASSERT_EQ(create("orders"), Status());
  ASSERT_TRUE(publish("orders", {"a"}).ok());
  const MessageClaim first = claim("orders");
  for (int i = 0; i < 5; ++i) {
    world.advance(6s, 100ms);
    EXPECT_TRUE(run(topics.extend("orders", "g", first.token, {})).ok());
  }
  EXPECT_EQ(show(claim("orders")), "");
  EXPECT_EQ(acknowledge("orders", first), Status());
}

TEST_F(TopicsTest, WhatDoesHarmBecomesADeadLetterAndTheOthersGoOn) {
  ASSERT_EQ(create("orders"), Status());
  ASSERT_TRUE(publish("orders", {"poison", "b"}).ok());
  for (int attempt = 1; attempt <= 3; ++attempt) {
    const MessageClaim taken = claim("orders", 10, 3);
    ASSERT_EQ(taken.token.attempts, attempt);
    EXPECT_EQ(give_back("orders", taken, "no such customer"), Status());
  }
  EXPECT_EQ(show(claim("orders", 10, 3)), "1:b");
  const std::vector<DeadMessage> dead = run(topics.dead("orders", "g", 10, {})).value();
  ASSERT_EQ(dead.size(), 1U);
  EXPECT_EQ(dead[0].message.payload, "poison");
  EXPECT_EQ(dead[0].reason, "no such customer");
  EXPECT_EQ(dead[0].attempts, 3);
  EXPECT_EQ(run(topics.dead("orders", "other", 10, {}))->size(), 0U);
}

// Of a stored block nothing is left that could be read: its messages are lost, and those behind it are not.
TEST_F(TopicsTest, WhatIsDamagedIsBuriedAndTheOthersGoOn) {
  ASSERT_EQ(create("orders"), Status());
  for (const char* payload : {"a", "b", "c", "d"}) ASSERT_TRUE(publish("orders", {payload}).ok());
  const TopicKeys keys("orders");
  put(keys.block(0, 1), "torn");
  put(keys.block(0, 3), "torn, too");
  const MessageClaim first = claim("orders");
  EXPECT_EQ(show(first), "0:a");
  EXPECT_EQ(acknowledge("orders", first), Status());
  const MessageClaim second = claim("orders");
  EXPECT_EQ(show(second), "2:c");
  EXPECT_EQ(acknowledge("orders", second), Status());
  EXPECT_EQ(show(claim("orders")), "");
  const std::vector<DeadMessage> dead = run(topics.dead("orders", "g", 10, {})).value();
  ASSERT_EQ(dead.size(), 2U);
  EXPECT_EQ(dead[0].offset, 1);
  EXPECT_EQ(dead[0].message.payload, "torn");
  EXPECT_EQ(dead[0].reason, "what is stored from here to offset 2 is damaged");
  EXPECT_EQ(dead[1].reason, "what is stored from here to offset 4 is damaged");
  EXPECT_EQ(run(topics.read("orders", 0, 1, 10, {}))->at(0).message.payload, "c");
  ASSERT_TRUE(publish("orders", {"e"}).ok());
  EXPECT_EQ(show(claim("orders")), "4:e");
}

// Somebody else's keys, copies of blocks or garbage: before, behind and between good ones, and in a hole.
TEST_F(TopicsTest, KeysThatAreNoBlocksAreSteppedOver) {
  ASSERT_EQ(create("orders"), Status());
  for (const char* payload : {"a", "b", "c", "d", "e"}) ASSERT_TRUE(publish("orders", {payload}).ok());
  const TopicKeys keys("orders");
  const std::string copied = value(keys.block(0, 1));
  for (const std::int64_t offset : {0, 2, 3, 4}) {
    for (const char* more : {"0", "x", "x0", "x1", "x2", "x3"}) put(keys.block(0, offset) + more, copied);
    put(keys.block(0, offset) + "torn", "torn");
  }
  remove(keys.block(0, 3));
  EXPECT_EQ(show(claim("orders", 2)), "0:a 1:b");
  EXPECT_EQ(show(claim("orders", 10, 16, "h")), "0:a 1:b 2:c 4:e");
  const auto read = run(topics.read("orders", 0, 3, 10, {}));
  ASSERT_TRUE(read.ok() && read->size() == 1);
  EXPECT_EQ(read->at(0).offset, 4);
  EXPECT_TRUE(run(topics.dead("orders", "h", 10, {}))->empty());
  for (const std::int64_t offset : {0, 1, 2, 4}) remove(keys.block(0, offset));
  EXPECT_EQ(show(claim("orders", 10, 16, "nothing but strangers")), "");
}

TEST_F(TopicsTest, ADamagedHeadHoldsUpItsPartitionOnly) {
  ASSERT_EQ(create("orders", 2), Status());
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(publish("orders", {"m"}, std::to_string(i)).ok());
  put(TopicKeys("orders").head(0), "torn");
  const MessageClaim taken = claim("orders");
  ASSERT_FALSE(taken.messages.empty());
  EXPECT_EQ(taken.token.partition, 1);
  EXPECT_EQ(acknowledge("orders", taken), Status());
  MessageClaimRequest request;
  request.visibility = 10s;
  EXPECT_EQ(run(topics.claim("orders", "g", request, {})).status().code(), Code::failed_precondition);
}

TEST_F(TopicsTest, ARedrivenLetterComesToItsGroupOnly) {
  ASSERT_EQ(create("orders"), Status());
  ASSERT_TRUE(publish("orders", {"poison"}).ok());
  MessageSettlement reject;
  reject.reject = true;
  reject.reason = "cannot read it";
  EXPECT_EQ(run(topics.settle("orders", "g", claim("orders").token, reject, {})), Status());
  EXPECT_EQ(show(claim("orders")), "");
  const std::vector<DeadMessage> dead = run(topics.dead("orders", "g", 10, {})).value();
  ASSERT_EQ(dead.size(), 1U);
  EXPECT_EQ(run(topics.redrive("orders", "g", {dead[0].partition, dead[0].offset}, {})), Status());
  EXPECT_EQ(run(topics.redrive("orders", "g", {dead[0].partition, dead[0].offset}, {})),
            errors::dead_letter_not_found());
  const MessageClaim again = claim("orders");
  EXPECT_EQ(show(again), "1:poison");
  EXPECT_EQ(acknowledge("orders", again), Status());
  MessageClaim other = claim("orders", 10, 16, "other");
  EXPECT_EQ(show(other), "0:poison");
  EXPECT_EQ(acknowledge("orders", other, "other"), Status());
  EXPECT_EQ(show(claim("orders", 10, 16, "other")), "");
}

// "All of the claim" is what was delivered, also where there is more behind it.
TEST_F(TopicsTest, AClaimEndsBehindItsLastMessage) {
  ASSERT_EQ(create("orders"), Status());
  for (const char* payload : {"a", "b", "c", "d", "e", "f"}) ASSERT_TRUE(publish("orders", {payload}).ok());
  const MessageClaim first = claim("orders", 2);
  EXPECT_EQ(show(first), "0:a 1:b");
  EXPECT_EQ(first.token.to, 2);
}
// A claim that finds only what is another group's goes on behind that, and no further.
TEST_F(TopicsTest, LettersOfAnotherGroupTakeNothingWithThem) {
  ASSERT_EQ(create("orders"), Status());
  ASSERT_TRUE(publish("orders", {"a", "b"}).ok());
  MessageSettlement reject;
  reject.reject = true;
  for (std::int64_t offset = 0; offset < 2; ++offset) {
    EXPECT_EQ(run(topics.settle("orders", "g", claim("orders").token, reject, {})), Status());
    EXPECT_EQ(run(topics.redrive("orders", "g", {0, offset}, {})), Status());
  }
  ASSERT_TRUE(publish("orders", {"c", "d"}).ok());
  ASSERT_TRUE(publish("orders", {"e"}).ok());
  const MessageClaim first = claim("orders", 2, 16, "other");
  EXPECT_EQ(show(first), "0:a 1:b");
  EXPECT_EQ(acknowledge("orders", first, "other"), Status());
  EXPECT_EQ(show(claim("orders", 2, 16, "other")), "4:c 5:d");
}
TEST_F(TopicsTest, ALetterWithAllItsHeadersIsRedrivenToo) {
  ASSERT_EQ(create("orders"), Status());
  std::vector<TopicMessage> messages = {message("k", "full")};
  for (std::size_t i = 0; i < message_headers_max; ++i)
    messages[0].headers.emplace_back("h" + std::to_string(i), "v");
  ASSERT_TRUE(run(topics.publish("orders", messages, {})).ok());
  MessageSettlement reject;
  reject.reject = true;
  EXPECT_EQ(run(topics.settle("orders", "g", claim("orders").token, reject, {})), Status());
  EXPECT_EQ(run(topics.redrive("orders", "g", {0, 0}, {})), Status());
  const MessageClaim again = claim("orders");
  ASSERT_EQ(show(again), "1:full");
  EXPECT_EQ(again.messages[0].message.headers.size(), message_headers_max + 1);
}

TEST_F(TopicsTest, AForgedClaimReadsNothing) {
  ASSERT_EQ(create("orders"), Status());
  ASSERT_TRUE(publish("orders", {"a"}).ok());
  MessageSettlement reject;
  reject.reject = true;
  ClaimToken forged{0, Revision(1), LeaseId(1), 0, offset_max, 1};
  EXPECT_EQ(run(topics.settle("orders", "g", forged, reject, {})), errors::claim_lost());
  // And whoever holds one and lies about its end is done in a few reads.
  EXPECT_EQ(run(topics.extend("orders", "g", forged, {})).status(), errors::claim_lost());
  forged = claim("orders").token;
  forged.to = offset_max;
  forged.from = 1;
  const int before = world.store.ranges;
  EXPECT_EQ(run(topics.settle("orders", "g", forged, reject, {})), errors::settlement_wrong());
  EXPECT_LT(world.store.ranges - before, 10);
}

TEST_F(TopicsTest, AWaitingConsumerIsToldAtOnce) {
  ASSERT_EQ(create("orders", 4), Status());
  MessageClaimRequest request;
  request.wait = 60s;
  Running<Result<MessageClaim>> waiting(topics.claim("orders", "g", request, {}));
  world.advance(5s, 100ms);
  ASSERT_TRUE(waiting.waits());
  ASSERT_TRUE(publish("orders", {"a"}).ok());
  world.settle();
  ASSERT_FALSE(waiting.waits());
  EXPECT_EQ(show(waiting.result().value()), "0:a");
  // Another waits for the partition itself, and has it when it is given back.
  Running<Result<MessageClaim>> second(topics.claim("orders", "g", request, {}));
  world.settle();
  EXPECT_TRUE(second.waits());
  EXPECT_EQ(give_back("orders", waiting.result().value(), "later", 5s), Status());
  world.advance(4s, 100ms);
  EXPECT_TRUE(second.waits()) << "the partition rests";
  world.advance(3s, 100ms);
  ASSERT_FALSE(second.waits());
  EXPECT_EQ(show(second.result().value()), "0:a");
}

TEST_F(TopicsTest, AWaitThatEndsHasNothingAndAClosedTopicEndsIt) {
  ASSERT_EQ(create("orders"), Status());
  MessageClaimRequest request;
  request.wait = 2s;
  Running<Result<MessageClaim>> waiting(topics.claim("orders", "g", request, {}));
  world.advance(3s, 100ms);
  EXPECT_EQ(show(waiting.result().value()), "");
  auto other = std::make_unique<Topics>(world.context);
  request.wait = 60s;
  Running<Result<MessageClaim>> closed(other->claim("orders", "g", request, {}));
  world.settle();
  other.reset();
  world.settle();
  EXPECT_EQ(closed.result().status(), errors::topics_closed());
}

TEST_F(TopicsTest, KeysKeepToTheirPartitionAndManyMessagesAreFewBlocks) {
  ASSERT_EQ(create("orders", 8), Status());
  std::vector<TopicMessage> messages;
  for (int i = 0; i < 1000; ++i) messages.push_back(message("k" + std::to_string(i % 50), std::to_string(i)));
  const int before = world.store.txns;
  const auto positions = run(topics.publish("orders", std::move(messages), {}));
  ASSERT_TRUE(positions.ok());
  EXPECT_EQ(world.store.txns - before, 8);
  std::map<int, std::int64_t> partition_of;
  std::map<std::int64_t, std::int64_t> next;
  for (int i = 0; i < 1000; ++i) {
    const MessagePosition& at = (*positions)[static_cast<std::size_t>(i)];
    EXPECT_EQ(partition_of.emplace(i % 50, at.partition).first->second, at.partition);
    EXPECT_EQ(at.offset, next[at.partition]++);
  }
  // And are read back one by one, whole.
  int seen = 0;
  while (true) {
    const MessageClaim taken = claim("orders", 100);
    if (taken.messages.empty()) break;
    seen += static_cast<int>(taken.messages.size());
    ASSERT_EQ(acknowledge("orders", taken), Status());
  }
  EXPECT_EQ(seen, 1000);
}

TEST_F(TopicsTest, SeekGoesBackToTheBeginningToATimeAndToTheEnd) {
  ASSERT_EQ(create("orders"), Status());
  for (const std::string payload : {"a", "b", "c", "d"}) {
    ASSERT_TRUE(publish("orders", {payload}).ok());
    world.advance(10s, 1s);
  }
  const MessageClaim all = claim("orders");
  EXPECT_EQ(acknowledge("orders", all), Status());
  EXPECT_EQ(run(topics.seek("orders", "g", {Topics::Seek::To::first, 0}, {})), Status());
  const MessageClaim again = claim("orders");
  EXPECT_EQ(show(again), "0:a 1:b 2:c 3:d");
  EXPECT_EQ(run(topics.seek("orders", "g", {Topics::Seek::To::time, all.messages[2].at_ms}, {})), Status());
  EXPECT_EQ(acknowledge("orders", again), errors::claim_lost());
  const MessageClaim later = claim("orders");
  EXPECT_EQ(show(later), "2:c 3:d");
  EXPECT_EQ(run(topics.seek("orders", "g", {Topics::Seek::To::end, 0}, {})), Status());
  EXPECT_EQ(show(claim("orders")), "");
  EXPECT_EQ(run(topics.read("orders", 0, 1, 2, {}))->size(), 2U);
}

TEST_F(TopicsTest, RetentionLetsGoWhatIsOldAndCountsNobodyDouble) {
  TopicConfig config;
  config.partitions = 1;
  config.retention_ms = 60'000;
  ASSERT_EQ(run(topics.create("orders", config, {})), Status());
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(publish("orders", {std::to_string(i)}).ok());
    world.advance(11s, 1s);
  }
  const TopicState state = run(topics.show("orders", {})).value();
  EXPECT_EQ(state.heads[0].next, 20);
  EXPECT_GE(state.heads[0].first, 12);
  EXPECT_LE(state.heads[0].first, 15);
  EXPECT_EQ(claim("orders").messages.front().offset, state.heads[0].first);
}

TEST_F(TopicsTest, WhatIsWrongIsSaidAndChangesNothing) {
  EXPECT_EQ(publish("nowhere", {"a"}).status(), errors::topic_not_found());
  EXPECT_EQ(create("orders", 0).code(), Code::invalid_argument);
  EXPECT_EQ(create("orders", 65).code(), Code::invalid_argument);
  ASSERT_EQ(create("orders", 2), Status());
  EXPECT_EQ(create("orders", 2), Status()) << "again the same";
  EXPECT_EQ(create("orders", 3), errors::topic_exists());
  EXPECT_EQ(publish("orders", {}).status(), errors::too_many_messages());
  EXPECT_EQ(publish("orders", {std::string(message_payload_bytes_max + 1, 'x')}).status().code(),
            Code::invalid_argument);
  EXPECT_EQ(run(topics.read("orders", 2, 0, 1, {})).status(), errors::no_such_partition());
  ASSERT_TRUE(publish("orders", {"a"}).ok());
  const MessageClaim taken = claim("orders");
  MessageSettlement beyond;
  beyond.acknowledged_through = taken.token.to;
  EXPECT_EQ(run(topics.settle("orders", "g", taken.token, beyond, {})), errors::settlement_wrong());
  EXPECT_EQ(acknowledge("orders", taken), Status());
  EXPECT_EQ(run(topics.remove("orders", {})), Status());
  EXPECT_EQ(publish("orders", {"a"}).status(), errors::topic_not_found());
}

// Every call of the store fails once, in every way: what was said to be published is there once, in order.
TEST_F(TopicsTest, APublishIsExactWhateverTheStoreAnswers) {
  for (const WatchedStore::Fault fault : {WatchedStore::Fault::refused, WatchedStore::Fault::unknown_done,
                                          WatchedStore::Fault::unknown_not_done}) {
    for (std::size_t call = 0; call < 8; ++call) {
      const std::string topic = "t" + std::to_string(static_cast<int>(fault)) + "-" + std::to_string(call);
      ASSERT_EQ(create(topic), Status());
      world.store.fail_call(call, fault);
      std::vector<std::string> answered;
      for (const std::string payload : {"a", "b", "c"}) {
        const auto done = publish(topic, {payload});
        if (done.ok()) answered.push_back(payload);
        EXPECT_FALSE(!done.ok() && is_unknown(done.status())) << "it is found out";
      }
      (void)world.store.failed();
      std::vector<std::string> there;
      for (const DeliveredMessage& one : run(topics.read(topic, 0, 0, 100, {})).value())
        there.push_back(one.message.payload);
      EXPECT_EQ(there, answered) << topic;
    }
  }
}

// A store behind a bad network, several publishers and consumers: everything that was answered is delivered,
// in the order of its key, and nothing is delivered after its acknowledgement but what was claimed anew.
class UnrulyTopics : public ::testing::TestWithParam<std::uint64_t> {};

Task<void> publish_all(Topics& topics, std::string name, std::set<std::string>& answered, bool& done) {
  for (int i = 0; i < 30; ++i) {
    const std::string payload = name + std::to_string(i);
    std::vector<TopicMessage> messages;
    messages.push_back(message(name, payload));
    const auto at = co_await topics.publish("t", std::move(messages), {});
    if (at.ok()) answered.insert(payload);
  }
  done = true;
}

Task<void> consume(Topics& topics, const bool& enough, std::vector<std::string>& acknowledged,
                   std::set<std::string>& delivered, bool& done) {
  while (!enough) {
    MessageClaimRequest request;
    request.max = 5;
    request.visibility = 5s;
    request.wait = 2s;
    request.attempts_max = 1000;
    Result<MessageClaim> taken = co_await topics.claim("t", "g", request, {});
    if (!taken.ok() || taken->messages.empty()) continue;
    MessageSettlement settlement;
    settlement.acknowledged_through = taken->messages.back().offset;
    const Status settled = co_await topics.settle("t", "g", taken->token, settlement, {});
    for (const DeliveredMessage& one : taken->messages) {
      if (settled.ok()) acknowledged.push_back(one.message.payload);
      if (settled.ok() || is_unknown(settled)) delivered.insert(one.message.payload);
    }
  }
  done = true;
}

TEST_P(UnrulyTopics, WhatWasAnsweredIsDelivered) {
  SCOPED_TRACE("seed " + std::to_string(GetParam()));
  World world;
  UnrulyStore store(world.store.strand, world.store, GetParam());
  SeededRandom random(GetParam());
  Context context{store, world.store.strand, world.store.strand, random};
  Topics publisher(context);
  Topics other(context);
  Topics consumer(context);
  store.unruliness = {0, 0, 0, 0};
  TopicConfig config;
  config.partitions = 2;
  Running<Status> created(publisher.create("t", config, {}));
  world.advance(100ms);
  ASSERT_EQ(created.result(), Status());
  store.unruliness = {};
  std::set<std::string> answered;
  std::vector<std::string> acknowledged;
  std::set<std::string> delivered;  // and acknowledged, as far as anybody knows
  bool enough = false;
  std::array<bool, 4> done{};
  publish_all(publisher, "a", answered, done[0]).detach();
  publish_all(other, "b", answered, done[1]).detach();
  consume(consumer, enough, acknowledged, delivered, done[2]).detach();
  consume(other, enough, acknowledged, delivered, done[3]).detach();
  for (int i = 0; i < 3000 && !(done[0] && done[1]); ++i) world.advance(100ms, 10ms);
  ASSERT_TRUE(done[0] && done[1]);
  store.unruliness = {0, 0, 1000, 0};
  world.advance(60s, 20ms);
  enough = true;
  world.advance(20s, 20ms);
  ASSERT_TRUE(done[2] && done[3]);
  for (const std::string& payload : answered) EXPECT_TRUE(delivered.contains(payload)) << payload;
  // Of what was acknowledged, each key's first deliveries are in order.
  for (const char key : {'a', 'b'}) {
    int last = -1;
    for (const std::string& payload : acknowledged) {
      if (payload[0] != key) continue;
      const int number = std::stoi(payload.substr(1));
      EXPECT_GT(number, last) << payload;
      last = std::max(last, number);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, UnrulyTopics, ::testing::Range<std::uint64_t>(1, 9));

}  // namespace
}  // namespace lockstep::service::testing
