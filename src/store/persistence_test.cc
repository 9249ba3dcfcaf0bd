// Persistence against a state machine that never stops: whatever is crashed, replayed, swept or installed
// from a snapshot, digests, answers and old revisions stay the same.
#include "store/persistence.h"

#include <cstdlib>
#include <map>

#include <gtest/gtest.h>

#include "base/prng.h"
#include "base/testing_rounds.h"
#include "store/command.h"
#include "store/fold.h"
#include "store/persistence_rows.h"
#include "store/testing/machine.h"
#include "store/testing/persistence_run.h"
#include "store/testing/persistent_member.h"

namespace lockstep::store::testing {
namespace {

using engine::Direction;
using engine::Position;
using engine::Table;

// Entries made by hand, on a reference machine, for members to replay.
class Story {
 public:
  void put(const std::string& key, const std::string& value) {
    entry([&](BatchBuilder& batch) { ASSERT_TRUE(batch.put({.key = key, .value = value}, {})); });
  }
  void remove(const std::string& key) {
    entry([&](BatchBuilder& batch) { ASSERT_TRUE(batch.delete_range({.key = key}, {})); });
  }
  void compact(std::int64_t revision) {
    entry([&](BatchBuilder& batch) { ASSERT_TRUE(batch.compact({.revision = Revision(revision)}, {})); });
  }
  void entry(const std::function<void(BatchBuilder&)>& fill) {
    BatchBuilder batch;
    batch.start({.store_time_ms = 1000});
    fill(batch);
    log.push_back(batch.take());
    reference.term = term_of(LogIndex(log.size()));
    ASSERT_TRUE(reference.apply(log.back(), nullptr).fatal.ok());
  }

