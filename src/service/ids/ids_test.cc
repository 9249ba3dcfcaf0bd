// Unique numbers: their shape, and that none comes twice.
#include "service/ids/ids.h"

#include <memory>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "service/names.h"
#include "service/testing/unruly_store.h"
#include "service/testing/watched_store.h"
#include "store/awaitable.h"

namespace lockstep::service {
namespace {

using testing::ProcessClock;
using testing::Running;
using testing::SeededRandom;
using testing::UnrulyWorld;
using testing::WatchedStore;
using Numbers = Result<std::vector<std::uint64_t>>;

class IdsTest : public ::testing::Test {
 protected:
  Numbers next(Ids& ids, std::size_t count, const std::string& name = "n") {
    Running<Numbers> running(ids.next(name, count, {}));
    advance(1s);
    return running.result();
  }
  void advance(Duration by) {
    store.strand.run();
    for (Duration gone{}; gone < by; gone += 10ms) {
      store.strand.advance(10ms);
      store.strand.run();
    }
  }
  void hold_workers(std::uint64_t from, std::uint64_t end) {
    for (std::uint64_t number = from; number < end; ++number) {
      store::PutRequest put;
      put.key = "lockstep/ids/n/worker/" + std::string(4 - std::to_string(number).size(), '0') +
                std::to_string(number);
      Running<Result<store::PutResponse>> done(store::awaitable::put(store, put));
    }
  }

