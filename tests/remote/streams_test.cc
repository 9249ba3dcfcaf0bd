// Watches and renewals over connections that break.
#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/prng.h"
#include "remote/admin.h"
#include "remote/watch_state.h"
#include "world.h"

namespace lockstep::remote_test {
namespace {

using store::Event;
using store::EventKind;
using store::WatchResponse;

void put_behind(World& world, const std::string& key, const std::string& value) {
  world.cluster.store.put({.key = key, .value = value}, {}, [](const Result<store::PutResponse>& result) {
    ASSERT_TRUE(result.ok()) << result.status().to_string();
  });
}

store::WatchRequest all_keys(Revision start = {}) {
  return {.key = std::string(1, '\0'), .range_end = std::string(1, '\0'), .start_revision = start};
}

// Takes what there is.
void take(store::Subscription& subscription, std::vector<Event>* events,
          std::optional<WatchResponse>* last = nullptr) {
  while (std::optional<WatchResponse> response = subscription.next(1 << 20)) {
    for (Event& event : response->events) events->push_back(std::move(event));
    if (response->canceled && last != nullptr) *last = std::move(response);
  }
}

TEST(Watches, DeliverEachEventOnceInOrderWhateverHappensToConnections) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World world(three_members(), seed);
    Prng prng(seed);
    auto subscription = *world.store().watch(all_keys());
    world.strand.pass(10ms);
    std::vector<Event> events;
    constexpr int puts = 300;
    for (int i = 0; i < puts; ++i) {
      put_behind(world, "k" + std::to_string(prng.below(5)), std::to_string(i));
      const std::string member = "m" + std::to_string(prng.between(1, 3)) + ":1";
      if (prng.chance(1, 10)) world.network().cut(member);
      if (prng.chance(1, 20)) world.network().hold(member);
      if (prng.chance(1, 5)) world.network().release(member);
      if (prng.chance(1, 20)) world.network().refuse(member, true);
      if (prng.chance(1, 5)) world.network().refuse(member, false);
      if (prng.chance(1, 2)) world.strand.pass(std::chrono::milliseconds(prng.below(50)));
      if (prng.chance(1, 3)) take(*subscription, &events);
    }
    for (const char* member : {"m1:1", "m2:1", "m3:1"}) {
      world.network().refuse(member, false);
      world.network().release(member);
    }
    world.strand.pass(60s);
    take(*subscription, &events);
    ASSERT_EQ(events.size(), static_cast<std::size_t>(puts));
    for (int i = 0; i < puts; ++i) ASSERT_EQ(events[static_cast<std::size_t>(i)].kv.value, std::to_string(i));
  }
}

