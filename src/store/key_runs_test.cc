// The runs that the index cuts its keys into: what they say is what a look at every key says.
#include <algorithm>
#include <cstdio>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/prng.h"
#include "store/history.h"
#include "store/index.h"
#include "store/reader.h"
#include "store/testing/machine.h"
#include "store/txn_path.h"

namespace lockstep::store {
namespace {

std::string key_of(std::size_t number) {
  char key[16];
  std::snprintf(key, sizeof key, "k%08zu", number);
  return key;
}

struct Counted {
  std::size_t live = 0;
  std::size_t visits = 0;
};

// Live nodes that have not changed after `at`, by keys alone or by runs as well.
Counted count(const Index& index, const KeyRange& range, Revision at, bool by_runs) {
  Counted counted;
  const auto visit = [&](const Node* node) {
    ++counted.visits;
    if (!node->is_tombstone() && node->mod_revision() <= at) ++counted.live;
    return true;
  };
  const auto take = [&](const KeyRun& run) {
    if (!by_runs || run.newest > at) return false;
    counted.live += run.live;
    return true;
  };
  index.visit(range, visit, take);
  return counted;
}

class KeyRuns : public ::testing::Test {
 protected:
  void put(const std::string& key) {
    ++revision;
    const std::uint64_t hash = Index::hash(key);
    const RowView row{key, "value", revision, revision, 1, {}};
    if (Node* node = index.find(key, hash)) {
      index.put(node, row, node->mod_revision());
    } else {
      index.insert(hash, row, Revision{});
    }
  }
  void bury(const std::string& key) {
    Node* node = index.find(key);
    if (node != nullptr && !node->is_tombstone()) index.bury(node, ++revision, node->mod_revision());
  }
  void erase(const std::string& key) {
    if (Node* node = index.find(key)) index.erase(node);
  }
  void expect_equal_counts(const std::string& begin, const std::string& end, Revision at) {
    const KeyRange range(begin, end);
    EXPECT_EQ(count(index, range, at, true).live, count(index, range, at, false).live)
        << "[" << begin << ", " << end << ") at " << at.value();
  }

