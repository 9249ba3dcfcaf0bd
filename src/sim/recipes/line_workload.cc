// What users of locks and semaphores do: take a place, write what it protects, and give it back, or die
// before.
#include <optional>
#include <utility>

#include "service/lease_line.h"
#include "service/lock/guard.h"
#include "service/lock/locks.h"
#include "service/semaphore/semaphores.h"
#include "sim/recipes/line_model.h"
#include "sim/recipes/sessions.h"

namespace lockstep::sim {

namespace {

constexpr std::uint64_t workers_per_machine = 3;
constexpr std::uint64_t turns_per_session_max = 6;

class Installed final : public Installation {
 public:
  explicit Installed(FleetMachine& machine)
      : locks(machine.context()), lease_locks(machine.context()), semaphores(machine.context()) {}
  service::Locks locks;
  service::LeaseLine lease_locks;
  service::Semaphores semaphores;
};

// One worker's session and what it has to do with it.
class Turn {
 public:
  Turn(LineModel& model, FleetWorker& worker, Installed& installed, service::SessionPtr session)
      : model_(model), worker_(worker), installed_(installed), session_(std::move(session)) {}

  // Perhaps the session still holds something: whoever waits for something else now may wait for ever.
  [[nodiscard]] bool useful() const { return useful_; }
  Task<void> take() {
    const std::uint64_t choice = worker_.prng().below(10);
    if (choice < 5) {
      co_await lock(worker_.chance(1, 3) ? "locks/x1" : "locks/x0", service::LockMode::exclusive);
    } else if (choice < 7) {
      co_await lock("locks/w0",
                    worker_.chance(1, 3) ? service::LockMode::exclusive : service::LockMode::shared);
    } else {
      co_await permit();
    }
  }

 private:
  // Most wait as long as it takes, some not at all.
  store::CallOptions patience() {
    return worker_.chance(3, 4) ? store::CallOptions{} : worker_.within(50, 3000);
  }

  Task<void> lock(std::string name, service::LockMode mode) {
    service::LockRequest request;
    request.name = name;
    request.mode = mode;
    // Some are clients of etcd's lock service, which wait in the same line.
    if (mode == service::LockMode::exclusive && session_->id().value() % 3 == 0) {
      co_await lock_by_lease(std::move(name));
      co_return;
    }
    request.wait = !worker_.chance(1, 10);
    worker_.doing("waiting for " + name);
    const Result<service::HeldLock> held = co_await installed_.locks.acquire(session_, request, patience());
    if (!held.ok()) {
      worker_.doing("did not get " + name + ": " + held.status().to_string());
      co_return;
    }
    const std::uint64_t number =
        note(name, held->key, held->token, held->header.revision, mode == service::LockMode::shared);
    co_await use(number, {held->key, held->token});
    const service::LockRelease release{name, mode, session_->id(), held->token};
    const auto released = co_await installed_.locks.release(release, worker_.within(500, 4000));
    give_back(number, released.ok());
    worker_.doing("released " + name + ": " + released.status().to_string());
  }

  // Whoever is told of an unknown outcome, or gives up, asks again with the same lease: nothing of the calls
  // before may hit what it is then told that it holds.
  Task<void> lock_by_lease(std::string name) {
    for (int attempt = 0; attempt < 3 && session_->alive(); ++attempt) {
      worker_.doing("waiting for " + name + " with a lease");
      store::CallOptions options = attempt < 2 ? worker_.within(20, 400) : patience();
      const Result<service::Ownership> owned =
          co_await from_callback<Result<service::Ownership>>([&](auto done) {
            installed_.lease_locks.enter({name, session_->id(), "value"}, std::move(options),
                                         std::move(done));
          });
      if (!owned.ok()) {
        worker_.doing("did not get " + name + " with a lease: " + owned.status().to_string());
        continue;
      }
      const std::uint64_t number = note(name, owned->key, owned->token, owned->header.revision, false);
      co_await use(number, {owned->key, owned->token});
      const Result<store::Header> left = co_await from_callback<Result<store::Header>>([&](auto done) {
        installed_.lease_locks.leave(owned->key, worker_.within(500, 4000), std::move(done));
      });
      give_back(number, left.ok());
      worker_.doing("left " + name + ": " + left.status().to_string());
      co_return;
    }
    useful_ = false;  // a place of which nobody can tell whose call made it may stay
  }

  Task<void> permit() {
    service::PermitRequest request;
    request.name = "s0";
    request.permits = 2;
    request.wait = !worker_.chance(1, 10);
    worker_.doing("waiting for a permit");
    const Result<service::Permit> held =
        co_await installed_.semaphores.acquire(session_, request, patience());
    if (!held.ok()) {
      worker_.doing("did not get a permit: " + held.status().to_string());
      co_return;
    }
    const std::uint64_t number =
        note("lockstep/semaphores/s0", held->key, held->token, held->header.revision, false);
    co_await use(number, {held->key, held->token});
    const service::PermitRelease release{"s0", session_->id(), held->token};
    const auto released = co_await installed_.semaphores.release(release, worker_.within(500, 4000));
    give_back(number, released.ok());
    worker_.doing("released a permit: " + released.status().to_string());
  }

  std::uint64_t note(const std::string& line, const std::string& key, Revision token, Revision at,
                     bool shared) {
    Grant grant;
    grant.line = line;
    grant.key = key;
    grant.token = token;
    grant.at = at;
    grant.shared = shared;
    grant.session = session_;
    worker_.doing("holding " + line);
    return model_.granted(worker_, std::move(grant));
  }

  void give_back(std::uint64_t number, bool certain) {
    if (certain) model_.given_back(number);
    useful_ = certain;
  }

  // In the store behind its guard, outside behind the fence; the last write is on its way when it is
  // released.
  Task<void> use(std::uint64_t number, service::Fence fence) {
    for (std::uint64_t writes = worker_.prng().below(4); writes > 0 && session_->alive(); --writes) {
      model_.write_fenced(worker_, number);
      store::PutRequest put;
      put.key = model_.guarded_key(number);
      put.value = std::to_string(number) + ":";
      store::TxnRequest request;
      request.success.emplace_back().request = std::move(put);
      (void)co_await service::guarded(worker_.context(), std::move(request), fence,
                                      worker_.within(500, 4000));
      co_await worker_.pause(0, 60);
    }
    model_.write_fenced(worker_, number);
    model_.released(number);
  }

  LineModel& model_;
  FleetWorker& worker_;
  Installed& installed_;
  service::SessionPtr session_;
  bool useful_ = true;
};

Task<void> run_worker(LineModel& model, FleetMachine& machine, Installed& installed) {
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
    for (std::uint64_t turns = worker.prng().between(1, turns_per_session_max);
         turns > 0 && worker.wanted() && (*session)->alive(); --turns) {
      Turn turn(model, worker, installed, *session);
      co_await turn.take();
      if (!turn.useful()) break;
      co_await worker.pause(0, 200);
    }
    // Half of them leave without a word: the session ends by itself.
    worker.doing("leaving");
    if (worker.chance(1, 2)) (void)co_await (*session)->close(worker.within(500, 4000));
  }
}

}  // namespace

void LineModel::populate(FleetMachine& machine) {
  auto installed = std::make_unique<Installed>(machine);
  Installed& recipes = *installed;
  machine.install(std::move(installed));
  for (std::uint64_t i = 0; i < workers_per_machine; ++i) machine.run(run_worker(*this, machine, recipes));
}

}  // namespace lockstep::sim
