// What clients of HTTP/1.1 can make the server hold and do, told by the server's own counters.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "gateway/http1/http_server.h"
#include "rpc/testing_world.h"

namespace lockstep::gateway {
namespace {

constexpr std::size_t answer_bytes = 10'000;

class Http1Bounds : public testing::Test {
 protected:
  static HttpServerOptions options() {
    HttpServerOptions options;
    options.unsent_bytes_max = 50'000;
    options.request_bytes_buffered_max = 2500;
    return options;
  }
  Http1Bounds() : server(strand, strand, options()) {
    server.router().exact("GET", "/large", [this](const HttpResponderPtr& responder, HttpRequest&) {
      ++served;
      unsent_max = std::max(unsent_max, server.metrics().answer_bytes_unsent);
      HttpResponse response;
      response.body = std::string(answer_bytes, 'a');
      responder->respond(response);
    });
    server.router().exact("GET", "/huge", [this](const HttpResponderPtr& responder, HttpRequest&) {
      HttpResponse response;
      response.body = huge;
      responder->respond(response);
    });
    server.router().exact("POST", "/echo", [](const HttpResponderPtr& responder, HttpRequest& request) {
      HttpResponse response;
      response.body = request.body;
      responder->respond(response);
    });
  }
  ~Http1Bounds() override {
    server.close();
    strand.settle();
    EXPECT_EQ(server.metrics().answer_bytes_unsent, 0);
    EXPECT_EQ(server.metrics().request_bytes_buffered, 0);
  }
  std::unique_ptr<rpc::TestWire> connect() {
    auto wire = std::make_unique<rpc::TestWire>(strand);
    server.accept(std::move(wire->stream));
    return wire;
  }
  static std::string get(std::string_view path) {
    return "GET " + std::string(path) + " HTTP/1.1\r\nHost: localhost\r\n\r\n";
  }
  static std::string times(int count, std::string_view text) {
    std::string out;
    for (int i = 0; i < count; ++i) out += text;
    return out;
  }
  static std::size_t answers_in(std::string_view text) {
    std::size_t count = 0;
    for (std::size_t at = 0; (at = text.find("HTTP/1.1 200", at)) != std::string_view::npos; ++at) ++count;
    return count;
  }

