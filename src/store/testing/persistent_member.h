// One member's state on an engine in memory, driven by hand: the log replays, the worker works when told, and
// the power goes when told.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/prng.h"
#include "engine/memory_engine.h"
#include "env/executor.h"
#include "store/engine_history.h"
#include "store/persistence.h"
#include "store/state_machine.h"

namespace lockstep::store::testing {

// Runs one piece when asked; between the work and its `done` the power may go.
class ManualWorker final : public env::Worker {
 public:
  void submit(env::Closure work, env::Closure done) override {
    jobs_.push_back({std::move(work), std::move(done)});
  }
  [[nodiscard]] bool idle() const { return jobs_.empty(); }
  // Does the next half of the first job.
  void step() {
    if (!worked_) {
      jobs_.front().first();
      worked_ = true;
      return;
    }
    env::Closure done = std::move(jobs_.front().second);
    jobs_.pop_front();
    worked_ = false;
    done();
  }
  void forget() {
    jobs_.clear();
    worked_ = false;
  }

 private:
  std::deque<std::pair<env::Closure, env::Closure>> jobs_;
  bool worked_ = false;
};

// The log: every entry's payload, the first has index 1. Shared by the members of a test.
using Log = std::vector<std::string>;

struct MemberOptions {
  StateMachineOptions machine;
  PersistenceOptions persistence;
};
// Small and odd, so that everything happens often.
MemberOptions random_member_options(Prng& prng);

class PersistentMember {
 public:
  PersistentMember(MemberOptions options, const Log& log);
  ~PersistentMember();

  StateMachine& machine() { return *machine_; }
  Persistence& persistence() { return *persistence_; }
  engine::Engine& engine() { return *engine_; }
  engine::MemoryMedium& medium() { return *medium_; }
  ManualWorker& worker() { return worker_; }
  [[nodiscard]] const Status& fatal() const { return fatal_; }

  // Applies what the log has beyond the applied index.
  void replay();
  void pump(bool idle) { persistence_->pump(*machine_, idle); }
  // Until no job runs and none is due.
  void settle();
  // What the log may have forgotten.
  [[nodiscard]] LogIndex released() const { return released_; }
  void release() { released_ = std::max(released_, persistence_->durable_index()); }

  // Cuts the power, keeps `survivor` batches, and starts anew; replay() is up to the caller.
  Status crash(engine::Position survivor);
  // Streams `from`'s snapshot into this member and takes its state over. The stream is returned too.
  Result<std::string> install(PersistentMember& from, Prng& prng);

 private:
  Status start();
  void stop();
  void make_persistence();
  void use(std::shared_ptr<StateMachine> machine, Recovered recovered);

  MemberOptions options_;
  const Log& log_;
  std::shared_ptr<engine::MemoryMedium> medium_ = std::make_shared<engine::MemoryMedium>();
  ManualWorker worker_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<EngineHistory> cold_;
  std::shared_ptr<StateMachine> machine_;
  std::unique_ptr<Persistence> persistence_;
  LogIndex released_;
  Status fatal_;
};

}  // namespace lockstep::store::testing
