// What the outbox promises, on each database: what committed is published, in the order of its key, and is
// not forgotten whoever fails.
#include <algorithm>
#include <chrono>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <lockstep/participant/outbox.h>

#include "participant/planted.h"
#include "testing_bank.h"

namespace {

using namespace lockstep::testing_databases;
using namespace std::chrono_literals;
using lockstep::Outbox;
using lockstep::OutboxRelay;
using lockstep::OutboxResult;
using lockstep::OutboxRow;
using lockstep::SqlDialect;
using lockstep::SqlTransaction;

using Texts = std::vector<std::string>;

class OutboxOn : public testing::TestWithParam<SqlDialect> {
 protected:
  OutboxOn() : bank_(GetParam()) { Outbox::create_table(*bank_.sessions().take()); }
  ~OutboxOn() override { lockstep::v1::detail::planted = {}; }

  void add(const std::string& key, const std::string& payload) {
    const auto session = bank_.sessions().take();
    SqlTransaction transaction(*session);
    Outbox::add(*session, "orders", key, payload);
    transaction.commit();
  }
  // Publishes into `published_`; payloads in `failing_` fail.
  OutboxRelay::Publish publisher() {
    return OutboxRelay::one_by_one([this](const OutboxRow& row) -> std::optional<std::string> {
      const std::lock_guard lock(mutex_);
      if (failing_.contains(row.payload)) return "no " + row.payload;
      published_.push_back(row.payload);
      return std::nullopt;
    });
  }
  OutboxRelay& patient(OutboxRelay& relay) { return relay.retry_after(0ms, 0ms); }
  std::int64_t left() { return bank_.number("SELECT COUNT(*) FROM lockstep_outbox"); }

