// What a call to another service costs the strand: small requests over kept connections on loopback, a number
// of them at a time. The receiver has a thread of its own, which is not counted.
#include <cstdlib>
#include <ctime>
#include <future>
#include <string>

#include <benchmark/benchmark.h>

#include "platform/http_client.h"
#include "platform/tcp_streams.h"
#include "platform/test_support.h"
#include "platform/testing_http_receiver.h"

namespace lockstep::platform {
namespace {

double strand_seconds() {
  timespec used{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) + 1e-9 * static_cast<double>(used.tv_nsec);
}

// Keeps so many under way until all are done.
class Caller {
 public:
  Caller(StrandThread& strand, CurlHttpClient& client, std::string url, int calls)
      : strand_(strand), client_(client), left_(calls), unanswered_(calls) {
    call_.url = std::move(url);
    call_.body = std::string(100, 'x');
    call_.headers = {{"Content-Type", "application/json"},
                     {"Lockstep-Transaction", "order-123456"},
                     {"Lockstep-Branch", "stock"},
                     {"Lockstep-Operation", "action"},
                     {"Lockstep-Attempt", "1"},
                     {"Idempotency-Key", "order-123456/stock/action"}};
  }
  void start(int at_once) {
    for (int i = 0; i < at_once; ++i) next();
  }
  std::future<void> done() { return done_.get_future(); }

 private:
  void next() {
    if (left_ == 0) return;
    --left_;
    client_.call(call_, strand_.clock.now() + 10s, [this](const Result<env::HttpReply>& reply) {
      if (!reply.ok() || reply->status != 200) std::abort();
      if (--unanswered_ == 0) return done_.set_value();
      next();
    });
  }
  StrandThread& strand_;
  CurlHttpClient& client_;
  env::HttpCall call_;
  int left_;
  int unanswered_;
  std::promise<void> done_;
};

void BM_SmallCalls(benchmark::State& state) {
  constexpr int calls = 5000;
  StrandThread ours;
  StrandThread theirs;
  TcpStreams streams(theirs.executor);
  auto receiver = theirs.on([&] {
    return std::make_unique<HttpReceiver>(streams,
                                          [](const ReceivedRequest&) { return plain_answer(200, "{}"); });
  });
  theirs.on([&] { receiver->keep_none(); });
  const std::string url = "http://127.0.0.1:" + std::to_string(receiver->port()) + "/";
  HttpClientOptions options;
  options.policy = CallPolicy::create({}, true).value();
  auto client = ours.on([&] { return CurlHttpClient::create(ours.executor, options).value(); });
  double used = 0;
  for (auto _ : state) {
    Caller caller(ours, *client, url, calls);
    const double before = ours.on(&strand_seconds);
    ours.on([&] { caller.start(static_cast<int>(state.range(0))); });
    caller.done().get();
    used += ours.on(&strand_seconds) - before;
  }
  const auto made = static_cast<double>(state.iterations() * calls);
  state.counters["cpu_us_per_call"] = used * 1e6 / made;
  state.counters["calls_per_s"] = benchmark::Counter(made, benchmark::Counter::kIsRate);
  ours.on([&] { client.reset(); });
  theirs.on([&] { receiver.reset(); });
}
BENCHMARK(BM_SmallCalls)->Arg(1)->Arg(16)->Arg(64)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace lockstep::platform
