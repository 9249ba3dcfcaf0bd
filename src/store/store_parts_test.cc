// The parts of the state machine on their own: index, request ids, history, leases, space.
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/prng.h"
#include "store/clients.h"
#include "store/errors.h"
#include "store/history.h"
#include "store/index.h"
#include "store/reader.h"
#include "store/testing/machine.h"

namespace lockstep::store {
namespace {

using testing::Machine;

void expect_ok(const CommandResult& result) {
  EXPECT_TRUE(result.ok()) << result.status().to_string();
}

TEST(Index, BehavesLikeASortedMap) {
  Prng prng(7);
  Index index;
  std::map<std::string, std::pair<std::string, Revision>> wanted;
  Revision revision(1);
  for (int i = 0; i < 20'000; ++i) {
    std::string key(prng.between(1, 12), 'a');
    for (char& byte : key) byte = static_cast<char>(prng.chance(1, 3) ? 0 : 'a' + prng.below(2));
    const std::uint64_t hash = Index::hash(key);
    Node* node = index.find(key, hash);
    ASSERT_EQ(node != nullptr, wanted.contains(key));
    ++revision;
    if (node != nullptr && prng.chance(1, 3)) {
      index.erase(node);
      wanted.erase(key);
      continue;
    }
    const std::string value(prng.below(100), 'v');
    const RowView row{key, value, revision, revision, 1, {}};
    if (node == nullptr) {
      node = index.insert(hash, row, Revision{});
    } else {
      index.put(node, row, Revision{});
    }
    wanted[key] = {value, revision};
  }
  ASSERT_EQ(index.node_count(), wanted.size());
  auto next = wanted.begin();
  for (Index::Cursor cursor(index, {}); cursor.node() != nullptr; cursor.advance(), ++next) {
    ASSERT_EQ(cursor.node()->key(), next->first);
    ASSERT_EQ(cursor.node()->value(), next->second.first);
    ASSERT_EQ(cursor.node()->mod_revision(), next->second.second);
  }
  EXPECT_EQ(next, wanted.end());
}

TEST(Index, ABuriedKeyKeepsItsPlaceAndReturns) {
  Index index;
  Node* node =
      index.insert(Index::hash("k"), {"k", "value", Revision(2), Revision(2), 1, LeaseId(3)}, Revision{});
  EXPECT_EQ(index.live_count(), 1u);
  index.bury(node, Revision(3), Revision(2));
  EXPECT_TRUE(node->is_tombstone());
  EXPECT_EQ(node->value(), "");
  EXPECT_EQ(node->lease(), LeaseId{});
  EXPECT_EQ(index.live_count(), 0u);
  EXPECT_EQ(index.find("k"), node);
  const std::string large(10'000, 'x');
  index.put(node, {"k", large, Revision(4), Revision(4), 1, {}}, Revision(3));
  EXPECT_EQ(index.find("k"), node) << "nodes do not move";
  EXPECT_EQ(node->value(), large);
  EXPECT_EQ(index.live_count(), 1u);
}

CommandResult answer(std::int64_t revision, std::size_t bytes = 0) {
  PutResponse response;
  response.header.revision = Revision(revision);
  if (bytes > 0) response.prev_kv = KeyValue{.key = "k", .value = std::string(bytes, 'v')};
  return Response(response);
}

RequestId id(ClientId client, std::uint64_t sequence, std::uint64_t unanswered_first = 1) {
  return {client, Sequence(sequence), Sequence(unanswered_first)};
}

TEST(Clients, AnAnsweredRequestIsRepeatedNotExecuted) {
  ClientTable clients;
  std::vector<MetaChange> meta;
  const ClientId client = clients.register_client(LogIndex(5), 2, &meta);
  EXPECT_EQ(client, ClientId(5 * 4096 + 2));
  EXPECT_FALSE(clients.admit(id(client, 1), LogIndex(6), &meta).has_value());
  clients.keep(id(client, 1), answer(9), &meta);
  const auto repeated = clients.admit(id(client, 1), LogIndex(7), &meta);
  ASSERT_TRUE(repeated.has_value());
  EXPECT_EQ(std::get<PutResponse>(**repeated).header.revision, Revision(9));
  // Errors are answers too.
  EXPECT_FALSE(clients.admit(id(client, 2), LogIndex(8), &meta).has_value());
  clients.keep(id(client, 2), errors::lease_not_found(), &meta);
  EXPECT_EQ(clients.admit(id(client, 2), LogIndex(9), &meta)->status(), errors::lease_not_found());
}

TEST(Reader, AnAnswerHasABound) {
  Index index;
  History history({}, nullptr);
  const std::string value(1000, 'v');
  for (const std::string key : {"k1", "k2", "k3"})
    index.insert(Index::hash(key), {key, value, Revision(2), Revision(2), 1, {}}, Revision{});
  const Reader reader(index, history, Revision(2), Revision(-1), 2500);
  RangeRequest request{.key = "k", .range_end = "l"};
  EXPECT_EQ(reader.range(request).status(), errors::answer_too_large());
  EXPECT_EQ(*reader.answer_bytes(request), 2501);
  request.limit = 2;
  EXPECT_EQ(reader.range(request)->kvs.size(), 2);
  request.sort_order = SortOrder::descend;  // all are looked at, two are answered
  EXPECT_EQ(reader.range(request)->kvs.size(), 2);
  request = {.key = "k", .range_end = "l", .keys_only = true};
  EXPECT_EQ(reader.range(request)->kvs.size(), 3);
  request = {.key = "k", .range_end = "l", .count_only = true};
  EXPECT_EQ(reader.range(request)->count, 3);
}

TEST(Clients, GivenUpAndUnknownRequestsAreRefused) {
  ClientTable clients;
  std::vector<MetaChange> meta;
  EXPECT_EQ(clients.admit(id(ClientId(77), 1), LogIndex(1), &meta)->status(), errors::client_unknown());
  const ClientId client = clients.register_client(LogIndex(1), 0, &meta);
  EXPECT_FALSE(clients.admit(id(client, 1), LogIndex(2), &meta).has_value());
  clients.keep(id(client, 1), answer(2), &meta);
  EXPECT_FALSE(clients.admit(id(client, 3, 2), LogIndex(3), &meta).has_value());
  clients.keep(id(client, 3, 2), answer(3), &meta);
  EXPECT_EQ(clients.admit(id(client, 1), LogIndex(4), &meta)->status(), errors::request_already_answered());
  // 2 was overtaken, not given up.
  EXPECT_FALSE(clients.admit(id(client, 2, 1), LogIndex(5), &meta).has_value());
  EXPECT_EQ(clients.admit(id(client, 2 + limits::client_window_max), LogIndex(6), &meta)->status(),
            errors::request_window_exceeded());
  EXPECT_FALSE(clients.admit(id(client, 1 + limits::client_window_max), LogIndex(7), &meta).has_value());
}

TEST(Clients, TheLeastRecentlyUsedGoFirst) {
  ClientTable clients(
      {.clients_max = 3, .window_max = 8, .answer_bytes_max = 1000, .answers_bytes_max = 5000});
  std::vector<MetaChange> meta;
  std::vector<ClientId> ids;
  for (std::uint64_t i = 0; i < 3; ++i) ids.push_back(clients.register_client(LogIndex(i + 1), 0, &meta));
  EXPECT_FALSE(clients.admit(id(ids[0], 1), LogIndex(10), &meta).has_value());
  ids.push_back(clients.register_client(LogIndex(11), 0, &meta));
  EXPECT_EQ(clients.size(), 3u);
  EXPECT_EQ(clients.admit(id(ids[1], 1), LogIndex(12), &meta)->status(), errors::client_unknown());
  // Too many bytes: the others go, the one being served stays.
  for (std::uint64_t sequence = 1; sequence <= 7; ++sequence) {
    clients.keep(id(ids[0], sequence), answer(1, 700), &meta);
  }
  EXPECT_EQ(clients.size(), 1u);
  EXPECT_TRUE(clients.admit(id(ids[0], 7), LogIndex(13), &meta)->ok());
}

TEST(Clients, AnAnswerTooLargeToKeepSaysSo) {
  ClientTable clients;
  std::vector<MetaChange> meta;
  const ClientId client = clients.register_client(LogIndex(1), 0, &meta);
  clients.keep(id(client, 1), answer(1, limits::client_answer_bytes_max), &meta);
  EXPECT_EQ(clients.admit(id(client, 1), LogIndex(2), &meta)->status(), errors::answer_not_kept());
  EXPECT_LT(clients.answers_bytes(), 1000u);
}

TEST(Leases, EndInOrderOfDeadlineAndId) {
  Machine machine;
  machine.time_ms = 1000;
  machine.entry([](BatchBuilder& batch) {
    for (const int lease : {3, 1, 2}) ASSERT_TRUE(batch.lease_grant({1s, LeaseId(lease)}));
    for (const int lease : {1, 2, 3}) {
      for (const char* prefix : {"y", "x"}) {
        const std::string key = prefix + std::to_string(lease);
        ASSERT_TRUE(batch.put({.key = key, .value = "v", .lease = LeaseId(lease)}));
      }
    }
  });
  EXPECT_EQ(machine->next_deadline_ms(), 2001);
  machine.time_ms = 2000;
  expect_ok(machine.one([](BatchBuilder& batch) { return batch.nothing(); }));
  EXPECT_EQ(machine->key_count(), 6u) << "not a millisecond early";
  machine.time_ms = 2001;
  expect_ok(machine.one([](BatchBuilder& batch) { return batch.nothing(); }));
  std::string order;
  for (std::size_t i = 0; i < machine.last.effects->size(); ++i) {
    order += std::to_string(machine.last.effects->revision(i).value()) +
             machine.last.effects->effect(i).row.key.data()[0];
    order += machine.last.effects->effect(i).row.key.data()[1];
    order += ' ';
  }
  EXPECT_EQ(order, "8x1 8y1 9x2 9y2 10x3 10y3 ");
}

TEST(Leases, ManyEndingTogetherAreSpreadOverEntries) {
  Machine machine;
  constexpr std::size_t count = limits::lease_expiries_per_entry_max + 10;
  machine.entry([](BatchBuilder& batch) {
    for (std::size_t i = 0; i < count; ++i) {
      ASSERT_TRUE(batch.lease_grant({1s, LeaseId(static_cast<std::int64_t>(i) + 1)}));
    }
  });
  machine.time_ms += 5000;
  expect_ok(machine.one([](BatchBuilder& batch) { return batch.nothing(); }));
  EXPECT_EQ(machine->lease_leases().leases.size(), 10u);
  EXPECT_LE(*machine->next_deadline_ms(), machine->store_time_ms()) << "another tick is due at once";
  expect_ok(machine.one([](BatchBuilder& batch) { return batch.nothing(); }));
  EXPECT_EQ(machine->lease_leases().leases.size(), 0u);
}

TEST(Leases, ARenewalCountsFromItsEntryEvenIfTheClockStoodStill) {
  Machine machine;
  expect_ok(machine.one([](BatchBuilder& batch) { return batch.lease_grant({1s, LeaseId(1)}); }));
  machine.time_ms = 1900;
  expect_ok(machine.one([](BatchBuilder& batch) { return batch.lease_renew({{LeaseId(1)}}); }));
  EXPECT_EQ(machine->next_deadline_ms(), 2901);
  // A new leader whose clock is behind: the store's clock does not go back, and nobody ends early.
  machine.term = Term(2);
  machine.time_ms = 500;
  expect_ok(machine.one([](BatchBuilder& batch) { return batch.lease_renew({{LeaseId(1)}}); }));
  EXPECT_EQ(machine->store_time_ms(), 1900);
  EXPECT_EQ(machine->next_deadline_ms(), 2901);
}

// The leader before may have answered renewals that did not reach the log.
// And those, by a confirmation that was 250 ms old.
TEST(Leases, ATermBeginsWithTheWholeTimeOfEach) {
  Machine machine;
  expect_ok(machine.one([](BatchBuilder& batch) { return batch.lease_grant({1s, LeaseId(1)}); }));
  expect_ok(machine.one([](BatchBuilder& batch) { return batch.lease_grant({30s, LeaseId(2)}); }));
  machine.time_ms = 1900;
  expect_ok(machine.one([](BatchBuilder& batch) { return batch.nothing(); }));
  ASSERT_EQ(machine->store_time_ms(), 1900);
  machine.term = Term(2);
  machine.time_ms = 2500;  // its first entry was stamped later: the term began where the last one ended
  expect_ok(machine.one([](BatchBuilder& batch) { return batch.nothing(); }));
  EXPECT_EQ(machine->lease(LeaseId(1))->deadline_ms, 3151);
  EXPECT_EQ(machine->lease(LeaseId(2))->deadline_ms, 32'151);
  machine.restart();  // a member that starts in the middle of a term knows when it began
  EXPECT_EQ(machine->lease(LeaseId(2))->deadline_ms, 32'151);
  EXPECT_EQ(machine->lease_time_to_live({LeaseId(2)}, 2500).remaining, 29'650ms);
  machine.time_ms = 3150;
  expect_ok(machine.one([](BatchBuilder& batch) { return batch.nothing(); }));
  EXPECT_TRUE(machine->lease(LeaseId(1)).has_value());
  machine.time_ms = 3151;
  expect_ok(machine.one([](BatchBuilder& batch) { return batch.nothing(); }));
  EXPECT_FALSE(machine->lease(LeaseId(1)).has_value());
  // A renewal that was logged in the new term counts from its entry.
  expect_ok(machine.one([](BatchBuilder& batch) { return batch.lease_renew({{LeaseId(2)}}); }));
  EXPECT_EQ(machine->lease(LeaseId(2))->deadline_ms, 33'152);
}

TEST(Leases, AChosenIdIsTheSameEverywhereAndPositive) {
  Machine one;
  Machine other;
  for (Machine* machine : {&one, &other}) {
    const auto results = machine->entry([](BatchBuilder& batch) {
      for (int i = 0; i < 50; ++i) ASSERT_TRUE(batch.lease_grant({1s, LeaseId{}}));
    });
    for (const auto& result : results) EXPECT_GT(std::get<LeaseGrantResponse>(*result).id, LeaseId{});
  }
  EXPECT_EQ(one->lease_leases(), other->lease_leases());
  EXPECT_EQ(one->lease_leases().leases.size(), 50u);
}

TEST(StateMachine, ADifferentDigestHalts) {
  Machine machine;
  expect_ok(machine.put(PutRequest{.key = "k", .value = "v"}));
  BatchBuilder batch;
  batch.start({.store_time_ms = 1000, .digest_check = DigestCheck{LogIndex(1), machine->digest()}});
  ASSERT_TRUE(batch.nothing());
  EXPECT_TRUE(machine.apply(batch.take(), nullptr).fatal.ok());
  batch.start({.store_time_ms = 1000, .digest_check = DigestCheck{LogIndex(1), machine->digest() ^ 1}});
  ASSERT_TRUE(batch.nothing());
  const Status fatal = machine.apply(batch.take(), nullptr).fatal;
  EXPECT_EQ(fatal.to_string(), "corruption: state digest at index 1 differs from the leader's");
}

TEST(StateMachine, AMalformedEntryHalts) {
  Machine machine;
  EXPECT_EQ(machine.apply("\x04", nullptr).fatal.to_string(), "corruption: batch has a malformed header");
}

// It would be replayed by other rules than it was written by.
TEST(StateMachine, AnEntryOfAnotherFormatHaltsAndSaysSo) {
  BatchBuilder batch;
  batch.start({.store_time_ms = 1000});
  ASSERT_TRUE(batch.nothing());
  std::string payload = batch.take();
  for (const char format : {'\3', '\5'}) {
    payload[0] = format;
    Machine machine;
    EXPECT_EQ(machine.apply(payload, nullptr).fatal.to_string(),
              "corruption: batch has format " + std::to_string(int{format}) +
                  ", and this version of lockstepd reads 4: open it with the version that wrote it");
  }
}

// A term that began late holds a lease whose own deadline is over.
TEST(Leases, WhenItsTermBeganComesBackWithASnapshot) {
  Machine machine;
  expect_ok(machine.one([](BatchBuilder& batch) { return batch.lease_grant({10s, LeaseId(1)}); }));
  machine.time_ms += 9'000;
  expect_ok(machine.one([](BatchBuilder& batch) { return batch.nothing(); }));
  machine.term = machine.term.next();
  expect_ok(machine.one([](BatchBuilder& batch) { return batch.nothing(); }));
  machine.restart();
  machine.time_ms += 10'250;
  expect_ok(machine.one([](BatchBuilder& batch) { return batch.nothing(); }));
  EXPECT_EQ(machine->lease_count(), 1u);
  machine.time_ms += 1;
  expect_ok(machine.one([](BatchBuilder& batch) { return batch.nothing(); }));
  EXPECT_EQ(machine->lease_count(), 0u);
}

TEST(StateMachine, RestoreRefusesRowsThatDoNotFit) {
  Machine machine;
  expect_ok(machine.one([](BatchBuilder& batch) { return batch.lease_grant({1s, LeaseId(1)}); }));
  expect_ok(machine.put(PutRequest{.key = "k", .value = "v", .lease = LeaseId(1)}));
  const testing::Rows rows = testing::dump(*machine);
  const auto refused = [&](const std::function<void(testing::Rows&)>& damage) {
    testing::Rows damaged = rows;
    damage(damaged);
    StateMachine restored;
    return testing::restore(damaged, &restored).to_string();
  };
  EXPECT_EQ(refused([](testing::Rows&) {}), "ok");
  EXPECT_EQ(refused([](testing::Rows& damaged) {
              std::erase_if(damaged.meta, [](auto& row) { return row.first[0] == 'l'; });
            }),
            "corruption: current row with unknown lease");
  EXPECT_EQ(refused([](testing::Rows& damaged) { damaged.current.push_back(damaged.current[0]); }),
            "corruption: current row twice");
  EXPECT_EQ(refused([](testing::Rows& damaged) { damaged.current[0].second.resize(2); }),
            "corruption: malformed current row");
  EXPECT_EQ(refused([](testing::Rows& damaged) { damaged.history.push_back(damaged.history[0]); }),
            "corruption: history blocks do not join at revision 2");
  EXPECT_EQ(refused([](testing::Rows& damaged) {
              std::erase_if(damaged.meta, [](auto& row) { return row.first == "s"; });
            }),
            "corruption: the state row is missing");
  EXPECT_EQ(refused([](testing::Rows& damaged) {
              for (auto& row : damaged.meta) {
                if (row.first == "s") row.second[0] = 2;
              }
            }),
            "corruption: the state row has format 2, and this version of lockstepd reads 3: open it with the "
            "version that wrote it");
}

// Two values, read so often by one transaction that its answer would not fit.
TEST(StateMachine, ATransactionWithTooLargeAnAnswerHasNoEffectOnAnyMember) {
  Machine answering;
  Machine following;
  const auto on_both = [&](const std::function<bool(BatchBuilder&)>& add) {
    BatchBuilder batch;
    batch.start({.store_time_ms = 1000});
    EXPECT_TRUE(add(batch));
    EXPECT_TRUE(following.apply(batch.take(), nullptr).fatal.ok());
    return answering.one(add);
  };
  for (const std::string key : {"a", "b"})
    expect_ok(on_both(
        [&](BatchBuilder& batch) { return batch.put({.key = key, .value = std::string(1'400'000, 'v')}); }));
  const auto txn_of = [](const RequestOperation& read) {
    TxnRequest txn;
    txn.success.push_back({PutRequest{.key = "c", .value = "new"}});
    TxnRequest nested;
    for (int i = 0; i < 100; ++i) nested.success.push_back(read);
    txn.success.push_back({nested});
    return txn;
  };
  const Revision before = answering->revision();
  RangeRequest all{.key = "a", .range_end = "z"};
  EXPECT_EQ(on_both([&](BatchBuilder& batch) { return batch.txn(txn_of({all})); }).status(),
            errors::answer_too_large());
  all.revision = before;
  EXPECT_EQ(on_both([&](BatchBuilder& batch) { return batch.txn(txn_of({all})); }).status(),
            errors::answer_too_large());
  for (const std::int64_t limit : {2, 1000}) {
    const RangeRequest some{.key = "a", .range_end = "z", .limit = limit};
    EXPECT_EQ(on_both([&](BatchBuilder& batch) { return batch.txn(txn_of({some})); }).status(),
              errors::answer_too_large());
  }
  EXPECT_EQ(answering->revision(), before);
  EXPECT_EQ(answering->range({.key = "c"})->count, 0);
  EXPECT_EQ(following->digest(), answering->digest());
  // What fits, fits: keys, counts, one of many, one key however often.
  for (const RangeRequest& small :
       {RangeRequest{.key = "a", .range_end = "z", .keys_only = true},
        RangeRequest{.key = "a", .range_end = "z", .count_only = true},
        RangeRequest{.key = "a", .range_end = "z", .limit = 1}, RangeRequest{.key = "b"}})
    expect_ok(on_both([&](BatchBuilder& batch) { return batch.txn(txn_of({small})); }));
  EXPECT_EQ(following->digest(), answering->digest());
}

TEST(StateMachine, CompactionGivesMemoryAndSpaceBack) {
  Machine machine;
  for (int i = 0; i < 300; ++i) {
    expect_ok(
        machine.put(PutRequest{.key = "k" + std::to_string(i % 10), .value = std::string(10'000, 'v')}));
  }
  const std::uint64_t bytes_before = machine->bytes_in_use();
  const std::size_t memory_before = machine->history().memory_bytes();
  expect_ok(
      machine.one([&](BatchBuilder& batch) { return batch.compact({.revision = machine->revision()}); }));
  while (machine->compaction_step(1000, nullptr)) {
  }
  EXPECT_LT(machine->bytes_in_use(), bytes_before / 2);
  EXPECT_LT(machine->history().memory_bytes(), memory_before / 10);
  EXPECT_EQ(machine->range({.key = "k", .range_end = "l"})->count, 10);
}

TEST(StateMachine, ReadsAtEveryKeptRevisionWhileAndAfterCompacting) {
  Machine machine({.compaction_steps_per_entry = 1});
  for (int i = 0; i < 40; ++i)
    expect_ok(machine.put(PutRequest{.key = "k" + std::to_string(i % 4), .value = std::to_string(i)}));
  const std::uint64_t hash = *machine->content_hash(Revision(25));
  expect_ok(machine.one([](BatchBuilder& batch) { return batch.compact({.revision = Revision(25)}); }));
  EXPECT_EQ(machine->content_hash(Revision(24)).status(), errors::compacted());
  do {
    EXPECT_EQ(*machine->content_hash(Revision(25)), hash);
  } while (machine->compaction_step(1, nullptr));
  EXPECT_EQ(*machine->content_hash(Revision(25)), hash);
  EXPECT_EQ(machine->history().pinned_rows().size(), 4u);
  machine.restart();
  EXPECT_EQ(*machine->content_hash(Revision(25)), hash);
}

}  // namespace
}  // namespace lockstep::store
