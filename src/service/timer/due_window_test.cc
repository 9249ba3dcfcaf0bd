#include "service/timer/due_window.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "service/testing/unruly_store.h"

namespace lockstep::service {
namespace {

using namespace testing;

// What is due, and who looks for it.
class Queue {
 public:
  using Claimed = std::vector<std::string>;

  void add(std::int64_t due_ms, const std::string& name) { entries_.emplace(due_ms, name); }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }

  // What a claimer would try to take: names in the order of their times; empty: nothing is due.
  Claimed look(DueWindow& window, TimePoint now, std::int64_t now_ms, std::size_t wanted,
               env::Random& random) const {
    while (true) {
      const DueWindow::Range range = window.next(now);
      const auto begin = entries_.lower_bound(range.begin_ms);
      const auto end = entries_.lower_bound(range.end_ms);
      std::vector<std::string_view> names;
      std::int64_t last_ms = 0;
      for (auto entry = begin; entry != end && names.size() < range.entries_max; ++entry) {
        names.push_back(entry->second);
        last_ms = entry->first;
      }
      if (names.empty()) {
        if (!window.found_nothing(range, now_ms)) return {};
        continue;
      }
      window.found(begin->first, last_ms, std::distance(begin, end));
      const std::vector<bool> chosen = window.choose(names, wanted, random);
      Claimed result;
      for (std::size_t i = 0; i < names.size() && result.size() < wanted; ++i) {
        if (chosen[i]) result.emplace_back(names[i]);
      }
      return result;
    }
  }
  std::size_t take(const Claimed& names) {
    std::size_t got = 0;
    for (const std::string& name : names) {
      got += std::erase_if(entries_, [&](const auto& entry) { return entry.second == name; });
    }
    return got;
  }

