// What leaves before the end of a turn, on both sides of a connection.
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rpc/channel.h"
#include "rpc/server.h"
#include "rpc/testing_world.h"

namespace lockstep::rpc {
namespace {

using testing::Each;

// Answers each message with itself.
class Parrot final : public ServerStreamHandler {
 public:
  explicit Parrot(ServerCallPtr call) : call_(std::move(call)) {}
  void on_message(std::string_view message) override { call_->send(message); }
  void on_half_close() override { call_->finish({}); }
  void on_cancelled() override {}

 private:
  ServerCallPtr call_;
};

class Ear final : public ClientStreamHandler {
 public:
  explicit Ear(std::vector<std::string>& heard) : heard_(heard) {}
  void on_message(std::string_view message) override { heard_.emplace_back(message); }
  void on_end(const CallResult& /*result*/) override {}

 private:
  std::vector<std::string>& heard_;
};

class EarlyWrites : public testing::Test {
 protected:
  static ServerOptions options() {
    ServerOptions options;
    options.stream_messages_per_turn_max = 48;
    return options;
  }
  EarlyWrites() : server(strand, strand, options()) {
    server.unary("/test.Echo/Keep",
                 [this](const ServerCallPtr& call, std::string_view) { kept.push_back(call); });
    server.unary("/test.Echo/Say",
                 [](const ServerCallPtr& call, std::string_view request) { call->respond(request); });
    server.streaming("/test.Echo/Talk",
                     [](ServerCallPtr call) { return std::make_unique<Parrot>(std::move(call)); });
  }
  ~EarlyWrites() override {
    channel.reset();
    server.close();
    strand.settle();
  }
  void connect(bool at_once, bool one_of_many = false) {
    auto [client_end, server_end] = connected_pair(strand);
    from_client = client_end->sends();
    from_server = server_end->sends();
    from_client->at_once = at_once;
    from_server->at_once = at_once;
    server.accept(std::move(server_end));
    ChannelOptions options;
    options.one_of_many = one_of_many;
    channel = std::make_unique<Channel>(strand, strand, std::move(client_end), options);
    strand.settle();
    from_client->writes = 0;
    from_server->writes = 0;
  }
  void ask(std::string_view path, std::size_t times) {
    for (std::size_t i = 0; i < times; ++i) {
      channel->unary(path, "x", {}, no_deadline,
                     [this](const CallResult& result) { codes.push_back(result.status.code); });
    }
  }