  Bank bank_;
  std::mutex mutex_;
  Texts published_;
  std::set<std::string> failing_;
};

INSTANTIATE_TEST_SUITE_P(On, OutboxOn, testing::ValuesIn(dialects()), dialect_name);

TEST_P(OutboxOn, WhatCommittedIsPublishedOnceAndWhatRolledBackIsNot) {
  const std::string bytes("\0\xff'\"\\ two\nlines", 14);
  add("a", "1");
  {
    const auto session = bank_.sessions().take();
    const SqlTransaction abandoned(*session);
    Outbox::add(*session, "orders", "a", "never");
  }
  add("", bytes);
  OutboxRelay relay(bank_.sessions(), publisher());
  EXPECT_EQ(relay.run_once().published, 2);
  EXPECT_EQ(relay.run_once().published, 0);
  EXPECT_EQ(published_, (Texts{"1", bytes}));
  EXPECT_EQ(left(), 0);
}

TEST_P(OutboxOn, RowsComeInBatchesInTheirOrder) {
  for (int i = 0; i < 25; ++i) add("k" + std::to_string(i % 3), std::to_string(i));
  std::vector<std::size_t> batches;
  OutboxRelay relay(bank_.sessions(), [&](std::span<const OutboxRow> rows) {
    batches.push_back(rows.size());
    return publisher()(rows);
  });
  EXPECT_EQ(relay.batch(10).run_once().published, 25);
  EXPECT_EQ(batches, (std::vector<std::size_t>{10, 10, 5}));
  Texts expected;
  for (int i = 0; i < 25; ++i) expected.push_back(std::to_string(i));
  EXPECT_EQ(published_, expected);
}

// A row whose transaction commits after later ones were published. What the relay published in the end.
Texts slow_transaction(Bank& bank, OutboxRelay& relay, const Texts& published) {
  const auto slow = bank.sessions().take();
  SqlTransaction transaction(*slow);
  Outbox::add(*slow, "orders", "slow", "slow");
  {
    const auto quick = bank.sessions().take();
    SqlTransaction other(*quick);
    Outbox::add(*quick, "orders", "quick", "quick");
    other.commit();
  }
  relay.run_once();
  transaction.commit();
  relay.run_once();
  return published;
}

// SQLite has one writer at a time, and so no such order.
class OutOfOrder : public OutboxOn {};
INSTANTIATE_TEST_SUITE_P(On, OutOfOrder, testing::ValuesIn(servers_only()), dialect_name);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(OutOfOrder);

TEST_P(OutOfOrder, CommitsLoseNoRow) {
  OutboxRelay relay(bank_.sessions(), publisher());
  EXPECT_EQ(slow_transaction(bank_, relay, published_), (Texts{"quick", "slow"}));
}

// It commits while the relay is between two batches, and its key goes on at once.
TEST_P(OutOfOrder, CommitsAreNotPassedByLaterRowsOfTheirKey) {
  const auto slow = bank_.sessions().take();
  SqlTransaction transaction(*slow);
  Outbox::add(*slow, "orders", "k", "k1");
  add("x", "x1");
  OutboxRelay relay(bank_.sessions(), [&](std::span<const OutboxRow> rows) {
    if (published_.empty()) {
      transaction.commit();
      add("k", "k2");
    }
    return publisher()(rows);
  });
  relay.batch(1).run_once();
  EXPECT_EQ(published_, (Texts{"x1", "k1", "k2"}));
}

TEST_P(OutOfOrder, ThePlantedHighWaterMarkIsFound) {
  lockstep::v1::detail::planted.high_water_mark = true;
  OutboxRelay relay(bank_.sessions(), publisher());
  EXPECT_NE(slow_transaction(bank_, relay, published_), (Texts{"quick", "slow"}));
}

// The receiver is away once: what it got in the end.
Texts receiver_that_was_away(Bank& bank, const OutboxRelay::Publish& publish, const Texts& published) {
  bool is_away = true;
  OutboxRelay relay(bank.sessions(), [&](std::span<const OutboxRow> rows) {
    if (std::exchange(is_away, false)) throw std::runtime_error("away");
    return publish(rows);
  });
  EXPECT_THROW(relay.run_once(), std::runtime_error);
  relay.run_once();
  return published;
}

TEST_P(OutboxOn, WhatWasNotAcknowledgedIsPublishedAgain) {
  add("a", "1");
  EXPECT_EQ(receiver_that_was_away(bank_, publisher(), published_), Texts{"1"});
}

TEST_P(OutboxOn, ThePlantedMarkBeforeTheAcknowledgementIsFound) {
  lockstep::v1::detail::planted.marked_before_published = true;
  add("a", "1");
  EXPECT_NE(receiver_that_was_away(bank_, publisher(), published_), Texts{"1"});
}

// It published, and ended before it could remove the row.
TEST_P(OutboxOn, ARelayThatDiesAfterPublishingLosesNothing) {
  add("a", "1");
  {
    OutboxRelay dying(bank_.sessions(), [&](std::span<const OutboxRow> rows) -> std::vector<OutboxResult> {
      publisher()(rows);
      throw std::runtime_error("the end");
    });
    EXPECT_THROW(dying.run_once(), std::runtime_error);
    OutboxRelay other(bank_.sessions(), publisher());
    EXPECT_FALSE(other.run_once().is_working);  // the first one still has the claim
  }
  OutboxRelay next(bank_.sessions(), publisher());
  while (!next.run_once().is_working)
    std::this_thread::sleep_for(5ms);  // the server notices the end of a connection
  EXPECT_EQ(published_, (Texts{"1", "1"}));
  EXPECT_EQ(left(), 0);
}

TEST_P(OutboxOn, AFailingRowHoldsBackItsKeyOnlyAndDiesAfterItsAttempts) {
  for (const auto& [key, payload] : std::vector<std::pair<std::string, std::string>>{
           {"a", "a1"}, {"b", "b1"}, {"a", "a2"}, {"", "free1"}, {"b", "b2"}, {"", "free2"}}) {
    add(key, payload);
  }
  failing_ = {"a1", "free1"};
  OutboxRelay relay(bank_.sessions(), publisher());
  patient(relay).attempts_max(3);
  EXPECT_EQ(relay.run_once().failed, 2);
  EXPECT_EQ(published_, (Texts{"b1", "b2", "free2"}));
  EXPECT_EQ(relay.run_once().died, 0);
  OutboxRelay::Turn last = relay.run_once();
  EXPECT_EQ(last.died, 2);
  relay.run_once();
  EXPECT_EQ(published_, (Texts{"b1", "b2", "free2", "a2"}));
  EXPECT_EQ(left(), 0);

  const auto session = bank_.sessions().take();
  const auto dead = Outbox::dead(*session);
  ASSERT_EQ(dead.size(), 2U);
  EXPECT_EQ(dead[0].row.payload, "a1");
  EXPECT_EQ(dead[0].row.attempts, 3);
  EXPECT_EQ(dead[0].reason, "no a1");
  failing_.clear();
  EXPECT_TRUE(Outbox::redrive(*session, dead[0].row.id));
  EXPECT_FALSE(Outbox::redrive(*session, dead[0].row.id));
  EXPECT_EQ(relay.run_once().published, 1);
  EXPECT_EQ(published_.back(), "a1");
}

TEST_P(OutboxOn, AFailedRowWaitsForItsTime) {
  add("a", "1");
  failing_ = {"1"};
  OutboxRelay relay(bank_.sessions(), publisher());
  relay.retry_after(1h, 1h);
  EXPECT_EQ(relay.run_once().failed, 1);
  failing_.clear();
  add("a", "2");
  add("b", "3");
  EXPECT_EQ(relay.run_once().published, 1);
  EXPECT_EQ(published_, Texts{"3"});
}

// Writers, and two relays of which one is replaced again and again: nothing lost, each key in its order.
TEST_P(OutboxOn, TwoRelaysAtOncePublishEachKeyInItsOrder) {
  constexpr int writers = 4;
  constexpr int rows = 20;
  std::vector<std::jthread> relays;
  for (int i = 0; i < 2; ++i) {
    relays.emplace_back([&](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        OutboxRelay relay(bank_.sessions(), publisher());
        relay.batch(7);
        try {
          for (int turn = 0; turn < 5 && !stop.stop_requested(); ++turn) {
            relay.run_once();
            std::this_thread::sleep_for(1ms);
          }
        } catch (const lockstep::SqlError&) {  // busy
        }
      }
    });
  }
  side_by_side(writers, [&](int writer) {
    for (int i = 0; i < rows; ++i) add("k" + std::to_string(writer), std::to_string(writer * 1000 + i));
  });
  while (left() > 0) std::this_thread::sleep_for(5ms);
  relays.clear();
  std::map<int, std::vector<int>> by_writer;
  for (const std::string& payload : published_)
    by_writer[std::stoi(payload) / 1000].push_back(std::stoi(payload) % 1000);
  for (int writer = 0; writer < writers; ++writer) {
    const std::vector<int>& got = by_writer[writer];
    EXPECT_EQ(got.size(), rows);
    EXPECT_TRUE(std::ranges::is_sorted(got));
  }
}

