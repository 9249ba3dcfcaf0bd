// Client against server through memory: what a caller and a handler see of each other.
#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rpc/channel.h"
#include "rpc/server.h"
#include "rpc/testing_world.h"

namespace lockstep::rpc {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

struct Answer {
  GrpcStatus status;
  bool not_processed = false;
  std::string message;
};

CallDone into(std::optional<Answer>& answer) {
  return [&answer](const CallResult& result) {
    EXPECT_FALSE(answer.has_value()) << "one result a call";
    answer = Answer{result.status, result.not_processed, std::string(result.message)};
  };
}

// What a streaming handler saw, and its call.
struct ServerSide {
  ServerCallPtr call;
  std::vector<std::string> events;
};

class RecordingHandler final : public ServerStreamHandler {
 public:
  RecordingHandler(ServerSide& side, ServerCallPtr call) : side_(side) { side_.call = std::move(call); }
  ~RecordingHandler() override { side_.events.emplace_back("destroyed"); }
  void on_message(std::string_view message) override { side_.events.emplace_back(message); }
  void on_half_close() override { side_.events.emplace_back("half-close"); }
  void on_cancelled() override { side_.events.emplace_back("cancelled"); }

 private:
  ServerSide& side_;
};

struct ClientSide {
  std::vector<std::string> events;
  std::optional<CallResult> result;
};

class RecordingStream final : public ClientStreamHandler {
 public:
  explicit RecordingStream(ClientSide& side) : side_(side) {}
  void on_message(std::string_view message) override { side_.events.emplace_back(message); }
  void on_end(const CallResult& result) override {
    side_.events.emplace_back(to_string(result.status.code));
    side_.result = result;
  }

 private:
  ClientSide& side_;
};

class RpcTest : public testing::Test {
 protected:
  RpcTest() { restart({}); }
  ~RpcTest() override {
    channel.reset();
    server.reset();
    strand.settle();
  }

  void restart(const ServerOptions& server_options, const ChannelOptions& channel_options = {}) {
    channel.reset();
    server.reset();
    strand.settle();
    server = std::make_unique<Server>(strand, strand, server_options);
    server->unary("/test.Echo/Say", [](const ServerCallPtr& call, std::string_view request) {
      call->respond("you said " + std::string(request));
    });
    server->unary("/test.Echo/Fail", [](const ServerCallPtr& call, std::string_view) {
      call->finish({GrpcCode::failed_precondition, "no — 100 % not", 1500ms});
    });
    server->unary("/test.Echo/Keep",
                  [this](const ServerCallPtr& call, std::string_view) { kept.push_back(call); });
    server->streaming("/test.Echo/Talk", [this](ServerCallPtr call) {
      return std::make_unique<RecordingHandler>(side, std::move(call));
    });
    connect(channel_options);
  }
  void connect(const ChannelOptions& options = {}) {
    auto [client_end, server_end] = connected_pair(strand);
    server->accept(std::move(server_end));
    channel = std::make_unique<Channel>(
        strand, strand, std::move(client_end), options, [this](ChannelState state, std::string_view why) {
          states.emplace_back(std::to_string(static_cast<int>(state)) + " " + std::string(why));
        });
  }
  Answer ask(std::string_view path, std::string_view message, std::span<const MetadataField> metadata = {}) {
    std::optional<Answer> answer;
    channel->unary(path, message, metadata, no_deadline, into(answer));
    EXPECT_FALSE(answer.has_value()) << "never inside the call";
    strand.settle();
    EXPECT_TRUE(answer.has_value());
    return answer.value_or(Answer{});
  }

