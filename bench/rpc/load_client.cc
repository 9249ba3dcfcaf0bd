// The channel as a load client, against rpc-echo-server or anything that answers that method: calls a second
// and CPU a call on this side.
//
// usage: rpc-load-client <host:port> [connections=10] [calls in flight each=100] [seconds=5] [message
// bytes=280]
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include <sys/resource.h>

#include "platform/executor.h"
#include "platform/system.h"
#include "platform/tcp_streams.h"
#include "rpc/channel.h"

namespace lockstep::rpc {
namespace {

double cpu_s() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& value) {
    return static_cast<double>(value.tv_sec) + static_cast<double>(value.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

class Load {
 public:
  Load(platform::AsioExecutor& executor, std::string message)
      : executor_(executor), message_(std::move(message)) {}

  void add(std::unique_ptr<Channel> channel, int calls) {
    channels_.push_back(std::move(channel));
    for (int i = 0; i < calls; ++i) call(*channels_.back());
  }
  void stop() { stopping_ = true; }
  [[nodiscard]] long done() const { return done_; }
  [[nodiscard]] long failed() const { return failed_; }

 private:
  void call(Channel& channel) {
    ++running_;
    channel.unary("/lockstep.bench.Echo/Unary", message_, {}, no_deadline,
                  [this, &channel](const CallResult& result) { on_done(channel, result); });
  }
  void on_done(Channel& channel, const CallResult& result) {
    --running_;
    result.status.ok() ? ++done_ : ++failed_;
    if (result.status.ok() && !stopping_) return call(channel);
    if (running_ == 0) executor_.stop();
  }

  platform::AsioExecutor& executor_;
  std::string message_;
  std::vector<std::unique_ptr<Channel>> channels_;
  long running_ = 0;
  long done_ = 0;
  long failed_ = 0;
  bool stopping_ = false;
};

int run(const std::string& address, int connections, int calls, int seconds, std::size_t message_bytes) {
  platform::RealClock clock;
  platform::AsioExecutor executor(clock);
  platform::TcpStreams streams(executor);
  Load load(executor, std::string(message_bytes, 'x'));
  for (int i = 0; i < connections; ++i)
    load.add(std::make_unique<Channel>(executor, clock, streams, address, ChannelOptions{}), calls);
  const TimePoint began = clock.now();
  executor.schedule(began + std::chrono::seconds(seconds), [&] { load.stop(); });
  const double cpu_before = cpu_s();
  executor.run();
  const double elapsed_s = std::chrono::duration<double>(clock.now() - began).count();
  const auto done = static_cast<double>(load.done());
  std::printf("%.0f calls/s, %.3f us of CPU a call, %ld failed\n", done / elapsed_s,
              (cpu_s() - cpu_before) * 1e6 / done, load.failed());
  return load.failed() == 0 ? 0 : 1;
}

}  // namespace
}  // namespace lockstep::rpc

int main(int argc, char** argv) {
  const auto number = [&](int at, int otherwise) { return argc > at ? std::atoi(argv[at]) : otherwise; };
  if (argc < 2) {
    std::fprintf(stderr, "usage: rpc-load-client <host:port> [connections] [calls each] [seconds] [bytes]\n");
    return 2;
  }
  return lockstep::rpc::run(argv[1], number(2, 10), number(3, 100), number(4, 5),
                            static_cast<std::size_t>(number(5, 280)));
}
