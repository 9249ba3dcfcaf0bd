#include "sim/recipes/counter_model.h"

#include <algorithm>
#include <set>
#include <utility>

#include "service/counter/counter.h"

namespace lockstep::sim {

namespace {

constexpr std::uint64_t counters = 2;
constexpr std::uint64_t workers_per_machine = 2;
// Wide, so that one add is seldom taken for another one.
constexpr std::uint64_t delta_max = 1'000'000;

class Installed final : public Installation {
 public:
  explicit Installed(FleetMachine& machine) : counter(machine.context()) {}
  service::Counter counter;
};

std::string describe(const CounterCall& call) {
  return (call.delta == 0 ? std::string("a read") : "an add of " + std::to_string(call.delta)) + " told " +
         std::to_string(call.value) + " at revision " + std::to_string(call.revision.value());
}

Task<void> run_worker(CounterModel& model, FleetMachine& machine, Installed& installed) {
  FleetWorker worker(machine);
  while (worker.wanted()) {
    co_await worker.pause(0, 150);
    const std::string name = "c" + std::to_string(worker.prng().below(counters));
    const bool reads = worker.chance(1, 6);
    CounterCall& call =
        model.begin(name, reads ? 0 : static_cast<std::int64_t>(worker.prng().between(1, delta_max)));
    worker.doing("counting");
    service::CounterAdd add;
    add.delta = call.delta;
    Result<service::CounterValue> answer =
        reads ? co_await installed.counter.get(name, worker.within(300, 6000))
              : co_await installed.counter.add(name, add, worker.within(300, 6000));
    const service::CounterValue value = answer.ok() ? *answer : service::CounterValue{};
    model.end(call, answer.status(), value.value, value.revision);
  }
}

}  // namespace

void CounterModel::populate(FleetMachine& machine) {
  auto installed = std::make_unique<Installed>(machine);
  Installed& recipes = *installed;
  machine.install(std::move(installed));
  for (std::uint64_t i = 0; i < workers_per_machine; ++i) machine.run(run_worker(*this, machine, recipes));
}

CounterCall& CounterModel::begin(std::string counter, std::int64_t delta) {
  CounterCall call;
  call.counter = std::move(counter);
  call.delta = delta;
  call.invoked_ns = fleet_.world().now();
  calls_.push_back(std::move(call));
  return calls_.back();
}

void CounterModel::end(CounterCall& call, const Status& status, std::int64_t value, Revision revision) {
  call.outcome = status.ok() ? Outcome::ok : is_unknown(status) ? Outcome::unknown : Outcome::failed;
  if (call.outcome != Outcome::unknown) call.returned_ns = fleet_.world().now();
  call.value = value;
  call.revision = revision;
  if (status.ok()) ++acknowledged_;
}

Violations CounterModel::check(const History& history) {
  std::map<std::string, Steps> counters_seen;
  std::map<std::string, std::int64_t> values;
  Violations violations;
  for (const RevisionEffects& effects : history.effects) {
    for (const store::Event& event : effects.events) {
      if (!event.kv.key.starts_with(service::counter_key(""))) continue;
      const std::string name = event.kv.key.substr(service::counter_key("").size());
      const Result<std::int64_t> after = service::parse_counter(event.kv.value);
      if (event.kind != store::EventKind::put || !after.ok()) {
        violations.push_back({"counter", event.kv.key + " was removed, or is no number"});
        return violations;
      }
      counters_seen[name][effects.revision.value()] = {values[name], *after, effects.first_seen_ns};
      values[name] = *after;
    }
  }
  for (const auto& [name, steps] : counters_seen) check_counter(name, steps, violations);
  return violations;
}

void CounterModel::check_counter(const std::string& counter, const Steps& steps,
                                 Violations& violations) const {
  const auto complain = [&](const std::string& text) {
    violations.push_back({"counter", counter + ": " + text});
  };
  std::int64_t unknown = 0;
  std::int64_t acknowledged = 0;
  std::map<std::int64_t, std::map<std::int64_t, const CounterCall*>> adds;  // by revision, by value
  for (const CounterCall& call : calls_) {
    if (call.counter != counter) continue;
    if (call.outcome == Outcome::unknown) unknown += call.delta;
    if (call.outcome != Outcome::ok) continue;
    if (call.delta == 0) {
      check_read(call, steps, violations);
      continue;
    }
    acknowledged += call.delta;
    if (!adds[call.revision.value()].emplace(call.value, &call).second) {
      complain(describe(call) + ", and so was another one");
    }
  }
  for (const auto& [revision, calls] : adds) {
    const auto step = steps.find(revision);
    if (step == steps.end()) {
      complain(describe(*calls.begin()->second) + ": nothing happened there");
      continue;
    }
    std::int64_t reached = step->second.before;
    for (const auto& [value, call] : calls) {
      if (value - call->delta < reached || value > step->second.after) {
        complain(describe(*call) + ": the counter went from " + std::to_string(reached) + " to " +
                 std::to_string(step->second.after));
      }
      if (step->second.seen_ns < call->invoked_ns)
        complain(describe(*call) + ": done before it was asked for");
      reached = value;
    }
  }
  const std::int64_t last = steps.rbegin()->second.after;
  if (last < acknowledged || last > acknowledged + unknown) {
    complain("ends at " + std::to_string(last) + "; " + std::to_string(acknowledged) +
             " were acknowledged, " + std::to_string(unknown) + " may have been added");
  }
}

void CounterModel::check_read(const CounterCall& call, const Steps& steps, Violations& violations) const {
  auto step = steps.upper_bound(call.revision.value());
  const std::int64_t value = step == steps.begin() ? 0 : (--step)->second.after;
  if (value != call.value) {
    violations.push_back(
        {"counter", call.counter + ": " + describe(call) + "; it was " + std::to_string(value)});
  }
}

}  // namespace lockstep::sim
