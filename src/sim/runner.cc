#include "sim/runner.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <poll.h>
#include <signal.h>
#include <unistd.h>
#include <utility>

#include <sys/wait.h>

#include "base/assert.h"
#include "base/codec.h"

namespace lockstep::sim {

namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

std::string encode(const SeedSummary& summary) {
  std::string body;
  Encoder encoder(&body);
  encoder.varint(summary.seed);
  encoder.u64(summary.end_number);
  encoder.varint(summary.events);
  encoder.varint(summary.operations);
  encoder.varint(summary.acknowledged);
  encoder.varint(summary.faults_that_mattered);
  encoder.signed_varint(summary.simulated_ns);
  encoder.signed_varint(summary.recovery_ns);
  for (std::size_t i = 0; i < covered_count; ++i) encoder.varint(summary.coverage.at(i));
  encoder.varint(summary.violations.size());
  for (const Violation& violation : summary.violations) {
    encoder.bytes(violation.checker);
    encoder.bytes(violation.text);
  }
  std::string frame;
  Encoder(&frame).u32(static_cast<std::uint32_t>(body.size()));
  return frame + body;
}

SeedSummary decode(std::string_view body) {
  SeedSummary summary;
  Decoder decoder(body);
  summary.seed = decoder.varint();
  summary.end_number = decoder.u64();
  summary.events = decoder.varint();
  summary.operations = decoder.varint();
  summary.acknowledged = decoder.varint();
  summary.faults_that_mattered = decoder.varint();
  summary.simulated_ns = decoder.signed_varint();
  summary.recovery_ns = decoder.signed_varint();
  for (std::size_t i = 0; i < covered_count; ++i)
    summary.coverage.add(static_cast<Covered>(i), decoder.varint());
  const std::uint64_t violations = decoder.varint();
  for (std::uint64_t i = 0; i < violations && decoder.ok(); ++i) {
    std::string checker(decoder.bytes());
    std::string text(decoder.bytes());
    summary.violations.push_back({std::move(checker), std::move(text)});
  }
  LS_MUST(decoder.done(), "a worker speaks the same format as its parent");
  return summary;
}

SeedSummary run_one(RunOneSeed run, std::uint64_t seed, bool twice) {
  const RunResult result = run(seed, nullptr);
  SeedSummary summary;
  summary.seed = seed;
  summary.violations = result.violations;
  summary.coverage = result.coverage;
  summary.end_number = result.end_number;
  summary.events = result.events;
  summary.operations = result.operations;
  summary.acknowledged = result.acknowledged;
  summary.faults_that_mattered = result.faults_that_mattered;
  summary.simulated_ns = result.simulated_ns;
  summary.recovery_ns = result.recovery_ns;
  if (twice && run(seed, nullptr).end_number != result.end_number) {
    summary.violations.push_back({"determinism", "the same seed ended with another number"});
  }
  return summary;
}

void write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) std::_Exit(1);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

struct Worker {
  pid_t pid = 0;
  int fd = -1;
  std::size_t position = 0;  // of the seed under way
  std::size_t end = 0;       // of its block
  SteadyTime started;
  std::string received;
};

class Sweep {
 public:
  Sweep(const SweepOptions& options, const std::function<bool(const SeedSummary&)>& each)
      : options_(options), each_(each) {}

  void run() {
    while (!stopped_ && (next_ < options_.seeds.size() || !workers_.empty())) {
      while (workers_.size() < options_.jobs && next_ < options_.seeds.size()) {
        const std::size_t end = std::min(next_ + options_.block_seeds, options_.seeds.size());
        start(next_, end);
        next_ = end;
      }
      wait();
    }
    for (Worker& worker : workers_) {
      ::kill(worker.pid, SIGKILL);
      reap(worker);
    }
  }

