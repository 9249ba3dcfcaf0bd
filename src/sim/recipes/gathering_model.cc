#include "sim/recipes/gathering_model.h"

#include <utility>

#include "service/latch/latches.h"
#include "sim/recipes/sessions.h"

namespace lockstep::sim {

namespace {

constexpr std::uint64_t parties_per_machine = 2;
constexpr const char* barrier = "b0";

Task<void> run_party(GatheringModel& model, FleetMachine& machine) {
  FleetWorker worker(machine);
  while (worker.wanted()) {
    co_await worker.pause(0, 500);
    worker.doing("opening a session");
    const Result<service::SessionPtr> session = co_await open_covering_session(worker);
    if (!session.ok()) continue;
    for (std::uint64_t turns = worker.prng().between(1, 3); turns > 0 && worker.wanted(); --turns) {
      worker.doing("entering the barrier");
      model.entering((*session)->id());
      const auto passed = co_await service::enter_barrier(
          worker.context(), *session, barrier, GatheringModel::barrier_parties, worker.within(500, 8000));
      if (!passed.ok()) break;  // an unknown one may be there until its session ends
      model.passed((*session)->id(), *passed);
      worker.doing("leaving the barrier");
      const Status left = co_await service::leave_barrier(worker.context(), *session, barrier,
                                                          passed->generation, worker.within(500, 8000));
      if (!left.ok()) break;
    }
    worker.doing("closing its session");
    if (worker.chance(1, 2)) (void)co_await (*session)->close(worker.within(500, 4000));
  }
}

// Counts, perhaps again, and waits for the others.
Task<void> run_counting(GatheringModel& model, FleetMachine& machine) {
  FleetWorker worker(machine);
  for (std::uint64_t turn = 0; worker.wanted(); ++turn) {
    co_await worker.pause(0, 400);
    const std::string name = model.latch();
    worker.doing("making " + name);
    const auto made = co_await service::make_latch(worker.context(), name, GatheringModel::latch_parties,
                                                   worker.within(300, 4000));
    if (!made.ok()) continue;
    const std::string party = "party-" + std::to_string(worker.number()) + "-" + std::to_string(turn);
    for (std::uint64_t times = worker.prng().between(1, 3); times > 0; --times) {
      model.counting(name, party);
      const auto counted =
          co_await service::count_down(worker.context(), name, party, worker.within(300, 4000));
      if (!counted.ok()) continue;
      model.acknowledged(name, party);
      if (counted->count == 0) model.opened(name);
    }
    worker.doing("waiting for " + name);
    const auto open = co_await service::await_latch(worker.context(), name, worker.within(300, 6000));
    if (open.ok()) model.opened(name);
  }
}

}  // namespace

void GatheringModel::populate(FleetMachine& machine) {
  for (std::uint64_t i = 0; i < parties_per_machine; ++i) {
    machine.run(run_party(*this, machine));
    machine.run(run_counting(*this, machine));
  }
}

void GatheringModel::passed(LeaseId session, const service::BarrierPassed& passed) {
  ++passed_;
  std::set<LeaseId>& generation = generations_[passed.generation];
  // Whoever went on, and whoever might have been there.
  std::set<LeaseId> there = waiting_;
  there.insert(generation.begin(), generation.end());
  if (std::cmp_less(there.size(), barrier_parties)) {
    fleet_.report("barrier", "generation " + std::to_string(passed.generation) + " went on with " +
                                 std::to_string(there.size()) + " parties");
  }
  generation.insert(session);
  if (std::cmp_greater(generation.size(), barrier_parties)) {
    fleet_.report("barrier", "of generation " + std::to_string(passed.generation) + " " +
                                 std::to_string(generation.size()) + " parties went on");
  }
  waiting_.erase(session);
}

void GatheringModel::opened(const std::string& latch) {
  const auto parties = counted_.find(latch);
  const std::size_t count = parties == counted_.end() ? 0 : parties->second.size();
  if (std::cmp_less(count, latch_parties))
    fleet_.report("latch", latch + " opened when " + std::to_string(count) + " parties had counted");
  if (opened_.insert(latch).second && latch == this->latch()) ++latches_;
}

Violations GatheringModel::check(const History& history) {
  Violations violations;
  std::map<std::string, std::string> values;
  for (const RevisionEffects& effects : history.effects) {
    for (const store::Event& event : effects.events) values[event.kv.key] = event.kv.value;
  }
  for (const auto& [latch, parties] : certain_) {
    const std::string& value = values["lockstep/latches/" + latch];
    const bool is_open = value.contains("\"count\":0");
    if (std::cmp_greater_equal(parties.size(), latch_parties) != is_open &&
        (!is_open || std::cmp_less(counted_[latch].size(), latch_parties))) {
      violations.push_back({"latch", latch + " holds " + value + " after " + std::to_string(parties.size()) +
                                         " parties for certain"});
    }
  }
  return violations;
}

}  // namespace lockstep::sim
