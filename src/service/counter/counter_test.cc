// Counters, and the combiner beneath them.
#include "service/counter/counter.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "service/names.h"
#include "service/testing/unruly_store.h"
#include "service/testing/watched_store.h"

namespace lockstep::service {
namespace {

using testing::Running;
using testing::UnrulyWorld;
using testing::WatchedStore;
using testing::World;

using Answer = Result<CounterValue>;

class CounterTest : public ::testing::Test {
 protected:
  Answer run(Task<Answer> task) {
    Running<Answer> running(std::move(task));
    world.advance(60s, 1s);
    return running.result();
  }
  std::string text(const Answer& answer) {
    if (!answer.ok()) return answer.status().to_string();
    return std::to_string(answer->value) + (answer->exists ? "" : " (none)");
  }
  Answer add(std::int64_t delta, const std::string& name = "c") {
    return run(counter.add(name, {delta, {}}, {}));
  }
  std::string get(const std::string& name = "c") { return text(run(counter.get(name, {}))); }
  void put_raw(const std::string& key, const std::string& value) {
    store::PutRequest put;
    put.key = key;
    put.value = value;
    world.store.put(put, {}, [](const Result<store::PutResponse>& done) { LS_MUST(done.ok()); });
  }

  World world;
  Counter counter{world.context};
};

TEST_F(CounterTest, CountsUpAndDownFromNothing) {
  EXPECT_EQ(get(), "0 (none)");
  EXPECT_EQ(text(add(5)), "5");
  EXPECT_EQ(text(add(-7)), "-2");
  EXPECT_EQ(text(add(0)), "-2");
  EXPECT_EQ(get(), "-2");
  EXPECT_EQ(text(run(counter.remove("c", {}))), "-2");
  EXPECT_EQ(text(run(counter.remove("c", {}))), "0 (none)");
  EXPECT_EQ(get(), "0 (none)");
  EXPECT_EQ(text(add(1)), "1");
}

TEST_F(CounterTest, SetsWhatWasExpectedOnly) {
  EXPECT_EQ(text(run(counter.set("c", {10, 0, {}}, {}))), "10");
  EXPECT_EQ(run(counter.set("c", {20, 11, {}}, {})).status(), errors::counter_value_differs());
  EXPECT_EQ(text(run(counter.set("c", {20, 10, {}}, {}))), "20");
  EXPECT_EQ(text(run(counter.set("c", {30, {}, {}}, {}))), "30");
}

TEST_F(CounterTest, AnAddThatOverflowsIsRefusedAloneInItsBatch) {
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(text(add(most)), std::to_string(most));
  Running<Answer> over(counter.add("c", {1, {}}, {}));
  Running<Answer> under(counter.add("c", {-1, {}}, {}));
  world.settle();
  EXPECT_EQ(over.result().status(), errors::counter_overflow());
  EXPECT_EQ(under.result()->value, most - 1);
  EXPECT_EQ(text(run(counter.set("c", {std::numeric_limits<std::int64_t>::min(), {}, {}}, {}))),
            "-9223372036854775808");
  EXPECT_EQ(add(-1).status(), errors::counter_overflow());
  EXPECT_EQ(get(), "-9223372036854775808");
}

TEST_F(CounterTest, WhatIsNoCounterIsLeftAloneUntilItIsSet) {
  for (const std::string damaged : {"", "x", "1x", " 1", "+1", "1.5", "9223372036854775808"}) {
    put_raw("lockstep/counters/c", damaged);
    EXPECT_EQ(add(1).status(), errors::not_a_counter()) << damaged;
    EXPECT_EQ(get(), errors::not_a_counter().to_string()) << damaged;
  }
  put_raw("lockstep/counters/c", "41");
  EXPECT_EQ(text(add(1)), "42") << "what another wrote is read again";
  put_raw("lockstep/counters/c", "x");
  EXPECT_EQ(text(run(counter.set("c", {1, {}, {}}, {}))), "1");
}

// ---- what is written beside an update

class CounterBesideTest : public CounterTest {
 protected:
  // At the record's present revision.
  std::optional<CounterCompanion> beside(const std::string& key) {
    CounterCompanion made;
    made.key = key;
    made.expected = look(key).first;
    made.ttl = std::chrono::hours(24);
    made.value = [](const CounterValue& value) { return "made " + std::to_string(value.value); };
    return made;
  }
  std::pair<Revision, std::string> look(const std::string& key) {
    std::pair<Revision, std::string> found;
    store::RangeRequest request;
    request.key = key;
    world.store.range(request, {}, [&](const Result<store::RangeResponse>& answer) {
      LS_MUST(answer.ok());
      if (!answer->kvs.empty()) found = {answer->kvs[0].mod_revision, std::string(answer->kvs[0].value)};
    });
    world.settle();
    return found;
  }
};

TEST_F(CounterBesideTest, BothAreWrittenAtOneRevision) {
  put_raw("r", "open");
  const Answer added = run(counter.add("c", {5, {}}, {}, beside("r")));
  EXPECT_EQ(text(added), "5");
  EXPECT_TRUE(added->with_companion);
  EXPECT_EQ(look("r"), std::pair(added->revision, std::string("made 5")));
  EXPECT_EQ(look(counter_key("c")).first, added->revision);
  EXPECT_EQ(run(counter.add("c", {1, {}}, {}, beside("new")))->value, 6) << "one that is not there yet";
  EXPECT_EQ(look("new").second, "made 6");
}

TEST_F(CounterBesideTest, WhatChangesNothingWritesNothingBeside) {
  ASSERT_TRUE(run(counter.set("c", {std::numeric_limits<std::int64_t>::max(), {}, {}}, {})).ok());
  put_raw("r", "open");
  EXPECT_EQ(run(counter.add("c", {1, {}}, {}, beside("r"))).status(), errors::counter_overflow());
  const Answer removed = run(counter.remove("none", {}, beside("r")));
  EXPECT_EQ(text(removed), "0 (none)");
  EXPECT_FALSE(removed->with_companion);
  EXPECT_EQ(look("r").second, "open");
}

TEST_F(CounterBesideTest, OneThatAnotherChangedHasNoEffectAndTheOthersOfItsBatchHave) {
  put_raw("mine", "open");
  put_raw("taken", "open");
  const auto mine = beside("mine");
  const auto taken = beside("taken");
  put_raw("taken", "by another");
  Running<Answer> late(counter.add("c", {100, {}}, {}, taken));
  Running<Answer> good(counter.add("c", {1, {}}, {}, mine));
  Running<Answer> plain(counter.add("c", {1, {}}, {}));
  world.advance(60s, 1s);
  EXPECT_EQ(late.result().status(), errors::counter_companion_lost());
  EXPECT_EQ(text(good.result()), "1");
  EXPECT_EQ(text(plain.result()), "2");
  EXPECT_EQ(look("mine").second, "made 1");
  EXPECT_EQ(look("taken").second, "by another");
}

TEST_F(CounterBesideTest, ManyOfOneTurnGoInSeveralTransactions) {
  std::vector<std::optional<CounterCompanion>> records;
  for (int i = 0; i < 100; ++i) records.push_back(beside("r" + std::to_string(i)));
  const int txns = world.store.txns;
  std::vector<Running<Answer>> adds;
  for (const auto& record : records) adds.emplace_back(counter.add("c", {1, {}}, {}, record));
  world.advance(60s, 1s);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(adds[static_cast<std::size_t>(i)].result()->value, i + 1);
  EXPECT_EQ(world.store.txns - txns, 4);
  EXPECT_EQ(look("r99").second, "made 100");
}

TEST_F(CounterBesideTest, WhateverCallFailsBothHappenOnceOrNeither) {
  for (const auto fault : {WatchedStore::Fault::refused, WatchedStore::Fault::unknown_done,
                           WatchedStore::Fault::unknown_not_done, WatchedStore::Fault::unknown_late}) {
    bool failed = true;
    for (std::size_t call = 0; failed; ++call) {
      SCOPED_TRACE("call " + std::to_string(call) + " fault " + std::to_string(static_cast<int>(fault)));
      const std::string name = "c" + std::to_string(static_cast<int>(fault)) + "." + std::to_string(call);
      const auto record = beside("r" + name);
      Counter here(world.context);
      world.store.fail_call(call, fault);
      Running<Answer> add(here.add(name, {1, {}}, {}, record));
      world.advance(200s, 1s);
      world.store.deliver_late();
      failed = world.store.failed();
      const std::string counted = look(counter_key(name)).second;
      EXPECT_EQ(look(counter_key(name)).first, look("r" + name).first);
      EXPECT_EQ(counted.empty() ? "" : "made " + counted, look("r" + name).second);
      if (add.result().ok()) {
        EXPECT_EQ(counted, "1");
      } else if (add.result().status().code() != Code::unknown_outcome) {
        EXPECT_EQ(counted, "");
      }
      ASSERT_LT(call, 20U);
    }
  }
}

TEST_F(CounterTest, NamesAreChecked) {
  EXPECT_EQ(add(1, "").status(), errors::name_empty());
  EXPECT_EQ(add(1, std::string(name_bytes_max + 1, 'n')).status(), errors::name_too_long());
  const std::string odd("\0/\xff", 3);
  EXPECT_EQ(text(add(2, odd)), "2");
  EXPECT_EQ(get(odd), "2");
}

TEST_F(CounterTest, AThousandAddsOfOneTurnAreOneTransaction) {
  ASSERT_TRUE(add(0).ok());
  const int txns = world.store.txns;
  std::vector<Running<Answer>> adds;
  for (int i = 0; i < 1000; ++i) adds.emplace_back(counter.add("c", {1, {}}, {}));
  world.settle();
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(adds[i].result()->value, i + 1);
  EXPECT_EQ(world.store.txns, txns + 1);
  EXPECT_EQ(counter.waiting(), 0U);
}

TEST_F(CounterTest, AnEndIsTheStoresToKeepAndTheLastOneNamedCounts) {
  const Duration now = world.store.strand.wall_now();
  EXPECT_EQ(text(run(counter.add("c", {1, now + 100s}, {}))), "1");  // runs for a minute
  EXPECT_EQ(text(run(counter.add("c", {1, now + 200s}, {}))), "2");  // at 120 s
  EXPECT_EQ(get(), "2") << "at 120 s";
  EXPECT_EQ(get(), "2") << "at 180 s, when the first end has passed";
  EXPECT_EQ(get(), "0 (none)") << "at 240 s";
  EXPECT_EQ(text(run(counter.add("c", {1, now + 400s}, {}))), "1") << "it begins anew";
  EXPECT_EQ(run(counter.add("c", {1, now + 300s}, {})).status(), errors::end_has_passed());
  EXPECT_EQ(run(counter.add("c", {1, Duration(-1)}, {})).status(), errors::end_has_passed());
  EXPECT_EQ(run(counter.add("c", {1, Duration::max()}, {})).status(), errors::counter_end_too_far());
}

TEST_F(CounterTest, EveryFaultOfEveryCallLeavesItExact) {
  for (const auto fault : {WatchedStore::Fault::refused, WatchedStore::Fault::unknown_done,
                           WatchedStore::Fault::unknown_not_done}) {
    for (std::size_t call = 0;; ++call) {
      World fresh;
      Counter counting(fresh.context);
      fresh.store.fail_call(call, fault);
      std::int64_t expected = 0;
      for (int round = 0; round < 3; ++round) {
        Running<Answer> adding(counting.add("c", {1, {}}, {}));
        fresh.advance(10s, 100ms);
        const Answer& answer = adding.result();
        EXPECT_NE(answer.status().code(), Code::unknown_outcome) << "settled by the marker";
        if (!answer.ok()) continue;
        ++expected;
        EXPECT_EQ(answer->value, expected);
      }
      Running<Answer> reading(counting.get("c", {}));
      if (reading.result().ok()) EXPECT_EQ(reading.result()->value, expected) << "call " << call;
      if (!fresh.store.failed()) break;
      ASSERT_LT(call, 100U);
    }
  }
}

// The answer of the transaction is lost, and that of the one that was to settle it.
TEST_F(CounterTest, TwoLostAnswersInARowLeaveItExact) {
  using Fault = WatchedStore::Fault;
  for (const Fault first : {Fault::unknown_done, Fault::unknown_not_done}) {
    for (const Fault second : {Fault::unknown_done, Fault::unknown_not_done}) {
      for (const bool changed_meanwhile : {false, true}) {
        World fresh;
        Counter counting(fresh.context);
        Running<Answer> before(counting.add("c", {1, {}}, {}));
        fresh.settle();
        ASSERT_EQ(text(before.result()), "1");
        store::PutRequest put;
        put.key = "lockstep/counters/c";
        put.value = "10";
        // So that it fails, and is settled.
        if (changed_meanwhile) fresh.store.put(put, {}, [](const Result<store::PutResponse>&) {});
        fresh.store.fail_call(0, first);
        fresh.store.next_txn = second;
        Running<Answer> added(counting.add("c", {1, {}}, {}));
        fresh.advance(10s, 100ms);
        EXPECT_FALSE(fresh.store.next_txn.has_value());
        EXPECT_EQ(text(added.result()), changed_meanwhile ? "11" : "2");
        Running<Answer> after(counting.get("c", {}));
        fresh.settle();
        EXPECT_EQ(text(after.result()), text(added.result()));
      }
    }
  }
}

TEST_F(CounterTest, WhoHasLittleTimeDoesNotDecideForWhoeverWaitsWithIt) {
  UnrulyWorld slow(1);
  const auto process = slow.process();
  process->store.unruliness = {.refused_percent = 0, .unknown_percent = 0};
  const SharedLeases leases(slow.context(*process));
  store::CallOptions hurried;
  hurried.deadline = slow.strand.now() + 1us;
  Running<Result<LeaseId>> first(leases.lasting(10s, hurried));
  Running<Result<LeaseId>> second(leases.lasting(10s, {}));
  std::stop_source stop;
  store::CallOptions stopped;
  stopped.cancellation = stop.get_token();
  Running<Result<LeaseId>> third(leases.lasting(10s, stopped));
  stop.request_stop();
  slow.advance(1us, 1us);
  EXPECT_EQ(first.result().status(), errors::lease_not_available());
  EXPECT_EQ(third.result().status().code(), Code::cancelled);
  EXPECT_TRUE(second.waits());
  slow.advance(1s);
  EXPECT_TRUE(second.result().ok());
}

TEST_F(CounterTest, WhoWasToldThatThereIsNoEffectDoesNotCountWithTheOthers) {
  for (Duration patience = 100us; patience < 20ms; patience += 100us) {
    UnrulyWorld slow(static_cast<std::uint64_t>(patience.count()));
    const auto process = slow.process();
    process->store.unruliness = {.refused_percent = 0, .unknown_percent = 0};
    Counter counting(slow.context(*process));
    store::CallOptions hurried;
    hurried.deadline = slow.strand.now() + patience;
    Running<Answer> one(counting.add("c", {100, {}}, hurried));
    Running<Answer> other(counting.add("c", {1, {}}, {}));
    slow.advance(100ms, 100us);
    if (is_unknown(one.result().status())) continue;
    EXPECT_EQ(other.result()->value, one.result().ok() ? 101 : 1) << patience.count();
  }
}

// Many processes, each behind a bad network, one counter.
struct Tally {
  std::set<std::int64_t> values;
  std::int64_t done = 0;
  std::int64_t unknown = 0;
  std::int64_t removed = 0;  // counted by counters that are gone
};

Task<void> add_one(Counter& counter, store::CallOptions options, Tally& tally) {
  const Answer answer = co_await counter.add("c", {1, {}}, std::move(options));
  if (answer.ok()) {
    ++tally.done;
    if (tally.removed == 0)
      EXPECT_TRUE(tally.values.insert(answer->value).second) << "answered twice: " << answer->value;
  } else if (is_unknown(answer.status())) {
    ++tally.unknown;
  }
}

class CounterInABadWorld : public ::testing::TestWithParam<bool> {
 protected:
  // By somebody else, so that the key may be as if nothing had ever been written.
  static void remove_counter(UnrulyWorld& world, Tally& tally) {
    store::DeleteRangeRequest removal;
    removal.key = counter_key("c");
    removal.prev_kv = true;
    world.memory.delete_range(removal, {}, [&](const Result<store::DeleteRangeResponse>& done) {
      for (const store::KeyValue& kv : done->prev_kvs) tally.removed += *parse_counter(kv.value);
    });
  }
};
INSTANTIATE_TEST_SUITE_P(WithRemovals, CounterInABadWorld, ::testing::Bool());

TEST_P(CounterInABadWorld, NoAddIsLostOrCountedTwice) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    UnrulyWorld world(seed);
    std::vector<std::unique_ptr<UnrulyWorld::Process>> processes;
    std::vector<std::unique_ptr<Counter>> counters;
    for (int i = 0; i < 3; ++i) {
      processes.push_back(world.process());
      counters.push_back(std::make_unique<Counter>(world.context(*processes.back())));
    }
    Tally tally;
    for (int round = 0; round < 150; ++round) {
      Counter& counter = *counters[world.prng.below(counters.size())];
      store::CallOptions options;
      if (world.prng.chance(1, 4)) options.deadline = world.strand.now() + 20ms;
      for (std::uint64_t adds = world.prng.below(4); adds > 0; --adds)
        add_one(counter, options, tally).detach();
      world.advance(std::chrono::milliseconds(world.prng.below(15)));
      if (GetParam() && world.prng.chance(1, 5)) remove_counter(world, tally);
      if (world.prng.chance(1, 50)) counters[0] = std::make_unique<Counter>(world.context(*processes[0]));
    }
    world.advance(200s, 5ms);
    for (const auto& counter : counters) EXPECT_EQ(counter->waiting(), 0U);
    store::RangeRequest request;
    request.key = counter_key("c");
    std::int64_t counted = tally.removed;
    world.memory.range(request, {}, [&](const Result<store::RangeResponse>& answer) {
      for (const store::KeyValue& kv : answer->kvs) counted += *parse_counter(kv.value);
    });
    EXPECT_GE(counted, tally.done);
    EXPECT_LE(counted, tally.done + tally.unknown);
    EXPECT_GT(tally.done, 100);
  }
}

