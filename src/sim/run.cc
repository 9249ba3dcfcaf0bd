#include "sim/run.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "sim/agreement_checker.h"
#include "sim/client.h"
#include "sim/cluster.h"
#include "sim/convergence.h"
#include "sim/lease_checker.h"
#include "sim/linearizability_checker.h"
#include "sim/nemesis.h"
#include "sim/revision_checker.h"
#include "sim/watch_checker.h"
#include "sim/watch_client.h"
#include "sim/workload.h"

namespace lockstep::sim {

namespace {

constexpr std::int64_t second = 1'000'000'000;
constexpr std::int64_t set_up_ns_max = 20 * second;
// I10: after the last fault ended, every voter serves again within this time.
constexpr std::int64_t recovery_ns_max = 20 * second;
// After the last operation, all replicas are equal within this time.
constexpr std::int64_t convergence_ns_max = 20 * second;
constexpr std::int64_t make_up_ns_max = 60 * second;
constexpr std::uint64_t acknowledged_min = 1000;
// Clients make so many operations and no more; where faults refuse half of them, that many are acknowledged
// at least.
constexpr std::uint64_t acknowledged_least = 900;
static_assert(acknowledged_least < acknowledged_min);
constexpr std::uint64_t faults_min = 3;

class Run {
 public:
  Run(std::uint64_t seed, std::function<void(const std::string&)> trace)
      : options_(draw_options(seed)), world_(seed, world_options(options_)) {
    if (trace) world_.set_trace(std::move(trace));
    cluster_ = std::make_unique<Cluster>(world_, options_, coverage_);
    clients_ = std::make_unique<Clients>(*cluster_, world_.fork_prng());
    nemesis_ = std::make_unique<Nemesis>(*cluster_, *clients_, world_.fork_prng());
    world_.on_death([this](Node& node) {
      clients_->on_death(node);
      nemesis_->on_death(node);
    });
    make_clients();
  }

  // The processes go first: their machines' engines belong to the cluster.
  ~Run() {
    world_.on_death(nullptr);
    for (std::size_t i = 1; i <= world_.node_count(); ++i) world_.crash(NodeId(i), DeathKind::killed);
  }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  RunResult run() {
    for (std::uint64_t i = 0; i < options_.members; ++i) cluster_->add_machine(true);
    for (const NodeId id : cluster_->members()) cluster_->start(id);
    const bool ready = set_up_phase();
    if (ready) {
      safety_phase();
      liveness_phase();
    }
    nemesis_->bring_back_left_out();
    clients_->stop();
    drain();
    if (ready) converge();
    return finish(ready);
  }

 private:
  static WorldOptions world_options(const RunOptions& options) {
    WorldOptions result;
    result.links = options.links;
    result.peer_lost_ppm = options.peer_lost_ppm;
    return result;
  }
  void make_clients();
  bool set_up_phase();
  void safety_phase();
  void liveness_phase();
  [[nodiscard]] bool voters_serve();
  void drain();
  void converge();
  RunResult finish(bool ready);
  void check(History& history);
  void check_totals();
  void count_links();

