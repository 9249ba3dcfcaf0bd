// Counters, idempotency, limits, unique numbers and timers on real servers.
#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "servers.h"
#include "service/counter/counter.h"
#include "service/idempotency/idempotency.h"
#include "service/ids/ids.h"
#include "service/limiter/limiter.h"
#include "service/timer/timer_driver.h"
#include "service/timer/timers.h"

namespace lockstep::service_test {
namespace {

using service::MissedRuns;
using service::TimerDelivery;
using service::TimerSettlement;

class DataOnServers : public OnServers {
 protected:
  // Made and dropped on the strand.
  template <class Recipe, class... Arguments>
  std::shared_ptr<Recipe> make(Arguments... arguments) {
    std::shared_ptr<Recipe> made;
    on_strand([&] { made = std::make_shared<Recipe>(arguments...); });
    return made;
  }
  // What it has under way ends.
  void stop(std::shared_ptr<service::TimerDriver>& driver) {
    on_strand([&] { driver.reset(); });
    pass(500ms);
  }
  static std::string queue_name() {
    std::string queue = name("q");
    std::ranges::replace(queue, '/', '.');
    return queue;
  }
};

TEST_P(DataOnServers, AddsOfTwoProcessesCountOnceEach) {
  auto here = make<service::Counter>(client().context());
  auto there = make<service::Counter>(client().context());
  std::vector<Running<Result<service::CounterValue>>> adds;
  for (int i = 0; i < 300; ++i) {
    adds.push_back(start((i % 2 == 0 ? here : there)->add(name("c"), {1, {}}, {})));
  }
  std::set<std::int64_t> values;
  for (auto& one : adds) {
    ASSERT_TRUE(ends(one));
    values.insert(one.result().value().value);
  }
  EXPECT_EQ(values.size(), 300U);
  EXPECT_EQ(*values.rbegin(), 300);
  EXPECT_EQ(run(there->get(name("c"), {})).value().value, 300);
  EXPECT_EQ(run(there->set(name("c"), {7, 299, {}}, {})).status(), service::errors::counter_value_differs());
  EXPECT_EQ(run(there->remove(name("c"), {})).value().value, 300);
  EXPECT_FALSE(run(here->get(name("c"), {})).value().exists);
}

TEST_P(DataOnServers, ACounterEndsWhenItShould) {
  Client& somebody = client();
  auto counter = make<service::Counter>(somebody.context());
  Duration wall{};
  on_strand([&] { wall = somebody.context().clock.wall_now(); });
  EXPECT_EQ(run(counter->add(name("c"), {5, wall + 2s}, {})).value().value, 5);
  EXPECT_EQ(run(counter->add(name("c"), {5, wall + 2s}, {})).value().value, 10);
  const TimePoint began = now();
  while (run(counter->get(name("c"), {})).value().exists) {
    ASSERT_LT(now() - began, 60s);
    pass(50ms);
  }
  EXPECT_GT(now() - began, 1s);
}

TEST_P(DataOnServers, WorkIsAnsweredOnce) {
  auto here = make<service::Idempotency>(client().context());
  auto there = make<service::Idempotency>(client().context());
  service::IdempotencyBegin begin;
  begin.key = name("k");
  begin.fingerprint = "f";
  using Kind = service::IdempotencyState::Kind;
  const auto first = run(here->begin(begin, {})).value();
  ASSERT_EQ(first.kind, Kind::first);
  EXPECT_EQ(run(there->begin(begin, {})).value().kind, Kind::in_progress);
  const std::string answer("a\0\xff", 3);
  EXPECT_EQ(run(here->complete(begin.key, first.token, answer, 60s, {})), Status());
  const auto done = run(there->begin(begin, {})).value();
  EXPECT_EQ(done.kind, Kind::done);
  EXPECT_EQ(done.answer, answer);
  begin.fingerprint = "other";
  EXPECT_EQ(run(there->begin(begin, {})).value().kind, Kind::mismatch);
  begin.key = name("k2");
  const auto second = run(here->begin(begin, {})).value();
  EXPECT_EQ(run(there->abandon(begin.key, second.token, {})), Status());
  EXPECT_EQ(run(there->begin(begin, {})).value().kind, Kind::first);
}

TEST_P(DataOnServers, AFleetSharesALimit) {
  auto here = make<service::Limiter>(client().context());
  auto there = make<service::Limiter>(client().context());
  const service::LimitTake take{{service::LimitAlgorithm::sliding_window, 10, 60s, 0}, 1};
  std::vector<Running<Result<service::LimitAnswer>>> takes;
  for (int i = 0; i < 40; ++i) takes.push_back(start((i % 2 == 0 ? here : there)->take(name("l"), take, {})));
  int allowed = 0;
  for (auto& one : takes) {
    ASSERT_TRUE(ends(one));
    if (one.result().value().allowed) ++allowed;
  }
  EXPECT_EQ(allowed, 10);
  EXPECT_EQ(run(here->reset(name("l"), {})), Status());
  EXPECT_TRUE(run(there->take(name("l"), take, {})).value().allowed);
}

TEST_P(DataOnServers, NumbersOfTwoProcessesDiffer) {
  auto here = make<service::Ids>(client().context());
  auto there = make<service::Ids>(client().context());
  std::set<std::uint64_t> all;
  for (int i = 0; i < 10; ++i) {
    for (auto& ids : {here, there}) {
      for (const std::uint64_t id : run(ids->next(name("n"), 100, {})).value()) all.insert(id);
    }
  }
  EXPECT_EQ(all.size(), 2000U);
}

TEST_P(DataOnServers, TimersAreDeliveredOnceEachAndDeadOnesKept) {
  Client& somebody = client();
  auto driver = make<service::TimerDriver>(somebody.context());
  auto timers = make<service::Timers>(somebody.context());
  auto others = make<service::Timers>(client().context());
  const std::string queue = queue_name();
  const TimePoint began = now();
  for (int i = 0; i < 150; ++i) {
    service::TimerSpec spec;
    spec.name = "t" + std::to_string(i);
    spec.after = 300ms;
    ASSERT_EQ(run(timers->set(queue, spec, {})).status(), Status());
  }
  service::TimerSpec doomed;
  doomed.name = "doomed";
  doomed.after = 0s;
  doomed.attempts_max = 1;
  ASSERT_EQ(run(timers->set(queue, doomed, {})).status(), Status());
  std::set<std::string> names;
  while (names.size() < 151) {
    for (auto& consumer : {timers, others}) {
      const auto due = run(consumer->claim(queue, {64, 60s, 2s}, {})).value();
      std::vector<TimerSettlement> settlements;
      for (const TimerDelivery& one : due) {
        EXPECT_TRUE(names.insert(one.name).second) << one.name << " came twice";
        if (one.name != "doomed") EXPECT_GE(now() - began, 300ms);
        const bool ack = one.name != "doomed";
        settlements.push_back({ack ? TimerSettlement::Kind::ack : TimerSettlement::Kind::give_back, one.name,
                               one.token, Duration{}});
      }
      if (settlements.empty()) continue;
      for (const auto& settled : run(consumer->settle(queue, settlements, {})).value()) {
        EXPECT_EQ(settled.status, Status());
      }
    }
  }
  EXPECT_TRUE(run(timers->claim(queue, {64, 60s, 3s}, {})).value().empty());
  const auto dead = run(timers->dead(queue, 10, {})).value();
  ASSERT_EQ(dead.size(), 1U);
  EXPECT_EQ(dead[0].name, "doomed");
  EXPECT_EQ(run(timers->drop_dead(queue, "doomed", {})), Status());
  stop(driver);
}

TEST_P(DataOnServers, ARecurringTimerGoesOnUntilItIsCancelled) {
  Client& somebody = client();
  auto driver = make<service::TimerDriver>(somebody.context());
  auto timers = make<service::Timers>(somebody.context());
  const std::string queue = queue_name();
  service::TimerSpec spec;
  spec.name = "every second";
  spec.cron = "* * * * * *";
  spec.zone = "Europe/Berlin";
  spec.missed = MissedRuns::all;
  ASSERT_EQ(run(timers->set(queue, spec, {})).status(), Status());
  std::optional<Duration> last;
  for (int runs = 0; runs < 3; ++runs) {
    const auto due = run(timers->claim(queue, {64, 60s, 20s}, {})).value();
    ASSERT_EQ(due.size(), 1U);
    if (last.has_value()) EXPECT_EQ(*due[0].wall, *last + 1s);
    last = due[0].wall;
    const auto extended =
        run(timers->settle(queue, {{TimerSettlement::Kind::extend, due[0].name, due[0].token, 50s}}, {}))
            .value();
    ASSERT_EQ(extended[0].status, Status());
    const auto settled =
        run(timers->settle(queue, {{TimerSettlement::Kind::ack, due[0].name, extended[0].token, {}}}, {}))
            .value();
    EXPECT_EQ(settled[0].status, Status());
  }
  EXPECT_EQ(run(timers->cancel(queue, spec.name, {})), Status());
  EXPECT_EQ(run(timers->show(queue, spec.name, {})).status(), service::errors::timer_not_found());
  stop(driver);
}

INSTANTIATE_TEST_SUITE_P(Servers, DataOnServers, ::testing::ValuesIn(all_servers()),
                         [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace lockstep::service_test
