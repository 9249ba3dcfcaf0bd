// Latches as stories.
#include "service/latch/latches.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "service/names.h"
#include "service/testing/recipe_test.h"
#include "service/waiting.h"

namespace lockstep::service {
namespace {

using testing::Running;
using testing::Strings;
using testing::WatchedStore;

class LatchesTest : public testing::RecipeTest {
 protected:
  Status make(std::int64_t of) { return run(make_latch(world.context, "l", of, {})).status(); }
  std::int64_t count(const std::string& party) {
    return run(count_down(world.context, "l", party, {})).value().count;
  }
  Running<Result<LatchState>> await(store::CallOptions options = {}) {
    Running<Result<LatchState>> awaiting(await_latch(world.context, "l", std::move(options)));
    world.settle();
    return awaiting;
  }
};

TEST_F(LatchesTest, ItOpensWhenSoManyPartiesHaveCounted) {
  EXPECT_EQ(make(3), Status());
  auto first = await();
  auto second = await();
  EXPECT_EQ(count("a"), 2);
  EXPECT_EQ(count("b"), 1);
  EXPECT_EQ(count("a"), 1) << "a party counts once";
  EXPECT_TRUE(first.waits() && second.waits());
  EXPECT_EQ(count(""), 0);
  EXPECT_TRUE(first.result().ok() && second.result().ok());
  EXPECT_EQ(await().result()->count, 0) << "open for good";
  EXPECT_EQ(count("late"), 0);
  EXPECT_EQ(value("lockstep/latches/l"), "{\"count\":0,\"of\":3}");
}

TEST_F(LatchesTest, WhoeverWaitsIsToldOfItsRemovalAndOfItsTime) {
  EXPECT_EQ(make(1), Status());
  auto waiting = await();
  std::stop_source stop;
  auto timed = await(within(1s));
  auto stopped = await(within(1h, stop.get_token()));
  world.advance(1s);
  EXPECT_EQ(timed.result().status(), errors::wait_deadline_over());
  stop.request_stop();
  world.settle();
  EXPECT_EQ(stopped.result().status(), errors::wait_cancelled());
  EXPECT_EQ(run(remove_latch(world.context, "l", {})), Status());
  EXPECT_EQ(waiting.result().status(), errors::latch_not_found());
  EXPECT_EQ(run(remove_latch(world.context, "l", {})), Status());
  EXPECT_EQ(keys(), Strings{});
}

TEST_F(LatchesTest, WrongRequestsChangeNothing) {
  EXPECT_EQ(run(make_latch(world.context, "", 1, {})).status(), errors::name_empty());
  for (const std::int64_t of : {0LL, -1LL, 10'001LL}) EXPECT_EQ(make(of), errors::latch_out_of_range());
  EXPECT_EQ(run(count_down(world.context, "l", "p", {})).status(), errors::latch_not_found());
  EXPECT_EQ(await().result().status(), errors::latch_not_found());
  EXPECT_EQ(keys(), Strings{});
  EXPECT_EQ(make(2), Status());
  EXPECT_EQ(make(2), Status());
  EXPECT_EQ(make(3), errors::latch_differs());
  for (const char* damaged : {"", "3", "{}", "{\"count\":4,\"of\":3}", "{\"count\":-1,\"of\":3}"}) {
    put("lockstep/latches/l", damaged);
    EXPECT_EQ(run(count_down(world.context, "l", "p", {})).status(), errors::latch_damaged());
    EXPECT_EQ(await().result().status(), errors::latch_damaged());
  }
}

TEST_F(LatchesTest, EveryCallMayFail) {
  for (const auto fault : {WatchedStore::Fault::refused, WatchedStore::Fault::unknown_done,
                           WatchedStore::Fault::unknown_not_done}) {
    for (std::size_t call = 0;; ++call) {
      SCOPED_TRACE("call " + std::to_string(call) + ", fault " + std::to_string(static_cast<int>(fault)));
      world.store.fail_call(call, fault);
      EXPECT_EQ(make(2), Status());
      auto waiting = await();
      world.advance(200ms);
      EXPECT_EQ(count(""), 1);
      world.advance(200ms);
      EXPECT_TRUE(waiting.waits());
      EXPECT_EQ(count(""), 0);
      world.advance(200ms);
      EXPECT_TRUE(waiting.result().ok());
      const bool failed = world.store.failed();
      EXPECT_EQ(run(remove_latch(world.context, "l", {})), Status());
      if (!failed) break;
    }
  }
}

}  // namespace
}  // namespace lockstep::service
