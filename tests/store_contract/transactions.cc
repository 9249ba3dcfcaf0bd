// Transactions: compares, branches, nesting, all or nothing (I8).
#include "contract.h"

namespace lockstep::store_contract {
namespace {

using store::Compare;
using store::CompareResult;
using store::CompareTarget;
using store::RequestOperation;
using store::Store;
using store::TxnRequest;

std::string key(std::string_view name) {
  return StoreContract::key(name);
}
RequestOperation put_of(std::string_view name, std::string value, LeaseId lease = {}) {
  return {store::PutRequest{.key = key(name), .value = std::move(value), .lease = lease}};
}
RequestOperation get_of(std::string_view name) {
  return {store::RangeRequest{.key = key(name)}};
}
RequestOperation remove_of(std::string_view name) {
  return {store::DeleteRangeRequest{.key = key(name)}};
}
Compare number_is(std::string_view name, CompareTarget target, CompareResult result, std::int64_t number) {
  return {.key = key(name), .result = result, .target = target, .number = number};
}

TEST_P(StoreContract, EveryCompareOfEveryTarget) {
  const LeaseId lease = grant(1h);
  const Revision made = put("a", "m");
  const Revision changed = put("a", "m", lease);
  const std::pair<CompareTarget, std::int64_t> numbers[] = {{CompareTarget::version, 2},
                                                            {CompareTarget::create_revision, made.value()},
                                                            {CompareTarget::mod_revision, changed.value()},
                                                            {CompareTarget::lease, lease.value()}};
  for (const auto& [target, number] : numbers) {
    for (const int off : {-1, 0, 1}) {
      const auto says = [&](CompareResult result) {
        return holds(number_is("a", target, result, number + off));
      };
      EXPECT_EQ(says(CompareResult::equal), off == 0);
      EXPECT_EQ(says(CompareResult::not_equal), off != 0);
      EXPECT_EQ(says(CompareResult::less), off > 0);
      EXPECT_EQ(says(CompareResult::greater), off < 0);
    }
  }
  for (const char* other : {"a", "m", "z"}) {
    const int order = std::string("m").compare(other);
    const auto says = [&](CompareResult result) {
      return holds({.key = key("a"), .result = result, .target = CompareTarget::value, .value = other});
    };
    EXPECT_EQ(says(CompareResult::equal), order == 0);
    EXPECT_EQ(says(CompareResult::not_equal), order != 0);
    EXPECT_EQ(says(CompareResult::less), order < 0);
    EXPECT_EQ(says(CompareResult::greater), order > 0);
  }
}

TEST_P(StoreContract, AKeyThatIsNotThereComparesAsZeroAndHasNoValue) {
  EXPECT_TRUE(holds(number_is("none", CompareTarget::version, CompareResult::equal, 0)));
  EXPECT_TRUE(holds(number_is("none", CompareTarget::create_revision, CompareResult::equal, 0)));
  EXPECT_TRUE(holds(number_is("none", CompareTarget::mod_revision, CompareResult::less, 1)));
  EXPECT_FALSE(holds({.key = key("none"), .target = CompareTarget::value, .value = ""}));
}

TEST_P(StoreContract, ACompareOfARangeHoldsForEachKeyOfIt) {
  put("r/a", "x");
  put("r/b", "x");
  Compare all{.key = key("r/"), .range_end = end_of(key("r/")), .target = CompareTarget::value, .value = "x"};
  EXPECT_TRUE(holds(all));
  put("r/b", "y");
  EXPECT_FALSE(holds(all));
}

TEST_P(StoreContract, OneBranchRunsInOneRevision) {
  const Revision before = put("a", "1");
  TxnRequest request;
  request.compare = {number_is("a", CompareTarget::version, CompareResult::equal, 1),
                     number_is("none", CompareTarget::version, CompareResult::equal, 0)};
  request.success = {put_of("b", "then"), get_of("b"), remove_of("a"), get_of("a")};
  request.failure = {put_of("b", "else")};
  const store::TxnResponse first = must(call(&Store::txn, request));
  EXPECT_TRUE(first.succeeded);
  EXPECT_EQ(first.header.revision, before.next());
  ASSERT_EQ(first.responses.size(), 4u);
  const auto& read = std::get<store::RangeResponse>(first.responses[1].response);
  ASSERT_EQ(read.kvs.size(), 1u) << "a transaction reads what it wrote";
  EXPECT_EQ(read.kvs[0].value, "then");
  EXPECT_EQ(std::get<store::DeleteRangeResponse>(first.responses[2].response).deleted, 1);
  EXPECT_TRUE(std::get<store::RangeResponse>(first.responses[3].response).kvs.empty());
  EXPECT_EQ(get("b")->mod_revision, before.next());
  EXPECT_FALSE(get("a").has_value());

  const store::TxnResponse second = must(call(&Store::txn, request));
  EXPECT_FALSE(second.succeeded);
  EXPECT_EQ(value("b"), "else");
}

TEST_P(StoreContract, NestedOnesSeeWhatCameBeforeAndShareTheRevision) {
  TxnRequest inner;
  inner.compare = {number_is("a", CompareTarget::version, CompareResult::greater, 0)};
  inner.success = {put_of("b", "a was there")};
  inner.failure = {put_of("b", "a was not there")};
  TxnRequest outer;
  outer.success = {put_of("a", "1"), {inner}};
  const store::TxnResponse response = must(call(&Store::txn, outer));
  ASSERT_EQ(response.responses.size(), 2u);
  EXPECT_TRUE(std::holds_alternative<store::TxnResponse>(response.responses[1].response));
  EXPECT_EQ(get("a")->mod_revision, get("b")->mod_revision);
  EXPECT_EQ(value("b"), std::get<store::TxnResponse>(response.responses[1].response).succeeded
                            ? "a was there"
                            : "a was not there");
}

TEST_P(StoreContract, ReadingOnesAreNoRevision) {
  const Revision before = put("a", "1");
  TxnRequest request;
  request.success = {get_of("a")};
  EXPECT_EQ(must(call(&Store::txn, request)).header.revision, before);
  EXPECT_EQ(revision(), before);
}

TEST_P(StoreContract, WhatIsRefusedHasNoEffectAtAll) {
  const Revision before = put("a", "1");
  TxnRequest twice;
  twice.success = {put_of("b", "1"), put_of("b", "2")};
  EXPECT_EQ(call(&Store::txn, twice).status(), store::errors::duplicate_key());
  TxnRequest empty;
  empty.success = {put_of("b", "1"), {}};
  EXPECT_EQ(call(&Store::txn, empty).status(), store::errors::key_not_found());
  TxnRequest no_such_lease;
  no_such_lease.success = {put_of("b", "1"), put_of("c", "1", LeaseId(404'404))};
  EXPECT_EQ(call(&Store::txn, no_such_lease).status(), store::errors::lease_not_found());
  TxnRequest no_key;
  no_key.compare = {{.key = ""}};
  EXPECT_EQ(call(&Store::txn, no_key).status(), store::errors::key_not_provided());
  TxnRequest future;
  future.success = {put_of("b", "1"),
                    {store::RangeRequest{.key = key("a"), .revision = Revision(before.value() + 9)}}};
  EXPECT_EQ(call(&Store::txn, future).status(), store::errors::future_revision());
  TxnRequest many;
  for (int i = 0; i < 129; ++i) many.success.push_back(put_of("m" + std::to_string(i), "x"));
  EXPECT_EQ(call(&Store::txn, many).status(), store::errors::too_many_operations());
  many.success.pop_back();
  EXPECT_EQ(revision(), before);
  EXPECT_EQ(list("").count, 1);
  EXPECT_TRUE(call(&Store::txn, many).ok()) << "one less is as many as there may be";
  EXPECT_EQ(list("m").count, 128);
}

}  // namespace
}  // namespace lockstep::store_contract