TEST_P(OutboxOn, ARelayRunsUntilItIsToldToStop) {
  std::jthread running([&](const std::stop_token& stop) {
    OutboxRelay relay(bank_.sessions(), publisher());
    relay.look_every(GetParam() == SqlDialect::postgres ? 1000ms : 5ms).run(stop);
  });
  for (int i = 0; i < 3; ++i) {
    const auto session = bank_.sessions().take();
    SqlTransaction transaction(*session);
    Outbox::add(*session, "orders", "a", std::to_string(i));
    Outbox::wake(*session);
    transaction.commit();
  }
  while (left() > 0) std::this_thread::sleep_for(5ms);
  running.request_stop();
  running.join();
  EXPECT_EQ(published_, (Texts{"0", "1", "2"}));
}

TEST_P(OutboxOn, ADatabaseKilledUnderTheRelayLosesNothing) {
  for (int i = 0; i < 20; ++i) add("a", std::to_string(i));
  OutboxRelay relay(bank_.sessions(), [&, is_first = true](std::span<const OutboxRow> rows) mutable {
    auto results = publisher()(rows);
    if (std::exchange(is_first, false)) bank_.database().kill_and_restart();
    return results;
  });
  relay.batch(5);
  if (GetParam() == SqlDialect::sqlite) {
    relay.run_once();
  } else {
    EXPECT_THROW(relay.run_once(), lockstep::SqlError);
    bank_.sessions().close_idle();
    relay.run_once();
  }
  EXPECT_EQ(left(), 0);
  EXPECT_EQ(std::set<std::string>(published_.begin(), published_.end()).size(), 20U);
}

}  // namespace
