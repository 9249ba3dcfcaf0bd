// Timers where calls get lost and arrive late, processes stop, and wall clocks jump: never early, one
// acknowledged run of each, none lost.
#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "service/testing/unruly_store.h"
#include "service/testing/watched_store.h"
#include "service/timer/timer_driver.h"
#include "service/timer/timers.h"
#include "service/waiting.h"
#include "store/awaitable.h"

namespace lockstep::service {
namespace {

using testing::ProcessClock;
using testing::Running;
using testing::SeededRandom;
using testing::UnrulyWorld;
using testing::WatchedStore;
using Deliveries = Result<std::vector<TimerDelivery>>;
using Kind = TimerSettlement::Kind;

// What the outside knows.
struct Account {
  std::map<std::string, TimePoint> not_before;  // of timers that may have been set
  std::set<std::string> surely_set;
  std::map<std::string, int> acknowledged;
  std::map<std::string, int> maybe_acknowledged;
  bool over = false;
};

Task<void> set_timer(Context context, Timers& timers, TimerSpec spec, Account& account) {
  account.not_before[spec.name] = context.clock.now() + *spec.after;
  const Result<TimerPlaced> placed = co_await timers.set("q", spec, {});
  if (placed.ok()) account.surely_set.insert(spec.name);
  if (!placed.ok() && !is_unknown(placed.status())) account.not_before.erase(spec.name);
}

// One consumer, sometimes too slow.
Task<void> consume(Context context, std::shared_ptr<Timers> timers, Prng prng, Account& account) {
  while (!account.over) {
    TimerClaim claim;
    claim.max = 1 + prng.below(8);
    claim.visibility = std::chrono::milliseconds(500 + prng.below(2000));
    claim.wait = prng.chance(1, 2) ? Duration(2s) : Duration{};
    const Deliveries due = co_await timers->claim("q", claim, {});
    const auto pause = std::chrono::milliseconds(prng.below(prng.chance(1, 8) ? 4000 : 50) + 1);
    static_cast<void>(co_await pause_until(context, context.clock.now() + pause, {}));
    if (!due.ok()) {
      if (due.status() == errors::timers_closed()) co_return;
      continue;
    }
    std::vector<TimerSettlement> settlements;
    for (const TimerDelivery& one : *due) {
      EXPECT_TRUE(account.not_before.contains(one.name)) << one.name << " was never set";
      const Kind kind = prng.chance(1, 6) ? Kind::give_back : Kind::ack;
      settlements.push_back({kind, one.name, one.token, kind == Kind::ack ? Duration{} : Duration(300ms)});
    }
    if (settlements.empty()) continue;
    const auto settled = co_await timers->settle("q", settlements, {});
    for (std::size_t i = 0; i < settlements.size(); ++i) {
      if (settlements[i].kind != Kind::ack) continue;
      const Status status = settled.ok() ? (*settled)[i].status : settled.status();
      if (status.ok()) ++account.acknowledged[settlements[i].name];
      if (is_unknown(status)) ++account.maybe_acknowledged[settlements[i].name];
    }
  }
}

// Watches the store itself, so that it sees deliveries whose claims got lost, too.
class Witness {
 public:
  Witness(UnrulyWorld& world, Account& account) : world_(world), account_(account) {
    store::WatchRequest request;
    request.key = TimerKeys("q").all_due();
    request.range_end = request.key;
    request.range_end.back() = '0';
    request.no_delete = true;
    events_ = *world.memory.watch(request);
  }
  // No entry may say that it was delivered before its time.
  void look() {
    while (const auto answer = events_->next(1 << 20)) {
      ASSERT_FALSE(answer->canceled);
      for (const store::Event& event : answer->events) {
        const Result<TimerDocument> document = parse_timer_document(event.kv.value);
        ASSERT_TRUE(document.ok());
        if (document->attempts == 0) continue;
        const std::string name = event.kv.key.substr(TimerKeys("q").all_due().size() + 17);
        ASSERT_TRUE(account_.not_before.contains(name));
        EXPECT_GE(world_.strand.now(), account_.not_before[name]) << name << " was early";
        ++deliveries;
      }
    }
  }
  int deliveries = 0;

 private:
  UnrulyWorld& world_;
  Account& account_;
  std::unique_ptr<store::Subscription> events_;
};

class Fleet {
 public:
  explicit Fleet(std::uint64_t seed) : world(seed), witness(world, account) {
    for (int i = 0; i < 3; ++i) {
      processes_.push_back(world.process());
      timers_.push_back(std::make_shared<Timers>(context(i)));
      drivers_.push_back(std::make_unique<TimerDriver>(context(i)));
      consume(context(i), timers_.back(), world.prng.fork(), account).detach();
    }
  }
  Context context(std::size_t i) { return world.context(*processes_[i]); }
  void advance(Duration by) {
    for (Duration gone{}; gone < by; gone += 5ms) {
      world.advance(5ms, 5ms);
      witness.look();
    }
  }
  void trouble() {
    const std::size_t who = world.prng.below(3);
    switch (world.prng.below(4)) {
      case 0:
        drivers_[who].reset();
        break;
      case 1:
        drivers_[who] = std::make_unique<TimerDriver>(context(who));
        break;
      case 2:
        processes_[who]->clock.wall_jump = 1h * (static_cast<std::int64_t>(world.prng.below(5)) - 2);
        break;
      default:
        timers_[who] = std::make_shared<Timers>(context(who));
        consume(context(who), timers_[who], world.prng.fork(), account).detach();
    }
  }
  void calm_down() {
    for (std::size_t i = 0; i < 3; ++i) {
      processes_[i]->store.unruliness.refused_percent = 0;
      processes_[i]->store.unruliness.unknown_percent = 0;
      drivers_[i] = std::make_unique<TimerDriver>(context(i));
    }
  }
  void stop() {
    account.over = true;
    timers_.clear();
    drivers_.clear();
    advance(10s);
  }
  Timers& timers(std::size_t i) { return *timers_[i]; }

