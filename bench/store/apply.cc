// What applying costs: puts of 256-byte values over uniform random keys, in entries as a busy leader makes
// them, on one thread, without log, disk or answers' way out.
//
//   bench_store_apply [keys [puts [batch]]]
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <time.h>
#include <vector>

#include <sys/resource.h>

#include "base/assert.h"
#include "base/prng.h"
#include "store/command.h"
#include "store/state_machine.h"

namespace lockstep::store {
namespace {

class DropAnswers final : public ResultSink {
 public:
  void on_result(std::size_t, CommandResult result) override { LS_MUST(result.ok()); }
};

double cpu_s() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

std::size_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::size_t total = 0;
  std::size_t resident = 0;
  statm >> total >> resident;
  return resident * 4096;
}

std::string key_of(std::uint64_t number) {
  char key[17];
  std::snprintf(key, sizeof key, "%016llx", static_cast<unsigned long long>(number * 0x9e3779b97f4a7c15));
  return key;
}

class Bench {
 public:
  Bench(std::size_t keys, std::size_t batch) : keys_(keys), batch_(batch) {}

  void load() {
    const std::size_t before = resident_bytes();
    PutRequest put{.value = std::string(256, 'v')};
    for (std::size_t i = 0; i < keys_; ++i) {
      put.key = key_of(i);
      add(put);
      if (i % 100'000 == 99'999) compact();
    }
    flush();
    const std::size_t used = resident_bytes() - before;
    std::printf("%zu keys loaded: %.2f us a put, %.0f resident bytes a key beyond key and value\n", keys_,
                applied_s_ * 1e6 / static_cast<double>(keys_),
                static_cast<double>(used) / static_cast<double>(keys_) - 16 - 256);
  }

  void overwrite(std::size_t puts) {
    applied_s_ = 0;
    Prng prng(1);
    PutRequest put{.value = std::string(256, 'w')};
    for (std::size_t i = 0; i < puts; ++i) {
      put.key = key_of(prng.below(keys_));
      add(put);
      if (i % 100'000 == 99'999) compact();
    }
    flush();
    std::printf("%zu puts over %zu keys, %zu an entry: %.3f us a put\n", puts, keys_, batch_,
                applied_s_ * 1e6 / static_cast<double>(puts));
  }

  void get(std::size_t reads) {
    Prng prng(2);
    const double start = cpu_s();
    for (std::size_t i = 0; i < reads; ++i) {
      const auto response = machine_.range({.key = key_of(prng.below(keys_))});
      LS_MUST(response->kvs.size() == 1);
    }
    std::printf("%zu point ranges: %.3f us each\n", reads,
                (cpu_s() - start) * 1e6 / static_cast<double>(reads));
  }

 private:
  void add(const PutRequest& put) {
    if (!builder_.started()) builder_.start({.store_time_ms = 1});
    LS_MUST(builder_.put(put));
    if (builder_.count() == batch_) flush();
  }
  void flush() {
    if (builder_.started()) apply(builder_.take());
  }
  void apply(const std::string& payload) {
    const double start = cpu_s();
    const Applied applied = machine_.apply(machine_.applied_index().next(), Term(1), payload, &sink_);
    LS_MUST(applied.fatal.ok());
    applied_s_ += cpu_s() - start;
  }
  // As a store with a disk would: history leaves memory.
  void compact() {
    flush();
    const double before_s = applied_s_;
    builder_.start({.store_time_ms = 1});
    LS_MUST(builder_.compact({.revision = machine_.revision()}));
    apply(builder_.take());
    while (machine_.compaction_step(1'000'000, nullptr)) {
    }
    applied_s_ = before_s;
  }

  std::size_t keys_;
  std::size_t batch_;
  StateMachine machine_;
  BatchBuilder builder_;
  DropAnswers sink_;
  double applied_s_ = 0;
};

}  // namespace
}  // namespace lockstep::store

int main(int argc, char** argv) {
  const auto argument = [&](int position, std::size_t otherwise) {
    return argc > position ? static_cast<std::size_t>(std::strtoull(argv[position], nullptr, 10)) : otherwise;
  };
  lockstep::store::Bench bench(argument(1, 10'000), argument(3, 64));
  bench.load();
  bench.overwrite(argument(2, 3'000'000));
  bench.get(1'000'000);
  return 0;
}
