// Watches: ordered, unique, complete, atomic per revision, resumable (I4).
#include <algorithm>
#include <optional>
#include <string_view>

#include "contract.h"

namespace lockstep::store_contract {
namespace {

using store::Event;
using store::EventKind;
using store::Store;
using store::WatchResponse;

std::string told(const std::vector<Event>& events) {
  std::string all;
  for (const Event& event : events) {
    all += event.kv.key.substr(StoreContract::key("").size());
    all += event.kind == EventKind::put ? "=" + event.kv.value + " " : "- ";
  }
  return all;
}

TEST_P(StoreContract, AWatchTellsEachChangeOfItsKeyFromNowOn) {
  put("a", "before");
  Watching watching(world(), {.key = key("a")});
  const Revision first = put("a", "1");
  put("ab", "another key");
  put("a", "2");
  const Revision removed = remove("a");
  const std::vector<Event> events = watching.events(3);
  EXPECT_EQ(told(events), "a=1 a=2 a- ");
  EXPECT_EQ(events[0].kv.mod_revision, first);
  EXPECT_EQ(events[0].kv.version, 2);
  EXPECT_FALSE(events[0].prev_kv.has_value()) << "not asked for";
  EXPECT_EQ(events[2].kv.mod_revision, removed);
  EXPECT_EQ(events[2].kv.version, 0) << "of a removal: key and mod_revision only";
}

TEST_P(StoreContract, AWatchFromThePastCatchesUpAndGoesOn) {
  const Revision start = put("a", "0");
  for (int i = 1; i < 300; ++i) put("a", std::to_string(i));
  Watching watching(world(), {.key = key("a"), .start_revision = start});
  put("a", "300");
  const std::vector<Event> events = watching.events(301);
  ASSERT_EQ(events.size(), 301u);
  for (std::size_t i = 0; i < events.size(); ++i) {
    ASSERT_EQ(events[i].kv.value, std::to_string(i)) << "in order, each once";
  }
}

TEST_P(StoreContract, AWatchOfAPrefixWithPreviousValues) {
  put("p/a", "1");
  Watching watching(world(), {.key = key("p/"), .range_end = end_of(key("p/")), .prev_kv = true});
  put("p/a", "2");
  put("p/b", "3");
  put("q", "outside");
  remove("p/a");
  const std::vector<Event> events = watching.events(3);
  EXPECT_EQ(told(events), "p/a=2 p/b=3 p/a- ");
  ASSERT_TRUE(events[0].prev_kv.has_value());
  EXPECT_EQ(events[0].prev_kv->value, "1");
  EXPECT_FALSE(events[1].prev_kv.has_value()) << "there was nothing";
  ASSERT_TRUE(events[2].prev_kv.has_value());
  EXPECT_EQ(events[2].prev_kv->value, "2");
}

TEST_P(StoreContract, AWatchLeavesOutWhatItDoesNotWant) {
  const store::WatchRequest request{.key = key(""), .range_end = end_of(key(""))};
  store::WatchRequest puts = request;
  puts.no_delete = true;
  store::WatchRequest removals = request;
  removals.no_put = true;
  Watching only_puts(world(), puts);
  Watching only_removals(world(), removals);
  put("a", "1");
  remove("a");
  put("a", "2");
  remove("a");
  EXPECT_EQ(told(only_puts.events(2)), "a=1 a=2 ");
  EXPECT_EQ(told(only_removals.events(2)), "a- a- ");
}

TEST_P(StoreContract, AWatchThatStartsInTheFutureLeavesOutWhatComesBefore) {
  const Revision now = put("a", "0");
  Watching watching(world(), {.key = key("a"), .start_revision = Revision(now.value() + 2)});
  put("a", "1");
  put("a", "2");
  EXPECT_EQ(told(watching.events(1)), "a=2 ");
}

TEST_P(StoreContract, ARevisionComesInOneAnswer) {
  Watching watching(world(), {.key = key(""), .range_end = end_of(key(""))});
  store::TxnRequest request;
  for (int i = 10; i < 60; ++i) {
    request.success.push_back(
        {store::PutRequest{.key = key(std::to_string(i)), .value = std::string(1000, 'x')}});
  }
  must(call(&Store::txn, request));
  const WatchResponse response = watching.next(10'000);
  EXPECT_EQ(response.events.size(), 50u) << "larger than asked for, but whole";
  EXPECT_FALSE(response.fragment);
}

TEST_P(StoreContract, ALargeRevisionMayBeSplitForThoseWhoAllowIt) {
  Watching watching(world(), {.key = key(""), .range_end = end_of(key("")), .fragment = true});
  store::TxnRequest request;
  for (int i = 10; i < 60; ++i) {
    request.success.push_back(
        {store::PutRequest{.key = key(std::to_string(i)), .value = std::string(1000, 'x')}});
  }
  const Revision revision = must(call(&Store::txn, request)).header.revision;
  const Revision after = put("small", "x");
  std::vector<Event> events;
  while (events.size() < 50) {
    const WatchResponse response = watching.next(10'000);
    const std::size_t of_revision = static_cast<std::size_t>(std::ranges::count_if(
        response.events, [&](const Event& event) { return event.kv.mod_revision == revision; }));
    events.insert(events.end(), response.events.begin(), response.events.end());
    EXPECT_EQ(response.fragment, events.size() < 50) << "says when more of it follows";
    if (response.fragment) {
      EXPECT_EQ(of_revision, response.events.size());
      EXPECT_LT(response.header.revision, revision) << "not all of it was delivered";
    }
  }
  if (events.size() == 50) events.push_back(watching.events(1).at(0));
  EXPECT_EQ(events.back().kv.mod_revision, after);
  for (int i = 10; i < 60; ++i)
    EXPECT_EQ(events[static_cast<std::size_t>(i - 10)].kv.key, key(std::to_string(i)));
}

TEST_P(StoreContract, AnAnswersRevisionIsABookmark) {
  put("a", "0");
  std::vector<Event> all;
  Revision bookmark;
  {
    Watching watching(world(), {.key = key("a")});
    for (int i = 1; i <= 5; ++i) put("a", std::to_string(i));
    const WatchResponse response = watching.next(1);
    all = response.events;
    bookmark = response.header.revision;
    ASSERT_FALSE(all.empty());
    EXPECT_GE(bookmark, all.back().kv.mod_revision);
  }
  Watching resumed(world(), {.key = key("a"), .start_revision = bookmark.next()});
  put("a", "6");
  while (all.empty() || all.back().kv.value != "6") {
    for (Event& event : resumed.next().events) all.push_back(std::move(event));
  }
  EXPECT_EQ(told(all), "a=1 a=2 a=3 a=4 a=5 a=6 ") << "without hole or repetition";
}

TEST_P(StoreContract, ProgressTellsThatNothingWasMissed) {
  Watching watching(world(), {.key = key("a")});
  put("a", "1");
  EXPECT_EQ(told(watching.events(1)), "a=1 ");
  const Revision elsewhere = put("b", "another key");
  watching.request_progress();
  WatchResponse progress = watching.next();
  if (!promised(capabilities().serializable_reads_see_own_writes,
                "progress up to one's own writes at once")) {
    while (progress.header.revision < elsewhere) {
      watching.request_progress();
      progress = watching.next();
    }
  }
  EXPECT_TRUE(progress.events.empty());
  EXPECT_FALSE(progress.canceled);
  EXPECT_GE(progress.header.revision, elsewhere);
}

TEST_P(StoreContract, AWatchFromACompactedRevisionIsCancelledAndSaysWhereToStart) {
  const Revision start = put("a", "1");
  put("a", "2");
  const Revision kept = put("a", "3");
  must(call(&Store::compact, {.revision = kept}));
  // The member that is asked may apply the compaction a moment later than the one that answered. Until then
  // it tells that history, without a hole.
  const int attempts_max =
      promised(capabilities().serializable_reads_see_own_writes, "a compaction known to every member at once")
          ? 1
          : 1000;
  std::optional<Watching> watching;
  WatchResponse last;
  for (int attempt = 1; !last.canceled; ++attempt) {
    ASSERT_LE(attempt, attempts_max) << "history that was compacted is told";
    watching.emplace(world(), store::WatchRequest{.key = key("a"), .start_revision = start});
    std::vector<Event> history;
    while (!last.canceled && history.size() < 3) {
      last = watching->next();
      for (const Event& event : last.events) history.push_back(event);
    }
    EXPECT_TRUE(std::string_view("a=1 a=2 a=3 ").starts_with(told(history))) << told(history);
  }
  EXPECT_TRUE(last.events.empty());
  EXPECT_EQ(last.compact_revision, kept);
  EXPECT_EQ(last.cancel_reason, store::errors::compacted().message());
  EXPECT_FALSE(watching->has_answer()) << "nothing comes after it";
  Watching again(world(), {.key = key("a"), .start_revision = last.compact_revision});
  EXPECT_EQ(told(again.events(1)), "a=3 ");
}

TEST_P(StoreContract, AWatchAtTheEndOfHistorySurvivesCompaction) {
  Watching watching(world(), {.key = key("a")});
  for (int i = 0; i < 10; ++i) put("a", std::to_string(i));
  EXPECT_EQ(watching.events(10).size(), 10u);
  const Revision last = put("b", "x");
  must(call(&Store::compact, {.revision = last}));
  put("a", "after");
  EXPECT_EQ(told(watching.events(1)), "a=after ");
}

TEST_P(StoreContract, AWatchThatEndedCostsNothingMore) {
  {
    Watching watching(world(), {.key = key("a")});
  }
  put("a", "1");
  Watching other(world(), {.key = key("a")});
  put("a", "2");
  EXPECT_EQ(told(other.events(1)), "a=2 ");
}

}  // namespace
}  // namespace lockstep::store_contract
