// What one client can make the server hold, told by the server's own counters.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "rpc/call.h"
#include "rpc/server.h"
#include "rpc/testing_frames.h"
#include "rpc/testing_world.h"

namespace lockstep::rpc {
namespace {

class Talk final : public ServerStreamHandler {
 public:
  explicit Talk(std::vector<std::string>& seen) : seen_(seen) {}
  void on_message(std::string_view message) override { seen_.emplace_back(message); }
  void on_half_close() override {}
  void on_cancelled() override { seen_.emplace_back("cancelled"); }

 private:
  std::vector<std::string>& seen_;
};

// A connection whose frames are written by hand.
class Wire {
 public:
  Wire(TestStrand& strand, Server& server) : strand_(strand), wire_(strand) {
    server.accept(std::move(wire_.stream));
    wire_.send(std::string(http2_preface) + frame(frame_settings, 0, 0, ""));
    strand_.settle();
  }
  ~Wire() {
    wire_.hang_up();
    strand_.settle();
  }
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  void begin(std::uint32_t stream, std::string_view path, std::size_t metadata_bytes = 0) {
    std::string block;
    for (const auto& [name, value] :
         std::vector<std::pair<std::string, std::string>>{{":method", "POST"},
                                                          {":scheme", "http"},
                                                          {":path", std::string(path)},
                                                          {":authority", "x"},
                                                          {"te", "trailers"},
                                                          {"content-type", "application/grpc"}})
      block += hpack_field(name, value);
    if (metadata_bytes != 0) block += hpack_field("x-large", std::string(metadata_bytes, 'v'));
    wire_.send(frame(frame_headers, flag_end_headers, stream, block));
  }
  // `sent` bytes of a message that has `size`.
  void message(std::uint32_t stream, std::size_t size, std::size_t sent, char byte = 'm') {
    wire_.send(frame(
        frame_data, 0, stream,
        std::string(1, '\0') + big_endian(static_cast<std::uint32_t>(size), 4) + std::string(sent, byte)));
    strand_.settle();
  }
  // An empty message, and the last.
  void end_message(std::uint32_t stream) {
    wire_.send(frame(frame_data, flag_end_stream, stream, std::string(5, '\0')));
  }
  void data(std::uint32_t stream, std::string_view bytes) { wire_.send(frame(frame_data, 0, stream, bytes)); }
  // The client read so much: more may come.
  void open_windows(std::uint32_t stream, std::uint32_t bytes) {
    wire_.send(frame(frame_window_update, 0, 0, big_endian(bytes, 4)) +
               frame(frame_window_update, 0, stream, big_endian(bytes, 4)));
    strand_.settle();
  }
  // The frames that came.
  std::string received() {
    strand_.settle();
    return frames_.read(wire_.received());
  }

 private:
  TestStrand& strand_;
  TestWire wire_;
  FrameReader frames_;
};

class Bounds : public testing::Test {
 protected:
  static ServerOptions options() {
    ServerOptions options;
    options.message_bytes_max = 1000;
    options.connection_request_bytes_max = 2500;
    options.request_bytes_buffered_max = 4000;
    options.connection_unsent_bytes_max = 100'000;
    options.connection_answer_bytes_max = 200'000;
    options.connection_metadata_bytes_max = 5000;
    options.stream_messages_per_turn_max = 8;
    return options;
  }
  Bounds() : server(strand, strand, options()) {
    server.unary("/test.Echo/Say",
                 [](const ServerCallPtr& call, std::string_view request) { call->respond(request); });
    server.streaming("/test.Echo/Talk",
                     [this](const ServerCallPtr&) { return std::make_unique<Talk>(heard); });
  }
  ~Bounds() override {
    server.close();
    strand.settle();
  }
  [[nodiscard]] std::uint64_t held() const { return server.metrics().request_bytes_buffered; }

