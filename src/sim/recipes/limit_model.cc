#include "sim/recipes/limit_model.h"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <utility>

namespace lockstep::sim {

namespace {

constexpr std::uint64_t workers_per_machine = 2;
constexpr std::uint64_t cost_max = 3;
// Between two looks at the clocks one may have jumped, served a take and jumped back: rare, and small.
constexpr std::int64_t clock_slack_us = 100'000;

using service::LimitAlgorithm;

service::LimitRule rule_of(const std::string& limit) {
  service::LimitRule rule;
  const bool bucket = limit == "bucket";
  rule.algorithm = bucket ? LimitAlgorithm::token_bucket : LimitAlgorithm::sliding_window;
  rule.limit = bucket ? 7 : 9;
  rule.period = bucket ? 900ms : 1280ms;
  rule.burst = bucket ? 10 : 9;
  return rule;
}

class Installed final : public Installation {
 public:
  explicit Installed(FleetMachine& machine) : limiter(machine.context()) {}
  service::Limiter limiter;
};

Task<void> run_worker(LimitModel& model, FleetMachine& machine, Installed& installed) {
  FleetWorker worker(machine);
  while (worker.wanted()) {
    co_await worker.pause(0, 300);
    const std::string name = worker.chance(1, 2) ? "bucket" : "window";
    service::LimitTake take;
    take.rule = rule_of(name);
    take.cost = static_cast<std::int64_t>(worker.prng().between(1, cost_max));
    TakeCall& call = model.begin(name, take.cost);
    worker.doing("taking");
    model.end(call, co_await installed.limiter.take(name, take, worker.within(300, 6000)));
  }
}

std::int64_t used_in(const service::LimitState& state) {
  std::int64_t used = 0;
  for (std::size_t i = 0; i + 1 < state.slices.size(); i += 2) used += state.slices[i + 1];
  return used;
}

}  // namespace

void LimitModel::populate(FleetMachine& machine) {
  auto installed = std::make_unique<Installed>(machine);
  Installed& recipes = *installed;
  machine.install(std::move(installed));
  for (std::uint64_t i = 0; i < workers_per_machine; ++i) machine.run(run_worker(*this, machine, recipes));
}

TakeCall& LimitModel::begin(std::string limit, std::int64_t cost) {
  TakeCall call;
  call.limit = std::move(limit);
  call.cost = cost;
  calls_.push_back(std::move(call));
  return calls_.back();
}

void LimitModel::end(TakeCall& call, const Result<service::LimitAnswer>& answer) {
  on_tick();
  call.outcome = answer.ok() ? Outcome::ok : is_unknown(answer.status()) ? Outcome::unknown : Outcome::failed;
  if (!answer.ok()) return;
  call.allowed = answer->allowed;
  call.revision = answer->revision;
  if (call.allowed) ++allowed_;
}

void LimitModel::on_tick() {
  for (const NodeId id : fleet_.machines()) {
    Node& node = fleet_.world().node(id);
    if (!node.running()) continue;
    const std::int64_t ahead = node.environment().clock.wall_now().count() - fleet_.world().now();
    wall_ahead_ns_max_ = std::max(wall_ahead_ns_max_, ahead);
  }
}

// One limit, revision by revision, by arithmetic of its own.
class LimitModel::Replay {
 public:
  Replay(const LimitModel& model, std::string limit) : limit_(std::move(limit)), rule_(rule_of(limit_)) {
    for (const TakeCall& call : model.calls_) {
      if (call.limit != limit_) continue;
      if (call.outcome == Outcome::unknown) unknown_ += call.cost;
      if (call.outcome == Outcome::ok && call.allowed) acknowledged_[call.revision.value()] += call.cost;
    }
  }

  void put(std::int64_t revision, const service::LimitState& state) {
    at_ = revision;
    if (last_.has_value() && state.time_us < last_->time_us) complain("time", "its time goes back");
    const std::int64_t used =
        rule_.algorithm == LimitAlgorithm::token_bucket ? used_of_bucket(state) : used_of_window(state);
    const auto acknowledged = acknowledged_.find(revision);
    const std::int64_t told = acknowledged == acknowledged_.end() ? 0 : acknowledged->second;
    if (acknowledged != acknowledged_.end()) acknowledged_.erase(acknowledged);
    if (used < told)
      complain("limit", std::to_string(told) + " were allowed, " + std::to_string(used) + " used");
    unexplained_ += std::max<std::int64_t>(used - told, 0);
    last_ = state;
  }
  // Its lease ended: as new.
  void removed() { last_.reset(); }