  rpc::TestStrand strand;
  HttpServer server;
  std::string huge;
  std::size_t served = 0;
  std::uint64_t unsent_max = 0;
};

TEST_F(Http1Bounds, WhoDoesNotReadIsServedNoFurther) {
  const auto wire = connect();
  wire->from_stream->room = 0;
  wire->send(times(2000, get("/large")));
  strand.settle();
  EXPECT_LE(server.metrics().answer_bytes_unsent, 70'000);
  EXPECT_LE(unsent_max, 50'000);
  EXPECT_LE(served, 40);  // a write under way, and what may wait behind it
  EXPECT_LE(server.metrics().request_bytes_buffered, 300'000) << "nothing is read meanwhile";
  // It reads at last: everything is answered, in order, without a word more from it.
  std::string all;
  for (int i = 0; i < 2000 && answers_in(all) < 2000; ++i) {
    wire->from_stream->room = 100'000;
    wire->end->poll();
    strand.settle();
    all += wire->received();
  }
  EXPECT_EQ(served, 2000);
  EXPECT_EQ(answers_in(all), 2000);
  EXPECT_LE(unsent_max, 50'000);
}

// However much one pipelines, others come in between.
TEST_F(Http1Bounds, ATurnAnswersOnlySoManyPipelinedRequests) {
  const auto wire = connect();
  std::vector<std::size_t> served_at;
  server.router().exact("GET", "/other", [&](const HttpResponderPtr& responder, HttpRequest&) {
    served_at.push_back(served);
    responder->respond({});
  });
  const auto other = connect();
  strand.settle();
  wire->send(times(1000, get("/large")));
  other->send(get("/other"));
  strand.settle();
  EXPECT_EQ(served, 1000);
  ASSERT_EQ(served_at.size(), 1);
  EXPECT_LE(served_at.front(), 32);
}

// A time limit is for who makes the server wait, not for whom the server makes wait.
TEST_F(Http1Bounds, WhatTheServerHoldsBackIsNotLate) {
  const auto wire = connect();
  wire->from_stream->room = 0;
  wire->send(times(200, get("/large")));
  strand.pass(30s);
  EXPECT_EQ(server.metrics().refused.count(408), 0);
  wire->from_stream->room = SIZE_MAX;
  wire->end->poll();
  strand.settle();
  EXPECT_EQ(answers_in(wire->received()), 200);
}

TEST_F(Http1Bounds, AHugeAnswerArrivesWholeThroughASmallPipe) {
  for (std::size_t i = 0; i < 3'000'000; ++i)
    huge.push_back(static_cast<char>('a' + (i / 7 + i / 4096) % 26));
  const auto wire = connect();
  wire->from_stream->room = 100'000;
  wire->send(get("/huge"));
  std::string all;
  for (int i = 0; i < 100; ++i) {
    strand.settle();
    all += wire->received();
    wire->end->poll();
  }
  ASSERT_GT(all.size(), huge.size());
  EXPECT_TRUE(all.substr(all.size() - huge.size()) == huge);
}

TEST_F(Http1Bounds, UnfinishedBodiesOfAllAreBounded) {
  std::vector<std::unique_ptr<rpc::TestWire>> wires;
  for (int i = 0; i < 5; ++i) {
    wires.push_back(connect());
    wires.back()->send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n" +
                       std::string(900, 'b'));
    strand.settle();
    EXPECT_LE(server.metrics().request_bytes_buffered, 2500);
  }
  EXPECT_EQ(server.metrics().request_bytes_buffered, 1800);
  const std::string refusal = wires[2]->received();
  EXPECT_TRUE(refusal.starts_with("HTTP/1.1 503 ")) << refusal;
  EXPECT_TRUE(refusal.contains("too many bytes of requests are being received")) << refusal;
  EXPECT_TRUE(refusal.contains("\r\nRetry-After: 1\r\n")) << refusal;
  EXPECT_EQ(wires[0]->received(), "");
  // A request that comes complete takes no room.
  const auto small = connect();
  small->send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi");
  strand.settle();
  EXPECT_TRUE(small->received().ends_with("\r\n\r\nhi"));
  // And the others go on where they were.
  wires[0]->send(std::string(100, 'b'));
  strand.settle();
  EXPECT_TRUE(wires[0]->received().ends_with("\r\n\r\n" + std::string(1000, 'b')));
  EXPECT_EQ(server.metrics().refused.at(503), 3);
}

// A stream that is asked for its head alone ends there, and the connection goes on.
TEST_F(Http1Bounds, TheHeadOfAStreamIsAllOfIt) {
  HttpResponderPtr streaming;
  server.router().exact("GET", "/stream", [&](const HttpResponderPtr& responder, HttpRequest&) {
    streaming = responder;
    responder->begin({});
    responder->send("a piece");
  });
  const auto wire = connect();
  wire->send("HEAD /stream HTTP/1.1\r\nHost: localhost\r\n\r\n" + get("/large"));
  strand.settle();
  EXPECT_TRUE(streaming->ended());
  EXPECT_TRUE(streaming->cancellation().stop_requested());
  const std::string said = wire->received();
  EXPECT_FALSE(said.contains("a piece"));
  EXPECT_EQ(answers_in(said), 2);
  EXPECT_EQ(served, 1);
}

// Whose input is not read any more could go away unseen, and what waits for it would wait on.
TEST_F(Http1Bounds, WhoPipelinesBehindAWaitingRequestIsNotWaitedForForEver) {
  HttpResponderPtr waiting;
  server.router().exact("GET", "/wait",
                        [&](const HttpResponderPtr& responder, HttpRequest&) { waiting = responder; });
  const auto wire = connect();
  wire->send(get("/wait"));
  strand.pass(120s);
  ASSERT_NE(waiting, nullptr);
  EXPECT_FALSE(waiting->ended()) << "it may wait as long as it likes";
  wire->send(times(3000, get("/large")));
  strand.pass(50s);
  EXPECT_FALSE(waiting->ended());
  strand.pass(30s);
  EXPECT_TRUE(waiting->cancellation().stop_requested());
}

}  // namespace
}  // namespace lockstep::gateway
