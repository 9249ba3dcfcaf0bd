// One member's state on an engine, driven by hand: the log replays, the worker works when told, and the power
// goes when told.
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
// Leaders change now and then.
inline Term term_of(LogIndex index) {
  return Term(1 + index.value() / 13);
}

// Where an engine lives, and what outlives it when the power goes.
class EngineHome {
 public:
  virtual ~EngineHome() = default;
  virtual Result<std::unique_ptr<engine::Engine>> open() = 0;
  // The engine still stands, but nothing it does from now on reaches the disk.
  virtual void power_goes() = 0;
  // The engine is gone. Leaves something that a disk may have kept.
  virtual void power_is_back(Prng& prng) = 0;
};

// In memory: any prefix of the batches that the promise allows.
class MemoryHome final : public EngineHome {
 public:
  Result<std::unique_ptr<engine::Engine>> open() override { return engine::open_memory_engine(medium_); }
  void power_goes() override {}
  void power_is_back(Prng& prng) override {
    medium_->crash(engine::Position(prng.between(medium_->durable().value(), medium_->written().value())));
  }
  engine::MemoryMedium& medium() { return *medium_; }

 private:
  std::shared_ptr<engine::MemoryMedium> medium_ = std::make_shared<engine::MemoryMedium>();
};

struct MemberOptions {
  StateMachineOptions machine;
  PersistenceOptions persistence;
};
// Small and odd, so that everything happens often.
MemberOptions random_member_options(Prng& prng);

class PersistentMember {
 public:
  // With an engine in memory.
  PersistentMember(MemberOptions options, const Log& log);
  PersistentMember(MemberOptions options, const Log& log, std::unique_ptr<EngineHome> home);
  ~PersistentMember();

  StateMachine& machine() { return *machine_; }
  Persistence& persistence() { return *persistence_; }
  engine::Engine& engine() { return *engine_; }
  engine::MemoryMedium& medium() { return dynamic_cast<MemoryHome&>(*home_).medium(); }
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

  // Cuts the power and starts anew; replay() is up to the caller. In memory, `survivor` batches can be chosen
  // to remain.
  Status crash(Prng& prng);
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
  std::unique_ptr<EngineHome> home_;
  ManualWorker worker_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<EngineHistory> cold_;
  std::shared_ptr<StateMachine> machine_;
  std::unique_ptr<Persistence> persistence_;
  LogIndex released_;
  Status fatal_;
};

}  // namespace lockstep::store::testing