TEST(Watches, ASubscriberThatDoesNotTakeCostsABoundedBufferAndMissesNothing) {
  World world;
  auto slow = *world.store().watch(all_keys());
  auto quick = *world.store().watch(all_keys());
  world.strand.pass(10ms);
  std::vector<Event> of_quick;
  constexpr int puts = 200;
  const std::string filler(100'000, 'x');  // together five times what is buffered
  for (int i = 0; i < puts; ++i) {
    put_behind(world, "k", std::to_string(i) + filler);
    world.strand.pass(1ms);
    take(*quick, &of_quick);
  }
  EXPECT_EQ(of_quick.size(), static_cast<std::size_t>(puts)) << "the slow one delays nobody";
  std::vector<Event> of_slow;
  std::size_t rounds = 0;
  while (of_slow.size() < puts && ++rounds < 100) {
    const std::size_t before = of_slow.size();
    take(*slow, &of_slow);
    EXPECT_LE(of_slow.size() - before, 60U) << "of 100 kB each, in a buffer of 4 MiB";
    world.strand.pass(10ms);
  }
  ASSERT_EQ(of_slow.size(), static_cast<std::size_t>(puts));
  for (int i = 0; i < puts; ++i) EXPECT_EQ(std::stoi(of_slow[static_cast<std::size_t>(i)].kv.value), i);
}

TEST(Watches, WhatIsCompactedWhileNobodyListenedEndsThemAndSaysWhereToStart) {
  World world;
  auto subscription = *world.store().watch(all_keys());
  world.strand.pass(10ms);
  for (const char* member : {"m1:1", "m2:1", "m3:1"}) {
    world.network().refuse(member, true);
    world.network().cut(member);
  }
  world.strand.settle();
  for (int i = 0; i < 10; ++i) put_behind(world, "k", std::to_string(i));
  world.cluster.store.compact({.revision = Revision(8)}, {},
                              [](const Result<store::CompactResponse>& result) { ASSERT_TRUE(result.ok()); });
  for (const char* member : {"m1:1", "m2:1", "m3:1"}) world.network().refuse(member, false);
  world.strand.pass(30s);
  std::vector<Event> events;
  std::optional<WatchResponse> last;
  take(*subscription, &events, &last);
  EXPECT_TRUE(events.empty());
  ASSERT_TRUE(last.has_value());
  EXPECT_EQ(last->compact_revision, Revision(8));
}

TEST(Watches, AChangeAfterAWatchFromNowIsSeenThoughItTravelsAlone) {
  World world;
  // The watch goes to a member that does not answer; the put would overtake it at another one.
  auto warm = *world.store().watch({.key = "warm"});
  world.strand.pass(10ms);
  for (const char* member : {"m1:1", "m2:1", "m3:1"}) world.network().hold(member);
  auto subscription = *world.store().watch({.key = "k"});
  std::optional<Status> done;
  world.store().put({.key = "k", .value = "v"}, {},
                    [&](const Result<store::PutResponse>& result) { done = result.status(); });
  world.strand.pass(1s);
  EXPECT_FALSE(done.has_value()) << "it waits for the watch";
  std::optional<Status> late;
  store::CallOptions soon;
  soon.deadline = world.strand.now() + 1s;
  world.store().put({.key = "k", .value = "late"}, soon,
                    [&](const Result<store::PutResponse>& result) { late = result.status(); });
  world.strand.pass(2s);
  ASSERT_TRUE(late.has_value());
  EXPECT_EQ(late->code(), Code::deadline_exceeded) << "but not beyond its deadline";
  for (const char* member : {"m1:1", "m2:1", "m3:1"}) world.network().release(member);
  world.strand.pass(1s);
  ASSERT_TRUE(done.has_value());
  EXPECT_TRUE(done->ok()) << done->to_string();
  std::vector<Event> events;
  take(*subscription, &events);
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].kv.value, "v");
}

TEST(Watches, OutliveTheStoreWithALastAnswer) {
  std::unique_ptr<store::Subscription> subscription;
  {
    World world;
    subscription = *world.store().watch(all_keys());
    world.strand.pass(10ms);
  }
  const std::optional<WatchResponse> last = subscription->next(1);
  ASSERT_TRUE(last.has_value());
  EXPECT_TRUE(last->canceled);
  EXPECT_FALSE(subscription->next(1).has_value());
}

Event event_of(int revision, const std::string& key) {
  Event event;
  event.kv.key = key;
  event.kv.mod_revision = Revision(revision);
  return event;
}

std::string keys_of(const std::vector<Event>& events) {
  std::string keys;
  for (const Event& event : events) keys += event.kv.key;
  return keys;
}

TEST(WatchState, AfterAFragmentItGoesOnWithinTheRevision) {
  remote::WatchState watch({.key = "a", .range_end = "z", .start_revision = Revision(5), .fragment = true},
                           Revision());
  WatchResponse first;
  first.events = {event_of(5, "a"), event_of(6, "b"), event_of(6, "c")};
  first.fragment = true;
  EXPECT_TRUE(watch.take(first));
  EXPECT_EQ(watch.start_again().start_revision, Revision(6)) << "the connection broke here";
  WatchResponse again;
  again.events = {event_of(6, "b"), event_of(6, "c"), event_of(6, "d")};
  again.fragment = true;
  EXPECT_TRUE(watch.take(again));
  WatchResponse rest;
  rest.events = {event_of(6, "e"), event_of(7, "f")};
  EXPECT_TRUE(watch.take(rest));
  EXPECT_FALSE(watch.take(rest)) << "known already";
  std::string all;
  while (const auto response = watch.next(1 << 20)) all += keys_of(response->events);
  EXPECT_EQ(all, "abcdef");
  EXPECT_EQ(watch.start_again().start_revision, Revision(8));
  EXPECT_EQ(watch.buffer_bytes, 0U);
}

TEST(WatchState, FromNowIsNeverBeforeWhatTheStoreWasTold) {
  const auto told = [](Revision member_stands_at) {
    remote::WatchState watch({.key = "a"}, Revision(7));
    watch.begin(member_stands_at);
    for (std::int64_t revision = 5; revision <= 10; ++revision) {
      store::WatchResponse response;
      response.header.revision = Revision(revision);
      response.events.push_back({.kv = {.key = "a", .mod_revision = Revision(revision)}});
      watch.take(std::move(response));
    }
    return watch.buffer.front().events.front().kv.mod_revision;
  };
  EXPECT_EQ(told(Revision(4)), Revision(8)) << "a member that lags sends events from before";
  EXPECT_EQ(told(Revision(9)), Revision(10)) << "one that is ahead decides itself";
}

