#include "sim/recipes/data_models.h"

#include <memory>
#include <utility>

#include "service/idempotency/idempotency.h"
#include "service/ids/ids.h"
#include "store/awaitable.h"

namespace lockstep::sim {

namespace {

constexpr std::uint64_t workers_per_machine = 2;
constexpr std::uint64_t asked_for_by = 6;  // each piece of work, about

class InstalledIds final : public Installation {
 public:
  explicit InstalledIds(FleetMachine& machine) : ids(machine.context()) {}
  service::Ids ids;
};

class InstalledOnce final : public Installation {
 public:
  explicit InstalledOnce(FleetMachine& machine) : idempotency(machine.context()) {}
  service::Idempotency idempotency;
};

Task<void> draw_ids(IdsModel& model, FleetMachine& machine, InstalledIds& installed) {
  FleetWorker worker(machine);
  while (worker.wanted()) {
    worker.doing("drawing numbers");
    const auto ids =
        co_await installed.ids.next("invoice", worker.prng().between(1, 20), worker.within(300, 6000));
    if (ids.ok()) model.given(worker.describe(), *ids);
    co_await worker.pause(0, 60);
  }
}

// The effect, and the record that it is done, at once: only while the token's owner is the first.
Task<Status> take_effect(OnceModel& model, FleetWorker& worker, std::string work,
                         service::IdempotencyToken token) {
  const std::string answer = model.attempt();
  store::TxnRequest txn;
  txn.compare.push_back(service::Idempotency::owned(work, token));
  store::PutRequest effect;
  effect.key = std::string(OnceModel::effects) + work;
  effect.value = answer;
  txn.success.emplace_back().request = std::move(effect);
  store::PutRequest record;
  record.key = service::idempotency_key(work);
  record.value = encode(service::IdempotencyRecord{true, token.owner, "print", answer});
  txn.success.emplace_back().request = std::move(record);
  const auto written =
      co_await store::awaitable::txn(worker.context().store, std::move(txn), worker.within(500, 4000));
  if (!written.ok()) co_return written.status();
  if (!written->succeeded) co_return service::errors::not_the_first();
  model.done(work, answer);
  co_return Status();
}

// One asking; true: it is done.
Task<bool> ask(OnceModel& model, FleetWorker& worker, InstalledOnce& installed, std::string work) {
  service::IdempotencyBegin begin;
  begin.key = work;
  begin.fingerprint = "print";
  begin.in_progress_time = std::chrono::milliseconds(worker.prng().between(1000, 3000));
  worker.doing("beginning " + work);
  const auto state = co_await installed.idempotency.begin(std::move(begin), worker.within(300, 6000));
  if (!state.ok()) co_return false;
  if (state->kind == service::IdempotencyState::Kind::done) model.done(work, state->answer);
  if (state->kind != service::IdempotencyState::Kind::first)
    co_return state->kind == service::IdempotencyState::Kind::done;
  // The work itself; sometimes it takes longer than its time.
  worker.doing("working at " + work);
  co_await worker.pause(0, worker.chance(1, 4) ? 6000 : 300);
  if (worker.chance(1, 8)) {
    (void)co_await installed.idempotency.abandon(work, state->token, worker.within(300, 3000));
    co_return false;
  }
  co_return (co_await take_effect(model, worker, work, state->token)).ok();
}

Task<void> ask_until_done(OnceModel& model, FleetMachine& machine, InstalledOnce& installed) {
  FleetWorker worker(machine);
  while (worker.wanted()) {
    const std::string work = model.work();
    for (bool done = false; !done && worker.wanted();) {
      co_await worker.pause(0, 400);
      done = co_await ask(model, worker, installed, work);
    }
  }
}

}  // namespace

void IdsModel::populate(FleetMachine& machine) {
  auto installed = std::make_unique<InstalledIds>(machine);
  InstalledIds& recipes = *installed;
  machine.install(std::move(installed));
  for (std::uint64_t i = 0; i < workers_per_machine; ++i) machine.run(draw_ids(*this, machine, recipes));
}

void IdsModel::given(const std::string& to, const std::vector<std::uint64_t>& ids) {
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (!given_.insert(ids[i]).second)
      fleet_.report("unique", std::to_string(ids[i]) + " was given twice, the second time to " + to);
    if (i > 0 && ids[i] <= ids[i - 1])
      fleet_.report("unique", std::to_string(ids[i]) + " was given after " + std::to_string(ids[i - 1]));
  }
}

void OnceModel::populate(FleetMachine& machine) {
  auto installed = std::make_unique<InstalledOnce>(machine);
  InstalledOnce& recipes = *installed;
  machine.install(std::move(installed));
  for (std::uint64_t i = 0; i < workers_per_machine; ++i)
    machine.run(ask_until_done(*this, machine, recipes));
}

std::string OnceModel::work() {
  return "order-" + std::to_string(asked_++ / asked_for_by);
}

void OnceModel::done(const std::string& work, const std::string& answer) {
  ++told_;
  const auto [known, fresh] = answers_.emplace(work, answer);
  if (!fresh && known->second != answer)
    fleet_.report("once", work + " was done with " + known->second + ", and with " + answer);
}

Violations OnceModel::check(const History& history) {
  Violations violations;
  std::map<std::string, std::string> seen;
  for (const RevisionEffects& revision : history.effects) {
    for (const store::Event& event : revision.events) {
      if (!event.kv.key.starts_with(effects)) continue;
      const std::string work = event.kv.key.substr(effects.size());
      const auto [known, fresh] = seen.emplace(work, event.kv.value);
      if (!fresh)
        violations.push_back(
            {"once", work + " took effect twice: " + known->second + " and " + event.kv.value});
    }
  }
  for (const auto& [work, answer] : answers_) {
    const auto effect = seen.find(work);
    if (effect == seen.end() || effect->second != answer)
      violations.push_back({"once", work + " was told as done with " + answer + ", which never took effect"});
  }
  return violations;
}

}  // namespace lockstep::sim