  TestStrand strand;
  std::unique_ptr<Server> server;
  std::unique_ptr<Channel> channel;
  std::vector<std::string> states;
  std::vector<ServerCallPtr> kept;
  ServerSide side;
};

TEST_F(RpcTest, AnAnswerComesBack) {
  const Answer answer = ask("/test.Echo/Say", "hello");
  EXPECT_TRUE(answer.status.ok()) << answer.status.message;
  EXPECT_EQ(answer.message, "you said hello");
  EXPECT_EQ(server->metrics().calls_open, 0);
  EXPECT_EQ(server->metrics().request_bytes_buffered, 0);
  EXPECT_EQ(server->metrics().answer_bytes_unsent, 0);
}

TEST_F(RpcTest, AFailureKeepsItsWordsAndItsPatience) {
  const Answer answer = ask("/test.Echo/Fail", "");
  EXPECT_EQ(answer.status, (GrpcStatus{GrpcCode::failed_precondition, "no — 100 % not", 1500ms}));
  EXPECT_FALSE(answer.not_processed);
}

TEST_F(RpcTest, UnknownMethodsSayWhatIsUnknown) {
  EXPECT_EQ(ask("/test.Echo/Shout", "").status,
            (GrpcStatus{GrpcCode::unimplemented, "unknown method Shout for service test.Echo", {}}));
  EXPECT_EQ(ask("/test.Other/Say", "").status,
            (GrpcStatus{GrpcCode::unimplemented, "unknown service test.Other", {}}));
}

TEST_F(RpcTest, MetadataArrivesDecoded) {
  std::optional<std::string> token;
  std::optional<std::string> id;
  server->unary("/test.Echo/Metadata", [&](const ServerCallPtr& call, std::string_view) {
    token = std::string(call->metadata("token").value_or("none"));
    id = std::string(call->metadata("request-bin").value_or("none"));
    EXPECT_FALSE(call->metadata("absent").has_value());
    EXPECT_EQ(call->remote_address(), "192.0.2.7:4711");
    EXPECT_EQ(call->peer_common_name(), "client-1");
    EXPECT_EQ(call->method(), "/test.Echo/Metadata");
    call->respond("");
  });
  const std::string binary("\0\xff\x01", 3);
  const std::vector<MetadataField> metadata = {{"token", "abc"}, {"request-bin", binary}};
  EXPECT_TRUE(ask("/test.Echo/Metadata", "", metadata).status.ok());
  EXPECT_EQ(token, "abc");
  EXPECT_EQ(id, binary);
}

TEST_F(RpcTest, ManyCallsOfOneTurnShareTheirWrites) {
  std::vector<std::optional<Answer>> answers(200);
  for (auto& answer : answers) channel->unary("/test.Echo/Say", "x", {}, no_deadline, into(answer));
  strand.settle();
  for (const auto& answer : answers) EXPECT_EQ(answer->message, "you said x");
  EXPECT_LE(server->metrics().writes, 5);  // the first of them early
}

TEST_F(RpcTest, MessagesLargerThanEveryWindowPass) {
  const std::string large(2'000'000, 'z');
  EXPECT_EQ(ask("/test.Echo/Say", large).message, "you said " + large);
  EXPECT_EQ(server->metrics().answer_bytes_unsent, 0);
}

TEST_F(RpcTest, MessagesAboveTheLimitAreRefusedOnBothSides) {
  restart({.message_bytes_max = 100}, {.answer_bytes_max = 50});
  EXPECT_EQ(
      ask("/test.Echo/Say", std::string(101, 'x')).status,
      (GrpcStatus{GrpcCode::resource_exhausted, "grpc: received message larger than max (101 vs. 100)", {}}));
  EXPECT_EQ(ask("/test.Echo/Say", std::string(60, 'x')).status.code, GrpcCode::resource_exhausted);
  EXPECT_EQ(ask("/test.Echo/Say", "small").message, "you said small");
  EXPECT_EQ(server->metrics().bad(BadCall::message_too_large), 1);
}

TEST_F(RpcTest, ADeadlineEndsBothSides) {
  std::optional<Answer> answer;
  channel->unary("/test.Echo/Keep", "", {}, strand.now() + 5s, into(answer));
  strand.settle();
  ASSERT_EQ(kept.size(), 1);
  const std::stop_token token = kept[0]->cancellation();
  EXPECT_GT(kept[0]->deadline(), strand.now() + 4s);
  EXPECT_FALSE(kept[0]->ended());
  strand.pass(4900ms);
  EXPECT_FALSE(answer.has_value());
  strand.pass(200ms);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status.code, GrpcCode::deadline_exceeded);
  EXPECT_FALSE(answer->not_processed);
  EXPECT_TRUE(kept[0]->ended());
  EXPECT_TRUE(token.stop_requested());
  kept[0]->respond("too late");  // does nothing
  strand.settle();
  EXPECT_EQ(server->metrics().calls_open, 0);
}