  UnrulyWorld world;
  Account account;
  Witness witness;

 private:
  std::vector<std::unique_ptr<UnrulyWorld::Process>> processes_;
  std::vector<std::shared_ptr<Timers>> timers_;
  std::vector<std::unique_ptr<TimerDriver>> drivers_;
};

TEST(TimersInABadWorld, NeverEarlyOnceEachAndNoneLost) {
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Fleet fleet(seed);
    for (int i = 0; i < 100; ++i) {
      TimerSpec spec;
      spec.name = "t" + std::to_string(i);
      spec.after = std::chrono::milliseconds(fleet.world.prng.below(4000));
      spec.attempts_max = timer_attempts_max;
      const std::size_t who = fleet.world.prng.below(3);
      set_timer(fleet.context(who), fleet.timers(who), spec, fleet.account).detach();
      fleet.advance(std::chrono::milliseconds(fleet.world.prng.below(300)));
      if (fleet.world.prng.chance(1, 8)) fleet.trouble();
    }
    fleet.calm_down();
    fleet.advance(60s);
    fleet.stop();
    const Account& account = fleet.account;
    EXPECT_GT(account.surely_set.size(), 50U);
    for (const auto& [name, times] : account.acknowledged) EXPECT_LE(times, 1) << name;
    for (const std::string& name : account.surely_set) {
      const bool done = account.acknowledged.contains(name) || account.maybe_acknowledged.contains(name);
      EXPECT_TRUE(done) << name << " was lost";
    }
    store::RangeRequest left;
    left.key = TimerKeys("q").prefix;
    left.range_end = left.key;
    left.range_end.back() = '0';
    fleet.world.memory.range(left, {}, [](const Result<store::RangeResponse>& answer) {
      for (const store::KeyValue& kv : answer->kvs) ADD_FAILURE() << "left over: " << kv.key;
    });
  }
}

// One timer, one consumer, one fault at each call in turn.
TEST(TimersFaults, EveryFaultOfEveryCall) {
  for (const auto fault : {WatchedStore::Fault::refused, WatchedStore::Fault::unknown_done,
                           WatchedStore::Fault::unknown_not_done}) {
    for (std::size_t call = 0;; ++call) {
      SCOPED_TRACE("call " + std::to_string(call));
      WatchedStore store;
      SeededRandom random;
      ProcessClock clock(store.strand);
      const Context context{store, store.strand, clock, random};
      const auto advance = [&](Duration by) {
        for (Duration gone{}; gone < by; gone += 50ms) {
          store.strand.advance(50ms);
          store.strand.run();
        }
      };
      auto timers = std::make_unique<Timers>(context);
      auto driver = std::make_unique<TimerDriver>(context);
      store.fail_call(call, fault);
      TimerSpec spec;
      spec.name = "a";
      spec.after = 1s;
      Running<Result<TimerPlaced>> placed(timers->set("q", spec, {}));
      advance(1s);
      int acknowledged = 0;
      int unknown = 0;
      for (int round = 0; round < 60; ++round) {
        Running<Deliveries> due(timers->claim("q", {1, 2s, 1s}, {}));
        advance(1500ms);
        ASSERT_FALSE(due.waits());
        if (!due.result().ok() || due.result()->empty()) continue;
        const TimerDelivery& one = due.result()->front();
        Running<Result<std::vector<TimerSettled>>> settled(
            timers->settle("q", {{Kind::ack, one.name, one.token, {}}}, {}));
        advance(500ms);
        const Status status =
            settled.result().ok() ? settled.result()->front().status : settled.result().status();
        if (status.ok()) ++acknowledged;
        if (is_unknown(status)) ++unknown;
      }
      const bool set = placed.result().ok();
      EXPECT_LE(acknowledged, 1);
      if (set) EXPECT_EQ(acknowledged + unknown, 1);
      if (!set && !is_unknown(placed.result().status())) EXPECT_EQ(acknowledged + unknown, 0);
      driver.reset();
      timers.reset();
      advance(5s);
      if (!store.failed()) break;
      ASSERT_LT(call, 2000U);
      if (call > 60) call += 30;  // the rest is the driver's ticks and empty claims
    }
  }
}

}  // namespace
}  // namespace lockstep::service
