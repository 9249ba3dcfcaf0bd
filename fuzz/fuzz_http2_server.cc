// The bytes an HTTP/2 client may send to the gRPC server, after its preface. The first byte says how they are
// cut.
//
// Checked beside not crashing: a handler sees only whole messages within the limit, every call that began
// ends, the counters of kept bytes come back to zero, and a healthy client is served afterwards.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/assert.h"
#include "rpc/channel.h"
#include "rpc/server.h"
#include "rpc/testing_world.h"

namespace {

using namespace lockstep;
using namespace lockstep::rpc;

constexpr std::string_view preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr std::size_t message_bytes_max = 200;
int streams_alive = 0;

class Talk final : public ServerStreamHandler {
 public:
  explicit Talk(ServerCallPtr call) : call_(std::move(call)) { ++streams_alive; }
  ~Talk() override { --streams_alive; }
  void on_message(std::string_view message) override {
    LS_MUST(message.size() <= message_bytes_max);
    LS_MUST(!over_);
    call_->send(message);
    if (message.size() == 7) call_->finish({GrpcCode::aborted, "seven", {}});
  }
  void on_half_close() override { call_->finish({}); }
  void on_cancelled() override {
    LS_MUST(!std::exchange(over_, true), "told once");
    LS_MUST(call_->ended());
  }

 private:
  ServerCallPtr call_;
  bool over_ = false;
};

void check_health(TestStrand& strand, Server& server) {
  auto [client_end, server_end] = connected_pair(strand);
  server.accept(std::move(server_end));
  Channel channel(strand, strand, std::move(client_end), ChannelOptions{});
  bool answered = false;
  channel.unary("/test.Echo/Say", "healthy", {}, no_deadline,
                [&](const CallResult& result) { answered = result.message == "healthy"; });
  strand.settle();
  LS_MUST(answered);
  channel.close();
  strand.settle();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1 || size > 20'000) return 0;
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::size_t portion = static_cast<unsigned char>(bytes[0]) + 1U;
  bytes.remove_prefix(1);
  TestStrand strand;
  Server server(strand, strand, {.concurrent_streams_max = 10, .message_bytes_max = message_bytes_max});
  server.unary("/test.Echo/Say", [](const ServerCallPtr& call, std::string_view request) {
    LS_MUST(request.size() <= message_bytes_max);
    call->respond(request);
  });
  server.streaming("/test.Echo/Talk",
                   [](ServerCallPtr call) { return std::make_unique<Talk>(std::move(call)); });
  // Other requests are echoed, too.
  server.set_plain(
      [](const std::shared_ptr<PlainAnswer>& answer, PlainRequest& request) {
        LS_MUST(request.body.size() <= message_bytes_max);
        answer->begin(request.refused == 0 ? 200 : request.refused, {}, true);
        answer->send(request.body);
        answer->finish();
      },
      message_bytes_max);
  TestWire wire(strand);
  server.accept(std::move(wire.stream));
  wire.send(preface);
  while (!bytes.empty() && !wire.ended()) {
    const std::size_t count = std::min(portion, bytes.size());
    wire.send(bytes.substr(0, count));
    bytes.remove_prefix(count);
    strand.settle();
  }
  strand.pass(2s);
  wire.hang_up();
  strand.settle();
  const ServerMetrics& metrics = server.metrics();
  LS_MUST(metrics.connections_open == 0);
  LS_MUST(metrics.calls_open == 0);
  LS_MUST(metrics.request_bytes_buffered == 0);
  LS_MUST(metrics.answer_bytes_unsent == 0);
  LS_MUST(streams_alive == 0);
  check_health(strand, server);
  server.close();
  strand.settle();
  return 0;
}