TEST(WatchState, WholeRevisionsUnlessPartsAreWanted) {
  for (const bool fragment : {false, true}) {
    remote::WatchState watch({.key = "a", .start_revision = Revision(1), .fragment = fragment}, Revision());
    WatchResponse response;
    response.header.revision = Revision(9);
    response.events = {event_of(2, "a"), event_of(3, "b"), event_of(3, "c"), event_of(4, "d")};
    watch.take(response);
    std::string parts;
    while (const auto part = watch.next(1)) {
      parts += keys_of(part->events) + (part->fragment ? "+" : "") +
               std::to_string(part->header.revision.value()) + " ";
    }
    EXPECT_EQ(parts, fragment ? "a2 b+2 c3 d4 " : "a2 bc3 d4 ");
    EXPECT_EQ(watch.buffer_bytes, 0U);
  }
}

// ---- renewals

TEST(KeepAlives, ARenewalIsRepeatedUntilItIsAnswered) {
  World world;
  std::optional<LeaseId> lease;
  world.store().lease_grant({.ttl = 30s}, {},
                            [&](const Result<store::LeaseGrantResponse>& result) { lease = result->id; });
  world.strand.pass(10ms);
  ASSERT_TRUE(lease.has_value());
  for (const char* member : {"m1:1", "m2:1", "m3:1"}) world.network().hold(member);
  std::vector<std::string> answers;
  for (int i = 0; i < 3; ++i) {
    world.store().lease_keep_alive({*lease}, {}, [&](const Result<store::LeaseKeepAliveResponse>& result) {
      answers.push_back(result.ok() ? std::to_string(result->ttl / 1s) : result.status().to_string());
    });
  }
  world.strand.pass(1s);
  EXPECT_TRUE(answers.empty());
  for (const char* member : {"m1:1", "m2:1", "m3:1"}) {
    world.network().cut(member);
    world.network().release(member);
  }
  world.strand.pass(5s);
  EXPECT_THAT(answers, testing::ElementsAre("30", "30", "30"));
}

TEST(KeepAlives, NoAnswerInTimeIsUnknownOnceItWasSent) {
  World world;
  const auto renew = [&](Duration time, std::optional<Status>* status) {
    store::CallOptions options;
    options.deadline = world.strand.now() + time;
    world.store().lease_keep_alive(
        {LeaseId(7)}, options,
        [status](const Result<store::LeaseKeepAliveResponse>& result) { *status = result.status(); });
    world.strand.pass(time + 1ms);
  };
  std::optional<Status> status;
  for (const char* member : {"m1:1", "m2:1", "m3:1"}) world.network().refuse(member, true);
  renew(1s, &status);
  EXPECT_EQ(status->code(), Code::deadline_exceeded);
  for (const char* member : {"m1:1", "m2:1", "m3:1"}) world.network().refuse(member, false);
  world.strand.pass(10s);
  renew(1s, &status);
  EXPECT_TRUE(status->ok()) << "there is no such lease, which is an answer";
  for (const char* member : {"m1:1", "m2:1", "m3:1"}) world.network().hold(member);
  renew(1s, &status);
  EXPECT_EQ(status->code(), Code::unknown_outcome);
}

// ---- snapshots

TEST(Admin, ASnapshotComesInPiecesWithItsHash) {
  World world;
  world.cluster.face.set_snapshot(std::string(100'000, 's'));
  remote::Admin admin(world.connections());
  std::string bytes;
  std::uint64_t remaining = 1;
  std::optional<Status> done;
  const auto running = admin.snapshot(
      {},
      [&](std::uint64_t left, std::string_view piece) {
        bytes += piece;
        remaining = left;
        return true;
      },
      [&](const Status& status) { done = status; });
  world.strand.pass(1s);
  ASSERT_TRUE(done.has_value());
  EXPECT_TRUE(done->ok()) << done->to_string();
  EXPECT_EQ(remaining, 0U);
  EXPECT_EQ(bytes.size() % 512, 32U);
  EXPECT_TRUE(bytes.starts_with(std::string(100'000, 's')));
}

}  // namespace
}  // namespace lockstep::remote_test
