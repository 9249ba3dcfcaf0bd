#include "sim/links.h"

#include <gtest/gtest.h>

namespace lockstep::sim {
namespace {

LinkOptions calm() {
  LinkOptions options;
  options.spike_ppm = 0;
  return options;
}

TEST(Links, CalmWeatherDeliversEachMessageOnceInOrderWithinTheJitter) {
  Links links(2, Prng(1), calm());
  std::int64_t last = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::int64_t now = i * 10'000;
    const Links::Delivery delivery = links.send(0, 1, 100, now);
    ASSERT_EQ(delivery.count, 1u);
    EXPECT_GE(delivery.times[0], now + links.options().delay_min_ns);
    EXPECT_GE(delivery.times[0], last);
    last = delivery.times[0];
  }
  EXPECT_EQ(links.counters().reordered, 0u);
}

TEST(Links, ACutIsOneWay) {
  Links links(3, Prng(2), calm());
  links.cut(0, 1);
  EXPECT_EQ(links.send(0, 1, 1, 0).count, 0u);
  EXPECT_EQ(links.send(1, 0, 1, 0).count, 1u);
  EXPECT_EQ(links.send(0, 2, 1, 0).count, 1u);
  links.mend(0, 1);
  EXPECT_EQ(links.send(0, 1, 1, 0).count, 1u);
  EXPECT_EQ(links.counters().cut, 1u);
}

TEST(Links, SharesOfLossAndDuplicationAreKept) {
  LinkOptions options = calm();
  options.loss_ppm = 100'000;
  options.duplicate_ppm = 50'000;
  Links links(2, Prng(3), options);
  std::uint64_t delivered = 0;
  for (int i = 0; i < 100'000; ++i) delivered += links.send(0, 1, 1, std::int64_t{i} * 1'000'000).count;
  EXPECT_NEAR(static_cast<double>(links.counters().lost), 10'000, 500);
  EXPECT_NEAR(static_cast<double>(links.counters().duplicated), 4'500, 400);
  EXPECT_EQ(delivered, 100'000 - links.counters().lost + links.counters().duplicated);
}

TEST(Links, ReorderedMessagesAreOvertaken) {
  LinkOptions options = calm();
  options.reorder_ppm = 300'000;
  Links links(2, Prng(4), options);
  std::int64_t last = 0;
  int overtaken = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::int64_t time = links.send(0, 1, 1, i * 100'000).times[0];
    if (time < last) ++overtaken;
    last = time;
  }
  EXPECT_GT(overtaken, 50);
}

TEST(Links, AClogHoldsMessagesBackUntilItsEnd) {
  Links links(2, Prng(5), calm());
  links.clog(0, 1, 5'000'000'000);
  EXPECT_EQ(links.send(0, 1, 1, 1'000'000).times[0], 5'000'000'000);
  EXPECT_GT(links.send(0, 1, 1, 6'000'000'000).times[0], 6'000'000'000);
}

TEST(Links, BandwidthDelaysAndTheQueueIsBounded) {
  LinkOptions options = calm();
  options.jitter_ns = 0;
  options.bandwidth_bytes_per_s = 1'000'000;
  options.queue_bytes_max = 2'500'000;
  Links links(2, Prng(6), options);
  EXPECT_EQ(links.send(0, 1, 1'000'000, 0).times[0], 1'000'000'000 + options.delay_min_ns);
  EXPECT_EQ(links.send(0, 1, 1'000'000, 0).times[0], 2'000'000'000 + options.delay_min_ns);
  EXPECT_EQ(links.send(0, 1, 1'000'000, 0).count, 0u);
  EXPECT_EQ(links.counters().queue_full, 1u);
}

TEST(Links, AnEmptyQueueTakesAMessageOfAnySize) {
  LinkOptions options = calm();
  options.bandwidth_bytes_per_s = 1'000'000;
  options.queue_bytes_max = 100'000;
  Links links(2, Prng(6), options);
  EXPECT_EQ(links.send(0, 1, 1'000'000, 0).count, 1u);
  EXPECT_EQ(links.send(0, 1, 1'000'000, 0).count, 0u);
}

TEST(Links, HealEndsEverything) {
  LinkOptions options = calm();
  options.loss_ppm = 1'000'000;
  Links links(2, Prng(7), options);
  links.cut(0, 1);
  links.clog(1, 0, 1'000'000'000'000);
  links.set_slowness(1, 0, 100);
  links.heal();
  EXPECT_EQ(links.send(0, 1, 1, 0).count, 1u);
  EXPECT_LT(links.send(1, 0, 1, 0).times[0], 1'000'000);
}

}  // namespace
}  // namespace lockstep::sim
