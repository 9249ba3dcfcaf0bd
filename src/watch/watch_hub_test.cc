// The hub's life: who may die before whom, what callbacks may do, and a history that is replaced under it.
#include "watch/watch_hub.h"

#include <gtest/gtest.h>

#include "watch/test_store.h"

namespace lockstep::watch::testing {
namespace {

store::WatchRequest request_for(const std::string& key, std::int64_t from = 0) {
  store::WatchRequest request;
  request.key = key;
  request.start_revision = Revision(from);
  return request;
}

std::string drain(TestStore& store, store::Subscription& subscription) {
  std::string text;
  do {
    while (const auto answer = subscription.next(1 << 20)) text += to_string(*answer);
  } while (store.strand.turn());
  return text;
}

TEST(WatchHub, SubscriptionsThatOutliveTheHubFallSilent) {
  TestStore store;
  const auto live = store.watch(request_for("a"));
  store.put("a", "1");
  const auto lagging = store.watch(request_for("a", 1));
  bool notified = false;
  live->notify_when_ready([&] { notified = true; });
  store.hub.reset();
  store.strand.run();
  EXPECT_FALSE(notified);
  EXPECT_FALSE(live->next(1000).has_value());
  lagging->request_progress();
  EXPECT_FALSE(lagging->next(1000).has_value());
}

TEST(WatchHub, ACallbackMayEndAnySubscriptionAndTheHub) {
  TestStore store;
  auto first = store.watch(request_for("a"));
  auto second = store.watch(request_for("a"));
  auto third = store.watch(request_for("a"));
  int called = 0;
  first->notify_when_ready([&] {
    ++called;
    second.reset();  // was to be notified in this very turn
    first.reset();   // itself
  });
  second->notify_when_ready([&] { called += 100; });
  third->notify_when_ready([&] {
    ++called;
    store.hub.reset();
    third.reset();
  });
  store.put("a", "1");
  store.strand.run();
  EXPECT_EQ(called, 2);
}

TEST(WatchHub, HeadersCarryWhatTheOwnerSays) {
  WatchHubOptions options;
  options.header = [] {
    store::Header header;
    header.cluster = ClusterId(7);
    header.term = Term(3);
    return header;
  };
  TestStore store(std::move(options));
  const auto subscription = store.watch(request_for("a"));
  store.put("a", "1");
  const auto answer = subscription->next(1000);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->header.cluster, ClusterId(7));
  EXPECT_EQ(answer->header.term, Term(3));
  EXPECT_EQ(answer->header.revision, Revision(2));
}

TEST(WatchHub, KnowsWhetherAnyWatcherIsInAHurry) {
  TestStore store;
  EXPECT_FALSE(store.hub->any_in_a_hurry());
  store::WatchRequest request = request_for("a");
  request.patient = true;
  auto patient = store.watch(request);
  EXPECT_FALSE(store.hub->any_in_a_hurry());
  auto watcher = store.watch(request_for("a"));
  EXPECT_TRUE(store.hub->any_in_a_hurry());
  patient.reset();
  EXPECT_TRUE(store.hub->any_in_a_hurry());
  watcher.reset();
  EXPECT_FALSE(store.hub->any_in_a_hurry());
}

// A member that lagged gets a snapshot: its history jumps ahead, and with it the watchers.
TEST(WatchHub, WatchersGoOnAcrossAnInstalledSnapshotOrAreCancelled) {
  TestStore ahead;
  TestStore behind;
  for (TestStore* store : {&ahead, &behind}) {
    store->put("a", "1");
    store->put("b", "1");
  }
  const auto up_to_date = behind.watch(request_for("a"));
  const auto untaken = behind.watch(request_for("b", 3));
  behind.strand.run();
  ahead.put("a", "2");
  ahead.put("b", "2");
  ahead.put("a", "3");
  behind.hub->on_restored(ahead.history);
  EXPECT_EQ(drain(behind, *up_to_date), "4 put a=2 v2\n6 put a=3 v3\n-- up to 6\n");
  EXPECT_EQ(drain(behind, *untaken), "3 put b=1 v1\n5 put b=2 v2\n-- up to 6\n");

  // The next snapshot has compacted what this member had not seen.
  TestStore further;
  for (const char* value : {"1", "2", "3", "4", "5", "6", "7", "8"}) further.put("a", value);
  further.compact(Revision(9));
  behind.hub->on_restored(further.history);
  EXPECT_EQ(drain(behind, *up_to_date),
            "cancelled: etcdserver: mvcc: required revision has been compacted, compact_revision 9\n");
}

// A client that was served by a member ahead asks one that lags, and gets no word of the compaction it
// outran.
TEST(WatchHub, AStartAheadOfALaggingMemberOutlivesTheSnapshot) {
  TestStore behind;
  behind.put("a", "1");
  const auto resumed = behind.watch(request_for("a", 10));
  behind.strand.run();
  TestStore ahead;
  for (const char* value : {"1", "2", "3", "4", "5", "6", "7", "8", "9"}) ahead.put("a", value);
  ahead.compact(Revision(8));
  behind.hub->on_restored(ahead.history);
  EXPECT_EQ(drain(behind, *resumed), "10 put a=9 v9\n-- up to 10\n");
}

TEST(WatchHub, TooManyWatchesAreRefused) {
  TestStore store;
  std::vector<std::unique_ptr<store::Subscription>> subscriptions;
  for (std::size_t number = 0; number < watchers_max; ++number)
    subscriptions.push_back(store.watch(request_for("k")));
  EXPECT_EQ(store.hub->watch(request_for("k")).status().code(), Code::resource_exhausted);
  while (!subscriptions.empty()) subscriptions.pop_back();
  EXPECT_TRUE(store.hub->watch(request_for("k")).ok());
}

}  // namespace
}  // namespace lockstep::watch::testing
