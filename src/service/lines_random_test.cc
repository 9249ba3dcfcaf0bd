// Locks and semaphores of many processes on a bad network: calls are late, lost, refused, and take effect
// long after they were given up; processes are cut off until their sessions end; callers give up at any
// moment.
//
// At every moment: whoever is given something believes rightly that nobody else believes to have it. In the
// end, on a network that works: everybody who waits is served, and nothing of anybody is left behind.
#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/testing_rounds.h"
#include "service/lock/locks.h"
#include "service/semaphore/semaphores.h"
#include "service/testing/unruly_store.h"

namespace lockstep::service {
namespace {

using testing::Running;
using testing::Unruliness;
using testing::UnrulyWorld;

constexpr std::int64_t permits = 2;
constexpr std::size_t processes_count = 4;

// A call of acquire and what it gave. The semaphore is the resource "s".
struct Try {
  std::string resource;
  LockMode mode = LockMode::exclusive;
  SessionPtr session;
  std::stop_source stop;
  std::optional<Running<Result<HeldLock>>> locking;
  std::optional<Running<Result<Permit>>> permitting;
  bool seen = false;  // its result
  bool holds = false;
  Revision token;
  std::optional<Running<Status>> giving;  // back; until then it is not asked for again

  [[nodiscard]] bool waits() const { return locking.has_value() ? locking->waits() : permitting->waits(); }
  [[nodiscard]] bool believes() const { return holds && session->alive(); }
};

struct Process {
  std::unique_ptr<UnrulyWorld::Process> world;
  std::optional<Locks> locks;
  std::optional<Semaphores> semaphores;
  SessionPtr session;
  std::optional<Running<Result<SessionPtr>>> opening;
  TimePoint cut_until{};
  std::vector<std::unique_ptr<Try>> tries;
};

class Chaos {
 public:
  explicit Chaos(std::uint64_t seed) : world_(seed), prng_(seed + 1) {
    for (std::size_t i = 0; i < processes_count; ++i) {
      Process& process = processes_.emplace_back();
      process.world = world_.process();
      process.locks.emplace(world_.context(*process.world));
      process.semaphores.emplace(world_.context(*process.world));
    }
  }
  ~Chaos() {
    for (Process& process : processes_) {
      process.locks.reset();
      process.semaphores.reset();
    }
    world_.advance(40s, 10ms);
  }

  void run(int steps) {
    for (int step = 0; step < steps; ++step) {
      for (Process& process : processes_) act(process);
      world_.advance(std::chrono::milliseconds(prng_.between(1, 40)));
      look();
    }
  }

  // The network works again: everybody is served.
  void calm() {
    for (Process& process : processes_) process.world->store.unruliness = {0, 0, 1000, 0};
    world_.advance(40s, 10ms);
    look();
    nothing_is_idle();
    for (int round = 0; round < 200 && waiting() > 0; ++round) {
      for (Process& process : processes_) release_all(process);
      world_.advance(500ms, 5ms);
      look();
    }
    EXPECT_EQ(waiting(), 0U) << "somebody is forgotten";
    for (Process& process : processes_) release_all(process);
    world_.advance(40s, 10ms);
    std::size_t cleaning = 0;
    for (Process& process : processes_) cleaning += process.locks->waiters() + process.semaphores->waiters();
    EXPECT_EQ(cleaning, 0U);
    EXPECT_EQ(left_over(), "");
    EXPECT_GT(grants_, 20);
  }

 private:
  void act(Process& process) {
    const TimePoint now = world_.strand.now();
    const bool is_cut = now < process.cut_until;
    process.world->store.unruliness = is_cut ? Unruliness{100, 0, 3000, 0} : Unruliness{};
    if (!is_cut && prng_.chance(1, 150))
      process.cut_until = now + std::chrono::milliseconds(prng_.below(4000));
    if (process.opening.has_value() && !process.opening->waits()) {
      if (process.opening->result().ok()) process.session = *process.opening->result();
      process.opening.reset();
    }
    if (process.session == nullptr || !process.session->alive()) {
      if (!process.opening.has_value()) {
        process.opening.emplace(open_session(world_.context(*process.world), {.ttl = 2s}, {}));
      }
      return;
    }
    if (is_cut) return;  // what it holds it goes on believing to hold
    const std::uint64_t draw = prng_.below(10);
    if (draw < 4 && process.tries.size() < 4) begin(process);
    if (draw == 4 && !process.tries.empty()) {
      process.tries[prng_.below(process.tries.size())]->stop.request_stop();
    }
    if (draw >= 7 && !process.tries.empty())
      release(process, *process.tries[prng_.below(process.tries.size())]);
  }

