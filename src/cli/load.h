// The load client: so many connections, so many calls in flight on each, the next one as soon as one is
// answered. Closed loop: latencies are from sending to the answer, queueing in the server included.
//
// One strand, no allocation for a call on the way out beyond what the channel needs. What a run does is a
// LoadOperation: it writes requests into buffers that are kept, and looks at answers.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/prng.h"
#include "base/status.h"
#include "base/time.h"
#include "cli/histogram.h"
#include "env/clock.h"
#include "env/executor.h"
#include "remote/connections.h"

namespace lockstep::cli {

struct LoadOptions {
  std::size_t connections = 10;
  std::size_t in_flight = 100;  // calls on each connection
  std::size_t calls = 0;        // calls in flight together, instead; 0: by in_flight
  std::uint64_t requests = 0;   // together; 0: for `duration`
  Duration duration = 10s;
  Duration warm_up{};  // not counted
  std::size_t keys = 10'000;
  std::size_t value_bytes = 256;
  std::string key_prefix = "lockstep-bench/";
  std::uint64_t seed = 1;
};

struct LoadResult {
  std::uint64_t requests = 0;
  std::uint64_t failures = 0;
  std::uint64_t misses = 0;  // answered, but not as hoped: a comparison that failed, a lock out of turn
  std::map<std::string, std::uint64_t> errors;  // by text; the commonest kinds only
  Duration elapsed{};
  Duration processor{};  // of this process, while it ran
  Histogram latencies;
};

// One call that is repeated: which of them it is, and what it remembers from one time to the next.
struct LoadSlot {
  std::size_t connection = 0;
  std::uint64_t number = 0;  // of all slots
  std::string request;
  TimePoint sent_at{};
  std::uint64_t key = 0;       // the operation's
  std::uint64_t revision = 0;  // the operation's
  std::uint64_t lease = 0;     // the operation's
  std::uint8_t step = 0;       // the operation's
  std::string held;            // the operation's
  bool unfinished = false;     // in the middle of what is measured as one
};

// `unfinished`: more calls belong to what is measured; `aside`: the call was no part of it.
enum class Answer : std::uint8_t { good, miss, unfinished, aside };

class LoadOperation {
 public:
  virtual ~LoadOperation() = default;
  [[nodiscard]] virtual std::string_view path(const LoadSlot& slot) const = 0;
  virtual void write(LoadSlot& slot, Prng& prng) = 0;
  virtual Answer look_at(LoadSlot& /*slot*/, std::string_view /*message*/) { return Answer::good; }
};

// put, get (linearizable or serializable), txn (compare and put), lease-grant. Null: no such operation.
std::unique_ptr<LoadOperation> make_operation(std::string_view name, bool serializable,
                                              const LoadOptions& options);
// Puts every key once.
std::unique_ptr<LoadOperation> make_preload(const LoadOptions& options);
// Puts one key, with the time of sending as the first eight bytes of the value.
std::unique_ptr<LoadOperation> make_stamped_put(const LoadOptions& options, env::Clock& clock);
// Takes and releases locks of etcd's lock service, each slot under a lease of its own, slot n the lock n
// modulo `locks`. A miss: a slot was served again while one waited that had asked before it was served the
// last time.
std::unique_ptr<LoadOperation> make_lock_cycle(const LoadOptions& options, std::size_t locks);
std::string bench_key(const LoadOptions& options, std::uint64_t number);

// Connections of the load client: each its own, spread over the endpoints.
class LoadConnections {
 public:
  using Make = std::function<std::unique_ptr<remote::Connections>(const std::string& endpoint)>;
  LoadConnections(std::size_t count, const std::vector<std::string>& endpoints, const Make& make);
  // Calls back once when all are up and logged in, or one failed.
  void open(TimePoint deadline, std::move_only_function<void(Status)> done);
  [[nodiscard]] std::size_t size() const { return connections_.size(); }
  // Whether it is up just now.
  [[nodiscard]] bool up(std::size_t index) const;
  remote::Endpoint& endpoint(std::size_t index) { return *lines_[index].endpoint; }
  [[nodiscard]] std::span<const rpc::MetadataField> metadata(std::size_t index) const {
    return lines_[index].fields;
  }

 private:
  struct Line {
    remote::Endpoint* endpoint = nullptr;
    std::string token;
    std::vector<rpc::MetadataField> fields;
  };
  std::vector<std::unique_ptr<remote::Connections>> connections_;
  std::vector<Line> lines_;
  std::size_t missing_ = 0;
  std::move_only_function<void(Status)> opened_;
};

class Load {
 public:
  // All outlive the load; so long that every call has ended.
  Load(env::Executor& executor, env::Clock& clock, LoadConnections& connections, LoadOperation& operation,
       const LoadOptions& options);
  ~Load();
  void run(std::move_only_function<void()> done);
  [[nodiscard]] const LoadResult& result() const { return result_; }
  // For a line of progress.
  [[nodiscard]] std::uint64_t answered() const { return answered_; }

 private:
  void send(LoadSlot& slot, TimePoint now);
  void answered(LoadSlot& slot, const rpc::CallResult& result);
  void pause(LoadSlot& slot);
  void begin_counting();
  void idle();

  env::Executor& executor_;
  env::Clock& clock_;
  LoadConnections& connections_;
  LoadOperation& operation_;
  const LoadOptions options_;
  Prng prng_;
  std::vector<LoadSlot> slots_;
  std::move_only_function<void()> done_;
  LoadResult result_;
  std::uint64_t begun_ = 0;
  std::uint64_t answered_ = 0;
  std::size_t running_ = 0;
  bool counting_ = false;
  bool stopping_ = false;
  TimePoint counted_from_{};
  Duration processor_from_{};
  env::TimerId end_timer_;
  env::TimerId warm_up_timer_;
};

// Of this process, in user and kernel mode.
Duration processor_time();

}  // namespace lockstep::cli
