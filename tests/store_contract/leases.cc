// Leases: granted, kept alive, revoked, ended with their keys; never early, never immortal (I6).
#include <algorithm>

#include "base/limits.h"
#include "contract.h"

namespace lockstep::store_contract {
namespace {

using store::Store;

TEST_P(StoreContract, AGrantChoosesAnIdOrTakesTheGivenOne) {
  const auto chosen = must(call(&Store::lease_grant, {.ttl = 1h}));
  EXPECT_NE(chosen.id, LeaseId());
  EXPECT_EQ(chosen.ttl, 1h);
  const LeaseId wanted(chosen.id.value() / 2 + 12345);
  EXPECT_EQ(must(call(&Store::lease_grant, {.ttl = 1h, .id = wanted})).id, wanted);
  EXPECT_EQ(call(&Store::lease_grant, {.ttl = 1h, .id = wanted}).status(), store::errors::lease_exists());
  EXPECT_EQ(call(&Store::lease_grant, {.ttl = std::chrono::seconds(limits::lease_ttl_s_max) + 1s}).status(),
            store::errors::lease_ttl_too_large());
  const auto all = must(call(&Store::lease_leases)).leases;
  EXPECT_EQ(std::ranges::count(all, wanted), 1);
  EXPECT_EQ(std::ranges::count(all, chosen.id), 1);
}

TEST_P(StoreContract, AShortTtlIsRaisedToTheSmallest) {
  const Duration least = capabilities().lease_ttl_min;
  EXPECT_GT(least, Duration::zero());
  EXPECT_GE(must(call(&Store::lease_grant, {.ttl = 1ms})).ttl, least) << "the answer tells what was given";
}

TEST_P(StoreContract, ALeaseKnowsItsKeys) {
  const LeaseId lease = grant(1h);
  put("a", "x", lease);
  put("b", "x", lease);
  put("b", "y");  // detached
  put("c", "x", lease);
  remove("c");
  const auto with_keys = must(call(&Store::lease_time_to_live, {lease, true}));
  EXPECT_TRUE(with_keys.found);
  EXPECT_EQ(with_keys.granted_ttl, 1h);
  EXPECT_GT(with_keys.remaining, 30min);
  EXPECT_LE(with_keys.remaining, 1h);
  EXPECT_EQ(with_keys.keys, std::vector<std::string>{key("a")});
  EXPECT_TRUE(must(call(&Store::lease_time_to_live, {lease, false})).keys.empty());
}

TEST_P(StoreContract, ARevokedLeaseTakesItsKeysInOneRevision) {
  const LeaseId lease = grant(1h);
  put("a", "x", lease);
  put("b", "x", lease);
  const Revision before = put("c", "x");
  const auto revoked = must(call(&Store::lease_revoke, {lease}));
  EXPECT_EQ(revoked.header.revision, before.next());
  EXPECT_EQ(value("a"), "(none)");
  EXPECT_EQ(value("b"), "(none)");
  EXPECT_EQ(value("c"), "x");
  EXPECT_EQ(call(&Store::lease_revoke, {lease}).status(), store::errors::lease_not_found());
  const auto all = must(call(&Store::lease_leases)).leases;
  EXPECT_EQ(std::ranges::count(all, lease), 0);
}

TEST_P(StoreContract, ALeaseThatIsGoneIsToldSo) {
  EXPECT_EQ(must(call(&Store::lease_keep_alive, {LeaseId(404'404)})).ttl, Duration::zero()) << "not an error";
  EXPECT_FALSE(must(call(&Store::lease_time_to_live, {LeaseId(404'404), true})).found);
}

TEST_P(StoreContract, AKeepAliveStartsTheTimeAnew) {
  const LeaseId lease = grant(1h);
  const Duration pause = capabilities().lease_ttl_min;
  pass(pause);
  const TimePoint asked = world().now();
  const auto alive = must(call(&Store::lease_keep_alive, {lease}));
  EXPECT_EQ(alive.id, lease);
  EXPECT_EQ(alive.ttl, 1h);
  const auto left = must(call(&Store::lease_time_to_live, {lease}));
  // As exact as a store must be whose smallest TTL is no finer.
  EXPECT_GE(left.remaining + pause / 2, 1h - (world().now() - asked));
}

// Nothing is written meanwhile that would tell anybody what time it is; and each member may be asked.
TEST_P(StoreContract, WhatALeaseHasLeftGetsLessInAQuietStore) {
  const LeaseId lease = grant(1h);
  const Duration pause = capabilities().lease_ttl_min;
  pass(pause);
  for (int asked = 0; asked < 3; ++asked) {
    EXPECT_LE(must(call(&Store::lease_time_to_live, {lease})).remaining, 1h - pause / 2);
  }
}

TEST_P(StoreContract, ALeaseEndsWithItsKeysAndNotBefore) {
  Watching watching(world(), {.key = key("leased"), .no_put = true});
  const TimePoint asked = world().now();
  const auto lease = must(call(&Store::lease_grant, {.ttl = capabilities().lease_ttl_min}));
  put("leased", "x", lease.id);
  put("free", "x");
  const std::vector<store::Event> events = watching.events(1);
  EXPECT_GE(world().now() - asked, lease.ttl) << "never early";
  EXPECT_EQ(events.at(0).kind, store::EventKind::remove);
  EXPECT_EQ(value("leased"), "(none)");
  EXPECT_EQ(value("free"), "x");
  EXPECT_FALSE(must(call(&Store::lease_time_to_live, {lease.id})).found);
  EXPECT_EQ(must(call(&Store::lease_keep_alive, {lease.id})).ttl, Duration::zero());
  EXPECT_EQ(call(&Store::put, {.key = key("late"), .value = "x", .lease = lease.id}).status(),
            store::errors::lease_not_found());
}

TEST_P(StoreContract, ARenewedLeaseOutlivesOneThatIsNot) {
  const auto ended = must(call(&Store::lease_grant, {.ttl = capabilities().lease_ttl_min}));
  const auto kept = must(call(&Store::lease_grant, {.ttl = capabilities().lease_ttl_min}));
  put("ended", "x", ended.id);
  // From the last renewal that was acknowledged the lease lives for one more TTL. A machine that stands still
  // for so long may end it here, too, and rightly: what must not be is an early end.
  TimePoint renewed = world().now();
  while (value("ended") != "(none)") {
    pass(kept.ttl / 10);
    const TimePoint asked = world().now();
    if (must(call(&Store::lease_keep_alive, {kept.id})).ttl > Duration::zero()) renewed = asked;
  }
  while (must(call(&Store::lease_time_to_live, {kept.id})).found) pass(kept.ttl / 10);
  EXPECT_GE(world().now() - renewed, kept.ttl) << "never early";
}

}  // namespace
}  // namespace lockstep::store_contract
