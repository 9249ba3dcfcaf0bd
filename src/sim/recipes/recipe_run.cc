#include "sim/recipes/recipe_run.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "sim/agreement_checker.h"
#include "sim/convergence.h"
#include "sim/nemesis.h"
#include "sim/recipes/counter_model.h"
#include "sim/recipes/data_models.h"
#include "sim/recipes/election_model.h"
#include "sim/recipes/gathering_model.h"
#include "sim/recipes/limit_model.h"
#include "sim/recipes/line_model.h"
#include "sim/recipes/machine_faults.h"
#include "sim/recipes/timer_model.h"
#include "sim/recipes/topic_model.h"
#include "sim/recipes/transaction_model.h"
#include "sim/workload.h"

#if defined(__SANITIZE_ADDRESS__) || (defined(__has_feature) && __has_feature(address_sanitizer))
#include <sanitizer/lsan_interface.h>
#endif

namespace lockstep::sim {

namespace {

// What a recipe detached (a waiter that cleans up behind the scenes) is never resumed once its process was
// killed, and nobody owns its frame: as in a real process, it is gone without an end. Lost memory of that
// kind is no leak.
class LeaksOfTheDead {
#if defined(__SANITIZE_ADDRESS__) || (defined(__has_feature) && __has_feature(address_sanitizer))
  __lsan::ScopedDisabler disabler_;
#endif
};

constexpr std::int64_t second = 1'000'000'000;
constexpr std::int64_t set_up_ns_max = 20 * second;
// After the last fault ended, every recipe achieves something again within this time.
constexpr std::int64_t recovery_ns_max = 40 * second;
// Longer than anybody waits for a lease to end, and for what waits behind that.
constexpr std::int64_t drain_ns_max = 120 * second;
constexpr std::int64_t session_ns_max = 10 * second;
constexpr std::int64_t convergence_ns_max = 20 * second;
constexpr std::uint64_t salt = 0x72656369706573;

class RecipeRun {
 public:
  RecipeRun(std::uint64_t seed, std::function<void(const std::string&)> trace)
      : options_(draw_recipe_options(seed)), world_(seed ^ salt, world_options(options_)) {
    if (trace) world_.set_trace(std::move(trace));
    cluster_ = std::make_unique<Cluster>(world_, options_.run, coverage_);
    clients_ = std::make_unique<Clients>(*cluster_, world_.fork_prng());
    fleet_ = std::make_unique<Fleet>(*clients_, options_.fleet, world_.fork_prng());
    nemesis_ = std::make_unique<Nemesis>(*cluster_, *clients_, world_.fork_prng());
    faults_ =
        std::make_unique<MachineFaults>(*fleet_, options_.machine_fault_interval_ns, world_.fork_prng());
    world_.on_death([this](Node& node) { on_death(node); });
    // One endpoint a machine, then the resource outside the store, then the client that compacts.
    const auto compactor = static_cast<std::uint32_t>(options_.fleet.machines + 1);
    compactor_ = std::make_unique<Client>(*clients_, compactor, world_.fork_prng());
    clients_->set_endpoint_count(compactor + 1);
    add_models();
  }

  // The processes go first: their machines' engines belong to the cluster.
  ~RecipeRun() {
    world_.on_death(nullptr);
    for (std::size_t i = 1; i <= world_.node_count(); ++i) world_.crash(NodeId(i), DeathKind::killed);
  }
  RecipeRun(const RecipeRun&) = delete;
  RecipeRun& operator=(const RecipeRun&) = delete;

  RunResult run() {
    for (std::uint64_t i = 0; i < options_.run.members; ++i) cluster_->add_machine(true);
    for (const NodeId id : cluster_->members()) cluster_->start(id);
    if (set_up_phase()) {
      safety_phase();
      liveness_phase();
      nemesis_->bring_back_left_out();
      drain();
      converge();
    }
    return finish();
  }