  TestStrand strand;
  Server server;
  std::vector<std::string> heard;
};

// Someone with many unfinished messages loses the largest of them; a watch beside them goes on.
TEST_F(Bounds, AConnectionHoldsOnlySoMuchOfUnfinishedMessages) {
  Wire wire(strand, server);
  wire.begin(1, "/test.Echo/Talk");
  wire.message(1, 3, 3, 'a');
  for (std::uint32_t stream = 3; stream < 41; stream += 2) {
    wire.begin(stream, "/test.Echo/Say");
    wire.message(stream, 1000, stream == 3 ? 900 : 700);
    EXPECT_LE(held(), 2500);
  }
  const std::string answers = wire.received();
  EXPECT_TRUE(
      answers.contains("HEADERS 3 end :status=200 content-type=application/grpc grpc-status=8 "
                       "grpc-message=too many bytes of requests are being received"))
      << answers;
  EXPECT_FALSE(answers.contains("HEADERS 1 ")) << answers;
  EXPECT_EQ(server.metrics().bad(BadCall::too_many_request_bytes), 16);
  wire.message(1, 3, 3, 'b');
  EXPECT_EQ(heard, (std::vector<std::string>{"aaa", "bbb"}));
}

// The room of all is taken from who has most of it: another's call is received as ever.
TEST_F(Bounds, WhoHoldsMostMakesRoomForOthers) {
  Wire greedy(strand, server);
  for (const std::uint32_t stream : {1U, 3U}) {
    greedy.begin(stream, "/test.Echo/Say");
    greedy.message(stream, 1000, 999);
  }
  Wire second(strand, server);
  second.begin(1, "/test.Echo/Say");
  second.message(1, 1000, 999);
  Wire modest(strand, server);
  modest.begin(1, "/test.Echo/Say");
  modest.message(1, 1000, 999);
  EXPECT_LE(held(), 4000);
  EXPECT_EQ(modest.received(), "");
  EXPECT_EQ(second.received(), "");
  EXPECT_TRUE(greedy.received().contains(" grpc-status=8 "));
  EXPECT_EQ(server.metrics().bad(BadCall::too_many_request_bytes), 1);
}

TEST_F(Bounds, AMessageHasToArriveInTime) {
  Wire wire(strand, server);
  wire.begin(1, "/test.Echo/Say");
  wire.message(1, 1000, 999);
  wire.begin(3, "/test.Echo/Say");  // sends nothing at all
  wire.begin(5, "/test.Echo/Talk");
  wire.message(5, 1000, 10);
  wire.begin(7, "/test.Echo/Talk");  // owes nothing
  wire.message(7, 3, 3, 'a');
  strand.pass(29s);
  EXPECT_EQ(wire.received(), "");
  strand.pass(2s);
  const std::string answers = wire.received();
  for (const std::string stream : {"1", "3", "5"})
    EXPECT_TRUE(answers.contains("HEADERS " + stream +
                                 " end :status=200 content-type=application/grpc grpc-status=4 "
                                 "grpc-message=the message took too long to arrive"))
        << answers;
  EXPECT_FALSE(answers.contains("HEADERS 7 ")) << answers;
  EXPECT_EQ(held(), 0);
  EXPECT_EQ(server.metrics().bad(BadCall::message_timeout), 3);
  EXPECT_EQ(server.metrics().calls_open, 1);
}

// A watch whose reader is always a little behind never finds its buffer drained.
TEST_F(Bounds, WhatWasSentIsNotKept) {
  ServerCallPtr call;
  server.streaming("/test.Echo/Flow", [&](ServerCallPtr begun) {
    call = std::move(begun);
    return std::make_unique<Talk>(heard);
  });
  Wire wire(strand, server);
  wire.begin(1, "/test.Echo/Flow");
  strand.settle();
  ASSERT_NE(call, nullptr);
  call->send(std::string(150'000, 'x'));
  for (int i = 0; i < 200; ++i) {
    call->send(std::string(20'000, 'x'));
    wire.open_windows(1, 20'000);
    EXPECT_GT(call->unsent_bytes(), 0);
    EXPECT_LE(static_cast<Call&>(*call).body.size(), 600'000);
  }
  EXPECT_GE(server.metrics().bytes_sent, 4'000'000);
  call.reset();
}

// Each stream alone is modest: together they wait as one that is not read.
TEST_F(Bounds, StreamsOfOneConnectionWaitForEachOther) {
  std::vector<ServerCallPtr> calls;
  server.streaming("/test.Echo/Flow", [&](ServerCallPtr begun) {
    calls.push_back(std::move(begun));
    return std::make_unique<Talk>(heard);
  });
  Wire wire(strand, server);
  for (std::uint32_t stream = 1; stream < 2001; stream += 2) wire.begin(stream, "/test.Echo/Flow");
  strand.settle();
  ASSERT_EQ(calls.size(), 1000);
  calls.front()->send(std::string(70'000, 'x'));  // more than the client's window of the connection
  strand.settle();
  std::size_t waiting = 0;
  std::size_t woken = 0;
  for (const ServerCallPtr& call : calls) {
    if (call->unsent_bytes() < 2000) {
      call->send(std::string(1000, 'x'));
    } else {
      ++waiting;
      call->notify_when_unsent_below(1000, [&] { ++woken; });
    }
  }
  strand.settle();
  EXPECT_GT(waiting, 700);
  EXPECT_EQ(woken, 0);
  EXPECT_LE(server.metrics().answer_bytes_unsent, 110'000);
  wire.open_windows(1, 200'000);  // of the connection
  EXPECT_EQ(woken, waiting);
  calls.clear();
}

// Calls that were admitted while nothing waited may all be answered at once.
TEST_F(Bounds, AnswersThatNobodyReadsEndTheirCalls) {
  std::vector<ServerCallPtr> calls;
  server.unary("/test.Echo/Keep",
               [&](const ServerCallPtr& call, std::string_view) { calls.push_back(call); });
  server.streaming("/test.Echo/Flow", [&](ServerCallPtr begun) {
    calls.push_back(std::move(begun));
    return std::make_unique<Talk>(heard);
  });
  Wire wire(strand, server);
  for (std::uint32_t stream = 1; stream < 41; stream += 2) {
    wire.begin(stream, "/test.Echo/Keep");
    wire.end_message(stream);
  }
  wire.begin(41, "/test.Echo/Flow");
  strand.settle();
  ASSERT_EQ(calls.size(), 21);
  for (std::size_t i = 0; i + 1 < calls.size(); ++i) calls[i]->respond(std::string(30'000, 'x'));
  EXPECT_LE(server.metrics().answer_bytes_unsent, 210'000);
  calls.back()->send(std::string(30'000, 'x'));
  strand.settle();
  EXPECT_EQ(heard, std::vector<std::string>{"cancelled"});
  const std::string answers = wire.received();
  EXPECT_TRUE(
      answers.contains("HEADERS 39 end :status=200 content-type=application/grpc grpc-status=8 "
                       "grpc-message=this connection does not read its answers"))
      << answers;
  calls.clear();
}

// A watch would last as long as the drain may.
TEST_F(Bounds, DrainingEndsStreamsThatClientsKeepOpen) {
  Wire wire(strand, server);
  wire.begin(1, "/test.Echo/Talk");
  strand.settle();
  server.drain(strand.now() + 60s, [] {});
  strand.pass(3s);
  const std::string answers = wire.received();
  EXPECT_TRUE(
      answers.contains("HEADERS 1 end :status=200 content-type=application/grpc grpc-status=14 "
                       "grpc-message=the server is shutting down"))
      << answers;
  EXPECT_EQ(heard, std::vector<std::string>{"cancelled"});
}

TEST_F(Bounds, OpenCallsKeepOnlySoMuchMetadata) {
  Wire wire(strand, server);
  for (std::uint32_t stream = 1; stream < 21; stream += 2) wire.begin(stream, "/test.Echo/Talk", 1000);
  const std::string answers = wire.received();
  EXPECT_FALSE(answers.contains("HEADERS 7 ")) << answers;
  EXPECT_TRUE(
      answers.contains("HEADERS 9 end :status=200 content-type=application/grpc grpc-status=8 "
                       "grpc-message=the open calls of this connection have too much metadata "
                       "grpc-retry-pushback-ms=1000"))
      << answers;
  EXPECT_EQ(server.metrics().bad(BadCall::too_much_metadata), 6);
}

// However many messages one stream brings at once, other connections are looked at in between.
TEST_F(Bounds, ATurnHandsOverOnlySoManyMessages) {
  Wire wire(strand, server);
  wire.begin(1, "/test.Echo/Talk");
  strand.settle();
  std::string messages;
  for (int i = 0; i < 100; ++i) messages += std::string(1, '\0') + big_endian(1, 4) + 'm';
  wire.data(1, messages);
  Wire other(strand, server);
  std::size_t heard_before = 0;
  server.unary("/test.Echo/Other", [&](const ServerCallPtr& call, std::string_view) {
    heard_before = heard.size();
    call->respond("");
  });
  wire.data(1, messages);
  other.begin(1, "/test.Echo/Other");
  other.end_message(1);
  strand.settle();
  EXPECT_EQ(heard.size(), 200);
  EXPECT_GE(heard_before, 100);
  EXPECT_LE(heard_before, 140);
  EXPECT_EQ(held(), 0);
}

}  // namespace
}  // namespace lockstep::rpc
