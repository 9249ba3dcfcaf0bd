// Streams of one connection share it: who asks for much does not keep the others waiting.
#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "rpc/http2.h"

namespace lockstep::rpc {
namespace {

constexpr std::size_t piece_bytes = 32 * 1024;
constexpr std::size_t frame_bytes_max = 16 * 1024;
constexpr std::size_t large_body_bytes = 1024 * 1024;

// The ends of streams, in the order they came.
class Side final : public Http2Events {
 public:
  Http2Stream* on_request(std::int32_t id) override { return &streams.at(static_cast<std::size_t>(id / 2)); }
  bool on_header(Http2Stream&, std::string_view, std::string_view) override { return true; }
  void on_headers_end(Http2Stream&) override {}
  void on_data(Http2Stream& stream, std::string_view bytes) override {
    received[index(stream)] += bytes.size();
  }
  void on_end(Http2Stream& stream) override { ended.push_back(index(stream)); }
  void on_closed(Http2Stream&, Http2Error) override {}

  [[nodiscard]] std::size_t index(const Http2Stream& stream) const {
    return static_cast<std::size_t>(&stream - streams.data());
  }

  std::vector<Http2Stream> streams{2};
  std::vector<std::size_t> received{0, 0};
  std::vector<std::size_t> ended;
};

class FairStreams : public testing::Test {
 protected:
  static Http2Options options(bool server) {
    Http2Options options;
    options.server = server;
    options.stream_window_bytes = 4 * large_body_bytes;
    return options;
  }
  void exchange() {
    std::string to_server;
    client.produce(to_server, SIZE_MAX);
    server.receive(to_server);
    std::string to_client;
    server.produce(to_client, piece_bytes);
    client.receive(to_client);
  }
  void ask(std::size_t stream) {
    const std::vector<Http2Header> headers = {
        {":method", "POST"}, {":scheme", "http"}, {":path", "/"}, {":authority", "test"}};
    asking.streams[stream].body_ends = true;
    client.submit_request(asking.streams[stream], headers, true);
  }
  void answer(std::size_t stream, std::size_t bytes) {
    const std::vector<Http2Header> headers = {{":status", "200"}};
    answering.streams[stream].body.assign(bytes, 'x');
    answering.streams[stream].body_ends = true;
    ASSERT_TRUE(server.submit_response(answering.streams[stream], headers, true));
  }

  Side asking;
  Side answering;
  Http2Session client{options(false), asking};
  Http2Session server{options(true), answering};
};

TEST_F(FairStreams, ASmallAnswerDoesNotWaitForTheEndOfALargeOne) {
  exchange();
  ask(0);
  ask(1);
  exchange();
  ASSERT_EQ(answering.ended, (std::vector<std::size_t>{0, 1})) << "both were asked";
  answer(0, large_body_bytes);
  answer(1, 10);
  while (asking.ended.size() < 2) exchange();
  EXPECT_EQ(asking.ended, (std::vector<std::size_t>{1, 0}));
  EXPECT_EQ(asking.received, (std::vector<std::size_t>{large_body_bytes, 10}));
}

TEST_F(FairStreams, TwoLargeAnswersComeAlongTogether) {
  exchange();
  ask(0);
  ask(1);
  exchange();
  answer(0, large_body_bytes);
  answer(1, large_body_bytes);
  while (asking.ended.empty()) exchange();
  const auto [less, more] = std::minmax(asking.received[0], asking.received[1]);
  EXPECT_EQ(more, large_body_bytes);
  EXPECT_GE(less, large_body_bytes - 2 * frame_bytes_max)
      << "when the first one ends, the other is nearly there";
}

}  // namespace
}  // namespace lockstep::rpc
