// A gRPC server that answers every call with its own message: what the transport alone costs.
//
// usage: rpc-echo-server [port, default: 0 takes a free one]
//
//   h2load -c 10 -m 100 -n 2000000 -d message -H 'content-type: application/grpc' -H 'te: trailers' \
//     http://127.0.0.1:<port>/lockstep.bench.Echo/Unary
//
// where `message` is a file with one message and its five bytes of prefix. Ends on end of input; says then
// what it counted and how much CPU a call took.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include <sys/resource.h>

#include "platform/executor.h"
#include "platform/system.h"
#include "platform/tcp_streams.h"
#include "rpc/server.h"

namespace lockstep::rpc {
namespace {

class EchoStream final : public ServerStreamHandler {
 public:
  explicit EchoStream(ServerCallPtr call) : call_(std::move(call)) {}
  void on_message(std::string_view message) override { call_->send(message); }
  void on_half_close() override { call_->finish({}); }
  void on_cancelled() override {}

 private:
  ServerCallPtr call_;
};

double cpu_s() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& value) {
    return static_cast<double>(value.tv_sec) + static_cast<double>(value.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

int serve(const std::string& port) {
  platform::RealClock clock;
  platform::AsioExecutor executor(clock);
  platform::TcpStreams streams(executor);
  Server server(executor, clock);
  server.unary("/lockstep.bench.Echo/Unary",
               [](const ServerCallPtr& call, std::string_view request) { call->respond(request); });
  server.streaming("/lockstep.bench.Echo/Stream",
                   [](ServerCallPtr call) { return std::make_unique<EchoStream>(std::move(call)); });
  const auto listener = streams.listen(
      "127.0.0.1:" + port, [&](std::unique_ptr<env::Stream> stream) { server.accept(std::move(stream)); });
  if (!listener.ok()) {
    std::fprintf(stderr, "%s\n", listener.status().to_string().c_str());
    return 1;
  }
  std::printf("listening on 127.0.0.1:%u\n", (*listener)->port());
  std::fflush(stdout);
  std::thread input([&] {
    while (std::getchar() != EOF) {
    }
    executor.stop();
  });
  executor.run();
  input.join();
  const ServerMetrics& metrics = server.metrics();
  const auto calls = static_cast<double>(metrics.calls_started);
  std::printf(
      "%.0f calls, %.3f us of CPU a call, %.1f calls a read, %.1f a write, %.0f bytes received a call\n",
      calls, cpu_s() * 1e6 / calls, calls / static_cast<double>(metrics.reads),
      calls / static_cast<double>(metrics.writes), static_cast<double>(metrics.bytes_received) / calls);
  return 0;
}

}  // namespace
}  // namespace lockstep::rpc

int main(int argc, char** argv) {
  return lockstep::rpc::serve(argc > 1 ? argv[1] : "0");
}
