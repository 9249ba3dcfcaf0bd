#include "judge.h"

#include <algorithm>
#include <utility>

#include "proto/cluster.pb.h"
#include "remote/admin.h"
#include "sim/agreement_checker.h"
#include "sim/lease_checker.h"
#include "sim/linearizability_checker.h"
#include "sim/revision_checker.h"
#include "sim/watch_checker.h"
#include "sim/workload.h"

namespace lockstep::faults {
namespace {

// I10: once faults have ended, all has come to rest within this time. Leases of up to 4 s end in it.
constexpr std::int64_t rest_ns_max = 30'000'000'000;
constexpr Duration look_interval = 100ms;
constexpr Duration call_timeout = 3s;
// More differences would only repeat the first.
constexpr int differences_max = 3;

store::RangeRequest everything() {
  store::RangeRequest request;
  request.key = request.range_end = std::string(1, '\0');
  return request;
}

Task<Result<store::RangeResponse>> read(store::Store& store, store::RangeRequest request,
                                        TimePoint deadline) {
  store::CallOptions options;
  options.deadline = deadline;
  auto result = co_await from_callback<Result<store::RangeResponse>>(
      [&](auto done) { store.range(std::move(request), std::move(options), std::move(done)); });
  co_return result;
}

// What the simulator's checkers say; `verdict` gets the counts.
sim::Violations check(const sim::History& history, Verdict& verdict) {
  sim::Violations violations;
  const auto take = [&violations](const sim::Violations& found) {
    violations.insert(violations.end(), found.begin(), found.end());
  };
  take(sim::AgreementChecker().check(history));
  take(sim::EffectChecker().check(history));
  take(sim::SumChecker(sim::bank_prefix, sim::bank_accounts, sim::bank_sum).check(history));
  sim::LinearizabilityChecker registers(sim::register_prefix);
  take(registers.check(history));
  verdict.keys_linearized = registers.keys_checked();
  sim::RevisionChecker replay;
  take(replay.check(history));
  verdict.unknown_that_happened = replay.pinned();
  // All on one machine: there is one clock.
  sim::LeaseChecker leases(replay.model(), replay.lease_ends(), sim::LeasePromise{.rate_ppm_max = 0});
  take(leases.check(history));
  verdict.leases_expired = leases.expiries();
  sim::WatchChecker watches(replay.model());
  take(watches.check(history));
  verdict.watch_events = watches.events_checked();
  return violations;
}

std::vector<std::string> find_unnoticed(const sim::History& history) {
  std::vector<std::string> unnoticed;
  for (const auto& [tamper_name, tamper] : all_tampers()) {
    sim::History changed = history;
    Verdict ignored;
    if (!tamper(changed)) {
      unnoticed.push_back(std::string(tamper_name) + " (nothing to change)");
    } else if (check(changed, ignored).empty()) {
      unnoticed.emplace_back(tamper_name);
    }
  }
  return unnoticed;
}

}  // namespace

void Judge::complain(const std::string& checker, const std::string& text) {
  violations_.push_back({checker, text});
}

Task<void> Judge::pause() {
  co_await from_callback<bool>([this](auto done) {
    machine_.executor().schedule(machine_.after(look_interval),
                                 [done = std::move(done)]() mutable { done(true); });
  });
}

// Away from whoever resumed us: connections must not be destroyed by what they call.
Task<void> Judge::step_aside() {
  co_await from_callback<bool>(
      [this](auto done) { machine_.executor().post([done = std::move(done)]() mutable { done(true); }); });
}

Task<void> Judge::observe_leaders() {
  const std::vector<std::string> endpoints = machine_.target().endpoints;
  const auto connections = machine_.connect(endpoints);
  remote::Admin admin(*connections);
  while (!recorder_.stopping()) {
    for (const std::string& endpoint : endpoints) {
      etcdserverpb::StatusResponse response;
      const etcdserverpb::StatusRequest request;
      const remote::Admin::Where where{machine_.after(look_interval), endpoint};
      const Status status = co_await from_callback<Status>([&](auto done) {
        admin.call("/etcdserverpb.Maintenance/Status", request, &response, remote::Effect::none, where,
                   std::move(done));
      });
      if (!status.ok() || response.leader() == 0) continue;
      const sim::LeaderObservation seen{Term(response.raftterm()), NodeId(response.leader()),
                                        machine_.now_ns()};
      const bool known = std::ranges::any_of(leaders_, [&](const sim::LeaderObservation& other) {
        return other.term == seen.term && other.leader == seen.leader;
      });
      if (!known) leaders_.push_back(seen);
    }
    co_await pause();
  }
}

// The revision at which the cluster rests: nobody writes, and no lease is left to end.
Task<Revision> Judge::wait_for_rest(const std::vector<std::string>& endpoints) {
  const auto connections = machine_.connect(endpoints);
  remote::Store store(*connections);
  const std::int64_t limit = machine_.now_ns() + rest_ns_max;
  std::string why = "operations are under way";
  while (machine_.now_ns() < limit) {
    co_await pause();
    if (recorder_.active() > 0) continue;
    const Result<store::RangeResponse> all = co_await read(store, everything(), machine_.after(call_timeout));
    co_await step_aside();
    if (!all.ok()) {
      why = all.status().to_string();
      continue;
    }
    const auto leased =
        std::ranges::find_if(all->kvs, [](const store::KeyValue& kv) { return kv.lease.value() != 0; });
    why = leased == all->kvs.end() ? "the collector lags" : "'" + leased->key + "' is still leased";
    if (leased != all->kvs.end()) continue;
    if (collector_.covered() >= all->header.revision.value()) co_return all->header.revision;
    if (!collector_.trouble().empty()) why = collector_.trouble();
    collector_.ask();
  }
  complain("liveness", "no rest within 30 s after the end: " + why);
  co_return Revision{};
}

Task<std::uint32_t> Judge::hash_of(remote::Connections& connections, Revision revision,
                                   std::string endpoint) {
  remote::Admin admin(connections);
  etcdserverpb::HashKVResponse response;
  etcdserverpb::HashKVRequest request;
  request.set_revision(revision.value());
  const remote::Admin::Where where{machine_.after(call_timeout), endpoint};
  const Status status = co_await from_callback<Status>([&](auto done) {
    admin.call("/etcdserverpb.Maintenance/HashKV", request, &response, remote::Effect::none, where,
               std::move(done));
  });
  if (!status.ok()) complain("agreement", endpoint + " gives no hash: " + status.to_string());
  co_return response.hash();
}

Task<void> Judge::read_member(std::string endpoint, Revision revision) {
  const auto connections = machine_.connect({endpoint});
  remote::Store store(*connections);
  const std::int64_t limit = machine_.now_ns() + rest_ns_max;
  store::RangeRequest request = everything();
  request.serializable = true;
  Result<store::RangeResponse> all = Status(Code::unavailable, "never asked");
  while (machine_.now_ns() < limit) {
    all = co_await read(store, request, machine_.after(call_timeout));
    if (all.ok() && all->header.revision >= revision) break;
    co_await pause();
  }
  if (!all.ok() || all->header.revision < revision) {
    complain("liveness", endpoint + " did not come to revision " + std::to_string(revision.value()) + ": " +
                             (all.ok() ? "it is at " + std::to_string(all->header.revision.value())
                                       : all.status().to_string()));
    co_return;
  }
  final_states_.push_back({all->header.member, all->header.revision, 0, all->kvs});
  hashes_[endpoint] = co_await hash_of(*connections, revision, endpoint);
  co_await step_aside();
  Collector history(machine_, {endpoint}, compacted_at_most() + 1);
  while (history.covered() < revision.value() && history.trouble().empty() && machine_.now_ns() < limit) {
    co_await pause();
    history.ask();
  }
  if (history.covered() < revision.value())
    complain("liveness", endpoint + " did not tell its history: " + history.trouble());
  compare(endpoint, history.effects(), revision.value());
}

std::int64_t Judge::compacted_at_most() const {
  std::int64_t revision = 1;
  for (const sim::Operation& operation : recorder_.operations()) {
    const auto* compact = std::get_if<store::CompactRequest>(&operation.request);
    if (compact != nullptr && operation.outcome != sim::Outcome::failed)
      revision = std::max(revision, compact->revision.value());
  }
  return revision;
}

void Judge::compare(const std::string& endpoint, const std::vector<sim::RevisionEffects>& effects,
                    std::int64_t up_to) {
  int differences = 0;
  auto mine = collector_.effects().begin();
  const auto end = collector_.effects().end();
  const std::int64_t from = compacted_at_most() + 1;
  while (mine != end && mine->revision.value() < from) ++mine;
  for (const sim::RevisionEffects& theirs : effects) {
    if (theirs.revision.value() > up_to || differences >= differences_max) break;
    if (mine == end || mine->revision != theirs.revision || mine->events != theirs.events) {
      complain("agreement", endpoint + " tells another history at revision " +
                                std::to_string(theirs.revision.value()) + " than was heard before");
      ++differences;
    }
    if (mine != end) ++mine;
  }
}

Task<Verdict> Judge::conclude(std::vector<std::string> endpoints, bool prove) {
  recorder_.stop();
  Verdict verdict;
  const std::int64_t stopped_ns = machine_.now_ns();
  const Revision revision = co_await wait_for_rest(endpoints);
  verdict.at_rest_after_ns = machine_.now_ns() - stopped_ns;
  if (revision != Revision{}) {
    for (const std::string& endpoint : endpoints) co_await read_member(endpoint, revision);
  }
  for (const auto& [endpoint, hash] : hashes_) {
    if (hash != hashes_.begin()->second)
      complain("agreement", endpoint + " has another hash than " + hashes_.begin()->first);
  }
  sim::History& history = verdict.history;
  history.operations.assign(recorder_.operations().begin(), recorder_.operations().end());
  history.watches.assign(recorder_.watches().begin(), recorder_.watches().end());
  history.effects = collector_.effects();
  history.leaders = leaders_;
  history.final_states = final_states_;
  history.healed_ns = healed_ns_ == 0 ? stopped_ns : healed_ns_;
  history.ended_ns = machine_.now_ns();
  verdict.violations = std::move(violations_);
  for (sim::Violation& violation : check(history, verdict))
    verdict.violations.push_back(std::move(violation));
  if (prove) verdict.unnoticed = find_unnoticed(history);
  co_return verdict;
}

}  // namespace lockstep::faults
