// Timers under load: a crowd that waits, and others that are due, worked off by claims and acknowledgements
// over several connections. A request is one timer, from its claim to its acknowledgement.
//
// Strand only; the client outlives it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/latency_histogram.h"
#include "cli/client.h"
#include "remote/connections.h"
#include "remote/store.h"
#include "service/timer/timers.h"

namespace lockstep::cli {

struct TimerLoadOptions {
  std::size_t connections = 4;
  std::size_t in_flight = 64;  // timers set at once on each
  std::size_t pending = 100'000;
  std::size_t due = 100'000;
  std::size_t payload_bytes = 64;
  std::size_t queues = 1;  // that those due are spread over
};

struct TimerLoadResult {
  Duration setting{};  // of all
  Duration working{};  // off, from the first claim to the last acknowledgement
  std::uint64_t acknowledged = 0;
  std::uint64_t claims = 0;
  std::uint64_t empty_claims = 0;
  std::uint64_t failures = 0;
  std::string first_failure;
};

class TimerLoad {
 public:
  TimerLoad(Client& client, const TimerLoadOptions& options);
  ~TimerLoad();
  TimerLoad(const TimerLoad&) = delete;
  TimerLoad& operator=(const TimerLoad&) = delete;

  // Sets all, then works off what is due; returns when the last is acknowledged.
  Result<TimerLoadResult> run();

 private:
  struct Line {
    std::unique_ptr<remote::Connections> connections;
    std::unique_ptr<remote::Store> store;
    std::unique_ptr<service::Timers> timers;
  };
  using Work = Task<void> (*)(TimerLoad* load, Line* line, std::size_t number);

  [[nodiscard]] std::string queue_of(std::size_t number) const;
  // Runs so many on each connection until every one has ended.
  void all(Work work, std::size_t on_each);
  static Task<void> run_one(TimerLoad* load, Work work, Line* line, std::size_t number);
  static Task<void> set(TimerLoad* load, Line* line, std::size_t number);
  static Task<void> work_off(TimerLoad* load, Line* line, std::size_t number);
  void failed(const Status& why);

  Client& client_;
  TimerLoadOptions options_;
  std::vector<Line> lines_;
  std::size_t next_ = 0;     // to set
  std::size_t running_ = 0;  // workers
  std::move_only_function<void(Status)> done_;
  TimerLoadResult result_;
};

}  // namespace lockstep::cli
