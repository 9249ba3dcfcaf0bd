// What a lock's users do: take it, write what it protects, and release it, or die before.
#include <utility>

#include "service/lock/lock.h"
#include "service/ownership_queue.h"
#include "sim/recipes/lock_model.h"
#include "sim/recipes/sessions.h"
#include "store/awaitable.h"

namespace lockstep::sim {

namespace {

constexpr std::uint64_t locks = 2;
constexpr std::uint64_t workers_per_machine = 2;
constexpr std::uint64_t turns_per_session_max = 6;

class Installed final : public Installation {
 public:
  explicit Installed(FleetMachine& machine) : lock(machine.context().store) {}
  service::Lock lock;
};

// In the store: done only while the key that was granted is there.
Task<void> write_guarded(FleetWorker& worker, std::string lock, std::string key, Revision token,
                         std::uint64_t grant) {
  store::TxnRequest request;
  store::Compare compare;
  compare.key = key;
  compare.target = store::CompareTarget::create_revision;
  compare.number = token.value();
  request.compare.push_back(std::move(compare));
  store::PutRequest put;
  put.key = std::string(LockModel::guarded_prefix) + lock;
  put.value = std::to_string(grant) + ":";
  store::RequestOperation operation;
  operation.request = std::move(put);
  request.success.push_back(std::move(operation));
  (void)co_await store::awaitable::txn(worker.context().store, std::move(request), worker.within(500, 4000));
}

// False: the session is of no use any more.
Task<bool> take_turn(LockModel& model, FleetWorker& worker, Installed& installed,
                     service::SessionPtr session) {
  const std::string name = std::string(LockModel::prefix) + "x" + std::to_string(worker.prng().below(locks));
  store::CallOptions options;
  options.cancellation = session->over();
  worker.doing("waiting for " + name);
  auto start = [&](auto done) { installed.lock.lock(name, session->id(), options, std::move(done)); };
  const Result<service::Ownership> held =
      co_await from_callback<Result<service::Ownership>>(std::move(start));
  if (!held.ok()) {
    worker.doing("refused " + name);
    co_await worker.pause(20, 300);
    co_return false;
  }
  worker.doing("holding " + name);
  LockGrant grant;
  grant.lock = name;
  grant.key = held->key;
  grant.token = held->token;
  grant.at = held->header.revision;
  grant.session = session;
  const std::uint64_t number = model.granted(worker, std::move(grant));
  for (std::uint64_t writes = worker.prng().below(4); writes > 0 && session->alive(); --writes) {
    model.write_fenced(worker, number);
    co_await write_guarded(worker, name, held->key, held->token, number);
    co_await worker.pause(0, 60);
  }
  model.write_fenced(worker, number);
  model.released(number);
  worker.doing("releasing " + name);
  auto release = [&](auto done) {
    installed.lock.unlock(held->key, worker.within(500, 4000), std::move(done));
  };
  const auto released = co_await from_callback<Result<store::DeleteRangeResponse>>(std::move(release));
  // Unknown, or refused: only the session's end is sure to release it.
  if (!released.ok()) (void)co_await session->close(worker.within(2000, 8000));
  co_return released.ok();
}

Task<void> run_worker(LockModel& model, FleetMachine& machine, Installed& installed) {
  FleetWorker worker(machine);
  co_await worker.pause(0, 2000);
  while (worker.wanted()) {
    worker.doing("opening a session");
    const Result<service::SessionPtr> session = co_await open_covering_session(worker);
    if (!session.ok()) {
      co_await worker.pause(100, 500);
      continue;
    }
    for (std::uint64_t turns = worker.prng().between(1, turns_per_session_max);
         turns > 0 && worker.wanted() && (*session)->alive(); --turns) {
      const bool useful = co_await take_turn(model, worker, installed, *session);
      if (!useful) break;
      co_await worker.pause(0, 200);
    }
    // Half of them leave without a word: the session ends by itself.
    if (worker.chance(1, 2)) (void)co_await (*session)->close(worker.within(500, 4000));
  }
}

}  // namespace

void LockModel::populate(FleetMachine& machine) {
  auto installed = std::make_unique<Installed>(machine);
  Installed& recipes = *installed;
  machine.install(std::move(installed));
  for (std::uint64_t i = 0; i < workers_per_machine; ++i) machine.run(run_worker(*this, machine, recipes));
}

}  // namespace lockstep::sim