  Log log;
  Machine reference;
};

MemberOptions plain_options() {
  MemberOptions options;
  options.machine.history.memory_bytes_max = 0;  // everything durable is read from the engine
  return options;
}

std::string value_at(StateMachine& machine, const std::string& key, std::int64_t revision) {
  const auto range = machine.range({.key = key, .revision = Revision(revision)});
  if (!range.ok()) return range.status().to_string();
  return range->kvs.empty() ? "none" : range->kvs.front().value;
}

std::size_t row_count(engine::Engine& engine, Table table) {
  std::size_t count = 0;
  const auto view = engine.view();
  for (const auto rows = view->scan(table, "", "", Direction::forward); rows->valid(); rows->next()) ++count;
  return count;
}

TEST(Persistence, AnEmptyEngineGivesAnEmptyStore) {
  const Log log;
  PersistentMember member(plain_options(), log);
  EXPECT_EQ(member.machine().applied_index(), LogIndex());
  EXPECT_EQ(member.machine().revision(), Revision(1));
  EXPECT_EQ(member.persistence().durable_index(), LogIndex());
  EXPECT_TRUE(member.persistence().quiet());
}

TEST(Persistence, WindowsAreWrittenWhenFullOrIdleAndDurableWhenFlushed) {
  Story story;
  MemberOptions options = plain_options();
  options.persistence.window_bytes = 200;
  PersistentMember member(options, story.log);
  story.put("a", "1");
  member.replay();
  member.pump(false);
  EXPECT_TRUE(member.worker().idle()) << "too little for a window";
  EXPECT_GT(member.persistence().backlog_bytes(), 0U);
  story.put("b", std::string(300, 'b'));
  member.replay();
  member.pump(false);
  ASSERT_FALSE(member.worker().idle());
  member.worker().step();
  EXPECT_EQ(member.persistence().engine_index(), LogIndex(0)) << "known only when the worker reported";
  member.worker().step();
  EXPECT_EQ(member.persistence().engine_index(), LogIndex(2));
  EXPECT_EQ(member.persistence().backlog_bytes(), 0U);
  EXPECT_EQ(member.persistence().durable_index(), LogIndex(0));
  member.persistence().request_flush();
  member.settle();
  EXPECT_EQ(member.persistence().durable_index(), LogIndex(2));
}

TEST(Persistence, AKeyThatChangesOftenIsFoldedOnce) {
  Story story;
  MemberOptions options = plain_options();
  options.persistence.fold_bytes = 1'000;
  PersistentMember member(options, story.log);
  for (int i = 0; i < 300; ++i) story.put("key", std::to_string(i));
  member.replay();
  member.settle();
  EXPECT_EQ(row_count(member.engine(), Table::history), 300U);
  EXPECT_EQ(row_count(member.engine(), Table::current), 1U);
  const auto row = *member.engine().get(Table::current, "key");
  ASSERT_TRUE(row.has_value());
  EXPECT_EQ(decode_current_row("key", *row)->row.value, "299");
}

TEST(Persistence, TheSweepPinsWhatIsStillReadable) {
  Story story;
  PersistentMember member(plain_options(), story.log);
  story.put("stays", "s");      // 2
  story.put("replaced", "r1");  // 3
  story.put("removed", "d1");   // 4
  story.put("twice", "t1");     // 5
  story.put("twice", "t2");     // 6
  story.put("replaced", "r2");  // 7
  story.remove("removed");      // 8
  story.put("twice", "t3");     // 9
  story.remove("twice");        // 10
  member.replay();
  member.persistence().request_flush();
  member.settle();
  story.compact(6);
  member.replay();
  member.settle();
  ASSERT_TRUE(member.fatal().ok()) << member.fatal().to_string();

  EXPECT_EQ(value_at(member.machine(), "stays", 6), "s");
  EXPECT_EQ(value_at(member.machine(), "replaced", 6), "r1");
  EXPECT_EQ(value_at(member.machine(), "removed", 6), "d1");
  EXPECT_EQ(value_at(member.machine(), "twice", 6), "t2");
  EXPECT_EQ(value_at(member.machine(), "twice", 9), "t3");
  EXPECT_EQ(value_at(member.machine(), "twice", 10), "none");
  EXPECT_EQ(row_count(member.engine(), Table::pinned), 3U);
  EXPECT_EQ(row_count(member.engine(), Table::history), 5U) << "6 to 10: the compacted revision is watchable";

  story.compact(9);
  member.replay();
  member.settle();
  EXPECT_EQ(row_count(member.engine(), Table::pinned), 1U) << "what was replaced up to 9 is not needed";
  EXPECT_EQ(value_at(member.machine(), "twice", 9), "t3");
  EXPECT_EQ(value_at(member.machine(), "replaced", 9), "r2");
}

TEST(Persistence, ACompactedTombstoneLeavesTheCurrentTable) {
  Story story;
  MemberOptions options = plain_options();
  options.persistence.fold_bytes = 1;
  PersistentMember member(options, story.log);
  story.put("a", "1");
  story.put("b", "1");
  story.remove("a");
  member.replay();
  member.settle();
  EXPECT_EQ(row_count(member.engine(), Table::current), 2U) << "the tombstone is a row";
  story.compact(4);
  story.put("c", "1");  // reclaims
  story.put("d", "1");
  member.replay();
  member.settle();
  EXPECT_EQ(*member.engine().get(Table::current, "a"), std::nullopt);
  EXPECT_EQ(row_count(member.engine(), Table::current), 3U);
}

TEST(Persistence, AFailedEngineIsFatalOnce) {
  Story story;
  PersistentMember member(plain_options(), story.log);
  story.put("a", "1");
  member.replay();
  member.medium().fail(Status(Code::io_error, "fsync"));
  member.pump(true);
  member.worker().step();
  member.worker().step();
  EXPECT_EQ(member.fatal().code(), Code::io_error);
  member.pump(true);
  EXPECT_TRUE(member.worker().idle()) << "nothing is started any more";
}

TEST(Persistence, TheConfigurationTravelsWithItsIndex) {
  Story story;
  PersistentMember member(plain_options(), story.log);
  story.put("a", "1");
  member.replay();
  member.persistence().set_configuration("members of 1");
  member.settle();
  ASSERT_TRUE(member.crash(member.medium().written()).ok());
  StateMachine machine;
  const auto recovered = recover(member.engine(), machine);
  ASSERT_TRUE(recovered.ok());
  EXPECT_EQ(recovered->configuration, "members of 1");
  EXPECT_EQ(recovered->applied, LogIndex(1));
  const auto source = SnapshotSource::open(member.engine());
  ASSERT_TRUE(source.ok());
  EXPECT_EQ((*source)->configuration(), "members of 1");
}

// Every step of every job is a moment for the power to go, and every prefix of the batches may be what is
// left.
TEST(Persistence, ACrashAtEveryStepReplaysToTheSameDigest) {
  Story story;
  const auto build = [&] {
    for (int i = 0; i < 12; ++i) {
      story.put("key" + std::to_string(i % 4), std::string(20, static_cast<char>('a' + i)));
      if (i % 5 == 4) story.remove("key" + std::to_string(i % 4));
      if (i == 6) story.compact(5);
    }
    story.compact(9);
    story.put("last", "1");
  };
  build();
  MemberOptions options = plain_options();
  options.persistence = {.window_bytes = 1, .fold_bytes = 150, .flush_bytes = 100, .sweep_slice = 2};
  std::size_t crashes = 0;
  for (std::size_t steps = 0;; ++steps) {
    Log log;
    PersistentMember probe(options, log);
    bool finished = false;
    // The same life up to the crash, once for each prefix that may survive.
    const auto live = [&](PersistentMember& member) {
      std::size_t left = steps;
      for (const std::string& payload : story.log) {
        log.push_back(payload);
        member.replay();
        member.pump(true);
        for (int i = 0; i < 3 && !member.worker().idle(); ++i) {
          if (left-- == 0) return;
          member.worker().step();
          member.pump(true);
        }
      }
      while (!member.worker().idle()) {
        if (left-- == 0) return;
        member.worker().step();
        member.pump(true);
      }
      finished = true;
    };
    live(probe);
    const std::uint64_t durable = probe.medium().durable().value();
    const std::uint64_t written = probe.medium().written().value();
    for (std::uint64_t survivor = durable; survivor <= written; ++survivor) {
      SCOPED_TRACE("after " + std::to_string(steps) + " steps, " + std::to_string(survivor) + " batches of " +
                   std::to_string(written) + " survive");
      log.clear();
      PersistentMember member(options, log);
      live(member);
      member.release();
      const Status restarted = member.crash(Position(survivor));
      ASSERT_TRUE(restarted.ok()) << restarted.to_string();
      ASSERT_GE(member.machine().applied_index(), member.released()) << "the log was released too early";
      log = story.log;
      member.replay();
      member.settle();
      ASSERT_TRUE(member.fatal().ok()) << member.fatal().to_string();
      ASSERT_EQ(member.machine().digest(), story.reference->digest());
      for (std::int64_t revision = 9; revision <= story.reference->revision().value(); ++revision) {
        ASSERT_EQ(*member.machine().content_hash(Revision(revision)),
                  *story.reference->content_hash(Revision(revision)));
      }
      ++crashes;
    }
    if (finished) break;
  }
  EXPECT_GT(crashes, 100U);
}

TEST(Persistence, RandomLivesAgreeWithAMachineThatNeverStops) {
  const char* const given = std::getenv("LOCKSTEP_SEED");
  const std::uint64_t first = given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
  const std::uint64_t count = given != nullptr ? 1 : rounds(40);
  PersistenceTotals totals;
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    const auto failure = persistence_run(seed, 120, &totals);
    ASSERT_FALSE(failure.has_value()) << "LOCKSTEP_SEED=" << seed << ": " << *failure;
  }
  if (given != nullptr) return;
  EXPECT_GT(totals.crashes, 100U);
  EXPECT_GT(totals.entries_lost, 100U);
  EXPECT_GT(totals.installs, 50U);
  EXPECT_GT(totals.historical_reads, 1000U);
  EXPECT_GT(totals.compactions, 100U);
}

}  // namespace
}  // namespace lockstep::store::testing
