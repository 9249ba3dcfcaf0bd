#include "sim/event_queue.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/prng.h"

namespace lockstep::sim {
namespace {

constexpr EventQueue::Time forever = std::numeric_limits<EventQueue::Time>::max();

// Runs everything, as the world does.
void drain(EventQueue& queue) {
  EventQueue::Time time = 0;
  std::uint32_t slot = 0;
  while (queue.take(forever, &time, &slot)) {
    env::Closure closure = std::exchange(queue.at(slot).closure, nullptr);
    queue.release(slot);
    closure();
  }
}

TEST(EventQueue, RunsByTimeAndTiesByInsertion) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Prng prng(seed);
    EventQueue queue;
    std::vector<std::pair<std::int64_t, int>> expected;
    std::vector<std::pair<std::int64_t, int>> seen;
    for (int i = 0; i < 500; ++i) {
      const auto time = static_cast<std::int64_t>(prng.below(50));
      expected.emplace_back(time, i);
      queue.add(time, EventKind::control, no_owner, [&seen, time, i] { seen.emplace_back(time, i); });
    }
    std::ranges::sort(expected);
    drain(queue);
    EXPECT_EQ(seen, expected);
  }
}

TEST(EventQueue, TakesNothingAfterTheGivenMoment) {
  EventQueue queue;
  queue.add(10, EventKind::control, no_owner, [] {});
  EventQueue::Time time = 0;
  std::uint32_t slot = 0;
  EXPECT_FALSE(queue.take(9, &time, &slot));
  EXPECT_TRUE(queue.take(10, &time, &slot));
  EXPECT_EQ(time, 10);
}

TEST(EventQueue, ACancelledEventNeverRunsAndItsHandleIsNotReused) {
  EventQueue queue;
  int runs = 0;
  const EventQueue::Handle first = queue.add(1, EventKind::timer, 0, [&runs] { ++runs; });
  queue.cancel(first);
  drain(queue);
  EXPECT_EQ(runs, 0);
  const EventQueue::Handle second = queue.add(2, EventKind::timer, 0, [&runs] { ++runs; });
  EXPECT_NE(first, second);
  queue.cancel(first);  // names nothing any more, although the slot is in use again
  drain(queue);
  EXPECT_EQ(runs, 1);
}

TEST(EventQueue, TheClosuresOfOneOwnerAreTakenOutTogether) {
  EventQueue queue;
  std::vector<int> ran;
  for (int i = 0; i < 10; ++i) {
    queue.add(i, EventKind::strand, static_cast<Owner>(i % 2), [&ran, i] { ran.push_back(i); });
  }
  EXPECT_EQ(queue.take_closures_of(1).size(), 5u);
  drain(queue);
  EXPECT_EQ(ran, (std::vector<int>{0, 2, 4, 6, 8}));
}

}  // namespace
}  // namespace lockstep::sim