  void finish() {
    for (const auto& [revision, cost] : acknowledged_) {
      at_ = revision;
      complain("limit", std::to_string(cost) + " were allowed, and nothing was used");
    }
    if (unexplained_ > unknown_) {
      complain("limit", std::to_string(unexplained_) + " were used by nobody; " + std::to_string(unknown_) +
                            " are unknown");
    }
  }

  Violations violations;

 private:
  // What is missing of what had to be there: in parts of a token, none of which may be broken.
  std::int64_t used_of_bucket(const service::LimitState& state) {
    const std::int64_t period_us = rule_.period / 1us;
    const std::int64_t full = rule_.burst * period_us;
    std::int64_t level = full;
    if (last_.has_value()) {
      const std::int64_t passed_us = std::min(state.time_us - last_->time_us, full);
      level = std::min(full, last_->tokens * period_us + last_->fraction_us + passed_us * rule_.limit);
    }
    const std::int64_t used = level - (state.tokens * period_us + state.fraction_us);
    if (used < 0 || used % period_us != 0)
      complain("limit", std::to_string(used) + " parts of " + std::to_string(period_us) + " were used");
    return used / period_us;
  }

  std::int64_t used_of_window(const service::LimitState& state) {
    const std::int64_t used = used_in(state);
    std::int64_t kept = 0;  // of what was used before, what still counts
    if (last_.has_value()) {
      const std::int64_t slice_us = service::limit_slice_us(rule_);
      for (std::size_t i = 0; i + 1 < last_->slices.size(); i += 2) {
        // A period after the slice's end, whatever the limiter thinks.
        if ((last_->slices[i] + 1) * slice_us + rule_.period / 1us > state.time_us)
          kept += last_->slices[i + 1];
      }
    }
    if (used > rule_.limit) complain("limit", std::to_string(used) + " were used in one period");
    if (used < kept) complain("limit", std::to_string(kept - used) + " were forgotten too soon");
    return used - kept;
  }

  void complain(const char* checker, const std::string& text) {
    if (violations.size() < 20)
      violations.push_back({checker, limit_ + " at revision " + std::to_string(at_) + ": " + text});
  }

  std::string limit_;
  service::LimitRule rule_;
  std::map<std::int64_t, std::int64_t> acknowledged_;  // by revision
  std::int64_t unknown_ = 0;
  std::int64_t unexplained_ = 0;
  std::optional<service::LimitState> last_;
  std::int64_t at_ = 0;
};

Violations LimitModel::check(const History& history) {
  std::map<std::string, Replay> replays;
  for (const char* limit : {"bucket", "window"}) replays.emplace(limit, Replay(*this, limit));
  Violations violations;
  const std::string prefix = service::limit_key("");
  const std::int64_t drift_us = history.ended_ns / 1'000'000'000 * fleet_.options().clock_rate_ppm_max;
  for (const RevisionEffects& effects : history.effects) {
    for (const store::Event& event : effects.events) {
      if (!event.kv.key.starts_with(prefix)) continue;
      Replay& replay = replays.at(event.kv.key.substr(prefix.size()));
      if (event.kind == store::EventKind::remove) {
        replay.removed();
        continue;
      }
      const Result<service::LimitState> state = service::parse_limit(event.kv.value);
      if (!state.ok()) return {{"limit", event.kv.key + " holds no limit"}};
      replay.put(effects.revision.value(), *state);
      const std::int64_t most_us =
          (effects.first_seen_ns + wall_ahead_ns_max_) / 1000 + 2 * drift_us + clock_slack_us;
      if (state->time_us > most_us) {
        violations.push_back({"time", event.kv.key + " is " + std::to_string(state->time_us - most_us) +
                                          " us ahead of every clock"});
      }
    }
  }
  for (auto& [limit, replay] : replays) {
    replay.finish();
    violations.insert(violations.end(), replay.violations.begin(), replay.violations.end());
  }
  return violations;
}

}  // namespace lockstep::sim
