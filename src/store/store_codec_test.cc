// Commands, effects and rows as bytes: the worked examples of docs/formats, and what is refused.
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "store/command.h"
#include "store/effect.h"
#include "store/errors.h"
#include "store/rows.h"
#include "store/validate.h"

namespace lockstep::store {
namespace {

std::string hex(std::string_view bytes) {
  std::string out;
  for (const char byte : bytes) {
    char digits[4];
    std::snprintf(digits, sizeof digits, "%02x ", static_cast<unsigned char>(byte));
    out += digits;
  }
  if (!out.empty()) out.pop_back();
  return out;
}

std::string example_batch() {
  BatchBuilder batch;
  batch.start({.store_time_ms = 1500, .digest_check = DigestCheck{LogIndex(64), 0x0123456789abcdef}});
  EXPECT_TRUE(batch.put({.key = "k", .value = "v", .lease = LeaseId(7), .prev_kv = true},
                        {ClientId(4096), Sequence(3), Sequence(2)}));
  EXPECT_TRUE(batch.delete_range({.key = "a", .range_end = "b"}));
  TxnRequest txn;
  txn.compare.push_back({.key = "k", .target = CompareTarget::mod_revision, .number = 5});
  txn.success.push_back({PutRequest{.key = "k", .value = "w"}});
  txn.failure.push_back({RangeRequest{.key = "k", .limit = 1}});
  EXPECT_TRUE(batch.txn(txn));
  return batch.take();
}

TEST(CommandFormat, TheDocumentedExample) {
  EXPECT_EQ(hex(example_batch()),
            "04 01 dc 0b 40 ef cd ab 89 67 45 23 01 "
            "81 80 20 03 02 09 01 6b 01 76 0e "
            "02 00 01 61 01 62 "
            "03 01 02 01 6b 00 0a 01 02 00 01 6b 01 77 01 01 00 00 01 6b 00 02 00 00 00 00 00");
}

TEST(CommandFormat, ReadsWhatWasBuilt) {
  const std::string payload = example_batch();
  BatchReader reader(payload);
  EXPECT_EQ(reader.header(), (BatchHeader{1500, DigestCheck{LogIndex(64), 0x0123456789abcdef}}));
  Command command;
  ASSERT_TRUE(reader.next(&command));
  EXPECT_EQ(command.kind(), CommandKind::put);
  EXPECT_EQ(command.request_id, (RequestId{ClientId(4096), Sequence(3), Sequence(2)}));
  EXPECT_EQ(std::get<PutCommand>(command.body).lease, LeaseId(7));
  ASSERT_TRUE(reader.next(&command));
  EXPECT_EQ(std::get<DeleteRangeCommand>(command.body).range_end, "b");
  ASSERT_TRUE(reader.next(&command));
  EXPECT_EQ(std::get<TxnRequest>(command.body).compare.at(0).number, 5);
  EXPECT_EQ(reader.position(), 2u);
  EXPECT_FALSE(reader.next(&command));
  EXPECT_TRUE(reader.status().ok());
}

TEST(CommandFormat, EveryTruncationIsRefusedOrShorter) {
  const std::string payload = example_batch();
  for (std::size_t length = 0; length < payload.size(); ++length) {
    BatchReader reader(std::string_view(payload).substr(0, length));
    Command command;
    std::size_t commands = 0;
    while (reader.next(&command)) ++commands;
    EXPECT_LT(commands, 3u);
    if (!reader.status().ok()) EXPECT_EQ(reader.status().code(), Code::corruption);
  }
}

TEST(CommandFormat, AFullBatchRefusesAndStaysAsItWas) {
  BatchBuilder batch;
  batch.start({});
  for (std::size_t i = 0; i < limits::entry_commands_max; ++i) ASSERT_TRUE(batch.nothing());
  const std::size_t bytes = batch.bytes();
  EXPECT_FALSE(batch.put({.key = "k"}));
  EXPECT_EQ(batch.bytes(), bytes);

  batch.start({});
  const PutRequest large{.key = "k", .value = std::string(1024 * 1024, 'v')};
  int puts = 0;
  while (batch.put(large)) ++puts;
  EXPECT_EQ(puts, 3);
  const std::string payload = batch.take();
  EXPECT_LE(payload.size(), limits::entry_bytes_max);
  // Even under the longest header.
  const auto restamped = restamp_batch(
      payload,
      {.store_time_ms = INT64_MAX / 2, .digest_check = DigestCheck{LogIndex(UINT64_MAX), UINT64_MAX}});
  ASSERT_TRUE(restamped.ok());
  EXPECT_LE(restamped->size(), limits::entry_bytes_max);
}

TEST(CommandFormat, TheLargestRequestFitsABatch) {
  TxnRequest txn;
  for (std::size_t i = 0; i < limits::txn_operations_max; ++i) {
    txn.success.push_back({RangeRequest{.key = std::string(6000, 'k'), .range_end = std::string(6000, 'l')}});
  }
  ASSERT_TRUE(validate(txn).ok());
  BatchBuilder batch;
  batch.start({});
  EXPECT_TRUE(batch.txn(txn, {ClientId(UINT64_MAX), Sequence(UINT64_MAX), Sequence(UINT64_MAX)}));
}

RequestOperation nested(std::vector<RequestOperation> success, std::vector<RequestOperation> failure = {}) {
  TxnRequest txn;
  txn.success = std::move(success);
  txn.failure = std::move(failure);
  return {txn};
}
RequestOperation put(const char* key) {
  return {PutRequest{.key = key}};
}
RequestOperation removal(const char* key, std::string range_end = {}) {
  return {DeleteRangeRequest{.key = key, .range_end = std::move(range_end)}};
}

TEST(Validate, AKeyIsWrittenAtMostOnceByATransaction) {
  struct Row {
    const char* name;
    std::vector<RequestOperation> success;
    bool accepted;
  };
  const std::string from_key(1, '\0');
  const std::vector<Row> rows{
      {"two puts", {put("a"), put("a")}, false},
      {"two keys", {put("a"), put("b")}, true},
      {"put and delete", {put("a"), removal("a")}, false},
      {"delete and put", {removal("a"), put("a")}, false},
      {"delete twice", {removal("a"), removal("a")}, true},
      {"range before the key", {removal("a", "b"), put("b")}, true},
      {"range over the key", {removal("a", "c"), put("b")}, false},
      {"empty range", {removal("c", "a"), put("b")}, true},
      {"every key from", {removal("a", from_key), put("b")}, false},
      {"both branches", {nested({put("a")}, {put("a")})}, true},
      {"put here, delete there", {nested({put("a")}, {removal("a")})}, true},
      {"nested beside", {nested({put("a")}), put("a")}, false},
      {"two nested", {nested({put("a")}), nested({put("a")})}, false},
      {"nested put, later nested delete", {nested({put("a")}), nested({removal("a")})}, false},
      {"nested delete, later nested put", {nested({removal("a")}), nested({put("a")})}, false},
      {"deep", {nested({nested({put("a")})}), removal("a", "b")}, false},
      {"own branch is skipped for the next", {nested({put("a")}, {removal("a", "c")}), put("b")}, false},
  };
  for (const Row& row : rows) {
    TxnRequest txn;
    txn.success = row.success;
    EXPECT_EQ(validate(txn), row.accepted ? Status() : errors::duplicate_key()) << row.name;
    std::swap(txn.success, txn.failure);
    EXPECT_EQ(validate(txn), row.accepted ? Status() : errors::duplicate_key()) << row.name;
  }
}

TEST(Validate, Limits) {
  EXPECT_EQ(validate(PutRequest{.key = ""}), errors::key_not_provided());
  EXPECT_EQ(validate(PutRequest{.key = std::string(limits::key_bytes_max + 1, 'k')}),
            errors::key_too_large());
  EXPECT_EQ(validate(PutRequest{.key = "k", .value = std::string(limits::request_bytes_max, 'v')}),
            errors::request_too_large());
  EXPECT_EQ(validate(PutRequest{.key = "k", .value = "v", .ignore_value = true}), errors::value_provided());
  EXPECT_EQ(validate(PutRequest{.key = "k", .lease = LeaseId(1), .ignore_lease = true}),
            errors::lease_provided());
  EXPECT_EQ(validate(LeaseGrantRequest{.ttl = std::chrono::seconds(limits::lease_ttl_s_max + 1)}),
            errors::lease_ttl_too_large());
  EXPECT_TRUE(validate(LeaseGrantRequest{.ttl = std::chrono::seconds(limits::lease_ttl_s_max)}).ok());
  EXPECT_EQ(validate(RequestId{ClientId(1), Sequence(1), Sequence(2)}), errors::request_id_invalid());

  TxnRequest many;
  many.success.assign(limits::txn_operations_max + 1, {RangeRequest{.key = "k"}});
  EXPECT_EQ(validate(many), errors::too_many_operations());
  many.success.resize(limits::txn_operations_max);
  EXPECT_TRUE(validate(many).ok());
  many.success.back() = nested({RequestOperation{RangeRequest{.key = "k"}}});
  EXPECT_EQ(validate(many), errors::too_many_operations()) << "nothing is left for the nested one";

  TxnRequest deep;
  for (std::size_t depth = 1; depth < limits::txn_depth_max; ++depth) {
    TxnRequest outer;
    outer.success.push_back({deep});
    deep = outer;
  }
  EXPECT_TRUE(validate(deep).ok());
  TxnRequest deeper;
  deeper.success.push_back({deep});
  EXPECT_EQ(validate(deeper), errors::txn_too_deep());
  EXPECT_EQ(granted_ttl(1ns, 100ms), 100ms);
  EXPECT_EQ(granted_ttl(100'000'001ns, 100ms), 101ms);
}

TEST(EffectFormat, TheDocumentedExample) {
  EffectBlockBuilder builder;
  builder.start(Revision(10), 0, 0);
  builder.begin_revision(Revision(10));
  builder.put({"k", "new", Revision(4), Revision(10), 3, LeaseId(7)}, Revision(6),
              RowView{"k", "old", Revision(4), Revision(6), 2, LeaseId{}});
  builder.remove("m", Revision(9), std::nullopt);
  builder.begin_revision(Revision(11));
  builder.put({"n", "", Revision(11), Revision(11), 1, LeaseId{}}, Revision{}, std::nullopt);
  const auto block = builder.finish();
  EXPECT_EQ(hex(block->encoded()),
            "01 14 03 00 00 00 "
            "0e 01 6b 03 6e 65 77 06 03 0e 04 00 03 6f 6c 64 02 02 "
            "01 01 6d 01 "
            "02 01 6e 00 00 01 00");
  const auto decoded = EffectBlock::decode(std::string(block->encoded()));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ((*decoded)->effect(0).previous_row->value, "old");
  EXPECT_EQ((*decoded)->last_revision(), Revision(11));
  EXPECT_EQ((*decoded)->begin_of(Revision(11)), 2u);
  EXPECT_FALSE((*decoded)->find(Revision(11), "k").has_value());
}

TEST(EffectFormat, AKeyTwiceInARevisionIsRefused) {
  EffectBlockBuilder builder;
  builder.start(Revision(5), 0, 0);
  builder.begin_revision(Revision(5));
  builder.put({"k", "", Revision(5), Revision(5), 1, {}}, Revision{}, std::nullopt);
  builder.remove("k", Revision(4), std::nullopt);
  const auto decoded = EffectBlock::decode(std::string(builder.finish()->encoded()));
  ASSERT_FALSE(decoded.ok());
  EXPECT_EQ(decoded.status().message(), "effect block changes a key twice in revision 5");
}

TEST(Rows, TheDocumentedExamples) {
  CurrentRow row{false, {"k", "v", Revision(4), Revision(10), 3, LeaseId(7)}, Revision(6)};
  EXPECT_EQ(hex(encode_current_row(row)), "02 0c 08 14 06 0e 76");
  row = {true, {.key = "k", .mod_revision = Revision(11)}, Revision(10)};
  EXPECT_EQ(hex(encode_current_row(row)), "01 14 16");
  EXPECT_EQ(hex(encode_pinned_row({"k", "v", Revision(4), Revision(10), 3, LeaseId{}})), "00 08 14 06 76");
  EXPECT_EQ(hex(history_row_key(Revision(258))), "00 00 00 00 00 00 01 02");
  EXPECT_EQ(hex(lease_row_key(LeaseId(-1))), "6c 7f ff ff ff ff ff ff ff");
  EXPECT_LT(lease_row_key(LeaseId(-1)), lease_row_key(LeaseId(1)));
}

TEST(Rows, StateRowsReturnAsTheyWere) {
  const StateRow row{LogIndex(9), Term(2), Revision(7), Revision(-1), 1234, 1200, 0xdeadbeef, 10, 20, 5};
  const auto decoded = decode_state_row(encode_state_row(row));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(*decoded, row);
  EXPECT_FALSE(decode_state_row(encode_state_row(row) + "x").ok());
}

}  // namespace
}  // namespace lockstep::store
