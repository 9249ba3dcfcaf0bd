// What the ports cost: posting, timers, wake-ups, messages over loopback, small synced writes.
//
// usage: platform-bench [directory for the disk, default: a temporary one]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <functional>
#include <future>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include <sys/resource.h>

#include "platform/disk.h"
#include "platform/network.h"
#include "platform/test_support.h"

namespace lockstep::platform {
namespace {

using Seconds = std::chrono::duration<double>;

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return Seconds(std::chrono::steady_clock::now() - start).count();
}

double process_cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& value) {
    return static_cast<double>(value.tv_sec) + static_cast<double>(value.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

void report(const char* what, double value, const char* unit) {
  std::printf("%-58s %10.2f %s\n", what, value, unit);
  std::fflush(stdout);
}

double percentile(std::vector<double>& samples, double part) {
  std::ranges::sort(samples);
  return samples[static_cast<std::size_t>(part * static_cast<double>(samples.size() - 1))];
}

void posts() {
  RealClock clock;
  AsioExecutor executor(clock);
  constexpr int count = 5'000'000;
  constexpr int batch = 1000;
  int ran = 0;
  std::function<void()> again = [&] {
    for (int number = 0; number < batch; ++number) executor.post([&] { ++ran; });
    if (ran >= count) return executor.stop();
    executor.post([&] { again(); });
  };
  executor.post([&] { again(); });
  report("post and run, batches of 1000", seconds_of([&] { executor.run(); }) * 1e9 / ran, "ns");
  int turns = 0;
  std::function<void()> alone = [&] {
    if (++turns == count / 10) return executor.stop();
    executor.post([&] { alone(); });
  };
  executor.post([&] { alone(); });
  report("a turn with one closure (polls I/O)", seconds_of([&] { executor.run(); }) * 1e9 / turns, "ns");
}

void timers() {
  RealClock clock;
  AsioExecutor executor(clock);
  constexpr int count = 1'000'000;
  std::vector<env::TimerId> ids(count);
  const TimePoint far = clock.now() + 1h;
  const double schedule = seconds_of([&] {
    for (int number = 0; number < count; ++number)
      ids[number] = executor.schedule(far + Duration(number * 7919LL % count), [] {});
  });
  report("schedule a timer, among up to 1,000,000", schedule * 1e9 / count, "ns");
  const double cancel = seconds_of([&] {
    for (const env::TimerId id : ids) executor.cancel(id);
  });
  report("cancel it", cancel * 1e9 / count, "ns");
  int fired = 0;
  for (int number = 0; number < count; ++number) {
    executor.schedule(TimePoint(Duration(number)), [&] {
      if (++fired == count) executor.stop();
    });
  }
  report("fire a due timer", seconds_of([&] { executor.run(); }) * 1e9 / count, "ns");
}

void posts_from_another_thread() {
  StrandThread strand;
  constexpr int count = 2'000'000;
  std::atomic<int> ran = 0;
  const double all = seconds_of([&] {
    for (int number = 0; number < count; ++number)
      strand.executor.post_from_any_thread([&] { ran.fetch_add(1, std::memory_order_relaxed); });
    while (ran.load() < count) std::this_thread::yield();
  });
  report("post from another thread, as fast as it can", all * 1e9 / count, "ns");
  std::vector<double> samples;
  for (int number = 0; number < 20'000; ++number)
    samples.push_back(seconds_of([&] { strand.on([] {}); }) * 1e6);
  report("call into the sleeping strand and back, p50", percentile(samples, 0.5), "us");
}

// Two members, a strand each.
struct Pair : env::Receiver {
  struct Side : env::Receiver {
    StrandThread strand;
    RealRandom random;
    std::unique_ptr<TcpNetwork> network;
    std::function<void(SharedBytes)> receive;
    void on_message(NodeId, SharedBytes message) override { receive(std::move(message)); }
    void on_peer_lost(NodeId) override {}
  };
  void on_message(NodeId, SharedBytes) override {}
  void on_peer_lost(NodeId) override {}

  Pair() {
    std::uint16_t ports[2];
    for (std::uint64_t id : {1, 2}) {
      Side& side = sides[id - 1];
      ports[id - 1] = side.strand.on([&] {
        NetworkOptions options;
        options.self = NodeId(id);
        options.log = [](std::string_view) {};
        side.network = std::make_unique<TcpNetwork>(side.strand.executor, side.random, options);
        side.network->set_receiver(&side);
        return *side.network->listen("127.0.0.1:0");
      });
    }
    for (std::uint64_t id : {1, 2}) {
      Side& side = sides[id - 1];
      side.strand.on(
          [&] { side.network->set_peer(NodeId(3 - id), "127.0.0.1:" + std::to_string(ports[2 - id])); });
    }
    for (std::uint64_t id : {1, 2}) {
      Side& side = sides[id - 1];
      while (!side.strand.on([&] { return side.network->connected(NodeId(3 - id)); }))
        std::this_thread::yield();
    }
  }
  ~Pair() override {
    for (Side& side : sides) side.strand.on([&] { side.network.reset(); });
  }
  Side sides[2];
};

// `in_flight` messages bounce between the sides until `count` came back.
void round_trips(const char* what, std::size_t bytes, int in_flight, int count) {
  Pair pair;
  const SharedBytes message(std::string(bytes, 'm'));
  std::promise<void> finished;
  int started = 0;
  int returned = 0;
  std::vector<std::chrono::steady_clock::time_point> starts;
  std::vector<double> samples;
  const auto start_one = [&] {
    ++started;
    starts.push_back(std::chrono::steady_clock::now());
    pair.sides[0].network->send(NodeId(2), {message});
  };
  pair.sides[1].strand.on([&] {
    pair.sides[1].receive = [&](const SharedBytes&) {
      pair.sides[1].network->send(NodeId(1), {SharedBytes("ok")});
    };
  });
  pair.sides[0].strand.on([&] {
    pair.sides[0].receive = [&](const SharedBytes&) {
      samples.push_back(Seconds(std::chrono::steady_clock::now() - starts[returned]).count() * 1e6);
      if (++returned == count) return finished.set_value();
      if (started < count) start_one();
    };
  });
  const double cpu = process_cpu_seconds();
  const double all = seconds_of([&] {
    pair.sides[0].strand.on([&] {
      for (int number = 0; number < in_flight; ++number) start_one();
    });
    finished.get_future().wait();
  });
  std::printf("%-40s p50 %8.1f us, %9.0f messages/s, %7.1f MB/s, CPU %6.2f us a message\n", what,
              percentile(samples, 0.5), count / all, static_cast<double>(bytes) * count / all / 1e6,
              (process_cpu_seconds() - cpu) * 1e6 / count);
  std::fflush(stdout);
}

void synced_writes(const std::string& root) {
  constexpr std::size_t file_bytes = 16 * limits::mebibyte;
  constexpr std::size_t write_bytes = 300;
  constexpr int count = 3000;
  StrandThread strand;
  const auto disk = *FileDisk::open(root, strand.executor);
  const auto file = *disk->open("bench", env::OpenMode::create_new);
  for (std::size_t offset = 0; offset < file_bytes; offset += limits::mebibyte)
    static_cast<void>(file->write_at(offset, std::string(limits::mebibyte, 'z')).ok());
  static_cast<void>(file->sync().ok());
  const std::string bytes(write_bytes, 'w');
  const int raw = ::open((root + "/bench").c_str(), O_RDWR | O_CLOEXEC);
  std::vector<double> raw_samples, inline_samples, thread_samples;
  for (int number = 0; number < count; ++number) {  // taken in turns: the disk's mood changes
    const std::uint64_t offset = number * 4096ULL % file_bytes;
    raw_samples.push_back(seconds_of([&] {
                            if (::pwrite(raw, bytes.data(), bytes.size(), static_cast<off_t>(offset)) < 0)
                              std::abort();
                            if (::fdatasync(raw) < 0) std::abort();
                          }) *
                          1e6);
    strand.on([&] {
      inline_samples.push_back(seconds_of([&] {
                                 file->write_and_sync({{offset, SharedBytes(bytes)}}, true,
                                                      [](const Status& status) { LS_MUST(status.ok()); });
                               }) *
                               1e6);
    });
    std::promise<void> done;
    const auto start = std::chrono::steady_clock::now();
    strand.executor.post_from_any_thread([&] {
      file->write_and_sync({{offset, SharedBytes(bytes)}}, false, [&](const Status&) {
        thread_samples.push_back(Seconds(std::chrono::steady_clock::now() - start).count() * 1e6);
        done.set_value();
      });
    });
    done.get_future().wait();
  }
  ::close(raw);
  report("raw pwrite + fdatasync of 300 bytes, p50", percentile(raw_samples, 0.5), "us");
  report("write_and_sync inline, p50", percentile(inline_samples, 0.5), "us");
  report("write_and_sync by the sync thread, p50 (with two posts)", percentile(thread_samples, 0.5), "us");
}

}  // namespace

int run(int count, char** arguments) {
  TemporaryDirectory temporary;
  const std::string root = count > 1 ? std::string(arguments[1]) : temporary.path();
  posts();
  timers();
  posts_from_another_thread();
  round_trips("300 B, 1 in flight", 300, 1, 20'000);
  round_trips("300 B, 64 in flight", 300, 64, 500'000);
  round_trips("300 B, 1000 in flight", 300, 1000, 1'000'000);
  round_trips("300 KB, 1 in flight", 300'000, 1, 2'000);
  round_trips("300 KB, 8 in flight", 300'000, 8, 10'000);
  synced_writes(root);
  return 0;
}

}  // namespace lockstep::platform

int main(int count, char** arguments) {
  return lockstep::platform::run(count, arguments);
}
