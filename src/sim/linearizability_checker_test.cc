#include "sim/linearizability_checker.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/prng.h"
#include "sim/history_builder.h"

namespace lockstep::sim {
namespace {

using Kind = RegisterOperation::Kind;
constexpr std::uint64_t plenty = 1'000'000;

RegisterOperation write(std::int64_t from, std::int64_t to, std::uint32_t value) {
  RegisterOperation operation;
  operation.kind = Kind::write;
  operation.value = value;
  operation.invoked_ns = from;
  operation.returned_ns = to;
  operation.answered = to != never_ns;
  return operation;
}
RegisterOperation read(std::int64_t from, std::int64_t to, std::uint32_t value) {
  RegisterOperation operation = write(from, to, value);
  operation.kind = Kind::read;
  return operation;
}
RegisterOperation swap(std::int64_t from, std::int64_t to, std::uint32_t expected, std::uint32_t value,
                       bool succeeded) {
  RegisterOperation operation = write(from, to, value);
  operation.kind = Kind::swap;
  operation.expected = expected;
  operation.succeeded = succeeded;
  return operation;
}
RegisterOperation remove(std::int64_t from, std::int64_t to, bool succeeded) {
  RegisterOperation operation = write(from, to, 0);
  operation.kind = Kind::remove;
  operation.succeeded = succeeded;
  return operation;
}

struct Row {
  const char* what;
  std::vector<RegisterOperation> history;
  Linearizability expected;
};

TEST(Linearizability, KnownHistories) {
  const Linearizability yes = Linearizability::yes;
  const Linearizability no = Linearizability::no;
  const std::vector<Row> rows = {
      {"empty", {}, yes},
      {"read after write", {write(1, 2, 7), read(3, 4, 7)}, yes},
      {"absent at first", {read(1, 2, 0), write(3, 4, 7)}, yes},
      {"stale read", {write(1, 2, 7), write(3, 4, 8), read(5, 6, 7)}, no},
      {"read of nothing written", {write(1, 2, 7), read(3, 4, 9)}, no},
      {"concurrent read sees old", {write(1, 2, 7), write(3, 9, 8), read(4, 5, 7)}, yes},
      {"concurrent read sees new", {write(1, 2, 7), write(3, 9, 8), read(4, 5, 8)}, yes},
      {"new, then old", {write(1, 2, 7), write(3, 9, 8), read(4, 5, 8), read(6, 7, 7)}, no},
      {"unknown write seen late", {write(1, never_ns, 7), read(2, 3, 0), read(4, 5, 7)}, yes},
      {"unknown write seen, then gone", {write(1, never_ns, 7), read(2, 3, 7), read(4, 5, 0)}, no},
      {"unknown write never seen", {write(1, 2, 6), write(3, never_ns, 7), read(4, 5, 6)}, yes},
      {"unknown write seen before it began", {read(1, 2, 7), write(3, never_ns, 7)}, no},
      {"swap", {write(1, 2, 7), swap(3, 4, 7, 8, true), read(5, 6, 8)}, yes},
      {"two swaps from one value", {write(1, 2, 7), swap(3, 9, 7, 8, true), swap(3, 9, 7, 10, true)}, no},
      {"swap that should not fail", {write(1, 2, 7), swap(3, 4, 7, 8, false)}, no},
      {"swap fails because of an unknown write",
       {write(1, 2, 7), write(3, never_ns, 9), swap(4, 5, 7, 8, false)},
       yes},
      {"removal", {write(1, 2, 7), remove(3, 4, true), read(5, 6, 0), remove(7, 8, false)}, yes},
      {"removal of nothing", {remove(1, 2, true)}, no},
      {"removal explained by an unknown write", {write(1, never_ns, 7), remove(2, 3, true)}, yes},
      {"unknown removal", {write(1, 2, 7), remove(3, never_ns, false), read(4, 5, 7), read(6, 7, 0)}, yes},
  };
  for (const Row& row : rows) EXPECT_EQ(is_linearizable(row.history, plenty), row.expected) << row.what;
}

// Tries every order: slow, and so plain that it can be trusted.
bool linearizable_by_force(const std::vector<RegisterOperation>& history) {
  const std::size_t count = history.size();
  // Unknown operations may be left out: try every subset of them.
  for (std::uint32_t left_out = 0; left_out < (1u << count); ++left_out) {
    std::vector<std::size_t> order;
    bool possible = true;
    for (std::size_t i = 0; i < count; ++i) {
      const bool out = ((left_out >> i) & 1) != 0;
      if (out && history[i].answered) possible = false;
      if (!out) order.push_back(i);
    }
    if (!possible) continue;
    do {
      bool fine = true;
      std::uint32_t state = 0;
      for (std::size_t i = 0; i < order.size() && fine; ++i) {
        const RegisterOperation& operation = history[order[i]];
        for (std::size_t j = i + 1; j < order.size(); ++j) {
          if (history[order[j]].answered && history[order[j]].returned_ns < operation.invoked_ns)
            fine = false;
        }
        switch (operation.kind) {
          case Kind::write:
            state = operation.value;
            break;
          case Kind::read:
            fine = fine && (!operation.answered || operation.value == state);
            break;
          case Kind::remove:
            fine = fine && (!operation.answered || operation.succeeded == (state != 0));
            state = 0;
            break;
          case Kind::swap: {
            const bool hit = state != 0 && state == operation.expected;
            fine = fine && (!operation.answered || operation.succeeded == hit);
            if (hit) state = operation.value;
            break;
          }
        }
      }
      if (fine) return true;
    } while (std::next_permutation(order.begin(), order.end()));
  }
  return false;
}

TEST(Linearizability, AgreesWithTryingEveryOrder) {
  int yes = 0;
  int no = 0;
  for (std::uint64_t seed = 1; seed <= 3000; ++seed) {
    Prng prng(seed);
    std::vector<RegisterOperation> history;
    const std::uint64_t count = prng.between(2, 6);
    for (std::uint64_t i = 0; i < count; ++i) {
      const auto from = static_cast<std::int64_t>(prng.below(12));
      const bool unknown = prng.chance(1, 5);
      const std::int64_t to = unknown ? never_ns : from + 1 + static_cast<std::int64_t>(prng.below(6));
      const auto value = static_cast<std::uint32_t>(prng.between(1, 3));
      switch (prng.below(4)) {
        case 0:
          history.push_back(write(from, to, value));
          break;
        case 1:
          history.push_back(read(from, unknown ? from + 3 : to, prng.chance(1, 4) ? 0 : value));
          break;
        case 2:
          history.push_back(remove(from, to, prng.chance(1, 2)));
          break;
        default:
          history.push_back(
              swap(from, to, value, static_cast<std::uint32_t>(prng.between(1, 3)), prng.chance(1, 2)));
      }
    }
    const bool expected = linearizable_by_force(history);
    (expected ? yes : no) += 1;
    ASSERT_EQ(is_linearizable(history, plenty), expected ? Linearizability::yes : Linearizability::no)
        << "seed " << seed;
  }
  EXPECT_GT(yes, 300);
  EXPECT_GT(no, 300);
}

TEST(Linearizability, WithoutBudgetItDoesNotSayYes) {
  std::vector<RegisterOperation> history;
  for (std::uint32_t i = 1; i <= 30; ++i) history.push_back(write(1, 100, i));
  history.push_back(read(200, 201, 99));
  EXPECT_EQ(is_linearizable(history, 1000), Linearizability::undecided);
}

TEST(Linearizability, LongHistoriesWithFewUnknownsAreQuick) {
  Prng prng(1);
  std::vector<RegisterOperation> history;
  std::uint32_t state = 0;
  for (std::uint32_t i = 0; i < 2000; ++i) {
    const std::int64_t from = i * 10;
    if (prng.chance(1, 50)) {
      history.push_back(write(from, never_ns, 10'000 + i));
    } else if (prng.chance(1, 2)) {
      state = i + 1;
      history.push_back(write(from, from + 9, state));
    } else {
      history.push_back(read(from, from + 9, state));
    }
  }
  std::uint64_t steps = 0;
  EXPECT_EQ(is_linearizable(history, plenty, &steps), Linearizability::yes);
  EXPECT_LT(steps, 10'000u);
}

TEST(LinearizabilityChecker, FindsAStaleReadOfARegisterAndLeavesOtherKeysAlone) {
  for (const char* key : {"r/1", "other"}) {
    HistoryBuilder h;
    h.put(1, 10, 20, key, "1:a", 2);
    h.put(2, 30, 40, key, "2:b", 3);
    h.get(3, 50, 60, key, {HistoryBuilder::kv(key, "1:a", 2, 2, 1)}, 2);
    LinearizabilityChecker checker("r/");
    const Violations violations = checker.check(h.history);
    EXPECT_EQ(violations.empty(), std::string(key) == "other");
    if (!violations.empty()) EXPECT_THAT(violations[0].text, ::testing::HasSubstr("not linearizable"));
  }
}

TEST(LinearizabilityChecker, AnUnknownWriteHappenedBeforeItsEffectWasSeenOrNever) {
  const auto verdict = [](std::int64_t seen_ns, std::int64_t read_ns, std::string value) {
    HistoryBuilder h;
    h.put(1, 10, 20, "r/1", "1:a", 2);
    h.put(2, 30, never_ns, "r/1", "2:b", 0);
    h.effect_put(2, "r/1", "1:a");
    if (seen_ns != 0) {
      h.effect_put(3, "r/1", "2:b");
      h.history.effects.back().first_seen_ns = seen_ns;
    }
    h.get(3, read_ns, read_ns + 1, "r/1", {HistoryBuilder::kv("r/1", std::move(value), 2, 2, 1)}, 2);
    return LinearizabilityChecker("r/").check(h.history).empty();
  };
  EXPECT_TRUE(verdict(100, 50, "1:a"));
  EXPECT_TRUE(verdict(100, 50, "2:b"));
  EXPECT_TRUE(verdict(100, 150, "2:b"));
  EXPECT_FALSE(verdict(100, 150, "1:a"));
  EXPECT_TRUE(verdict(0, 150, "1:a"));
  EXPECT_FALSE(verdict(0, 150, "2:b")) << "a phantom";
}

TEST(LinearizabilityChecker, FailsWhenTheBudgetRunsOut) {
  HistoryBuilder h;
  for (std::uint64_t i = 1; i <= 30; ++i) h.put(i, 10, 200, "r/1", std::to_string(i) + ":v", 2);
  h.get(40, 300, 310, "r/1", {HistoryBuilder::kv("r/1", "nothing", 2, 2, 1)}, 2);
  LinearizabilityChecker checker("r/", 1000);
  const Violations violations = checker.check(h.history);
  ASSERT_EQ(violations.size(), 1u);
  EXPECT_THAT(violations[0].text, ::testing::HasSubstr("budget"));
}

// Found by seed 139: every unknown write doubled the search.
TEST(IsLinearizable, UnansweredWritesThatNobodySawCostNothing) {
  std::vector<RegisterOperation> operations;
  for (std::uint32_t number = 1; number <= 40; ++number) {
    RegisterOperation write;
    write.kind = RegisterOperation::Kind::write;
    write.value = number;
    write.answered = false;
    write.invoked_ns = number;
    operations.push_back(write);
  }
  for (std::int64_t at = 100; at < 140; ++at) {
    RegisterOperation read;
    read.invoked_ns = at * 10;
    read.returned_ns = at * 10 + 5;
    operations.push_back(read);  // sees nothing
  }
  std::uint64_t steps = 0;
  EXPECT_EQ(is_linearizable(operations, 1000, &steps), Linearizability::yes);
  EXPECT_LT(steps, 1000u);
}

TEST(IsLinearizable, AnUnseenWriteMayStillBeWhyARemovalFoundSomething) {
  RegisterOperation write;
  write.kind = RegisterOperation::Kind::write;
  write.value = 1;
  write.answered = false;
  write.invoked_ns = 1;
  RegisterOperation remove;
  remove.kind = RegisterOperation::Kind::remove;
  remove.succeeded = true;
  remove.invoked_ns = 10;
  remove.returned_ns = 20;
  EXPECT_EQ(is_linearizable({write, remove}, 1000), Linearizability::yes);
  EXPECT_EQ(is_linearizable({remove}, 1000), Linearizability::no);
}

}  // namespace
}  // namespace lockstep::sim
