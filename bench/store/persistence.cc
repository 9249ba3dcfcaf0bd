// What persistence costs beside applying, and how long a restart takes: puts of 256-byte values over uniform
// random keys, written back to RocksDB, on one thread and RocksDB's own two. No log.
//
//   bench_store_persistence directory [keys [puts [batch]]]
//
// The directory is removed first, unless puts is 0: then only the restart is measured. CPU is the whole
// process's, RocksDB's threads and the kernel's work included.
#include "store/persistence.h"

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <malloc.h>
#include <string>
#include <time.h>

#include "base/assert.h"
#include "base/prng.h"
#include "engine/rocksdb_engine.h"
#include "store/command.h"
#include "store/engine_history.h"
#include "store/recovery.h"
#include "store/state_machine.h"

namespace lockstep::store {
namespace {

double seconds(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

class LoopWorker final : public env::Worker {
 public:
  void submit(env::Closure work, env::Closure done) override {
    jobs_.push_back({std::move(work), std::move(done)});
  }
  bool step() {
    if (jobs_.empty()) return false;
    auto job = std::move(jobs_.front());
    jobs_.pop_front();
    job.first();
    job.second();
    return true;
  }

 private:
  std::deque<std::pair<env::Closure, env::Closure>> jobs_;
};

std::string key_of(std::uint64_t number) {
  char key[17];
  std::snprintf(key, sizeof key, "%016llx", static_cast<unsigned long long>(number * 0x9e3779b97f4a7c15));
  return key;
}

std::unique_ptr<engine::Engine> open(const std::string& directory) {
  auto engine = engine::open_rocksdb_engine(directory, {});
  LS_MUST(engine.ok());
  return *std::move(engine);
}

class Bench {
 public:
  Bench(const std::string& directory, std::size_t keys, std::size_t batch)
      : engine_(open(directory)),
        cold_(*engine_),
        machine_({}, &cold_),
        persistence_({}, *engine_, worker_,
                     {.on_progress = [] {},
                      .on_fatal = [](const Status& status) { LS_UNREACHABLE(status.to_string().c_str()); }}),
        keys_(keys),
        batch_(batch) {
    auto recovered = recover(*engine_, machine_);
    LS_MUST(recovered.ok());
    persistence_.start(*std::move(recovered));
  }

  // `random`: over all keys; else each key once.
  void puts(std::size_t count, bool random) {
    PutRequest put{.value = std::string(256, 'v')};
    for (std::size_t done = 0; done < count;) {
      BatchBuilder batch;
      batch.start({.store_time_ms = 1});
      for (std::size_t i = 0; i < batch_ && done < count; ++i, ++done) {
        put.key = key_of(random ? prng_.below(keys_) : done);
        LS_MUST(batch.put(put, {}));
      }
      const std::string payload = batch.take();
      const double before = seconds(CLOCK_THREAD_CPUTIME_ID);
      Applied applied = machine_.apply(machine_.applied_index().next(), Term(1), payload, nullptr);
      apply_cpu_s_ += seconds(CLOCK_THREAD_CPUTIME_ID) - before;
      persistence_.add(std::move(applied));
      persistence_.pump(machine_, false);
      while (worker_.step()) persistence_.pump(machine_, false);
    }
  }
  void settle() {
    persistence_.request_flush();
    persistence_.pump(machine_, true);
    while (worker_.step()) persistence_.pump(machine_, true);
    LS_MUST(engine_->flush(engine::FlushMode::wait).ok());
  }
  void print_engine() const {
    std::printf("  engine: %.0f MB on disk, %.0f MB in memory\n",
                static_cast<double>(engine_->stats().disk_bytes) / 1e6,
                static_cast<double>(engine_->stats().memory_bytes) / 1e6);
  }
  double apply_cpu_s_ = 0;

 private:
  std::unique_ptr<engine::Engine> engine_;
  EngineHistory cold_;
  StateMachine machine_;
  LoopWorker worker_;
  Persistence persistence_;
  std::size_t keys_;
  std::size_t batch_;
  Prng prng_{1};
};

int run(int count, char** arguments) {
  const auto number = [&](int index, std::size_t otherwise) {
    return index < count ? std::strtoull(arguments[index], nullptr, 10) : otherwise;
  };
  if (count < 2) {
    std::fprintf(stderr, "usage: %s directory [keys [puts [batch]]]\n", arguments[0]);
    return 2;
  }
  // As the server does: large blocks come back from the heap instead of fresh pages from the kernel.
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  const std::string directory = arguments[1];
  const std::size_t keys = number(2, 10'000);
  const std::size_t puts = number(3, 4'000'000);
  if (puts > 0) {
    std::filesystem::remove_all(directory);
    Bench bench(directory, keys, number(4, 1000));
    bench.puts(keys, false);
    bench.settle();
    bench.apply_cpu_s_ = 0;
    const double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    const double wall = seconds(CLOCK_MONOTONIC);
    bench.puts(puts, true);
    bench.settle();
    const double us = 1e6 / static_cast<double>(puts);
    const double all = (seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu) * us;
    const double apply = bench.apply_cpu_s_ * us;
    std::printf(
        "%zu keys: CPU a put %.2f us: apply %.2f, persistence and making the entries %.2f; %.0f puts/s\n",
        keys, all, apply, all - apply, static_cast<double>(puts) / (seconds(CLOCK_MONOTONIC) - wall));
    bench.print_engine();
  }
  const double wall = seconds(CLOCK_MONOTONIC);
  const double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
  const auto engine = open(directory);
  EngineHistory cold(*engine);
  StateMachine machine({}, &cold);
  const auto recovered = recover(*engine, machine);
  LS_MUST(recovered.ok());
  std::printf("  restart: %zu keys in %.2f s (CPU %.2f s), %zu blocks folded\n", machine.key_count(),
              seconds(CLOCK_MONOTONIC) - wall, seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu,
              recovered->unfolded.size());
  return 0;
}

}  // namespace
}  // namespace lockstep::store

int main(int count, char** arguments) {
  return lockstep::store::run(count, arguments);
}
