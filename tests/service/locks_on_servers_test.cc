// Sessions, locks, permits and fences on real servers.
#include <memory>
#include <string>
#include <vector>

#include "servers.h"
#include "service/lock/guard.h"
#include "service/lock/lock_states.h"
#include "service/lock/locks.h"
#include "service/semaphore/semaphores.h"
#include "service/session/session.h"
#include "service/store_requests.h"

namespace lockstep::service_test {
namespace {

using service::HeldLock;
using service::LockMode;
using service::Locks;
using service::Permit;
using service::Semaphores;
using service::SessionOptions;
using service::SessionPtr;

class LocksOnServers : public OnServers {
 protected:
  // One process of the user's.
  struct Process {
    explicit Process(Client& client) : context(client.context()), locks(context), semaphores(context) {}
    service::Context context;
    Locks locks;
    Semaphores semaphores;
    SessionPtr session;
  };
  std::unique_ptr<Process> process(SessionOptions options = {.ttl = 10s}) {
    auto made = std::make_unique<Process>(client());
    made->session = run(service::open_session(made->context, options, {})).value();
    return made;
  }
  Running<Result<HeldLock>> acquire(Process& process, const std::string& lock,
                                    LockMode mode = LockMode::exclusive) {
    return start(process.locks.acquire(process.session, {.name = name(lock), .mode = mode}, {}));
  }
  Status release(Process& process, const HeldLock& held) {
    return run(process.locks.release({held.name, held.mode, held.session, held.token}, {})).status();
  }
  // So many stand in line.
  bool line_grows_to(Process& process, const std::string& lock, std::size_t length) {
    for (int attempt = 0; attempt < 1000; ++attempt) {
      const auto state = run(service::show_lock(process.context, name(lock), {})).value();
      if (state.contenders.size() == length) return true;
      pass(5ms);
    }
    return false;
  }
};

TEST_P(LocksOnServers, ALockGoesFromHandToHandInTheOrderOfArrival) {
  std::vector<std::unique_ptr<Process>> processes;
  std::vector<Running<Result<HeldLock>>> acquiring;
  for (std::size_t number = 0; number < 5; ++number) {
    processes.push_back(process());
    acquiring.push_back(acquire(*processes.back(), "l"));
    ASSERT_TRUE(line_grows_to(*processes[0], "l", number + 1));
  }
  Revision last;
  for (std::size_t number = 0; number < 5; ++number) {
    ASSERT_TRUE(ends(acquiring[number]));
    const HeldLock held = acquiring[number].result().value();
    EXPECT_GT(held.token, last);
    last = held.token;
    if (number + 1 < 5) EXPECT_TRUE(acquiring[number + 1].waits());
    EXPECT_EQ(release(*processes[number], held), Status());
    EXPECT_EQ(release(*processes[number], held), service::errors::not_holder());
  }
}

TEST_P(LocksOnServers, ReadersShareWritersDoNot) {
  const auto a = process();
  const auto b = process();
  const auto c = process();
  auto by_a = acquire(*a, "l", LockMode::shared);
  auto by_b = acquire(*b, "l", LockMode::shared);
  ASSERT_TRUE(ends(by_a) && ends(by_b));
  auto by_c = acquire(*c, "l");
  ASSERT_TRUE(line_grows_to(*a, "l", 3));
  EXPECT_EQ(release(*b, *by_b.result()), Status());
  EXPECT_TRUE(by_c.waits());
  EXPECT_EQ(release(*a, *by_a.result()), Status());
  ASSERT_TRUE(ends(by_c));
  EXPECT_EQ(
      run(a->locks.acquire(a->session, {.name = name("l"), .mode = LockMode::shared, .wait = false}, {}))
          .status(),
      service::errors::lock_held());
}

TEST_P(LocksOnServers, AHoldersEndServesTheNextAndFencesWhatItStillWrites) {
  const auto dying = process({.ttl = 2s, .renewal = service::Renewal::by_holder});
  const auto next = process();
  auto held = acquire(*dying, "l");
  ASSERT_TRUE(ends(held));
  auto waiting = acquire(*next, "l");
  ASSERT_TRUE(ends(waiting));
  ASSERT_TRUE(waiting.result().ok());
  EXPECT_FALSE(dying->session->alive()) << "the holder knows before the store ends it";
  const HeldLock old = *held.result();
  const HeldLock now = *waiting.result();
  store::TxnRequest write;
  write.success.push_back(service::operation(service::put_of(name("resource"), "x", {})));
  EXPECT_EQ(run(service::guarded(dying->context, write, {old.key, old.token}, {})).status(),
            service::errors::stale_token());
  EXPECT_EQ(run(service::guarded(next->context, write, {now.key, now.token}, {})).status(), Status());
  EXPECT_EQ(run(service::fenced(next->context, write, name("r"), now.token, {})).status(), Status());
  EXPECT_EQ(run(service::fenced(dying->context, write, name("r"), old.token, {})).status(),
            service::errors::stale_token());
  EXPECT_EQ(run(service::highest_token(next->context, name("r"), {})).value(), now.token);
}

TEST_P(LocksOnServers, ClosingASessionGivesUpEverything) {
  const auto a = process();
  const auto b = process();
  auto first = acquire(*a, "l");
  ASSERT_TRUE(ends(first));
  auto many = start(b->locks.acquire_all(b->session, {.names = {name("k"), name("l")}}, {}));
  ASSERT_TRUE(line_grows_to(*a, "l", 2));
  EXPECT_EQ(run(a->session->close({})), Status());
  ASSERT_TRUE(ends(many));
  ASSERT_TRUE(many.result().ok());
  EXPECT_EQ(run(b->locks.release_all(*many.result(), {})), Status());
  EXPECT_TRUE(
      run(service::list_locks(a->context, {.prefix = name(""), .from = ""}, {})).value().locks.empty());
}

TEST_P(LocksOnServers, ASessionIsAdoptedWithWhatItHolds) {
  const auto a = process({.ttl = 5s});
  auto first = acquire(*a, "l");
  ASSERT_TRUE(ends(first));
  const auto heir = process();
  const LeaseId id = a->session->id();
  on_strand([&] { a->session.reset(); });
  heir->session = run(service::adopt_session(heir->context, id, {}, {})).value();
  auto again = acquire(*heir, "l");
  ASSERT_TRUE(ends(again));
  EXPECT_EQ(again.result()->token, first.result()->token);
  EXPECT_EQ(release(*heir, *again.result()), Status());
}

TEST_P(LocksOnServers, ReentrantAndForcedReleases) {
  const auto a = process();
  auto first = acquire(*a, "l");
  ASSERT_TRUE(ends(first));
  const HeldLock twice =
      run(a->locks.acquire(a->session, {.name = name("l"), .reentrant = true}, {})).value();
  EXPECT_EQ(twice.count, 2);
  EXPECT_EQ(release(*a, twice), Status());
  auto over = start(service::until_over(a->context, a->session, {twice.key, twice.token}, {}));
  EXPECT_EQ(run(service::force_release(a->context, {name("l"), twice.token, "root", "test"}, {})).status(),
            Status());
  ASSERT_TRUE(ends(over));
  EXPECT_EQ(over.result(), service::errors::holding_removed());
  EXPECT_EQ(release(*a, twice), service::errors::not_holder());
}

TEST_P(LocksOnServers, PermitsGoRoundInTheOrderOfArrival) {
  std::vector<std::unique_ptr<Process>> processes;
  std::vector<Running<Result<Permit>>> acquiring;
  const std::string semaphore = name("s");
  for (std::size_t number = 0; number < 6; ++number) {
    processes.push_back(process());
    Process& made = *processes.back();
    acquiring.push_back(start(made.semaphores.acquire(made.session, {.name = semaphore, .permits = 2}, {})));
    ASSERT_TRUE(run_until([&] { return number >= 2 || !acquiring.back().waits(); }));
    for (std::size_t length = 0; length <= number;) {
      length = run(made.semaphores.show(semaphore, {})).value().contenders.size();
    }
  }
  for (std::size_t number = 0; number < 6; ++number) {
    ASSERT_TRUE(ends(acquiring[number])) << number;
    std::size_t served = 0;
    for (const auto& one : acquiring) served += one.waits() ? 0U : 1U;
    EXPECT_LE(served, number + 2);
    const Permit permit = acquiring[number].result().value();
    EXPECT_EQ(
        run(processes[number]->semaphores.release({semaphore, permit.session, permit.token}, {})).status(),
        Status());
  }
  EXPECT_EQ(run(processes[0]->semaphores.remove(semaphore, {})), Status());
}

INSTANTIATE_TEST_SUITE_P(Servers, LocksOnServers, ::testing::ValuesIn(all_servers()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace lockstep::service_test
