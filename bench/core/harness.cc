#include "core/harness.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <unistd.h>

#include <fmt/format.h>
#include <sys/resource.h>

#include "engine/rocksdb_engine.h"

namespace lockstep::bench {
namespace {

[[noreturn]] void give_up(const std::string& what, const Status& why) {
  fmt::print(stderr, "bench: {}: {}\n", what, why.to_string());
  std::exit(1);
}

void poll(LocalMember& member, const std::shared_ptr<std::function<bool()>>& condition) {
  if ((*condition)()) return member.platform().stop();
  platform::AsioExecutor& executor = member.platform().executor();
  executor.schedule(executor.clock().now() + 1ms, [&member, condition] { poll(member, condition); });
}

}  // namespace

LocalMember::LocalMember(const std::string& directory, const std::vector<replica::Member>& founders,
                         NodeId node) {
  platform::PlatformOptions options;
  options.data_directory = directory;
  options.cluster = ClusterId(1);
  options.node = node;
  for (const replica::Member& founder : founders) {
    if (founder.id == node) options.listen_address = founder.address;
  }
  auto platform = platform::Platform::open(options);
  if (!platform.ok()) give_up("platform", platform.status());
  platform_ = *std::move(platform);
  auto engine = engine::open_rocksdb_engine(directory + "/engine", {});
  if (!engine.ok()) give_up("engine", engine.status());
  engine_ = *std::move(engine);
  replica::Options replica_options;
  replica_options.engine = engine_.get();
  replica_options.cluster = options.cluster;
  replica_options.node = node;
  replica_options.founders = founders;
  replica_options.on_fatal = [](const Status& why) { give_up("the member halted", why); };
  auto replica = replica::Replica::open(platform_->environment(), std::move(replica_options));
  if (!replica.ok()) give_up("replica", replica.status());
  replica_ = *std::move(replica);
}

LocalMember::~LocalMember() {
  replica_.reset();
}

void LocalMember::run_until(std::function<bool()> condition) {
  auto shared = std::make_shared<std::function<bool()>>(std::move(condition));
  platform_->executor().post([this, shared] { poll(*this, shared); });
  platform_->run();
}

void LocalMember::run_for(double seconds) {
  const double end = now_seconds() + seconds;
  run_until([end] { return now_seconds() >= end; });
}

void LocalMember::wait_for_leadership() {
  run_until([this] { return replica_->status().role == raft::Role::leader; });
}

namespace {

struct Loop {
  const StartOperation& start;
  bool measuring = false;
  bool stopping = false;
  std::size_t active = 0;
  std::uint64_t operations = 0;
  std::vector<float> latencies_us = {};

  void begin() {
    ++active;
    const double began = now_seconds();
    start([this, began] {
      --active;
      if (measuring) {
        ++operations;
        latencies_us.push_back(static_cast<float>((now_seconds() - began) * 1e6));
      }
      if (!stopping) begin();
    });
  }
};

double percentile(std::vector<float>& sorted, double share) {
  if (sorted.empty()) return 0;
  return sorted[static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1))];
}

double total_cpu_seconds(const std::vector<int>& other_processes) {
  double total = process_cpu_seconds();
  for (const int process : other_processes) total += process_cpu_seconds(process);
  return total;
}

}  // namespace

Measured run_closed_loop(LocalMember& member, const Settings& settings, std::size_t in_flight,
                         const StartOperation& start, const std::vector<int>& other_processes) {
  Loop loop{start};
  loop.latencies_us.reserve(1 << 20);
  member.platform().executor().post([&] {
    for (std::size_t i = 0; i < in_flight; ++i) loop.begin();
  });
  member.run_for(settings.warm_up_seconds);
  const double began = now_seconds();
  const double cpu_began = total_cpu_seconds(other_processes);
  loop.measuring = true;
  member.run_for(settings.seconds);
  if (settings.also_until) member.run_until(settings.also_until);
  loop.measuring = false;
  Measured measured;
  measured.seconds = now_seconds() - began;
  measured.cpu_seconds = total_cpu_seconds(other_processes) - cpu_began;
  measured.operations = loop.operations;
  loop.stopping = true;
  member.run_until([&] { return loop.active == 0; });
  std::ranges::sort(loop.latencies_us);
  measured.p50_us = percentile(loop.latencies_us, 0.5);
  measured.p99_us = percentile(loop.latencies_us, 0.99);
  measured.max_us = percentile(loop.latencies_us, 1);
  return measured;
}

std::string key_name(std::uint64_t number) {
  return fmt::format("key{:016}", number);
}

std::string value_of(Prng& prng) {
  std::string value(value_bytes, '\0');
  for (std::size_t i = 0; i < value.size(); i += 8) {
    const std::uint64_t word = prng.next();
    for (std::size_t j = 0; j < 8; ++j) value[i + j] = static_cast<char>(word >> (8 * j));
  }
  return value;
}

StartOperation random_puts(LocalMember& member, std::uint64_t keys, Prng& prng) {
  return [&member, keys, &prng, value = value_of(prng)](std::move_only_function<void()> done) {
    store::PutRequest request;
    request.key = key_name(prng.below(keys));
    request.value = value;
    member.replica().put(std::move(request), {},
                         [done = std::move(done)](const Result<store::PutResponse>& result) mutable {
                           if (!result.ok()) give_up("put", result.status());
                           done();
                         });
  };
}

void fill(LocalMember& member, std::uint64_t count) {
  Prng prng(7);
  const std::string value = value_of(prng);
  std::uint64_t started = 0;
  std::uint64_t finished = 0;
  std::function<void()> next = [&] {
    if (started == count) return;
    store::PutRequest request;
    request.key = key_name(started++);
    request.value = value;
    member.replica().put(std::move(request), {}, [&](const Result<store::PutResponse>& result) {
      if (!result.ok()) give_up("put", result.status());
      ++finished;
      next();
    });
  };
  member.platform().executor().post([&] {
    for (int i = 0; i < 1000; ++i) next();
  });
  member.run_until([&] { return finished == count; });
}

double process_cpu_seconds(int process) {
  if (process == 0) {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& time) {
      return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
  }
  std::ifstream file(fmt::format("/proc/{}/stat", process));
  std::string text((std::istreambuf_iterator<char>(file)), {});
  // Fields 14 and 15, counted behind the name, which may hold anything in brackets.
  std::istringstream fields(text.substr(text.rfind(')') + 2));
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;
  double user_ticks = 0;
  double system_ticks = 0;
  fields >> user_ticks >> system_ticks;
  return (user_ticks + system_ticks) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

std::uint64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t total_pages = 0;
  std::uint64_t resident_pages = 0;
  file >> total_pages >> resident_pages;
  return resident_pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

double now_seconds() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

void print_row(const std::string& what, const std::string& figure, const std::string& target, bool met) {
  fmt::print("{:<58} {:<52} {:<34} {}\n", what, figure, target, met ? "met" : "MISSED");
  std::fflush(stdout);
}

std::string rounded(double number, int digits) {
  return fmt::format("{:.{}f}", number, digits);
}

}  // namespace lockstep::bench