  Index index;
  Revision revision{1};
};

TEST_F(KeyRuns, SayWhatALookAtEveryKeySays) {
  constexpr std::uint64_t seed = 11;
  Prng prng(seed);
  const std::string all_keys(1, '\0');
  for (int step = 0; step < 60'000; ++step) {
    // It grows, then shrinks; erasing goes through neighbours, as compaction does.
    const std::string key = key_of(prng.below(6'000));
    const bool grows = step < 30'000;
    const std::uint64_t choice = prng.below(10);
    if (choice < (grows ? 6U : 1U)) {
      put(key);
    } else if (choice < (grows ? 8U : 4U)) {
      bury(key);
    } else if (!grows) {
      erase(key);
    }
    if (step % 100 != 0) continue;
    expect_equal_counts(key_of(prng.below(6'500)), key_of(prng.below(6'500)), revision);
    expect_equal_counts(key_of(prng.below(6'500)), all_keys, revision);
    expect_equal_counts(all_keys, all_keys, Revision(static_cast<std::int64_t>(prng.below(60'000))));
  }
  EXPECT_LT(index.node_count(), 2'000u);
  for (std::size_t number = 0; number < 6'000; ++number) erase(key_of(number));
  EXPECT_EQ(index.run_count(), 0u);
  put("again");
  expect_equal_counts("a", "z", revision);
}

// What one transaction may look at: one range whatever it holds, and so much in all the others.
class KeysLookedAt : public KeyRuns {
 protected:
  KeysLookedAt() {
    for (std::size_t number = 0; number < 1'000; ++number) put(key_of(number));
    bury(key_of(17));
  }
  bool allowed(const TxnRequest& txn, std::size_t keys_max) {
    const Reader reader(index, history, revision, Revision(-1));
    return check_keys_looked_at(reader, txn, keys_max).ok();
  }
  // Exactly so many.
  void expect_looks(const TxnRequest& txn, std::size_t keys) {
    EXPECT_TRUE(allowed(txn, keys));
    if (keys > 0) EXPECT_FALSE(allowed(txn, keys - 1));
  }
  static TxnRequest ranges(std::initializer_list<RangeRequest> all) {
    TxnRequest txn;
    for (const RangeRequest& range : all) txn.success.push_back({range});
    return txn;
  }
  static RangeRequest first(std::size_t keys) { return {.key = key_of(0), .range_end = key_of(keys)}; }

  History history{{}, nullptr};
};

TEST_F(KeysLookedAt, AreThoseOfAllRangesButTheLargest) {
  expect_looks(ranges({first(1000)}), 0);
  expect_looks(ranges({first(1000), first(10)}), 10);
  expect_looks(ranges({first(100), first(1000), first(100)}), 198);  // one of them is buried
  expect_looks(ranges({first(1000), first(1000), first(1000)}), 1998);
}

TEST_F(KeysLookedAt, CountOnlyWhatIsLookedAt) {
  const auto beside = [&](RangeRequest range) { return ranges({first(1000), std::move(range)}); };
  RangeRequest page = first(500);
  page.limit = 10;
  expect_looks(beside(page), 10);
  page.sort_target = SortTarget::value;  // without an order
  expect_looks(beside(page), 10);
  for (const SortTarget target : {SortTarget::key, SortTarget::value}) {
    page.sort_target = target;
    for (const SortOrder order : {SortOrder::ascend, SortOrder::descend}) {
      page.sort_order = order;
      expect_looks(beside(page), 499);
    }
  }
  RangeRequest counted = first(500);
  counted.count_only = true;
  expect_looks(beside(counted), 0);
  counted.revision = revision;
  expect_looks(beside(counted), 499);
  counted.revision = {};
  counted.min_mod_revision = Revision(2);
  expect_looks(beside(counted), 499);
  expect_looks(beside({.key = key_of(1)}), 0);
}

TEST_F(KeysLookedAt, AreAlsoThoseOfComparesRemovalsAndBranchesNotTaken) {
  TxnRequest txn = ranges({first(1000)});
  txn.compare.push_back({.key = key_of(0), .range_end = key_of(10)});
  txn.compare.push_back({.key = key_of(0)});
  expect_looks(txn, 10);
  txn.failure.push_back({DeleteRangeRequest{.key = key_of(20), .range_end = key_of(40)}});
  txn.failure.push_back({DeleteRangeRequest{.key = key_of(20)}});
  expect_looks(txn, 30);
  TxnRequest outer = ranges({first(16)});
  outer.success.push_back({txn});
  expect_looks(outer, 46);
}

TEST_F(KeyRuns, CountingALargeRangeLooksAtFewKeys) {
  for (std::size_t number = 0; number < 100'000; ++number) put(key_of(number * 7919 % 100'000));
  const Counted some = count(index, KeyRange(key_of(10), key_of(99'990)), revision, true);
  EXPECT_EQ(some.live, 99'980u);
  EXPECT_LE(some.visits, 2u * key_run_nodes_max);
  const Counted all = count(index, KeyRange("k", "l"), revision, true);
  EXPECT_EQ(all.live, 100'000u);
  EXPECT_EQ(all.visits, 0u);
}

TEST_F(KeyRuns, AtAnOldRevisionOnlyRunsThatChangedSinceAreVisited) {
  for (std::size_t number = 0; number < 100'000; ++number) put(key_of(number));
  const Revision then = revision;
  put(key_of(50'000));
  bury(key_of(50'001));
  const Counted counted = count(index, KeyRange("k", "l"), then, true);
  EXPECT_EQ(counted.live, 99'998u);
  EXPECT_LE(counted.visits, 2u * key_run_nodes_max);
}

TEST_F(KeyRuns, KeysInOrderFillTheirRuns) {
  for (std::size_t number = 0; number < 100 * key_run_nodes_max; ++number) put(key_of(number));
  EXPECT_EQ(index.run_count(), 100u);
}

TEST_F(KeyRuns, FallingKeysBehindAFullRunShareRunsToo) {
  for (std::size_t number = 0; number < key_run_nodes_max; ++number) put(key_of(number));
  for (std::size_t number = 20'000; number > key_run_nodes_max; --number) put(key_of(number));
  EXPECT_LE(index.run_count(), 2u * 20'000u / key_run_nodes_max + 1);
  expect_equal_counts(key_of(100), key_of(19'000), revision);
  expect_equal_counts(key_of(0), key_of(30'000), revision);
}

TEST_F(KeyRuns, FewKeysLeftAreFewRuns) {
  for (std::size_t number = 0; number < 100'000; ++number) put(key_of(number * 7919 % 100'000));
  for (std::size_t number = 0; number < 100'000; ++number) {
    if (number % 1'000 != 0) erase(key_of(number));
  }
  EXPECT_EQ(index.node_count(), 100u);
  EXPECT_LE(index.run_count(), 2u);
}

// Ranges and deletions of a state machine, whose answers must not depend on how keys were counted.
class KeyRunsOfAStore : public ::testing::Test {
 protected:
  static constexpr std::size_t keys = 5'000;
  RangeResponse range(const RangeRequest& request) {
    Result<RangeResponse> response = machine->range(request);
    EXPECT_TRUE(response.ok()) << response.status().to_string();
    return response.ok() ? *std::move(response) : RangeResponse{};
  }
  void put(std::size_t from, std::size_t step) {
    for (std::size_t number = from; number < keys;) {
      machine.entry([&](BatchBuilder& batch) {
        for (int i = 0; i < 1'000 && number < keys; ++i, number += step)
          ASSERT_TRUE(batch.put(PutRequest{.key = key_of(number), .value = "v"}, {}));
      });
    }
  }
  std::int64_t remove(std::size_t from, std::size_t to) {
    const CommandResult result = machine.one([&](BatchBuilder& batch) {
      return batch.delete_range({.key = key_of(from), .range_end = key_of(to)}, {});
    });
    return std::get<DeleteRangeResponse>(*result).deleted;
  }

  testing::Machine machine;
};

TEST_F(KeyRunsOfAStore, CountsAreWhatIsFoundAtEveryRevision) {
  put(0, 1);
  const Revision first = machine->revision();
  EXPECT_EQ(remove(700, 2'900), 2'200);
  EXPECT_EQ(remove(700, 2'900), 0);
  put(1'000, 3);
  for (const Revision at :
       {first, Revision(first.value() - 1'500), Revision(first.value() + 1), machine->revision()}) {
    for (const auto& [from, to] :
         {std::pair<std::size_t, std::size_t>{0, keys}, {10, 4'990}, {600, 700}, {650, 3'000}}) {
      RangeRequest request{.key = key_of(from), .range_end = key_of(to), .revision = at};
      const auto found = static_cast<std::int64_t>(range(request).kvs.size());
      request.count_only = true;
      EXPECT_EQ(range(request).count, found) << from << " to " << to << " at " << at.value();
      request.count_only = false;
      request.limit = 7;
      const RangeResponse page = range(request);
      EXPECT_EQ(page.count, found);
      EXPECT_EQ(page.kvs.size(), static_cast<std::size_t>(std::min<std::int64_t>(found, 7)));
      EXPECT_EQ(page.more, found > 7);
    }
  }
}

TEST_F(KeyRunsOfAStore, AComparisonOfARangeLooksAtEveryLiveKey) {
  put(0, 1);
  remove(0, 2'000);
  TxnRequest txn;
  txn.compare.push_back({.key = key_of(0),
                         .range_end = key_of(keys),
                         .result = CompareResult::equal,
                         .target = CompareTarget::version,
                         .number = 1});
  EXPECT_TRUE(machine->read_txn(txn)->succeeded);
  put(4'321, keys);
  EXPECT_FALSE(machine->read_txn(txn)->succeeded) << "one of the last has version 2";
}

TEST_F(KeyRunsOfAStore, TheFirstOfAnOrderAreThoseOfTheWholeOrder) {
  put(0, 1);
  put(3, 7);
  put(1, 2);
  const Revision middle(machine->revision().value() - 2'000);
  for (const SortTarget target : {SortTarget::key, SortTarget::version, SortTarget::create_revision,
                                  SortTarget::mod_revision, SortTarget::value}) {
    for (const SortOrder order : {SortOrder::none, SortOrder::ascend, SortOrder::descend}) {
      for (const Revision newest : {Revision(), middle}) {
        RangeRequest request{
            .key = key_of(0), .range_end = key_of(keys), .sort_order = order, .sort_target = target};
        request.max_mod_revision = newest;
        const RangeResponse all = range(request);
        ASSERT_GT(all.kvs.size(), 2'000u);
        for (const std::int64_t limit : {1, 7, 300, 1'500}) {
          // Without an order the limit comes first, as in etcd.
          if (order == SortOrder::none && target != SortTarget::key && newest == Revision()) continue;
          request.limit = limit;
          const RangeResponse page = range(request);
          EXPECT_EQ(page.count, all.count);
          EXPECT_TRUE(page.more);
          EXPECT_TRUE(std::ranges::equal(page.kvs, std::span(all.kvs).first(static_cast<std::size_t>(limit))))
              << "target " << static_cast<int>(target) << " order " << static_cast<int>(order) << " limit "
              << limit;
        }
      }
    }
  }
}

}  // namespace
}  // namespace lockstep::store
