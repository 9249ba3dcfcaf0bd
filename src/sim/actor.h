// Whoever does a workload's operations, and the record of what they did.
//
// Two kinds: clients of simulated members (client.h), and clients of real processes (tests/faults). The
// workload and the checkers know only this. One strand; a recorder outlives its actors, and the operations it
// hands out stay where they are.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>

#include "base/ids.h"
#include "base/prng.h"
#include "base/status.h"
#include "base/task.h"
#include "sim/coverage.h"
#include "sim/history.h"
#include "store/store.h"

namespace lockstep::sim {

struct WorkloadOptions {
  std::int64_t think_ns_max = 100'000'000;
  bool request_ids = true;
  std::uint64_t registers = 4;
  std::uint64_t keys = 20;
  std::uint64_t value_bytes_max = 64;
};

// One attempt's outcome, as its client sees it.
struct Answer {
  Outcome outcome = Outcome::unknown;
  Status status;
  AnyResponse response;
  NodeId member;
  std::uint64_t member_life = 0;
};

// All operations and watches of a run, and whether to go on.
class Recorder {
 public:
  // Both outlive this.
  Recorder(const WorkloadOptions& options, Coverage& coverage) : options_(options), coverage_(coverage) {}

  [[nodiscard]] const WorkloadOptions& workload() const { return options_; }
  [[nodiscard]] Coverage& coverage() { return coverage_; }

  // Stops new operations; what is under way ends by its timeout.
  void stop() { stopping_ = true; }
  [[nodiscard]] bool stopping() const { return stopping_; }
  [[nodiscard]] std::uint64_t active() const { return active_; }

  Operation& begin(std::uint32_t client, AnyRequest request, std::int64_t now_ns);
  // Numbers for operations and their values are the same: a value names its operation.
  [[nodiscard]] std::uint64_t next_number() const { return operations_.size() + 1; }
  [[nodiscard]] std::deque<Operation>& operations() { return operations_; }
  [[nodiscard]] std::uint64_t acknowledged() const { return acknowledged_; }
  // The highest revision any client was shown.
  [[nodiscard]] std::int64_t revision_high() const { return revision_high_; }

  [[nodiscard]] std::deque<WatchRecord>& watches() { return watches_; }
  std::uint64_t next_watcher() { return ++watchers_; }

 private:
  friend class Actor;

  const WorkloadOptions& options_;
  Coverage& coverage_;
  std::deque<Operation> operations_;  // grows at the end only: references stay good
  std::deque<WatchRecord> watches_;   // likewise
  std::int64_t revision_high_ = 1;
  std::uint64_t watchers_ = 0;
  std::uint64_t active_ = 0;
  std::uint64_t acknowledged_ = 0;
  bool stopping_ = false;
};

class Actor {
 public:
  Actor(Recorder& recorder, std::uint32_t number, Prng prng)
      : recorder_(recorder), number_(number), prng_(prng) {}
  virtual ~Actor() = default;
  Actor(const Actor&) = delete;
  Actor& operator=(const Actor&) = delete;

  [[nodiscard]] Recorder& recorder() { return recorder_; }
  [[nodiscard]] Prng& prng() { return prng_; }
  [[nodiscard]] std::uint32_t number() const { return number_; }
  [[nodiscard]] std::uint64_t next_number() const { return recorder_.next_number(); }
  // The newest revision any answer showed this client.
  [[nodiscard]] Revision revision_seen() const { return revision_seen_; }

  // Runs the request as one recorded operation. `retry`: with a RequestId, if this client has registered.
  virtual Task<Operation*> execute(AnyRequest request, bool retry) = 0;
  virtual Task<void> register_client() = 0;
  virtual Task<void> sleep(std::int64_t ns) = 0;

  // Counts this client as active while it exists.
  class Active {
   public:
    explicit Active(Actor& actor) : recorder_(actor.recorder_) { ++recorder_.active_; }
    ~Active() { --recorder_.active_; }
    Active(const Active&) = delete;
    Active& operator=(const Active&) = delete;

   private:
    Recorder& recorder_;
  };

 protected:
  Operation& begin(AnyRequest request, std::int64_t now_ns);
  // The operation has come to its end.
  void record(Operation& operation, Answer answer, std::int64_t now_ns);

 private:
  Recorder& recorder_;
  std::uint32_t number_;
  Prng prng_;
  Revision revision_seen_{1};
};

// Whatever is not a read may leave something behind.
bool is_mutation(const AnyRequest& request);

// The request as a call of the store's face.
void issue(store::Store& store, AnyRequest request, store::CallOptions options,
           std::move_only_function<void(Result<AnyResponse>)> done);

}  // namespace lockstep::sim
