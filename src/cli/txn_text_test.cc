#include "cli/txn_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lockstep::cli {
namespace {

using testing::HasSubstr;

store::TxnRequest parsed(std::string_view input) {
  Result<store::TxnRequest> txn = parse_txn(input);
  EXPECT_TRUE(txn.ok()) << txn.status().to_string();
  return txn.ok() ? *std::move(txn) : store::TxnRequest();
}

TEST(TxnText, TheTextOfEtcdctlAndJsonMeanTheSame) {
  const store::TxnRequest from_text = parsed(R"(mod("k 1") > "5"
value('a') = "x\ty"
ver(b) != 3
lease("c") = "1f"

put k1 "new value" --lease=1f --prev-kv
get p --prefix --limit=7 --keys-only

del k2 k9
get k1
)");
  const store::TxnRequest from_json = parsed(R"({
    "compare": [
      {"key": "k 1", "target": "mod_revision", "result": "greater", "value": 5},
      {"key": "a", "target": "value", "result": "equal", "value": "x\\ty"},
      {"key": "b", "target": "version", "result": "not_equal", "value": 3},
      {"key": "c", "target": "lease", "result": "equal", "value": "1f"}],
    "success": [
      {"put": {"key": "k1", "value": "new value", "lease": "1f", "prev_kv": true}},
      {"get": {"key": "p", "prefix": true, "limit": 7, "keys_only": true}}],
    "failure": [{"del": {"key": "k2", "range_end": "k9"}}, {"get": {"key": "k1"}}]})");
  EXPECT_EQ(from_text, from_json);
  ASSERT_EQ(from_text.compare.size(), 4U);
  EXPECT_EQ(from_text.compare[0].number, 5);
  EXPECT_EQ(from_text.compare[1].value, "x\ty");
  EXPECT_EQ(from_text.compare[3].number, 0x1f);
  const auto& range = std::get<store::RangeRequest>(from_text.success.at(1).request);
  EXPECT_EQ(range.range_end, "q");
}

TEST(TxnText, PartsMayBeEmpty) {
  EXPECT_EQ(parsed(""), store::TxnRequest());
  const store::TxnRequest only_failure = parsed("\n\nput a b\n");
  EXPECT_TRUE(only_failure.compare.empty());
  EXPECT_TRUE(only_failure.success.empty());
  EXPECT_EQ(only_failure.failure.size(), 1U);
}

TEST(TxnText, ATransactionMayHoldAnother) {
  const store::TxnRequest txn =
      parsed(R"({"success":[{"txn":{"success":[{"put":{"key":"a","value":"b"}}]}}]})");
  EXPECT_EQ(std::get<store::TxnRequest>(txn.success.at(0).request).success.size(), 1U);
}

TEST(TxnText, WhatIsWrongIsNamedWithItsPlace) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"mod(\"a\") > \"5\"\nmood(\"a\") = \"1\"",
       "line 2: 'mood' is none of version, create, mod, value, lease"},
      {"mod(\"a\" > 5", "line 1: a comparison reads like"},
      {"mod(\"a\") ~ 5", "line 1: '' is none of = != > <"},
      {"mod(\"a\") > x", "line 1: 'x' is not a whole number"},
      {"mod(\"a) > 5", "line 1: a quote is not closed"},
      {"\nput a", "line 2: expected put KEY VALUE"},
      {"\nput a b --frefix", "line 2: put does not know --frefix"},
      {"\nmove a b", "line 2: 'move' is none of put, get, del"},
      {"\n\n\nput a b", "line 4: there are three parts only"},
      {"\nput \"\\q\" b", "line 2: '\\q' is not escaped text"},
      {"{\"succes\":[]}", "/succes: unknown member"},
      {"{\"success\":{}}", "/success: expected a list"},
      {"{\"success\":[{\"put\":{\"key\":1}}]}", "/success/0/put/key: expected a text"},
      {"{\"success\":[{\"put\":{\"key\":\"a\",\"vlaue\":\"b\"}}]}", "/success/0/put/vlaue: unknown member"},
      {"{\"success\":[{\"put\":{},\"get\":{}}]}",
       "/success/0: expected an object with one of put, get, del, txn"},
      {"{\"compare\":[{\"key\":\"a\",\"target\":\"mood\"}]}", "/compare/0/target: 'mood' is not known"},
      {"{\"compare\":", "byte 12"},
  };
  for (const auto& [input, why] : cases)
    EXPECT_THAT(std::string(parse_txn(input).status().message()), HasSubstr(why)) << input;
  std::string deep;
  for (int i = 0; i < 40; ++i) deep += R"({"success":[{"txn":)";
  deep += "{}";
  for (int i = 0; i < 40; ++i) deep += "}]}";
  EXPECT_THAT(std::string(parse_txn(deep).status().message()), HasSubstr("nested too deep"));
}

TEST(TxnText, ANumberOutOfAllBoundsIsRefused) {
  const Status status = parse_txn(R"({"compare":[444e4444444444444]})").status();
  EXPECT_EQ(status.code(), Code::invalid_argument) << status.to_string();
}

TEST(TxnText, TheEndOfAPrefix) {
  EXPECT_EQ(prefix_end("a"), "b");
  EXPECT_EQ(prefix_end("a\xff"), "b");
  EXPECT_EQ(prefix_end("\xff\xff"), std::string(1, '\0'));
  EXPECT_EQ(prefix_end(""), std::string(1, '\0'));
}

}  // namespace
}  // namespace lockstep::cli
