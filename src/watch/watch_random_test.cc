#include <algorithm>
#include <set>

#include <gtest/gtest.h>

#include "base/prng.h"
#include "base/testing_rounds.h"
#include "watch/interval_tree.h"
#include "watch/random_run.h"

namespace lockstep::watch::testing {
namespace {

TEST(WatchRandom, KeepsEveryPromiseInManyLives) {
  RunResult total;
  for (std::uint64_t seed = 1; seed <= rounds(20); ++seed) {
    const RunResult result = random_run(seed);
    ASSERT_TRUE(result.violations.empty()) << "seed " << seed << ": " << result.violations.front();
    total.events += result.events;
    total.answers_fragmented += result.answers_fragmented;
    total.cancelled_compacted += result.cancelled_compacted;
    total.resumed += result.resumed;
    total.parked += result.parked;
    total.effects_scanned += result.effects_scanned;
    total.read_from_disk += result.read_from_disk;
  }
  EXPECT_GT(total.events, 50'000u);
  EXPECT_GT(total.answers_fragmented, 100u);
  EXPECT_GT(total.cancelled_compacted, 50u);
  EXPECT_GT(total.resumed, 100u);
  EXPECT_GT(total.parked, 10u);
  EXPECT_GT(total.effects_scanned, 50'000u);
  EXPECT_GT(total.read_from_disk, 500u);
}

// The tree against a list, over short keys so that ends and beginnings meet.
TEST(IntervalTree, AgreesWithAListUnderRandomUse) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    Prng prng(seed);
    const auto key = [&] {
      std::string bytes;
      for (std::uint64_t length = prng.below(4); length > 0; --length)
        bytes += static_cast<char>('a' + prng.below(3));
      return bytes;
    };
    IntervalTree tree;
    std::vector<std::unique_ptr<Watcher>> inserted;
    for (std::uint64_t step = 1; step <= 2000; ++step) {
      if (prng.chance(3, 5)) {
        auto watcher = std::make_unique<Watcher>();
        watcher->id = WatcherId(step);
        watcher->request.key = key();
        watcher->request.range_end =
            prng.chance(1, 5) ? std::string(1, '\0') : watcher->request.key + "a" + key();
        tree.insert(*watcher);
        inserted.push_back(std::move(watcher));
      } else if (!inserted.empty()) {
        const auto victim = inserted.begin() + static_cast<std::ptrdiff_t>(prng.below(inserted.size()));
        tree.erase(**victim);
        inserted.erase(victim);
      }
      const std::string wanted = key();
      std::vector<WatcherId> found;
      tree.visit_containing(wanted, [&](Watcher& watcher) { found.push_back(watcher.id); });
      std::vector<std::pair<std::string, WatcherId>> expected;
      for (const auto& watcher : inserted) {
        const bool unbounded = watcher->request.range_end == std::string(1, '\0');
        if (watcher->request.key <= wanted && (unbounded || wanted < watcher->request.range_end))
          expected.emplace_back(watcher->request.key, watcher->id);
      }
      std::ranges::sort(expected);
      ASSERT_EQ(found.size(), expected.size());
      for (std::size_t index = 0; index < found.size(); ++index)
        ASSERT_EQ(found[index], expected[index].second);
      ASSERT_EQ(tree.size(), inserted.size());
    }
  }
}

}  // namespace
}  // namespace lockstep::watch::testing