 private:
  std::multimap<std::int64_t, std::string> entries_;
};

TEST(DueWindow, WhatIsDueIsClaimedInTheOrderOfItsTimes) {
  SeededRandom random;
  DueWindow window;
  Queue queue;
  for (int i = 0; i < 1000; ++i) {
    queue.add(1'000'000 + i * 7 % 100 * 40 + i / 100, "t" + std::to_string(i));
  }
  Queue::Claimed all;
  std::int64_t now_ms = 1'000'500;
  for (TimePoint now{}; queue.size() > 0; now += 1ms, now_ms += 3) {
    const Queue::Claimed names = queue.look(window, now, now_ms, timers_per_claim, random);
    const std::size_t got = queue.take(names);
    EXPECT_EQ(got, names.size());
    window.claimed(got, names.size(), 0, random);
    all.insert(all.end(), names.begin(), names.end());
    ASSERT_LT(now_ms, 1'100'000);
  }
  EXPECT_EQ(all.size(), 1000U);
  EXPECT_EQ(window.parts(), 1U) << "nobody else claims";
}

TEST(DueWindow, WhatWasClaimedIsNotLookedAtAgainButNothingIsOverlooked) {
  SeededRandom random;
  DueWindow window;
  Queue queue;
  TimePoint now{};
  constexpr std::int64_t now_ms = 1'000'000;
  for (int i = 0; i < 1000; ++i) queue.add(1000 + i, "t" + std::to_string(i));
  const auto claim = [&] {
    const Queue::Claimed names = queue.look(window, now, now_ms, timers_per_claim, random);
    window.claimed(queue.take(names), names.size(), 0, random);
    return names.empty() ? "" : names.front();
  };
  EXPECT_EQ(claim(), "t0");
  EXPECT_EQ(claim(), "t64");
  EXPECT_EQ(window.next(now).begin_ms, 1064);
  queue.add(500, "late");  // its transaction took long
  EXPECT_EQ(claim(), "t128");
  now += DueWindow::look_at_all_interval;
  EXPECT_EQ(claim(), "late");
  queue.add(400, "last");
  for (int i = 0; i < 20 && queue.size() > 1; ++i) EXPECT_NE(claim(), "last");
  EXPECT_EQ(claim(), "last") << "before anybody is told that nothing is due";
  EXPECT_EQ(claim(), "");
}

TEST(DueWindow, OfManyDueOnlySomeAreInTheWindow) {
  SeededRandom random;
  DueWindow window;
  Queue queue;
  for (int i = 0; i < 100'000; ++i) queue.add(1000 + i / 10, "t" + std::to_string(i));
  EXPECT_EQ(queue.look(window, TimePoint{}, 1'000'000, timers_per_claim, random).front(), "t0");
  EXPECT_EQ(window.next(TimePoint{}).end_ms, 1007);
}

// Several look at the same moment, then each tries to take what it saw.
std::size_t claimed_in_rounds(Queue& queue, std::vector<DueWindow>& windows, int rounds, std::size_t bytes,
                              env::Random& random) {
  std::size_t sum = 0;
  for (int round = 0; round < rounds; ++round) {
    std::vector<Queue::Claimed> wanted;
    for (DueWindow& window : windows) {
      wanted.push_back(queue.look(window, TimePoint{}, 1'000'000, timers_per_claim, random));
    }
    for (std::size_t i = 0; i < windows.size(); ++i) {
      const std::size_t got = queue.take(wanted[i]);
      windows[i].claimed(got, wanted[i].size(), bytes, random);
      sum += got;
    }
  }
  return sum;
}

TEST(DueWindow, SeveralClaimersAreSoonInNobodysWayAndTakeEverything) {
  SeededRandom random;
  Queue queue;
  for (int i = 0; i < 10'000; ++i) queue.add(1000 + i, "t" + std::to_string(i));
  std::vector<DueWindow> windows(4);
  EXPECT_EQ(claimed_in_rounds(queue, windows, 1, 0, random), timers_per_claim) << "all saw the same";
  claimed_in_rounds(queue, windows, 9, 0, random);
  EXPECT_GT(claimed_in_rounds(queue, windows, 20, 0, random), 20 * 4 * timers_per_claim / 2);
  std::vector<DueWindow> alone = {windows[0]};
  int rounds = 0;
  for (; queue.size() > 0; ++rounds) {
    ASSERT_LT(rounds, 1000);
    claimed_in_rounds(queue, alone, 1, 0, random);
  }
  EXPECT_EQ(alone[0].parts(), 1U) << "whoever is alone takes all";
}

// One that asks without patience looks beside one that waits.
TEST(DueWindow, ALookAtAllThatAnotherClaimBeganIsNotOnesOwn) {
  SeededRandom random;
  DueWindow window;
  Queue queue;
  queue.add(1000, "first");
  TimePoint now{};
  EXPECT_EQ(queue.look(window, now, 2000, 1, random), Queue::Claimed{"first"});
  queue.take({"first"});
  EXPECT_TRUE(queue.look(window, now, 2000, 1, random).empty());
  now += DueWindow::look_at_all_interval / 2;
  EXPECT_EQ(window.next(now).begin_ms, 0);
  window.found(1000, 1000, 1);
  const DueWindow::Range narrow = window.next(now);
  ASSERT_GT(narrow.begin_ms, 0);
  now += DueWindow::look_at_all_interval;
  const DueWindow::Range all = window.next(now);
  ASSERT_EQ(all.begin_ms, 0);
  EXPECT_TRUE(window.found_nothing(narrow, 2000)) << "its own look was not at all of it";
  EXPECT_FALSE(window.found_nothing(all, 2000));
}

TEST(DueWindow, PartsThatGrewBecomeFewerWhenPayloadsAreLong) {
  SeededRandom random;
  Queue queue;
  for (int i = 0; i < 20'000; ++i) queue.add(1000 + i, "t" + std::to_string(i));
  std::vector<DueWindow> windows(4);
  claimed_in_rounds(queue, windows, 20, 0, random);
  EXPECT_GT(std::ranges::max(windows, {}, &DueWindow::parts).parts(), 1U);
  claimed_in_rounds(queue, windows, 4, DueWindow::bytes_read_max + 1, random);
  for (const DueWindow& window : windows) EXPECT_EQ(window.parts(), 1U);
}

TEST(DueWindow, LongPayloadsAreNotReadForOthers) {
  SeededRandom random;
  Queue queue;
  for (int i = 0; i < 10'000; ++i) queue.add(1000 + i, "t" + std::to_string(i));
  std::vector<DueWindow> windows(3);
  claimed_in_rounds(queue, windows, 20, DueWindow::bytes_read_max + 1, random);
  for (const DueWindow& window : windows) EXPECT_EQ(window.parts(), 1U);
}

}  // namespace
}  // namespace lockstep::service