  void begin(Process& process) {
    static const std::vector<std::string> resources{"a", "b", "s"};
    auto made = std::make_unique<Try>();
    made->resource = resources[prng_.below(resources.size())];
    // One call of a session for a resource at a time: its holdings are one, and so are their releases.
    for (const auto& other : process.tries) {
      if (other->resource == made->resource) return;
    }
    made->session = process.session;
    store::CallOptions options;
    options.cancellation = made->stop.get_token();
    if (prng_.chance(1, 3)) {
      options.deadline = world_.strand.now() + std::chrono::milliseconds(prng_.below(3000));
    }
    const bool wait = !prng_.chance(1, 5);
    if (made->resource == "s") {
      made->permitting.emplace(process.semaphores->acquire(
          process.session, {.name = "s", .permits = permits, .wait = wait}, options));
    } else {
      made->mode = prng_.chance(1, 2) ? LockMode::shared : LockMode::exclusive;
      made->locking.emplace(process.locks->acquire(
          process.session, {.name = made->resource, .mode = made->mode, .wait = wait}, options));
    }
    process.tries.push_back(std::move(made));
  }

  // Results as they come.
  void look() {
    for (Process& process : processes_) {
      for (const auto& one : process.tries) {
        if (one->seen || one->waits()) continue;
        one->seen = true;
        one->holds = one->locking.has_value() ? one->locking->result().ok() : one->permitting->result().ok();
        if (!one->holds) continue;
        one->token =
            one->locking.has_value() ? one->locking->result()->token : one->permitting->result()->token;
        granted(*one);
      }
      std::erase_if(process.tries, [](const auto& one) {
        return one->seen && !one->believes() && (!one->giving.has_value() || !one->giving->waits());
      });
    }
  }

  void granted(const Try& one) {
    ++grants_;
    if (!one.believes()) return;
    std::int64_t others = 0;
    for (const Process& process : processes_) {
      for (const auto& other : process.tries) {
        if (other.get() == &one || other->resource != one.resource || !other->believes()) continue;
        const bool together = one.mode == LockMode::shared && other->mode == LockMode::shared;
        if (one.resource != "s" && !together) {
          ADD_FAILURE() << one.resource << " is held twice, tokens " << one.token.value() << " and "
                        << other->token.value();
        }
        ++others;
      }
    }
    if (one.resource == "s") {
      EXPECT_LT(others, permits) << "too many hold a permit";
    } else if (one.mode == LockMode::exclusive) {
      EXPECT_GT(one.token, newest_[one.resource]) << "a token was seen before";
      newest_[one.resource] = one.token;
    }
  }

  void release(Process& process, Try& one) {
    if (!one.holds) return;
    one.holds = false;  // from here on it believes nothing
    if (one.resource == "s") {
      one.giving.emplace(release_permit(*process.semaphores, one));
    } else {
      one.giving.emplace(release_lock(*process.locks, one));
    }
  }
  void release_all(Process& process) {
    for (const auto& one : process.tries) release(process, *one);
  }
  static Task<Status> release_lock(Locks& locks, const Try& one) {
    return status_of(locks.release({one.resource, one.mode, one.session->id(), one.token}, {}));
  }
  static Task<Status> release_permit(Semaphores& semaphores, const Try& one) {
    return status_of(semaphores.release({"s", one.session->id(), one.token, {}}, {}));
  }
  template <class T>
  static Task<Status> status_of(Task<Result<T>> task) {
    const Result<T> result = co_await std::move(task);
    co_return result.status();
  }

  // What is given back serves somebody, if anybody waits.
  void nothing_is_idle() {
    std::map<std::string, std::pair<std::int64_t, std::int64_t>> held_and_awaited;
    for (Process& process : processes_) {
      for (const auto& one : process.tries) {
        auto& [held, awaited] = held_and_awaited[one->resource];
        held += one->believes() ? 1 : 0;
        awaited += one->waits() ? 1 : 0;
      }
    }
    for (const auto& [resource, counts] : held_and_awaited) {
      if (counts.second > 0) EXPECT_GE(counts.first, resource == "s" ? permits : 1) << resource << " is idle";
    }
  }

  std::size_t waiting() {
    std::size_t count = 0;
    for (Process& process : processes_) {
      for (const auto& one : process.tries) count += one->waits() ? 1U : 0U;
    }
    return count;
  }
  // Keys of places in line.
  std::string left_over() {
    std::string text;
    store::RangeRequest request;
    request.key = std::string(1, '\0');
    request.range_end = request.key;
    world_.memory.range(request, {}, [&](const Result<store::RangeResponse>& all) {
      for (const store::KeyValue& kv : all->kvs) {
        if (kv.lease != LeaseId() && !kv.key.starts_with("lockstep/sessions/")) text += kv.key + " ";
      }
    });
    return text;
  }

  UnrulyWorld world_;
  Prng prng_;
  std::deque<Process> processes_;
  std::map<std::string, Revision> newest_;
  int grants_ = 0;
};

TEST(LinesRandom, NothingIsHeldTwiceNobodyIsForgottenNothingStays) {
  for (std::uint64_t seed = 1; seed <= rounds(15); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Chaos chaos(seed);
    chaos.run(400);
    chaos.calm();
    if (::testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace lockstep::service
