// Puts and removals: revisions, versions, options, refusals.
#include "contract.h"

namespace lockstep::store_contract {
namespace {

using store::Store;

TEST_P(StoreContract, EachWriteIsOneRevision) {
  const Revision first = put("a", "1");
  const Revision second = put("b", "2");
  EXPECT_EQ(second, first.next());
  const auto a = get("a");
  ASSERT_TRUE(a.has_value());
  EXPECT_EQ(a->create_revision, first);
  EXPECT_EQ(a->mod_revision, first);
  EXPECT_EQ(a->version, 1);
  EXPECT_EQ(a->lease, LeaseId());
  const Revision third = put("a", "3");
  const auto changed = get("a");
  EXPECT_EQ(changed->create_revision, first);
  EXPECT_EQ(changed->mod_revision, third);
  EXPECT_EQ(changed->version, 2);
}

TEST_P(StoreContract, ARemovedKeyStartsOver) {
  put("a", "1");
  put("a", "2");
  const Revision removed = remove("a");
  EXPECT_EQ(value("a"), "(none)");
  const Revision again = put("a", "3");
  EXPECT_EQ(again, removed.next());
  EXPECT_EQ(get("a")->version, 1);
  EXPECT_EQ(get("a")->create_revision, again);
}

TEST_P(StoreContract, RemovingNothingIsNoRevision) {
  const Revision before = revision();
  const store::DeleteRangeResponse response = must(call(&Store::delete_range, {.key = key("none")}));
  EXPECT_EQ(response.deleted, 0);
  EXPECT_EQ(response.header.revision, before);
}

TEST_P(StoreContract, ARangeIsRemovedInOneRevision) {
  for (const char* name : {"a", "b", "c"}) put(name, name);
  const Revision before = revision();
  const store::DeleteRangeResponse response =
      must(call(&Store::delete_range, {.key = key("a"), .range_end = key("c"), .prev_kv = true}));
  EXPECT_EQ(response.deleted, 2);
  EXPECT_EQ(response.header.revision, before.next());
  ASSERT_EQ(response.prev_kvs.size(), 2u);
  EXPECT_EQ(response.prev_kvs[0].value, "a");
  EXPECT_EQ(response.prev_kvs[1].value, "b");
  EXPECT_EQ(list("").count, 1);
}

TEST_P(StoreContract, APutTellsWhatWasThere) {
  EXPECT_FALSE(must(call(&Store::put, {.key = key("a"), .value = "1", .prev_kv = true})).prev_kv.has_value());
  const auto second = must(call(&Store::put, {.key = key("a"), .value = "2", .prev_kv = true}));
  ASSERT_TRUE(second.prev_kv.has_value());
  EXPECT_EQ(second.prev_kv->value, "1");
  EXPECT_EQ(second.prev_kv->version, 1);
  EXPECT_FALSE(must(call(&Store::put, {.key = key("a"), .value = "3"})).prev_kv.has_value())
      << "not asked for";
}

TEST_P(StoreContract, APutMayLeaveTheValueOrTheLease) {
  const LeaseId lease = grant(1h);
  put("a", "1", lease);
  must(call(&Store::put, {.key = key("a"), .value = "2", .ignore_lease = true}));
  EXPECT_EQ(get("a")->lease, lease);
  EXPECT_EQ(value("a"), "2");
  must(call(&Store::put, {.key = key("a"), .ignore_value = true}));
  EXPECT_EQ(get("a")->lease, LeaseId()) << "a put without lease detaches it";
  EXPECT_EQ(value("a"), "2");
  EXPECT_EQ(get("a")->version, 3);
}

TEST_P(StoreContract, WhatIsRefusedHasNoEffect) {
  const Revision before = put("a", "1");
  struct Case {
    store::PutRequest request;
    Status refusal;
  };
  const std::vector<Case> cases{
      {{.key = "", .value = "x"}, store::errors::key_not_provided()},
      {{.key = key("none"), .ignore_value = true}, store::errors::key_not_found()},
      {{.key = key("none"), .value = "x", .ignore_lease = true}, store::errors::key_not_found()},
      {{.key = key("a"), .value = "x", .ignore_value = true}, store::errors::value_provided()},
      {{.key = key("a"), .lease = LeaseId(1), .ignore_lease = true}, store::errors::lease_provided()},
      {{.key = key("a"), .value = "x", .lease = LeaseId(404'404)}, store::errors::lease_not_found()},
  };
  for (const Case& refused : cases) {
    EXPECT_EQ(call(&Store::put, refused.request).status(), refused.refusal);
  }
  EXPECT_EQ(call(&Store::delete_range, {}).status(), store::errors::key_not_provided());
  EXPECT_EQ(revision(), before);
  EXPECT_EQ(value("a"), "1");
}

TEST_P(StoreContract, AStoreWithoutSpaceTakesNoPutsUntilItIsDisarmed) {
  put("a", "1");
  const store::Alarm alarm{must(call(&Store::range, {.key = key("a")})).header.member,
                           store::AlarmKind::no_space};
  const auto raised = must(call(&Store::alarm, {store::AlarmAction::activate, alarm}));
  EXPECT_EQ(raised.alarms, std::vector<store::Alarm>{alarm});
  EXPECT_EQ(must(call(&Store::alarm, {})).alarms, std::vector<store::Alarm>{alarm});
  EXPECT_EQ(call(&Store::put, {.key = key("b"), .value = "x"}).status(), store::errors::no_space());
  EXPECT_EQ(call(&Store::lease_grant, {.ttl = 1h}).status(), store::errors::no_space());
  EXPECT_EQ(value("a"), "1") << "reads go on";
  EXPECT_TRUE(call(&Store::delete_range, {.key = key("a")}).ok()) << "what frees space goes on";
  must(call(&Store::alarm, {store::AlarmAction::deactivate, alarm}));
  EXPECT_TRUE(must(call(&Store::alarm, {})).alarms.empty());
  put("b", "2");
}

}  // namespace
}  // namespace lockstep::store_contract
