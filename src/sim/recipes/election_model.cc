#include "sim/recipes/election_model.h"

#include <memory>
#include <utility>

#include "service/election/elections.h"
#include "service/lock/guard.h"
#include "sim/recipes/sessions.h"

namespace lockstep::sim {

namespace {

constexpr std::uint64_t candidates_per_machine = 2;
constexpr std::uint64_t turns_per_session_max = 4;

class Installed final : public Installation {
 public:
  explicit Installed(FleetMachine& machine) : elections(machine.context()) {}
  service::Elections elections;
};

// Says and writes what only a leader may, inside the store and outside.
Task<void> lead(ElectionModel& model, FleetWorker& worker, Installed& installed, service::SessionPtr session,
                service::Elected elected, std::uint64_t number) {
  for (std::uint64_t deeds = worker.prng().below(4); deeds > 0 && session->alive(); --deeds) {
    model.write_fenced(worker, number);
    if (worker.chance(1, 2)) {
      const auto proclaimed = co_await installed.elections.proclaim(
          elected.leadership(), model.words_of(session->id()), worker.within(500, 4000));
      if (proclaimed.ok()) model.acted(number, proclaimed->revision, "a proclamation of ");
    } else {
      store::PutRequest put;
      put.key = model.guarded_key(number);
      put.value = std::to_string(number) + ":";
      store::TxnRequest request;
      request.success.emplace_back().request = std::move(put);
      (void)co_await service::guarded(worker.context(), std::move(request), {elected.key, elected.token},
                                      worker.within(500, 4000));
    }
    co_await worker.pause(0, 80);
  }
  model.write_fenced(worker, number);
  model.released(number);
}

// False: nobody knows whether the session still leads, or is in line.
Task<bool> take_turn(ElectionModel& model, FleetWorker& worker, Installed& installed,
                     service::SessionPtr session) {
  service::Campaign campaign;
  campaign.name = ElectionModel::election;
  campaign.value = model.words_of(session->id());
  campaign.wait = !worker.chance(1, 10);
  worker.doing("campaigning");
  const store::CallOptions patience = worker.chance(3, 4) ? store::CallOptions{} : worker.within(50, 3000);
  const Result<service::Elected> elected =
      co_await installed.elections.campaign(session, std::move(campaign), patience);
  if (!elected.ok()) {
    worker.doing("was not elected: " + elected.status().to_string());
    co_return true;
  }
  Grant grant;
  grant.line = ElectionModel::election;
  grant.key = elected->key;
  grant.token = elected->token;
  grant.at = elected->header.revision;
  grant.session = session;
  const std::uint64_t number = model.granted(worker, std::move(grant));
  worker.doing("leading");
  co_await lead(model, worker, installed, session, *elected, number);
  const auto resigned = co_await installed.elections.resign(elected->leadership(), worker.within(500, 4000));
  if (resigned.ok()) model.given_back(number);
  worker.doing("resigned: " + resigned.status().to_string());
  co_return resigned.ok();
}

Task<void> run_candidate(ElectionModel& model, FleetMachine& machine, Installed& installed) {
  FleetWorker worker(machine);
  co_await worker.pause(0, 2000);
  while (worker.wanted()) {
    worker.doing("opening a session");
    const Result<service::SessionPtr> session = co_await open_covering_session(worker);
    if (!session.ok()) {
      co_await worker.pause(100, 500);
      continue;
    }
    model.opened(worker, *session);
    bool useful = true;
    for (std::uint64_t turns = worker.prng().between(1, turns_per_session_max);
         turns > 0 && useful && worker.wanted() && (*session)->alive(); --turns) {
      useful = co_await take_turn(model, worker, installed, *session);
      co_await worker.pause(0, 200);
    }
    worker.doing("leaving");
    if (worker.chance(1, 2)) (void)co_await (*session)->close(worker.within(500, 4000));
  }
}

Task<void> run_observer(ElectionModel& model, FleetMachine& machine, Installed& installed) {
  FleetWorker worker(machine);
  ElectionModel::Told last;
  while (worker.wanted()) {
    service::LeaderWatch leaders = installed.elections.observe(ElectionModel::election, {});
    for (bool good = true; good && worker.wanted();) {
      worker.doing("observing");
      const Result<service::Leader> leader = co_await leaders.next(worker.within(500, 3000));
      if (leader.ok()) model.observed(last, leader->kv);
      good = leader.ok() || leader.status().code() == Code::deadline_exceeded;
    }
    co_await worker.pause(50, 500);
  }
}

}  // namespace

void ElectionModel::populate(FleetMachine& machine) {
  auto installed = std::make_unique<Installed>(machine);
  Installed& recipes = *installed;
  machine.install(std::move(installed));
  for (std::uint64_t i = 0; i < candidates_per_machine; ++i)
    machine.run(run_candidate(*this, machine, recipes));
  machine.run(run_observer(*this, machine, recipes));
}

std::string ElectionModel::words_of(LeaseId session) {
  std::string words = "words " + std::to_string(speakers_.size() + 1);
  speakers_.emplace(words, session);
  return words;
}

void ElectionModel::observed(Told& last, const store::KeyValue& leader) {
  const std::string what =
      "\"" + leader.value + "\" of token " + std::to_string(leader.create_revision.value());
  const bool in_order = leader.create_revision > last.token ||
                        (leader.create_revision == last.token && leader.mod_revision >= last.modified);
  if (!in_order) {
    fleet().report("observer", what + " at " + std::to_string(leader.mod_revision.value()) + " after token " +
                                   std::to_string(last.token.value()) + " at " +
                                   std::to_string(last.modified.value()));
  }
  last = {leader.create_revision, leader.mod_revision};
  const auto speaker = speakers_.find(leader.value);
  if (speaker == speakers_.end() || speaker->second != leader.lease)
    fleet().report("observer", what + ": its session never said so");
}

}  // namespace lockstep::sim