 private:
  void start(std::size_t from, std::size_t end) {
    int fds[2];
    LS_MUST(::pipe(fds) == 0, "no pipe");
    std::fflush(nullptr);
    const pid_t pid = ::fork();
    LS_MUST(pid >= 0, "no process");
    if (pid == 0) {
      ::close(fds[0]);
      for (std::size_t position = from; position < end; ++position) {
        const std::uint64_t seed = options_.seeds[position];
        const bool twice = options_.twice_every != 0 && seed % options_.twice_every == 0;
        write_all(fds[1], encode(run_one(options_.run, seed, twice)));
      }
      std::_Exit(0);
    }
    ::close(fds[1]);
    workers_.push_back({pid, fds[0], from, end, std::chrono::steady_clock::now(), {}});
  }

  void wait() {
    std::vector<pollfd> polls;
    for (const Worker& worker : workers_) polls.push_back({worker.fd, POLLIN, 0});
    ::poll(polls.data(), polls.size(), 1000);
    // Backwards, since finished workers are taken out.
    for (std::size_t i = workers_.size(); i-- > 0 && !stopped_;) {
      const bool late = std::chrono::steady_clock::now() - workers_[i].started >
                        std::chrono::seconds(options_.seed_seconds_max);
      if ((polls[i].revents & (POLLIN | POLLHUP)) != 0) {
        receive(i);
      } else if (late) {
        ::kill(workers_[i].pid, SIGKILL);
        lose(i, "took longer than " + std::to_string(options_.seed_seconds_max) + " s of real time");
      }
    }
  }

  void receive(std::size_t index) {
    Worker& worker = workers_[index];
    char buffer[1 << 16];
    const ssize_t length = ::read(worker.fd, buffer, sizeof buffer);
    if (length < 0 && errno == EINTR) return;
    if (length <= 0) return lose(index, "");
    worker.received.append(buffer, static_cast<std::size_t>(length));
    while (worker.received.size() >= 4) {
      const std::uint32_t size = Decoder(worker.received).u32();
      if (worker.received.size() < 4 + std::size_t{size}) return;
      SeedSummary summary = decode(std::string_view(worker.received).substr(4, size));
      worker.received.erase(0, 4 + std::size_t{size});
      worker.started = std::chrono::steady_clock::now();
      report(worker.position++, std::move(summary));
      if (stopped_) return;
    }
  }

  // The worker is gone: finished, or with the seed it was at.
  void lose(std::size_t index, std::string why) {
    Worker worker = std::move(workers_[index]);
    workers_.erase(workers_.begin() + static_cast<std::ptrdiff_t>(index));
    const int status = reap(worker);
    if (worker.position >= worker.end) return;
    SeedSummary lost;
    lost.seed = options_.seeds[worker.position];
    if (why.empty()) {
      why = WIFSIGNALED(status) ? "the process died of signal " + std::to_string(WTERMSIG(status))
                                : "the process ended with " + std::to_string(WEXITSTATUS(status));
    }
    lost.violations.push_back({"process", std::move(why)});
    report(worker.position, std::move(lost));
    if (!stopped_ && worker.position + 1 < worker.end) start(worker.position + 1, worker.end);
  }

  void report(std::size_t position, SeedSummary summary) {
    finished_.emplace(position, std::move(summary));
    for (auto found = finished_.find(reported_); found != finished_.end() && !stopped_;
         found = finished_.find(reported_)) {
      stopped_ = !each_(found->second);
      finished_.erase(found);
      ++reported_;
    }
  }

  static int reap(Worker& worker) {
    ::close(worker.fd);
    int status = 0;
    while (::waitpid(worker.pid, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
  }

  const SweepOptions& options_;
  const std::function<bool(const SeedSummary&)>& each_;
  std::size_t next_ = 0;      // to be handed out
  std::size_t reported_ = 0;  // all before it are
  std::map<std::size_t, SeedSummary> finished_;
  std::vector<Worker> workers_;
  bool stopped_ = false;
};

}  // namespace

void sweep(const SweepOptions& options, const std::function<bool(const SeedSummary&)>& each) {
  LS_MUST(options.jobs > 0);
  LS_MUST(options.block_seeds > 0);
  Sweep(options, each).run();
}

}  // namespace lockstep::sim