  TestStrand strand;
  Server server;
  std::unique_ptr<Channel> channel;
  std::shared_ptr<TestFlow> from_client;
  std::shared_ptr<TestFlow> from_server;
  std::vector<ServerCallPtr> kept;
  std::vector<GrpcCode> codes;
};

TEST_F(EarlyWrites, EveryTwentyFourCallsLeaveAtOnceAndTheRestAtTheEnd) {
  connect(true);
  ask("/test.Echo/Keep", 23);
  EXPECT_EQ(from_client->writes, 0u);
  ask("/test.Echo/Keep", 1);
  EXPECT_EQ(from_client->writes, 1u);
  ask("/test.Echo/Keep", 40);
  EXPECT_EQ(from_client->writes, 2u);
  strand.settle();
  EXPECT_EQ(from_client->writes, 3u);
  ASSERT_EQ(kept.size(), 64u);

  from_server->writes = 0;
  for (std::size_t i = 0; i < kept.size(); ++i) {
    kept[i]->respond("y");
    EXPECT_EQ(from_server->writes, (i + 1) / 24);
    EXPECT_TRUE(kept[i]->ended());  // its stream may be gone already
  }
  EXPECT_TRUE(codes.empty());
  strand.settle();
  EXPECT_EQ(from_server->writes, 3u);
  EXPECT_EQ(codes.size(), 64u);
  EXPECT_THAT(codes, Each(GrpcCode::ok));
  EXPECT_EQ(server.metrics().calls_open, 0u);
  EXPECT_EQ(server.metrics().answer_bytes_unsent, 0u);
}

TEST_F(EarlyWrites, WhatATurnReadIsAnsweredInPieces) {
  connect(true);
  std::vector<std::string> heard;
  const auto stream = channel->stream("/test.Echo/Talk", {}, no_deadline, std::make_unique<Ear>(heard));
  strand.settle();
  from_client->writes = 0;
  from_server->writes = 0;
  for (int i = 0; i < 40; ++i) stream->send(std::to_string(i));
  EXPECT_EQ(from_client->writes, 2u);
  strand.settle();
  EXPECT_EQ(from_client->writes, 3u);
  EXPECT_EQ(from_server->writes, 3u);
  ASSERT_EQ(heard.size(), 40u);
  for (int i = 0; i < 40; ++i) EXPECT_EQ(heard[static_cast<std::size_t>(i)], std::to_string(i));
}

TEST_F(EarlyWrites, AConnectionThatTakesNothingAtOnceTakesEverythingInOrder) {
  connect(false);
  ask("/test.Echo/Say", 200);
  strand.settle();
  EXPECT_EQ(codes.size(), 200u);
  EXPECT_THAT(codes, Each(GrpcCode::ok));
  EXPECT_LE(from_client->writes, 2u);  // one may be under way
}

TEST_F(EarlyWrites, AConnectionWithLittleRoomLosesNothing) {
  connect(true);
  from_client->room = 100;
  from_server->room = 10;
  ask("/test.Echo/Say", 200);
  strand.settle();
  EXPECT_EQ(codes.size(), 200u);
  EXPECT_THAT(codes, Each(GrpcCode::ok));
}

// Some of a stream's messages are handed over while the turn's output is being gathered: what answers them is
// not written into the middle of it.
TEST_F(EarlyWrites, AnswersGivenWhileOutputIsGatheredComeInOrder) {
  for (const std::size_t room : {std::size_t{0}, std::size_t{100}, SIZE_MAX}) {
    connect(room != 0, true);
    std::vector<std::string> heard;
    const auto stream = channel->stream("/test.Echo/Talk", {}, no_deadline, std::make_unique<Ear>(heard));
    strand.settle();
    if (room != 0) from_server->room = room;
    for (int i = 0; i < 400; ++i) stream->send(std::to_string(i));
    strand.settle();
    ASSERT_EQ(heard.size(), 400u);
    for (int i = 0; i < 400; ++i) EXPECT_EQ(heard[static_cast<std::size_t>(i)], std::to_string(i));
    channel.reset();
    strand.settle();
  }
}

// While the disk makes durable what they speak of.
TEST_F(EarlyWrites, WhatIsHeldIsFramedAtTheTurnsEndAndLeavesAtTheNext) {
  for (const bool at_once : {true, false}) {
    kept.clear();
    codes.clear();
    connect(at_once);
    ask("/test.Echo/Keep", 60);
    strand.settle();
    ASSERT_EQ(kept.size(), 60u);
    from_server->held = true;
    for (std::size_t i = 0; i < 30; ++i) kept[i]->respond("y");
    for (int i = 0; i < 3; ++i) strand.turn();
    for (std::size_t i = 30; i < 60; ++i) kept[i]->respond("y");
    for (int i = 0; i < 3; ++i) strand.turn();
    EXPECT_EQ(from_server->writes, 0u);
    from_server->held = false;
    strand.settle();
    EXPECT_EQ(from_server->writes, 2u);
    EXPECT_EQ(codes.size(), 60u);
    EXPECT_THAT(codes, Each(GrpcCode::ok));
    channel.reset();
    strand.settle();
  }
}

// The last frames left early, and their write took until after the turn's end.
TEST_F(EarlyWrites, CallsWhoseAnswersAllLeftEarlyAreOver) {
  connect(false);
  ask("/test.Echo/Keep", 24);
  strand.settle();
  ASSERT_EQ(kept.size(), 24u);
  from_server->room = 10;
  for (const ServerCallPtr& call : kept) call->respond("y");
  strand.settle();
  EXPECT_EQ(codes.size(), 24u);
  EXPECT_EQ(server.metrics().calls_open, 0u);
  bool drained = false;
  server.drain(strand.now() + 1h, [&] { drained = true; });
  strand.pass(10s);
  EXPECT_TRUE(drained);
}

// Its client is told early that calls ended, and begins others at once.
TEST_F(EarlyWrites, AClientAtItsLimitIsNotRefused) {
  for (const bool at_once : {false, true}) {
    ServerOptions limit;
    limit.concurrent_streams_max = 24;
    Server limited(strand, strand, limit);
    limited.unary("/test.Echo/Keep", [this](const ServerCallPtr& call, std::string_view) {
      kept.push_back(call);
      if (kept.size() < 24) return;
      strand.post([calls = std::exchange(kept, {})] {
        for (const ServerCallPtr& waiting : calls) waiting->respond("y");
      });
    });
    auto [client_end, server_end] = connected_pair(strand);
    server_end->sends()->at_once = at_once;
    if (!at_once) server_end->sends()->room = 200;  // the write goes on for some turns
    client_end->sends()->at_once = at_once;
    limited.accept(std::move(server_end));
    channel = std::make_unique<Channel>(strand, strand, std::move(client_end), ChannelOptions{});
    strand.settle();
    codes.clear();
    ask("/test.Echo/Keep", 240);
    strand.settle();
    EXPECT_EQ(codes.size(), 240u);
    EXPECT_THAT(codes, Each(GrpcCode::ok));
    EXPECT_EQ(limited.metrics().calls_refused, 0u);
    channel.reset();
    limited.close();
    strand.settle();
  }
}

// Who answers until so much is unsent comes to an end although all of it can be sent.
TEST_F(EarlyWrites, ATurnSendsOnlySoMuchBeforeItsEnd) {
  connect(true);
  std::vector<std::string> heard;
  const auto stream = channel->stream("/test.Echo/Talk", {}, no_deadline, std::make_unique<Ear>(heard));
  strand.settle();
  from_client->writes = 0;
  const std::string message(1024, 'm');
  for (int i = 0; i < 1000; ++i) stream->send(message);
  EXPECT_LE(from_client->bytes.size(), 100'000u);
  EXPECT_GE(stream->unsent_bytes(), 900'000u);
  strand.settle();
  EXPECT_EQ(heard.size(), 1000u);
}

TEST_F(EarlyWrites, OneOfManyChannelsWaitsForTheEndOfTheTurn) {
  connect(true, true);
  ask("/test.Echo/Say", 200);
  EXPECT_EQ(from_client->writes, 0u);
  strand.settle();
  EXPECT_EQ(from_client->writes, 1u);
  EXPECT_EQ(codes.size(), 200u);
}

// Callbacks ask again, as many times as makes pieces leave from within, and one of them has enough.
TEST_F(EarlyWrites, ACallbackMayAskAgainAndEndItsChannel) {
  connect(true);
  int answered = 0;
  for (int i = 0; i < 64; ++i) {
    channel->unary("/test.Echo/Say", "x", {}, no_deadline, [&](const CallResult&) {
      ask("/test.Echo/Say", 2);
      if (++answered == 50) channel.reset();
      if (answered > 50) ADD_FAILURE() << "the channel is gone";
    });
  }
  strand.settle();
  EXPECT_EQ(answered, 50);
  EXPECT_EQ(server.metrics().calls_open, 0u);
}

}  // namespace
}  // namespace lockstep::rpc
