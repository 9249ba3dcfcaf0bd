// What a range answers: every option, any kept revision.
#include "contract.h"

namespace lockstep::store_contract {
namespace {

using store::RangeRequest;
using store::SortOrder;
using store::SortTarget;
using store::Store;

RangeRequest sorted(RangeRequest request, SortOrder order, SortTarget target) {
  request.sort_order = order;
  request.sort_target = target;
  return request;
}

TEST_P(StoreContract, AKeyThatIsNotThereIsAnEmptyAnswer) {
  const store::RangeResponse response = must(call(&Store::range, {.key = key("a")}));
  EXPECT_TRUE(response.kvs.empty());
  EXPECT_EQ(response.count, 0);
  EXPECT_FALSE(response.more);
  EXPECT_GE(response.header.revision, Revision(1)) << "an empty store stands at 1";
}

TEST_P(StoreContract, IntervalsAreHalfOpen) {
  for (const char* name : {"a", "b", "c", "d"}) put(name, "x");
  EXPECT_EQ(names_of({.key = key("b")}), "b");
  EXPECT_EQ(names_of({.key = key("b"), .range_end = key("d")}), "b c");
  EXPECT_EQ(names_of({.key = key("d"), .range_end = key("b")}), "") << "upside down";
  EXPECT_EQ(names_of({.key = key("b"), .range_end = key("b")}), "");
  RangeRequest from_b{.key = key("b"), .range_end = std::string(1, '\0')};
  from_b.limit = 3;
  EXPECT_EQ(names_of(from_b), "b c d") << "every key from b on";
}

TEST_P(StoreContract, KeysAndValuesAreBytes) {
  const std::string odd("\0\xff\x80 \n", 5);
  must(call(&Store::put, {.key = key(odd), .value = odd}));
  const auto found = get(odd);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->key, key(odd));
  EXPECT_EQ(found->value, odd);
  put("empty", "");
  EXPECT_EQ(value("empty"), "");
}

TEST_P(StoreContract, ALimitLeavesMoreAndCountsAll) {
  for (const char* name : {"a", "b", "c"}) put(name, "x");
  RangeRequest request = everything();
  request.limit = 2;
  const store::RangeResponse two = must(call(&Store::range, request));
  EXPECT_EQ(two.kvs.size(), 2u);
  EXPECT_TRUE(two.more);
  EXPECT_EQ(two.count, 3);
  request.limit = 3;
  const store::RangeResponse three = must(call(&Store::range, request));
  EXPECT_EQ(three.kvs.size(), 3u);
  EXPECT_FALSE(three.more);
}

TEST_P(StoreContract, CountOnlyAndKeysOnly) {
  for (const char* name : {"a", "b", "c"}) put(name, "x");
  RangeRequest count = everything();
  count.count_only = true;
  const store::RangeResponse counted = must(call(&Store::range, count));
  EXPECT_EQ(counted.count, 3);
  EXPECT_TRUE(counted.kvs.empty());
  RangeRequest keys = everything();
  keys.keys_only = true;
  for (const store::KeyValue& kv : must(call(&Store::range, keys)).kvs) {
    EXPECT_EQ(kv.value, "");
    EXPECT_EQ(kv.version, 1);
  }
}

TEST_P(StoreContract, SortsByEveryTarget) {
  // Made in the order b c a; changed in the order a b; versions c 1, b 2, a 3; values a > c > b.
  put("b", "1");
  put("c", "2");
  put("a", "0");
  put("a", "0");
  put("a", "3");
  put("b", "1");
  EXPECT_EQ(names_of(everything()), "a b c") << "without sorting: by key";
  struct Case {
    SortTarget target;
    const char* ascending;
    const char* descending;
  };
  for (const Case& wanted :
       {Case{SortTarget::key, "a b c", "c b a"}, Case{SortTarget::version, "c b a", "a b c"},
        Case{SortTarget::create_revision, "b c a", "a c b"}, Case{SortTarget::mod_revision, "c a b", "b a c"},
        Case{SortTarget::value, "b c a", "a c b"}}) {
    EXPECT_EQ(names_of(sorted(everything(), SortOrder::ascend, wanted.target)), wanted.ascending);
    EXPECT_EQ(names_of(sorted(everything(), SortOrder::descend, wanted.target)), wanted.descending);
  }
  RangeRequest last = sorted(everything(), SortOrder::descend, SortTarget::mod_revision);
  last.limit = 1;
  EXPECT_EQ(names_of(last), "b") << "the limit comes after the order";
}

TEST_P(StoreContract, FiltersByRevision) {
  const Revision first = put("a", "x");
  const Revision second = put("b", "x");
  const Revision third = put("a", "y");
  RangeRequest request = everything();
  request.min_mod_revision = third;
  EXPECT_EQ(names_of(request), "a");
  request = everything();
  request.max_mod_revision = second;
  EXPECT_EQ(names_of(request), "b");
  request = everything();
  request.min_create_revision = second;
  EXPECT_EQ(names_of(request), "b");
  request = everything();
  request.max_create_revision = first;
  EXPECT_EQ(names_of(request), "a");
}

TEST_P(StoreContract, EveryKeptRevisionCanBeRead) {
  const Revision before = revision();
  const Revision first = put("a", "1");
  const Revision second = put("a", "2");
  const Revision removed = remove("a");
  const Revision again = put("a", "3");
  EXPECT_FALSE(get("a", before).has_value());
  EXPECT_EQ(get("a", first)->value, "1");
  EXPECT_EQ(get("a", second)->value, "2");
  EXPECT_FALSE(get("a", removed).has_value());
  EXPECT_EQ(get("a", again)->value, "3");
  const store::RangeResponse old = must(call(&Store::range, {.key = key("a"), .revision = first}));
  EXPECT_EQ(old.header.revision, again) << "the header tells where the store stands, not what was asked for";
}

TEST_P(StoreContract, AFutureRevisionIsAnError) {
  const Revision next = revision().next();
  EXPECT_EQ(call(&Store::range, {.key = key("a"), .revision = next}).status(),
            store::errors::future_revision());
}

TEST_P(StoreContract, ASerializableReadSeesWhatThisStoreAcknowledged) {
  put("a", "1");
  const store::RangeRequest request{.key = key("a"), .revision = revision(), .serializable = true};
  if (!promised(capabilities().serializable_reads_see_own_writes, "serializable reads of one's own writes")) {
    auto read = call(&Store::range, request);
    for (int again = 0; !read.ok() && again < 1000; ++again) {
      EXPECT_EQ(read.status(), store::errors::future_revision()) << "nothing else";
      pass(1ms);
      read = call(&Store::range, request);
    }
    EXPECT_EQ(must(std::move(read)).kvs.at(0).value, "1") << "in the end";
    return;
  }
  const store::RangeResponse response = must(call(&Store::range, request));
  ASSERT_EQ(response.kvs.size(), 1u);
  EXPECT_EQ(response.kvs[0].value, "1");
}

TEST_P(StoreContract, ACompactedRevisionIsAnErrorAndLaterOnesStay) {
  const Revision first = put("a", "1");
  const Revision second = put("a", "2");
  const Revision third = put("a", "3");
  const store::CompactResponse compacted = must(call(&Store::compact, {.revision = second}));
  EXPECT_EQ(compacted.header.revision, third) << "compacting is no change";
  EXPECT_EQ(call(&Store::range, {.key = key("a"), .revision = first}).status(), store::errors::compacted());
  EXPECT_EQ(get("a", second)->value, "2") << "the compacted revision itself can be read";
  EXPECT_EQ(value("a"), "3");
  EXPECT_EQ(call(&Store::compact, {.revision = second}).status(), store::errors::compacted()) << "again";
  EXPECT_EQ(call(&Store::compact, {.revision = third.next()}).status(), store::errors::future_revision());
  EXPECT_TRUE(call(&Store::compact, {.revision = third, .physical = true}).ok());
  EXPECT_EQ(call(&Store::range, {.key = key("a"), .revision = second}).status(), store::errors::compacted());
  EXPECT_EQ(value("a"), "3");
}

TEST_P(StoreContract, ARequestWithoutKeyIsRefused) {
  EXPECT_EQ(call(&Store::range, {}).status(), store::errors::key_not_provided());
}

}  // namespace
}  // namespace lockstep::store_contract