  RunOptions options_;
  Coverage coverage_;
  World world_;
  std::unique_ptr<Cluster> cluster_;
  std::unique_ptr<Clients> clients_;
  std::unique_ptr<Nemesis> nemesis_;
  std::vector<std::unique_ptr<Client>> everybody_;
  std::int64_t healed_ns_ = 0;
  std::int64_t recovery_ns_ = 0;
};

void Run::make_clients() {
  const std::uint64_t count = options_.clients + options_.lease_clients + options_.watchers + 1;
  for (std::uint32_t i = 0; i < count; ++i) {
    everybody_.push_back(std::make_unique<Client>(*clients_, i, world_.fork_prng()));
  }
  clients_->set_endpoint_count(count);
}

bool Run::set_up_phase() {
  set_up(*everybody_.front()).detach();
  while (world_.now() < set_up_ns_max && clients_->active() > 0) world_.run_until(world_.now() + second / 10);
  if (clients_->active() == 0) return true;
  cluster_->report("liveness", "no leader served a write within 20 s of a calm start");
  return false;
}

void Run::safety_phase() {
  for (std::uint64_t i = 0; i < options_.clients; ++i) run_client(*everybody_[i]).detach();
  for (std::uint64_t i = 0; i < options_.lease_clients; ++i) {
    run_lease_client(*everybody_[options_.clients + i]).detach();
  }
  for (std::uint64_t i = 0; i < options_.watchers; ++i) {
    run_watcher(*everybody_[options_.clients + options_.lease_clients + i]).detach();
  }
  run_compactor(*everybody_.back()).detach();
  nemesis_->start();
  const std::int64_t begin = world_.now();
  world_.run_until(begin + options_.safety_ns);
  // Where faults left little room for work the phase lasts longer, up to a point.
  const auto wanted = [this] {
    return clients_->acknowledged() < acknowledged_min || nemesis_->faults_that_mattered() < faults_min;
  };
  while (wanted() && world_.now() < begin + 4 * options_.safety_ns) world_.run_until(world_.now() + second);
}

void Run::liveness_phase() {
  nemesis_->heal();
  healed_ns_ = world_.now();
  const std::int64_t end = healed_ns_ + options_.liveness_ns;
  bool serving = false;
  while (world_.now() < end) {
    world_.run_until(world_.now() + second / 4);
    if (!serving && voters_serve()) {
      serving = true;
      recovery_ns_ = world_.now() - healed_ns_;
    }
  }
  // What faults left undone is made up for in peace.
  while (serving && clients_->acknowledged() < acknowledged_min && world_.now() < end + make_up_ns_max) {
    world_.run_until(world_.now() + second);
  }
  if (!serving) {
    cluster_->report("liveness", "some voter did not apply a new write within " +
                                     std::to_string(recovery_ns_max / second) +
                                     " s after all faults ended; " + cluster_->describe());
  }
}

bool Run::voters_serve() {
  // A write begun after healing was acknowledged, and every voter has applied it.
  Revision fresh;
  for (auto it = clients_->operations().rbegin(); it != clients_->operations().rend(); ++it) {
    if (it->invoked_ns < healed_ns_) break;
    const auto* put = std::get_if<store::PutResponse>(&it->response);
    if (it->outcome == Outcome::ok && put != nullptr) fresh = std::max(fresh, put->header.revision);
  }
  if (fresh == Revision{}) return false;
  const raft::Configuration configuration = cluster_->configuration();
  if (configuration.joint() || configuration.voters.empty()) return false;
  return std::ranges::all_of(configuration.voters, [&](NodeId id) {
    if (nemesis_->left_out().contains(id)) return true;
    replica::Replica* replica = cluster_->replica(id);
    return replica != nullptr && replica->machine().revision() >= fresh && replica->raft().may_vote();
  });
}

void Run::drain() {
  const std::int64_t limit = world_.now() + 120 * second;
  while (clients_->active() > 0 && world_.now() < limit) world_.run_until(world_.now() + second / 10);
  if (clients_->active() > 0) cluster_->report("liveness", "a client's operation never ended");
}

void Run::converge() {
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

void Run::count_links() {
  const LinkCounters& links = world_.links().counters();
  coverage_.add(Covered::message_lost, links.lost);
  coverage_.add(Covered::message_duplicated, links.duplicated);
  coverage_.add(Covered::message_reordered, links.reordered);
}

void Run::check_totals() {
  if (clients_->acknowledged() < acknowledged_least) {
    cluster_->report("totals",
                     "only " + std::to_string(clients_->acknowledged()) + " operations acknowledged");
  }
  if (nemesis_->faults_that_mattered() < faults_min) {
    cluster_->report("totals",
                     "only " + std::to_string(nemesis_->faults_that_mattered()) + " faults mattered");
  }
}

void Run::check(History& history) {
  const auto take = [this](const Violations& violations) {
    for (const Violation& violation : violations) cluster_->report(violation.checker, violation.text);
  };
  take(AgreementChecker().check(history));
  take(EffectChecker().check(history));
  take(SumChecker(bank_prefix, bank_accounts, bank_sum).check(history));
  take(LinearizabilityChecker(register_prefix).check(history));
  RevisionChecker replay;
  take(replay.check(history));
  coverage_.add(Covered::unknown_pinned, replay.pinned());
  LeaseChecker leases(replay.model(), replay.lease_ends(),
                      LeasePromise{.rate_ppm_max = world_.clock_rate_ppm_most()});
  take(leases.check(history));
  coverage_.add(Covered::lease_expired, leases.expiries());
  WatchChecker watches(replay.model());
  take(watches.check(history));
  coverage_.add(Covered::watch_event, watches.events_checked());
}

RunResult Run::finish(bool ready) {
  History history;
  history.healed_ns = healed_ns_;
  history.ended_ns = world_.now();
  store::RangeRequest everything;
  everything.key = std::string(1, '\0');
  everything.range_end = std::string(1, '\0');
  for (const NodeId id : cluster_->configuration().members()) {
    replica::Replica* replica = cluster_->replica(id);
    if (replica == nullptr) continue;
    const auto all = replica->machine().range(everything);
    if (all.ok())
      history.final_states.push_back({id, all->header.revision, replica->machine().digest(), all->kvs});
  }
  cluster_->finish(history);
  history.operations.assign(clients_->operations().begin(), clients_->operations().end());
  history.watches.assign(clients_->watches().begin(), clients_->watches().end());
  count_links();
  if (ready) check_totals();
  for (const AssertionRecord& record : world_.assertions()) {
    cluster_->report("assertion", "member " + std::to_string(record.node.value()) + ": " + record.text);
  }
  check(history);

  RunResult result;
  result.options = options_;
  result.violations = cluster_->violations();
  result.coverage = coverage_;
  result.end_number = world_.end_number();
  result.events = world_.events();
  result.operations = clients_->operations().size();
  result.acknowledged = clients_->acknowledged();
  result.faults_that_mattered = nemesis_->faults_that_mattered();
  result.simulated_ns = world_.now();
  result.recovery_ns = recovery_ns_;
  return result;
}

}  // namespace

RunResult run_seed(std::uint64_t seed, std::function<void(const std::string&)> trace) {
  auto run = std::make_unique<Run>(seed, std::move(trace));
  return run->run();
}

}  // namespace lockstep::sim
