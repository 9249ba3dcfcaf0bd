#include "sim/recipes/timer_model.h"

#include <algorithm>
#include <utility>

#include "service/timer/timer_driver.h"
#include "service/timer/timers.h"

namespace lockstep::sim {

namespace {

constexpr std::int64_t ms = 1'000'000;
// What a clock that is counted from may be old: drift counts for that, too.
constexpr std::int64_t counted_from_ns_max = 12'000 * ms;
constexpr std::int64_t consumers_patience_ns = 90'000 * ms;

class Installed final : public Installation {
 public:
  explicit Installed(FleetMachine& machine) : timers(machine.context()), driver(machine.context()) {}
  service::Timers timers;
  service::TimerDriver driver;
};

Task<void> produce(TimerModel& model, FleetMachine& machine, Installed& installed) {
  FleetWorker worker(machine);
  while (worker.wanted()) {
    co_await worker.pause(50, 1500);
    service::TimerSpec spec;
    const Duration delay = std::chrono::milliseconds(worker.prng().between(0, 5000));
    spec.after = delay;
    spec.attempts_max = service::timer_attempts_max;
    spec.name = model.begin_set(delay);
    const std::string name = spec.name;
    worker.doing("setting " + name);
    const auto placed =
        co_await installed.timers.set(TimerModel::queue, std::move(spec), worker.within(500, 6000));
    if (placed.ok()) model.was_set(name);
  }
}

Task<void> settle(TimerModel& model, FleetWorker& worker, Installed& installed,
                  std::vector<service::TimerDelivery> deliveries) {
  std::vector<service::TimerSettlement> settlements;
  for (service::TimerDelivery& delivery : deliveries) {
    service::TimerSettlement settlement;
    const std::uint64_t choice = worker.prng().below(10);
    if (choice == 0) continue;  // forgotten: delivered again
    if (choice == 1) settlement.kind = service::TimerSettlement::Kind::give_back;
    if (choice > 1) model.acknowledging(delivery.name);
    settlement.name = delivery.name;
    settlement.token = delivery.token;
    settlements.push_back(std::move(settlement));
  }
  if (settlements.empty()) co_return;
  std::vector<service::TimerSettlement> sent = settlements;
  const auto answers =
      co_await installed.timers.settle(TimerModel::queue, std::move(sent), worker.within(500, 6000));
  for (std::size_t i = 0; i < settlements.size(); ++i) {
    if (settlements[i].kind != service::TimerSettlement::Kind::ack) continue;
    if (!answers.ok()) {
      if (!is_unknown(answers.status())) model.refused(settlements[i].name);
    } else if ((*answers)[i].status.ok()) {
      model.acknowledged(settlements[i].name);
    } else if (!is_unknown((*answers)[i].status)) {
      model.refused(settlements[i].name);
    }
  }
}

Task<void> consume(TimerModel& model, FleetMachine& machine, Installed& installed) {
  FleetWorker worker(machine);
  std::int64_t stopping_since_ns = 0;
  while (true) {
    if (!worker.wanted()) {
      if (stopping_since_ns == 0) stopping_since_ns = model.now_ns();
      if (model.all_done() || model.now_ns() > stopping_since_ns + consumers_patience_ns) co_return;
    }
    service::TimerClaim claim;
    claim.max = worker.prng().between(1, 8);
    claim.visibility = std::chrono::milliseconds(worker.prng().between(500, 4000));
    claim.wait = std::chrono::milliseconds(worker.prng().below(3000));
    const std::int64_t claimed_ns = model.now_ns();
    worker.doing("claiming");
    Result<std::vector<service::TimerDelivery>> claimed =
        co_await installed.timers.claim(TimerModel::queue, claim, worker.within(4000, 8000));
    if (!claimed.ok()) {
      co_await worker.pause(50, 300);
      continue;
    }
    for (const service::TimerDelivery& delivery : *claimed) model.delivered(delivery.name, claimed_ns);
    worker.doing("working");
    co_await worker.pause(0, worker.chance(1, 10) ? 5000 : 200);
    co_await settle(model, worker, installed, *std::move(claimed));
  }
}

}  // namespace

void TimerModel::populate(FleetMachine& machine) {
  auto installed = std::make_unique<Installed>(machine);
  Installed& recipes = *installed;
  machine.install(std::move(installed));
  machine.run(produce(*this, machine, recipes));
  machine.run(consume(*this, machine, recipes));
}

std::string TimerModel::begin_set(Duration delay) {
  const std::string name = "t" + std::to_string(timers_.size() + 1);
  TimerRecord timer;
  timer.delay_ns = delay.count();
  timer.invoked_ns = now_ns();
  timers_[name] = timer;
  return name;
}

void TimerModel::delivered(const std::string& name, std::int64_t claimed_ns) {
  TimerRecord& timer = timers_[name];
  ++timer.deliveries;
  const std::int64_t rate = fleet_.options().clock_rate_ppm_max;
  const std::int64_t drift_ns = (timer.delay_ns + counted_from_ns_max) / 1'000'000 * 2 * rate;
  const std::int64_t earliest = timer.invoked_ns + timer.delay_ns - drift_ns;
  if (now_ns() < earliest) {
    fleet_.report("early", name + " was delivered " + std::to_string((earliest - now_ns()) / ms) +
                               " ms before its time, having been set for " +
                               std::to_string(timer.delay_ns / ms) + " ms");
  }
  if (claimed_ns > timer.acknowledged_ns)
    fleet_.report("twice", name + " was delivered after it was acknowledged");
}

void TimerModel::acknowledged(const std::string& name) {
  TimerRecord& timer = timers_[name];
  if (timer.acknowledged_ns != never_ns) fleet_.report("twice", name + " was acknowledged twice");
  timer.acknowledged_ns = now_ns();
  ++acknowledged_;
}

bool TimerModel::all_done() const {
  return std::ranges::all_of(timers_, [](const auto& entry) { return done(entry.second); });
}

Violations TimerModel::check(const History& /*history*/) {
  Violations violations;
  for (const auto& [name, timer] : timers_) {
    if (done(timer)) continue;
    violations.push_back({"lost", name + " was set and never acknowledged, having been delivered " +
                                      std::to_string(timer.deliveries) + " times"});
  }
  return violations;
}

}  // namespace lockstep::sim