TEST_F(RpcTest, ADeadlineThatPassedIsNotSent) {
  std::optional<Answer> answer;
  channel->unary("/test.Echo/Keep", "", {}, strand.now(), into(answer));
  strand.settle();
  ASSERT_TRUE(answer.has_value());
  EXPECT_TRUE(answer->not_processed);
  EXPECT_EQ(answer->status.code, GrpcCode::deadline_exceeded);
  EXPECT_TRUE(kept.empty());
}

TEST_F(RpcTest, CancellingReachesTheHandler) {
  std::optional<Answer> answer;
  const CallId id = channel->unary("/test.Echo/Keep", "", {}, no_deadline, into(answer));
  strand.settle();
  const std::stop_token token = kept.at(0)->cancellation();
  channel->cancel(id);
  channel->cancel(id);
  strand.settle();
  EXPECT_FALSE(answer.has_value());
  EXPECT_TRUE(token.stop_requested());
  EXPECT_EQ(server->metrics().calls_open, 0);
  EXPECT_EQ(channel->calls(), 0);
}

TEST_F(RpcTest, AStreamTalksBothWays) {
  ClientSide client;
  const auto stream =
      channel->stream("/test.Echo/Talk", {}, no_deadline, std::make_unique<RecordingStream>(client));
  stream->send("one");
  stream->send("two");
  strand.settle();
  EXPECT_THAT(side.events, ElementsAre("one", "two"));
  side.call->send("eins");
  side.call->send("");
  strand.settle();
  EXPECT_THAT(client.events, ElementsAre("eins", ""));
  stream->half_close();
  strand.settle();
  EXPECT_THAT(side.events, ElementsAre("one", "two", "half-close"));
  side.call->send("drei");
  side.call->finish({});
  strand.settle();
  EXPECT_THAT(client.events, ElementsAre("eins", "", "drei", "OK"));
  EXPECT_THAT(side.events, ElementsAre("one", "two", "half-close", "destroyed"));
  EXPECT_TRUE(stream->ended());
}

TEST_F(RpcTest, AStreamThatTheServerEndsFirstEnds) {
  ClientSide client;
  const auto stream =
      channel->stream("/test.Echo/Talk", {}, no_deadline, std::make_unique<RecordingStream>(client));
  stream->send("one");
  strand.settle();
  side.call->finish({GrpcCode::out_of_range, "compacted", {}});
  strand.settle();
  EXPECT_THAT(client.events, ElementsAre("OUT_OF_RANGE"));
  EXPECT_EQ(client.result->status.message, "compacted");
  EXPECT_EQ(server->metrics().calls_open, 0);
}

