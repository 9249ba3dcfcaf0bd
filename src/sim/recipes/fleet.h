// The machines of a recipe run: processes that use the recipes over the wires, and what the run knows of
// them.
//
// Each machine is a node of the world that is no member: it has a clock of its own, dies and is paused on its
// own. Its process holds a WireStore, the recipes, and workers. Models (line_model.h and the like) say what
// the workers do, note omnisciently what came of it, and judge that afterwards.
//
// Strand: the world's single thread. The fleet outlives the processes.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/prng.h"
#include "base/task.h"
#include "service/context.h"
#include "sim/history.h"
#include "sim/recipes/root_task.h"
#include "sim/recipes/wire_store.h"

namespace lockstep::sim {

class Fleet;

// What one life of one machine keeps for a model, the recipe objects above all.
class Installation {
 public:
  virtual ~Installation() = default;
};

class FleetMachine final : public Process {
 public:
  FleetMachine(Fleet& fleet, Node& node, std::size_t index);
  ~FleetMachine() override;

  [[nodiscard]] Fleet& fleet() { return fleet_; }
  [[nodiscard]] Node& node() { return node_; }
  [[nodiscard]] std::size_t index() const { return index_; }
  [[nodiscard]] service::Context& context() { return context_; }
  [[nodiscard]] Endpoint endpoint() const;

  void install(std::unique_ptr<Installation> installation) { installed_.push_back(std::move(installation)); }
  // Runs until it ends or the process dies.
  void run(Task<void> worker) { workers_.push_back(own(std::move(worker))); }

 private:
  Fleet& fleet_;
  Node& node_;
  const std::size_t index_;
  WireStore store_;
  service::Context context_;
  std::deque<RootTask> workers_;
  // Gone before the workers: what waits inside a recipe may still be told.
  std::vector<std::unique_ptr<Installation>> installed_;
};

// Who works: a number of its own in the run, and randomness.
class FleetWorker {
 public:
  explicit FleetWorker(FleetMachine& machine);
  ~FleetWorker();
  FleetWorker(const FleetWorker&) = delete;
  FleetWorker& operator=(const FleetWorker&) = delete;

  [[nodiscard]] FleetMachine& machine() { return machine_; }
  [[nodiscard]] service::Context& context() { return machine_.context(); }
  [[nodiscard]] Prng& prng() { return prng_; }
  [[nodiscard]] std::uint64_t number() const { return number_; }
  [[nodiscard]] bool wanted() const;
  // For the message of a worker that never ends.
  void doing(std::string what);
  [[nodiscard]] std::string describe() const;
  [[nodiscard]] Task<void> pause(std::int64_t low_ms, std::int64_t high_ms);
  [[nodiscard]] bool chance(std::uint64_t part, std::uint64_t whole) { return prng_.chance(part, whole); }
  // A deadline so far from now, by the machine's clock.
  [[nodiscard]] store::CallOptions within(std::int64_t low_ms, std::int64_t high_ms);

 private:
  FleetMachine& machine_;
  std::uint64_t number_;
  Prng prng_;
  std::string doing_ = "beginning";
};

// One recipe under test.
class Model {
 public:
  virtual ~Model() = default;
  [[nodiscard]] virtual std::string_view name() const = 0;
  // A process begins: its recipe objects and workers.
  virtual void populate(FleetMachine& machine) = 0;
  // What the workers achieved so far: must grow once the faults are over.
  [[nodiscard]] virtual std::uint64_t achieved() const = 0;
  virtual Violations check(const History& history) = 0;
  // An event of a subscription reached a process.
  virtual void on_notice(const store::Event& /*event*/) {}
  // Again and again, whatever the machines do.
  virtual void on_tick() {}
};

struct FleetOptions {
  std::size_t machines = 4;
  std::int32_t clock_rate_ppm_max = 0;  // of any clock, members' and machines'
};

class Fleet {
 public:
  Fleet(Clients& clients, const FleetOptions& options, Prng prng);
  Fleet(const Fleet&) = delete;
  Fleet& operator=(const Fleet&) = delete;

  void add(std::unique_ptr<Model> model) { models_.push_back(std::move(model)); }
  void start();
  // No new work; what is under way comes to its end.
  void stop() { stopping_ = true; }
  [[nodiscard]] bool stopping() const { return stopping_; }
  [[nodiscard]] const std::vector<FleetWorker*>& workers() const { return workers_; }
  [[nodiscard]] const std::vector<std::unique_ptr<Model>>& models() const { return models_; }
  [[nodiscard]] const std::vector<NodeId>& machines() const { return machines_; }
  [[nodiscard]] bool owns(NodeId id) const;
  void on_death(Node& node) { wires_.on_death(node); }

  [[nodiscard]] World& world() { return wires_.world(); }
  [[nodiscard]] Wires& wires() { return wires_; }
  [[nodiscard]] Prng fork_prng() { return prng_.fork(); }
  [[nodiscard]] const FleetOptions& options() const { return options_; }
  // Something wrong that shows while the run goes on.
  void report(std::string checker, std::string text);

 private:
  friend class FleetMachine;
  friend class FleetWorker;
  void tick();

  Wires wires_;
  FleetOptions options_;
  Prng prng_;
  std::vector<std::unique_ptr<Model>> models_;
  std::vector<NodeId> machines_;
  std::vector<FleetWorker*> workers_;
  std::uint64_t workers_made_ = 0;
  bool stopping_ = false;
};

}  // namespace lockstep::sim