TEST_F(CounterTest, ACounterThatGoesAwayAnswersWhoeverWaits) {
  auto going = std::make_unique<Counter>(world.context);
  Running<Answer> waiting(going->add("c", {1, {}}, {}));
  EXPECT_TRUE(waiting.waits());
  going.reset();
  EXPECT_EQ(waiting.result().status(), errors::combiner_closed());
  world.settle();
  EXPECT_EQ(get(), "0 (none)");
}

TEST_F(CounterTest, CancellingBeforeItIsSentHasNoEffect) {
  std::stop_source stop;
  store::CallOptions options;
  options.cancellation = stop.get_token();
  Running<Answer> cancelled(counter.add("c", {1, {}}, options));
  Running<Answer> other(counter.add("c", {10, {}}, {}));
  stop.request_stop();
  world.settle();
  Running<Answer> too_late(counter.add("c", {100, {}}, options));
  EXPECT_EQ(too_late.result().status().code(), Code::cancelled);
  world.settle();
  EXPECT_EQ(other.result()->value, cancelled.result().ok() ? 11 : 10);
}

TEST_F(CounterTest, RememberedKeysAreBounded) {
  std::vector<Running<Answer>> adds;
  for (std::size_t i = 0; i < combined_keys_max + 10; ++i) {
    adds.emplace_back(counter.add("c" + std::to_string(i), {1, {}}, {}));
    world.settle();
  }
  Combiner bounded(world.context,
                   {"p/", "m/", [](const KnownKey&, std::span<CombinedUpdate* const>) { return Folded(); }});
  std::vector<Running<Result<Revision>>> updates;
  for (std::size_t i = 0; i < combined_keys_max + 10; ++i) {
    updates.emplace_back(bounded.submit("c" + std::to_string(i), std::make_shared<CombinedUpdate>(), {}));
    world.settle();
    ASSERT_TRUE(updates.back().result().ok());
  }
  EXPECT_EQ(bounded.keys_remembered(), combined_keys_max);
}

}  // namespace
}  // namespace lockstep::service