TEST_F(RpcTest, ASlowReaderHoldsBackTheServer) {
  restart({}, {.stream_window_bytes = 100'000});
  ClientSide client;
  const auto stream =
      channel->stream("/test.Echo/Talk", {}, no_deadline, std::make_unique<RecordingStream>(client));
  stream->send("go");
  strand.settle();
  stream->set_reading(false);
  for (int i = 0; i < 100; ++i) side.call->send(std::string(10'000, 'x'));
  bool ready = false;
  side.call->notify_when_unsent_below(100'000, [&] { ready = true; });
  strand.settle();
  EXPECT_TRUE(client.events.empty());
  EXPECT_GT(side.call->unsent_bytes(), 800'000);
  EXPECT_FALSE(ready);
  stream->set_reading(true);
  strand.settle();
  EXPECT_EQ(client.events.size(), 100);
  EXPECT_EQ(side.call->unsent_bytes(), 0);
  EXPECT_TRUE(ready);
}

TEST_F(RpcTest, AHandlerMayCancelItsOwnStreamOrTheChannel) {
  struct Canceller final : ClientStreamHandler {
    explicit Canceller(std::function<void()> call) : on_first(std::move(call)) {}
    void on_message(std::string_view /*message*/) override {
      on_first();
      std::fill(after.begin(), after.end(), 'x');  // still alive
    }
    void on_end(const CallResult& /*result*/) override { ADD_FAILURE() << "not after a cancellation"; }
    std::function<void()> on_first;
    std::string after = std::string(100, ' ');
  };
  std::shared_ptr<ClientStream> stream;
  stream = channel->stream("/test.Echo/Talk", {}, no_deadline,
                           std::make_unique<Canceller>([&] { stream->cancel(); }));
  stream->send("x");
  strand.settle();
  side.call->send("y");
  strand.settle();
  EXPECT_TRUE(stream->ended());
  EXPECT_THAT(side.events, ElementsAre("x", "cancelled", "destroyed"));
  side.events.clear();
  stream = channel->stream("/test.Echo/Talk", {}, no_deadline,
                           std::make_unique<Canceller>([&] { channel.reset(); }));
  stream->send("x");
  strand.settle();
  side.call->send("y");
  strand.settle();
  EXPECT_TRUE(stream->ended());
  EXPECT_THAT(side.events, ElementsAre("x", "cancelled", "destroyed"));
}

TEST_F(RpcTest, ALostConnectionTellsWhatMayHaveHappened) {
  std::optional<Answer> sent;
  std::optional<Answer> unsent;
  channel->unary("/test.Echo/Keep", "", {}, no_deadline, into(sent));
  strand.settle();
  channel->unary("/test.Echo/Keep", "", {}, no_deadline, into(unsent));
  server->close();
  strand.settle();
  EXPECT_EQ(sent->status.code, GrpcCode::unavailable);
  EXPECT_FALSE(sent->not_processed);
  EXPECT_EQ(unsent->status.code, GrpcCode::unavailable);
  EXPECT_TRUE(kept.at(0)->ended());
  EXPECT_EQ(channel->state(), ChannelState::closed);
  const Answer after = ask("/test.Echo/Say", "anyone?");
  EXPECT_EQ(after.status.code, GrpcCode::unavailable);
  EXPECT_TRUE(after.not_processed);
}

TEST_F(RpcTest, CallsAboveTheConcurrencyAreRefusedAndSafeToRepeat) {
  restart({.calls_max = 2});
  std::vector<std::optional<Answer>> answers(3);
  for (auto& answer : answers) channel->unary("/test.Echo/Keep", "", {}, no_deadline, into(answer));
  strand.settle();
  EXPECT_FALSE(answers[0].has_value());
  EXPECT_FALSE(answers[1].has_value());
  ASSERT_TRUE(answers[2].has_value());
  EXPECT_EQ(answers[2]->status.code, GrpcCode::unavailable);
  EXPECT_TRUE(answers[2]->not_processed);
  EXPECT_EQ(server->metrics().stream_error(Http2Error::refused_stream), 1);
}

TEST_F(RpcTest, CallsAboveTheAnnouncedStreamsWaitAtTheClient) {
  restart({.concurrent_streams_max = 2});
  strand.settle();
  std::vector<std::optional<Answer>> answers(5);
  for (auto& answer : answers) channel->unary("/test.Echo/Keep", "", {}, no_deadline, into(answer));
  strand.settle();
  for (std::size_t i = 0; i < answers.size(); ++i) {
    ASSERT_GT(kept.size(), i);
    kept[i]->respond("");
    strand.settle();
  }
  for (const auto& answer : answers) EXPECT_TRUE(answer.has_value() && answer->status.ok());
  EXPECT_EQ(server->metrics().calls_refused, 0);
}

TEST_F(RpcTest, DrainLetsRunningCallsEnd) {
  std::optional<Answer> running;
  channel->unary("/test.Echo/Keep", "", {}, no_deadline, into(running));
  strand.settle();
  bool drained = false;
  server->drain(strand.now() + 60s, [&] { drained = true; });
  strand.settle();
  EXPECT_EQ(channel->state(), ChannelState::draining);
  strand.pass(5s);
  EXPECT_FALSE(drained);
  kept.at(0)->respond("done");
  strand.settle();
  EXPECT_EQ(running->message, "done");
  strand.pass(5s);
  EXPECT_TRUE(drained);
  EXPECT_EQ(channel->state(), ChannelState::closed);
}

TEST_F(RpcTest, DrainCancelsWhatRunsAtItsDeadline) {
  std::optional<Answer> running;
  channel->unary("/test.Echo/Keep", "", {}, no_deadline, into(running));
  strand.settle();
  bool drained = false;
  server->drain(strand.now() + 10s, [&] { drained = true; });
  strand.pass(9s);
  EXPECT_FALSE(drained);
  EXPECT_FALSE(kept.at(0)->ended());
  strand.pass(2s);
  EXPECT_TRUE(drained);
  EXPECT_TRUE(kept.at(0)->ended());
  EXPECT_EQ(running->status.code, GrpcCode::unavailable);
}

TEST_F(RpcTest, HealthIsServed) {
  const std::string serving("\x08\x01", 2);
  const std::string not_serving("\x08\x02", 2);
  const std::string nobody("\x08\x03", 2);
  EXPECT_EQ(ask("/grpc.health.v1.Health/Check", "").message, serving);
  EXPECT_EQ(ask("/grpc.health.v1.Health/Check", "\x0a\x02kv").status,
            (GrpcStatus{GrpcCode::not_found, "unknown service", {}}));
  EXPECT_EQ(ask("/grpc.health.v1.Health/Check", "\x0a\x09kv").status.code, GrpcCode::invalid_argument);
  ClientSide client;
  const auto watch = channel->stream("/grpc.health.v1.Health/Watch", {}, no_deadline,
                                     std::make_unique<RecordingStream>(client));
  watch->send("\x0a\x02kv");
  watch->half_close();
  strand.settle();
  server->set_serving("kv", true);
  server->set_serving("kv", true);
  strand.settle();
  server->set_serving("kv", false);
  strand.settle();
  EXPECT_THAT(client.events, ElementsAre(nobody, serving, not_serving));
}

TEST_F(RpcTest, SilentServersArePingedAndGivenUp) {
  auto [client_end, server_end] = connected_pair(strand);
  channel = std::make_unique<Channel>(strand, strand, std::move(client_end), ChannelOptions{});
  std::optional<Answer> answer;
  channel->unary("/test.Echo/Say", "", {}, no_deadline, into(answer));
  strand.pass(12s);
  EXPECT_FALSE(answer.has_value());
  strand.pass(8s);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status.code, GrpcCode::unavailable);
  EXPECT_THAT(answer->status.message, HasSubstr("does not answer"));
}

TEST_F(RpcTest, KeepaliveDoesNotDisturbAHealthyPair) {
  std::optional<Answer> answer;
  channel->unary("/test.Echo/Keep", "", {}, no_deadline, into(answer));
  strand.pass(10min);
  EXPECT_FALSE(answer.has_value());
  kept.at(0)->respond("at last");
  strand.settle();
  EXPECT_EQ(answer->message, "at last");
  EXPECT_EQ(server->metrics().bad(BadCall::too_many_pings), 0);
}

TEST_F(RpcTest, NothingIsLeftToDoWhenNobodyIsConnected) {
  EXPECT_TRUE(ask("/test.Echo/Say", "").status.ok());
  channel.reset();
  strand.pass(10s);
  EXPECT_EQ(strand.timers(), 0);
  EXPECT_EQ(server->metrics().connections_open, 0);
}

}  // namespace
}  // namespace lockstep::rpc