  WatchedStore store;
  SeededRandom random;
  ProcessClock clock{store.strand};
  Context context{store, store.strand, clock, random};
};

TEST_F(IdsTest, NumbersCarryTimeAndWorkerAndGrow) {
  Ids ids(context);
  const std::vector<std::uint64_t> numbers = *next(ids, 10'000);
  const IdParts first = split_id(numbers[0]);
  EXPECT_EQ(first.wall, ProcessClock::epoch);
  for (std::size_t i = 1; i < numbers.size(); ++i) {
    EXPECT_GT(numbers[i], numbers[i - 1]);
    EXPECT_EQ(split_id(numbers[i]).worker, first.worker);
  }
  EXPECT_EQ(numbers[0] >> 63, 0U);
  EXPECT_EQ(split_id(numbers[4096]).wall, first.wall + 1ms) << "4096 of a millisecond";
}

TEST_F(IdsTest, ManyNumbersCostFewTransactions) {
  Ids ids(context);
  ASSERT_TRUE(next(ids, 1).ok());
  const int txns = store.txns;
  for (int i = 0; i < 1000; ++i) {
    Running<Numbers> running(ids.next("n", 10, {}));
    ASSERT_FALSE(running.waits());
  }
  EXPECT_LE(store.txns, txns + 1);
}

TEST_F(IdsTest, TwoGeneratorsHaveTwoWorkers) {
  Ids one(context);
  Ids two(context);
  EXPECT_NE(split_id((*next(one, 1))[0]).worker, split_id((*next(two, 1))[0]).worker);
}

TEST_F(IdsTest, AWallClockThatJumpsBackMakesNoNumberSmaller) {
  Ids ids(context);
  const std::uint64_t before = (*next(ids, 1))[0];
  clock.wall_jump = -24h;
  const std::uint64_t after = (*next(ids, 1))[0];
  EXPECT_GT(after, before);
  advance(100s);
  EXPECT_GT((*next(ids, 1))[0], after) << "with another lease, too";
}

TEST_F(IdsTest, WhoGetsAUsedWorkerNumberBeginsAboveAllItEverHad) {
  hold_workers(1, 1024);
  clock.wall_jump = 24h;
  std::uint64_t before = 0;
  {
    Ids ahead(context);
    before = (*next(ahead, 1))[0];
  }
  EXPECT_EQ(split_id(before).worker, 0U);
  clock.wall_jump = {};
  Ids ids(context);
  EXPECT_EQ(next(ids, 1).status(), errors::ids_no_worker()) << "the lease of the one that went has not ended";
  advance(70s);
  const std::uint64_t after = (*next(ids, 1))[0];
  EXPECT_EQ(split_id(after).worker, 0U);
  EXPECT_GT(after, before);
}

TEST_F(IdsTest, WhatIsAskedIsChecked) {
  Ids ids(context);
  EXPECT_EQ(next(ids, 0).status(), errors::ids_count_wrong());
  EXPECT_EQ(next(ids, ids_at_once_max + 1).status(), errors::ids_count_wrong());
  EXPECT_EQ(next(ids, 1, "").status(), errors::name_empty());
  clock.wall_jump = std::chrono::hours(24 * 365 * 70);
  EXPECT_EQ(next(ids, 1).status(), errors::ids_time_over());
}

TEST_F(IdsTest, ADamagedFloorIsNoFloor) {
  hold_workers(1, 1024);
  for (const std::string bad : {"", "x", "-1", "1x", "2199023255552"}) {
    store::PutRequest put;
    put.key = "lockstep/ids/n/floor/0000";
    put.value = bad;
    Running<Result<store::PutResponse>> done(store::awaitable::put(store, put));
    Ids ids(context);
    EXPECT_EQ(next(ids, 1).status(), errors::ids_floor_damaged()) << bad;
    advance(70s);
  }
}

TEST_F(IdsTest, ANumberWhoseTimeIsOverOrWhoseFloorIsDamagedIsPassedOver) {
  hold_workers(3, 1024);
  for (const auto& [number, floor] : {std::pair("0000", "2199023255551"), std::pair("0001", "x")}) {
    store::PutRequest put;
    put.key = "lockstep/ids/n/floor/" + std::string(number);
    put.value = floor;
    Running<Result<store::PutResponse>> done(store::awaitable::put(store, put));
  }
  for (int i = 0; i < 10; ++i) {
    auto ids = std::make_unique<Ids>(context);
    const Numbers numbers = next(*ids, 1);
    ASSERT_TRUE(numbers.ok()) << numbers.status().to_string();
    EXPECT_EQ(split_id(numbers->front()).worker, 2U);
    ids.reset();
    advance(70s);
  }
}

TEST_F(IdsTest, AClockThatShowsNonsenseForAMomentIsForgotten) {
  Ids ids(context);
  const Numbers before = next(ids, 1);
  clock.wall_jump = std::chrono::hours(24 * 365 * 70);
  EXPECT_EQ(next(ids, 1).status(), errors::ids_time_over());
  clock.wall_jump = {};
  const Numbers after = next(ids, 1);
  ASSERT_TRUE(after.ok()) << after.status().to_string();
  EXPECT_GT(after->front(), before->front());
  EXPECT_LT(split_id(after->front()).wall, ProcessClock::epoch + 1h);
}

TEST_F(IdsTest, GoingAwayAnswersWhoeverWaits) {
  UnrulyWorld world(1);
  const auto process = world.process();
  process->store.unruliness = {.refused_percent = 0, .unknown_percent = 0};
  auto ids = std::make_unique<Ids>(world.context(*process));
  Running<Numbers> waiting(ids->next("n", 1, {}));
  EXPECT_TRUE(waiting.waits());
  ids.reset();
  EXPECT_EQ(waiting.result().status(), errors::ids_closed());
  world.advance(1s);
}

TEST_F(IdsTest, EveryFaultOfEveryCallLeavesThemUnique) {
  for (const auto fault : {WatchedStore::Fault::refused, WatchedStore::Fault::unknown_done,
                           WatchedStore::Fault::unknown_not_done}) {
    for (std::size_t call = 0; call < 12; ++call) {
      Ids ids(context);
      store.fail_call(call, fault);
      std::uint64_t last = 0;
      for (int i = 0; i < 4; ++i) {
        const Numbers numbers = next(ids, 3);
        if (!numbers.ok()) continue;
        EXPECT_GT(numbers->front(), last);
        last = numbers->back();
      }
      EXPECT_GT(last, 0U);
    }
  }
}

Task<void> draw(Ids& ids, std::size_t count, std::set<std::uint64_t>& all, std::uint64_t& last) {
  const Numbers numbers = co_await ids.next("n", count, {});
  if (!numbers.ok()) co_return;
  for (const std::uint64_t number : *numbers) {
    EXPECT_TRUE(all.insert(number).second) << number << " came twice";
    last = std::max(last, number);
  }
}

// Three processes that crash, start again, sleep past their leases, and have mad clocks, on two worker
// numbers.
TEST(IdsInABadWorld, NoNumberComesTwice) {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    UnrulyWorld world(seed);
    for (int number = 2; number < 1024; ++number) {
      store::PutRequest put;
      put.key = "lockstep/ids/n/worker/" + std::string(4 - std::to_string(number).size(), '0') +
                std::to_string(number);
      world.memory.put(put, {}, [](const Result<store::PutResponse>& done) { LS_MUST(done.ok()); });
    }
    std::vector<std::unique_ptr<UnrulyWorld::Process>> processes;
    std::vector<std::unique_ptr<Ids>> ids;
    for (int i = 0; i < 3; ++i) {
      processes.push_back(world.process());
      ids.push_back(std::make_unique<Ids>(world.context(*processes.back())));
    }
    std::set<std::uint64_t> all;
    std::uint64_t last = 0;
    for (int i = 0; i < 150; ++i) {
      const std::size_t who = world.prng.below(3);
      draw(*ids[who], 1 + world.prng.below(50), all, last).detach();
      world.advance(std::chrono::milliseconds(world.prng.below(300)), 5ms);
      if (world.prng.chance(1, 20)) ids[who] = std::make_unique<Ids>(world.context(*processes[who]));
      if (world.prng.chance(1, 15)) world.advance(70s, 1s);
      if (world.prng.chance(1, 10)) {
        processes[who]->clock.wall_jump =
            1ms * (static_cast<std::int64_t>(world.prng.below(20'000)) - 10'000);
      }
    }
    world.advance(100s, 50ms);
    EXPECT_GT(all.size(), 500U);
  }
}

}  // namespace
}  // namespace lockstep::service