 private:
  static WorldOptions world_options(const RecipeOptions& options) {
    WorldOptions result;
    result.nodes_max = 24;  // members come and go, and the machines
    result.links = options.run.links;
    result.peer_lost_ppm = options.run.peer_lost_ppm;
    return result;
  }
  void add_models();
  void on_death(Node& node);
  bool set_up_phase();
  void safety_phase();
  void liveness_phase();
  void drain();
  void converge();
  RunResult finish();

  RecipeOptions options_;
  Coverage coverage_;
  World world_;
  std::unique_ptr<Cluster> cluster_;
  std::unique_ptr<Clients> clients_;
  std::unique_ptr<Fleet> fleet_;
  std::unique_ptr<Nemesis> nemesis_;
  std::unique_ptr<MachineFaults> faults_;
  std::unique_ptr<Client> compactor_;
  std::int64_t healed_ns_ = 0;
  std::int64_t recovery_ns_ = 0;
};

void RecipeRun::add_models() {
  if (options_.has("line")) fleet_->add(std::make_unique<LineModel>(*fleet_));
  if (options_.has("timer")) fleet_->add(std::make_unique<TimerModel>(*fleet_));
  if (options_.has("transaction")) fleet_->add(std::make_unique<TransactionModel>(*fleet_));
  if (options_.has("counter")) fleet_->add(std::make_unique<CounterModel>(*fleet_));
  if (options_.has("election")) fleet_->add(std::make_unique<ElectionModel>(*fleet_));
  if (options_.has("limit")) fleet_->add(std::make_unique<LimitModel>(*fleet_));
  if (options_.has("ids")) fleet_->add(std::make_unique<IdsModel>(*fleet_));
  if (options_.has("once")) fleet_->add(std::make_unique<OnceModel>(*fleet_));
  if (options_.has("topic")) fleet_->add(std::make_unique<TopicModel>(*fleet_));
  if (options_.has("gathering")) fleet_->add(std::make_unique<GatheringModel>(*fleet_));
}

void RecipeRun::on_death(Node& node) {
  clients_->on_death(node);
  fleet_->on_death(node);
  if (fleet_->owns(node.id())) {
    faults_->on_death(node);
  } else {
    nemesis_->on_death(node);
  }
}

bool RecipeRun::set_up_phase() {
  while (world_.now() < set_up_ns_max && cluster_->leader() == NodeId{})
    world_.run_until(world_.now() + second / 10);
  if (cluster_->leader() != NodeId{}) return true;
  cluster_->report("liveness", "nobody led within 20 s of a calm start");
  return false;
}

void RecipeRun::safety_phase() {
  fleet_->start();
  run_compactor(*compactor_).detach();
  world_.run_until(world_.now() + second);
  nemesis_->start();
  faults_->start();
  world_.run_until(world_.now() + options_.run.safety_ns);
}

void RecipeRun::liveness_phase() {
  nemesis_->heal();
  faults_->heal();
  healed_ns_ = world_.now();
  std::vector<std::uint64_t> before;
  for (const auto& model : fleet_->models()) before.push_back(model->achieved());
  std::size_t idle = 0;
  const auto all_achieve = [&] {
    for (idle = 0; idle < before.size(); ++idle) {
      if (fleet_->models()[idle]->achieved() <= before[idle]) return false;
    }
    return true;
  };
  while (!all_achieve() && world_.now() < healed_ns_ + recovery_ns_max)
    world_.run_until(world_.now() + second / 4);
  recovery_ns_ = world_.now() - healed_ns_;
  if (!all_achieve()) {
    cluster_->report("liveness", "no " + std::string(fleet_->models()[idle]->name()) +
                                     " achieved anything within " + std::to_string(recovery_ns_max / second) +
                                     " s after all faults ended; " + cluster_->describe());
  }
  world_.run_until(std::max(world_.now(), healed_ns_ + options_.run.liveness_ns / 4));
}

// Whoever waits is served, or told: a notice that got lost would leave somebody waiting for ever.
void RecipeRun::drain() {
  fleet_->stop();
  clients_->stop();
  const std::int64_t limit = world_.now() + drain_ns_max;
  while ((!fleet_->workers().empty() || clients_->active() > 0) && world_.now() < limit) {
    world_.run_until(world_.now() + second / 10);
  }
  // By then what was left behind has ended with its session.
  world_.run_until(world_.now() + session_ns_max);
  for (const FleetWorker* worker : fleet_->workers()) {
    cluster_->report("waiting", "never ended: " + worker->describe());
  }
}

void RecipeRun::converge() {
  const std::int64_t limit = world_.now() + convergence_ns_max;
  std::string why;
  while (!converged(*cluster_, &why)) {
    if (world_.now() >= limit) {
      cluster_->report("liveness",
                       "the replicas did not come to the same state: " + why + "; " + cluster_->describe());
      return;
    }
    world_.run_until(world_.now() + second / 10);
  }
}

RunResult RecipeRun::finish() {
  History history;
  history.healed_ns = healed_ns_;
  history.ended_ns = world_.now();
  cluster_->finish(history);
  history.operations.assign(clients_->operations().begin(), clients_->operations().end());
  for (const AssertionRecord& record : world_.assertions()) {
    cluster_->report("assertion", "node " + std::to_string(record.node.value()) + ": " + record.text);
  }
  const auto take = [this](const Violations& violations) {
    for (const Violation& violation : violations) cluster_->report(violation.checker, violation.text);
  };
  take(AgreementChecker().check(history));
  RunResult result;
  for (const auto& model : fleet_->models()) {
    take(model->check(history));
    result.acknowledged += model->achieved();
  }
  result.options = options_.run;
  result.violations = cluster_->violations();
  result.coverage = coverage_;
  result.end_number = world_.end_number();
  result.events = world_.events();
  result.operations = history.effects.size();
  result.faults_that_mattered = nemesis_->faults_that_mattered() + faults_->strikes();
  result.simulated_ns = world_.now();
  result.recovery_ns = recovery_ns_;
  return result;
}

}  // namespace

std::string RecipeOptions::to_string() const {
  return run.to_string() + " machines=" + std::to_string(fleet.machines) +
         " drift_ppm_max=" + std::to_string(fleet.clock_rate_ppm_max) +
         " machine_fault_interval_ms=" + std::to_string(machine_fault_interval_ns / 1'000'000) +
         " recipes{ " + recipes + "}";
}

RecipeOptions draw_recipe_options(std::uint64_t seed) {
  RecipeOptions options;
  options.run = draw_options(seed ^ salt);
  options.run.seed = seed;
  options.run.leave_minority_out = false;  // its waiters' streams would hang on members that stay down
  Prng prng(seed ^ salt ^ 0x666c656574);
  options.run.safety_ns = static_cast<std::int64_t>(prng.between(20, 40)) * second;
  options.run.fault_interval_ns = static_cast<std::int64_t>(prng.between(1000, 6000)) * 1'000'000;
  options.fleet.machines = prng.between(3, 5);
  if (options.run.has(Fault::clock_rate)) {
    options.fleet.clock_rate_ppm_max =
        options.run.clock_rate_ppm_max > 0 ? options.run.clock_rate_ppm_max : DriftingClock::rate_ppm_max;
  }
  options.machine_fault_interval_ns = static_cast<std::int64_t>(prng.between(500, 5000)) * 1'000'000;
  // Two or so at a time; the line most of all.
  for (const auto& [name, percent] :
       {std::pair("line", 50), std::pair("counter", 25), std::pair("timer", 25), std::pair("election", 30),
        std::pair("limit", 30), std::pair("ids", 15), std::pair("once", 20), std::pair("gathering", 20),
        std::pair("transaction", 25), std::pair("topic", 25)}) {
    if (prng.chance(static_cast<std::uint64_t>(percent), 100)) options.recipes += std::string(name) + " ";
  }
  if (options.recipes.empty()) options.recipes = "line counter ";
  return options;
}

RunResult run_recipe_seed(std::uint64_t seed, std::function<void(const std::string&)> trace) {
  [[maybe_unused]] const LeaksOfTheDead not_reported;
  auto run = std::make_unique<RecipeRun>(seed, std::move(trace));
  return run->run();
}

}  // namespace lockstep::sim
