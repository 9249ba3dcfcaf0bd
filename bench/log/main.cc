// What the log costs beside the disk: one record in flight, large groups, CPU a command, restart.
//
// usage: log-bench [directory on the disk to measure, default: a temporary one]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <sys/resource.h>

#include "log/log.h"
#include "log/record.h"
#include "platform/disk.h"
#include "platform/executor.h"
#include "platform/test_support.h"
#include "platform/work_thread.h"

namespace lockstep::log {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& value) {
    return static_cast<double>(value.tv_sec) + static_cast<double>(value.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

void report(const char* what, double value, const char* unit) {
  std::printf("%-64s %10.2f %s\n", what, value, unit);
  std::fflush(stdout);
}

double median(std::vector<double>& samples) {
  std::ranges::sort(samples);
  return samples[samples.size() / 2];
}

// The disk and strand of one member, run by the calling thread.
struct World {
  explicit World(const std::string& directory)
      : executor(clock), disk(platform::FileDisk::open(directory, executor).value()), worker(executor) {}
  void run_until(const std::function<bool()>& condition) {
    std::function<void()> look = [&] {
      if (condition()) return executor.stop();
      executor.post([&look] { look(); });
    };
    executor.post([&look] { look(); });
    executor.run();
  }
  platform::RealClock clock;
  platform::AsioExecutor executor;
  std::unique_ptr<platform::FileDisk> disk;
  platform::ThreadWorker worker;
};

Options options() {
  Options result;
  result.cluster = ClusterId(1);
  result.node = NodeId(1);
  result.new_incarnation = IncarnationId(1);
  return result;
}

raft::Entry entry(std::uint64_t index, const SharedBytes& payload) {
  raft::Entry result;
  result.index = LogIndex(index);
  result.term = Term(1);
  result.payload = payload;
  return result;
}

constexpr int samples = 3000;

double raw_overwrite_us(World& world) {
  auto file = world.disk->open("raw", env::OpenMode::create_new).value();
  const std::string zeros(limits::mebibyte, '\0');
  for (int i = 0; i < 16; ++i)
    LS_MUST(file->write_at(static_cast<std::uint64_t>(i) * zeros.size(), zeros).ok());
  LS_MUST(file->sync().ok());
  std::vector<double> times;
  const std::string page(4096, 'x');
  for (std::uint64_t i = 0; i < samples; ++i) {
    const auto start = Clock::now();
    LS_MUST(file->write_at(i * page.size(), page).ok());
    LS_MUST(file->sync().ok());
    times.push_back(seconds_since(start) * 1e6);
  }
  return median(times);
}

double one_in_flight_us(Log& log, std::uint64_t& index) {
  const SharedBytes payload(std::string(300, 'p'));
  std::vector<double> times;
  for (int i = 0; i < samples; ++i) {
    const auto start = Clock::now();
    bool done = false;
    AppendBatch batch;
    batch.entries.push_back(entry(++index, payload));
    log.append(std::move(batch), [&done] { done = true; });
    LS_MUST(done, "small groups are written inside the call");
    times.push_back(seconds_since(start) * 1e6);
  }
  return median(times);
}

constexpr std::uint64_t commands = 1000;  // in one entry
constexpr std::uint64_t groups = 1000;

void large_groups(World& world, Log& log, std::uint64_t& index) {
  const SharedBytes payload(std::string(commands * 300, 'p'));
  std::uint64_t done = 0;
  std::uint64_t sent = 0;
  // Two on their way: one under the disk's hand, one waiting.
  std::function<void()> send = [&] {
    AppendBatch batch;
    batch.entries.push_back(entry(++index, payload));
    ++sent;
    log.append(std::move(batch), [&] {
      if (++done == groups) return world.executor.stop();
      if (sent < groups) send();
    });
  };
  const auto start = Clock::now();
  const double cpu = cpu_seconds();
  world.executor.post([&send] {
    send();
    send();
  });
  world.executor.run();
  report("1000 commands of 300 B an entry: commands/s",
         static_cast<double>(commands * groups) / seconds_since(start), "1/s");
  report("  CPU of the process, the kernel's copy and sync included",
         (cpu_seconds() - cpu) * 1e9 / static_cast<double>(commands * groups), "ns a command");
}

// The log's own work: frame and checksums, without the disk.
void encode_groups() {
  const SharedBytes payload(std::string(commands * 300, 'p'));
  std::uint64_t checksums = 0;
  const double cpu = cpu_seconds();
  for (std::uint64_t i = 1; i <= groups; ++i) {
    GroupEncoder encoder;
    encoder.begin_run(LogIndex(i), 1);
    encoder.entry(entry(i, payload));
    checksums += std::move(encoder).finish({}, {IncarnationId(1), 1, 0}, limits::mebibyte).checksum;
  }
  LS_MUST(checksums != 0);
  report("  of it the log's own: frame and checksum",
         (cpu_seconds() - cpu) * 1e9 / static_cast<double>(commands * groups), "ns a command");
}

void run(const std::string& directory) {
  World world(directory);
  const double raw = raw_overwrite_us(world);
  report("raw: overwrite of a page + fdatasync, p50", raw, "us");
  std::uint64_t index = 0;
  {
    auto opened = Log::open(*world.disk, world.worker, options(), [](const Status& status) {
      std::fprintf(stderr, "%s\n", status.to_string().c_str());
      std::abort();
    });
    LS_MUST(opened.ok());
    Log& log = *opened->log;
    bool prepared = false;
    world.worker.submit([] {}, [&prepared] { prepared = true; });
    world.run_until([&prepared] { return prepared; });
    const double alone = one_in_flight_us(log, index);
    report("one record of 300 B in flight, p50", alone, "us");
    report("  of raw", alone / raw, "x");
    large_groups(world, log, index);
    encode_groups();
    report("log on disk at the restart", static_cast<double>(log.stats().bytes) / 1e6, "MB");
    prepared = false;
    world.worker.submit([] {}, [&prepared] { prepared = true; });
    world.run_until([&prepared] { return prepared; });
  }
  const auto start = Clock::now();
  auto again = Log::open(*world.disk, world.worker, options(), nullptr);
  LS_MUST(again.ok());
  LS_MUST(again->recovered.last.index == LogIndex(index));
  report("open() of it, all entries read, from the page cache", seconds_since(start) * 1e3, "ms");
}

}  // namespace
}  // namespace lockstep::log

int main(int argc, char** argv) {
  lockstep::platform::TemporaryDirectory temporary;
  lockstep::log::run(argc > 1 ? std::string(argv[1]) : temporary.path());
  return 0;
}
