// One conformance suite for every engine: tables of cases, then long random runs against plain maps.
#include "engine/engine.h"

#include <cstdlib>
#include <memory>

#include <gtest/gtest.h>

#include "base/testing_rounds.h"
#include "engine/engine_model.h"
#include "engine/memory_engine.h"
#include "engine/rocksdb_engine.h"

namespace lockstep::engine {
namespace {

// Where an engine's rows live while no engine is open on them.
class Home {
 public:
  virtual ~Home() = default;
  virtual std::unique_ptr<Engine> open() = 0;
};

class MemoryHome final : public Home {
 public:
  std::unique_ptr<Engine> open() override { return open_memory_engine(medium_); }

 private:
  std::shared_ptr<MemoryMedium> medium_ = std::make_shared<MemoryMedium>();
};

class RocksDbHome final : public Home {
 public:
  std::unique_ptr<Engine> open() override {
    RocksDbOptions options;
    options.memory_bytes = 256 * limits::kibibyte;  // so that it also flushes by itself
    auto engine = open_rocksdb_engine(directory_.path() + "/engine", options);
    EXPECT_TRUE(engine.ok()) << engine.status().to_string();
    return *std::move(engine);
  }

 private:
  TemporaryDirectory directory_;
};

struct Kind {
  const char* name;
  std::unique_ptr<Home> (*make)();
};

class Conformance : public ::testing::TestWithParam<Kind> {
 protected:
  void reopen() {
    engine_.reset();
    engine_ = home_->open();
  }
  void write(WriteBatch batch) {
    const auto position = engine_->write(std::move(batch));
    ASSERT_TRUE(position.ok()) << position.status().to_string();
    ASSERT_EQ(*position, engine_->written());
  }
  void put(Table table, std::string_view key, std::string_view value) {
    WriteBatch batch;
    batch.put(table, key, value);
    write(std::move(batch));
  }
  std::optional<std::string> get(Table table, std::string_view key) {
    auto value = engine_->get(table, key);
    EXPECT_TRUE(value.ok()) << value.status().to_string();
    return *value;
  }
  Status merge(MapRows::Map rows) {
    MapRows source(std::move(rows));
    return engine_->merge_sorted(Table::current, source);
  }
  // "a=1 b=2 " of a scan.
  static std::string scan(View& view, Table table, std::string_view from, std::string_view to,
                          Direction direction) {
    std::string text;
    const auto cursor = view.scan(table, from, to, direction);
    for (; cursor->valid(); cursor->next()) {
      text.append(cursor->key()).append("=").append(cursor->value()).append(" ");
    }
    EXPECT_TRUE(cursor->status().ok());
    return text;
  }
  std::string all(Table table) { return scan(*engine_->view(), table, "", "", Direction::forward); }

  std::unique_ptr<Home> home_ = GetParam().make();
  std::unique_ptr<Engine> engine_ = home_->open();
};

TEST_P(Conformance, ANewEngineIsEmpty) {
  EXPECT_EQ(*contents(*engine_), Model());
  EXPECT_EQ(engine_->written(), Position(0));
  EXPECT_EQ(engine_->durable(), Position(0));
  EXPECT_TRUE(engine_->health().ok());
  EXPECT_EQ(get(Table::meta, "applied"), std::nullopt);
}

TEST_P(Conformance, ABatchChangesAllItsTablesInItsOrder) {
  WriteBatch batch;
  batch.put(Table::meta, "applied", "1");
  batch.put(Table::history, "h", SharedBytes(std::string(50'000, 'h')));
  batch.put(Table::pinned, "a", "1");
  batch.put(Table::pinned, "b", "2");
  batch.put(Table::pinned, "c", "3");
  batch.remove_range(Table::pinned, "a", "c");
  batch.put(Table::pinned, "b", "4");
  batch.remove(Table::pinned, "never there");
  batch.put(Table::meta, "applied", "2");
  batch.put(Table::meta, "", "the empty key");
  write(std::move(batch));

  EXPECT_EQ(all(Table::pinned), "b=4 c=3 ");
  EXPECT_EQ(get(Table::meta, "applied"), "2");
  EXPECT_EQ(get(Table::meta, ""), "the empty key");
  EXPECT_EQ(get(Table::history, "h"), std::string(50'000, 'h'));
  EXPECT_EQ(get(Table::history, "b"), std::nullopt) << "tables do not share keys";
}

TEST_P(Conformance, ScansAreHalfOpenInBothDirections) {
  WriteBatch batch;
  for (const std::string_view key : {"a", "b", "c", "d"}) batch.put(Table::meta, key, "");
  batch.put(Table::meta, std::string_view("b\0", 2), "");
  write(std::move(batch));
  const auto view = engine_->view();
  const std::string b0("b\0", 2);

  struct Row {
    std::string_view from, to, forward, backward;
  };
  const std::string all_forward = "a= b= " + b0 + "= c= d= ";
  const std::string all_backward = "d= c= " + b0 + "= b= a= ";
  const std::string middle_forward = "b= " + b0 + "= ";
  const std::string middle_backward = b0 + "= b= ";
  for (const Row& row :
       {Row{"", "", all_forward, all_backward}, Row{"b", "c", middle_forward, middle_backward},
        Row{"b", b0, "b= ", "b= "}, Row{"bb", "d", "c= ", "c= "}, Row{"d", "", "d= ", "d= "},
        Row{"e", "", "", ""}, Row{"b", "b", "", ""}, Row{"", "a", "", ""}}) {
    EXPECT_EQ(scan(*view, Table::meta, row.from, row.to, Direction::forward), row.forward);
    EXPECT_EQ(scan(*view, Table::meta, row.from, row.to, Direction::backward), row.backward);
  }
}

TEST_P(Conformance, AViewStaysAsItWas) {
  put(Table::meta, "m", "old");
  put(Table::history, "h", "old");
  ASSERT_TRUE(merge({{"c", "old"}, {"d", "old"}}).ok());
  const auto view = engine_->view();
  const Model before = *contents(*view);

  WriteBatch batch;
  batch.put(Table::meta, "m", "new");
  batch.remove_range(Table::history, "", "z");
  write(std::move(batch));
  ASSERT_TRUE(merge({{"c", "new"}, {"d", std::nullopt}}).ok());
  ASSERT_TRUE(engine_->flush(FlushMode::wait).ok());
  EXPECT_EQ(*contents(*view), before);
  EXPECT_EQ(*view->get(Table::meta, "m"), "old");
  EXPECT_EQ(*view->get(Table::current, "d"), "old");
  EXPECT_EQ(get(Table::meta, "m"), "new");
  EXPECT_EQ(all(Table::current), "c=new ");

  const auto replacement = engine_->begin_replacement();
  ASSERT_TRUE(replacement.ok());
  ASSERT_TRUE((*replacement)->commit().ok());
  EXPECT_EQ(*contents(*view), before);
  EXPECT_EQ(*contents(*engine_), Model());
}

TEST_P(Conformance, FlushedBatchesAreDurable) {
  put(Table::meta, "a", "1");
  put(Table::pinned, "b", "2");
  EXPECT_EQ(engine_->written(), Position(2));
  ASSERT_TRUE(engine_->flush(FlushMode::wait).ok());
  EXPECT_EQ(engine_->durable(), Position(2));
  ASSERT_TRUE(engine_->flush(FlushMode::wait).ok()) << "nothing to flush is fine";
  put(Table::meta, "a", "3");
  EXPECT_EQ(engine_->written(), Position(3));
  EXPECT_GE(engine_->durable(), Position(2));
  write(WriteBatch());  // an empty one counts too
  ASSERT_TRUE(engine_->flush(FlushMode::wait).ok());
  EXPECT_EQ(engine_->durable(), Position(4));

  reopen();
  EXPECT_EQ(engine_->written(), Position(0));
  EXPECT_EQ(get(Table::meta, "a"), "3");
  EXPECT_EQ(get(Table::pinned, "b"), "2");
}

TEST_P(Conformance, AFailedMergeChangesNothing) {
  ASSERT_TRUE(merge({}).ok());
  ASSERT_TRUE(merge({{"a", "1"}, {"b", "1"}}).ok());
  MapRows source({{"a", "2"}, {"b", std::nullopt}, {"c", "2"}});
  source.fail_after(2);
  EXPECT_EQ(engine_->merge_sorted(Table::current, source).code(), Code::cancelled);
  EXPECT_TRUE(engine_->health().ok()) << "the source's error is not the engine's";
  EXPECT_EQ(all(Table::current), "a=1 b=1 ");
  ASSERT_TRUE(merge({{"a", std::nullopt}, {"c", "3"}}).ok());
  reopen();
  EXPECT_EQ(all(Table::current), "b=1 c=3 ");
}

TEST_P(Conformance, DiscardSparesWhatIsOutsideAndWaitsForViews) {
  for (const std::string_view key : {"a", "b", "c"}) put(Table::history, key, "1");
  ASSERT_TRUE(engine_->flush(FlushMode::wait).ok());
  auto view = engine_->view();
  ASSERT_TRUE(engine_->discard(Table::history, "a", "c").ok());
  EXPECT_EQ(engine_->stats().pending_discards, 1U);
  EXPECT_EQ(scan(*view, Table::history, "", "", Direction::forward), "a=1 b=1 c=1 ");
  view.reset();
  put(Table::meta, "m", "1");  // any later write catches up
  EXPECT_EQ(engine_->stats().pending_discards, 0U);
  EXPECT_EQ(get(Table::history, "c"), "1");
  reopen();
  EXPECT_EQ(get(Table::history, "c"), "1");
}

TEST_P(Conformance, AReplacementTakesEffectAsAWhole) {
  put(Table::meta, "old", "1");
  ASSERT_TRUE(merge({{"old", "1"}}).ok());
  const Model before = *contents(*engine_);
  {
    const auto abandoned = engine_->begin_replacement();
    ASSERT_TRUE(abandoned.ok());
    ASSERT_TRUE((*abandoned)->add(Table::meta, "half", "1").ok());
  }
  EXPECT_EQ(*contents(*engine_), before);

  Model expected;
  {
    const auto replacement = engine_->begin_replacement();
    ASSERT_TRUE(replacement.ok());
    for (const Table table : {Table::meta, Table::history, Table::current}) {
      for (int i = 100; i < 200; ++i) {
        const std::string key = "k" + std::to_string(i);
        ASSERT_TRUE((*replacement)->add(table, key, to_string(table)).ok());
        expected[table][key] = to_string(table);
      }
    }
    EXPECT_EQ((*replacement)->add(Table::current, "k199", "").code(), Code::invalid_argument);
    EXPECT_EQ((*replacement)->add(Table::current, "k", "").code(), Code::invalid_argument);
    EXPECT_EQ((*replacement)->add(Table::pinned, "z", "").code(), Code::invalid_argument);
    put(Table::meta, "old", "2");
    EXPECT_EQ(get(Table::meta, "old"), "2") << "the old content is in use until commit";
    ASSERT_TRUE((*replacement)->commit().ok());
  }
  EXPECT_EQ(*contents(*engine_), expected);
  EXPECT_EQ(engine_->durable(), engine_->written());
  put(Table::meta, "k100", "after");
  expected[Table::meta]["k100"] = "after";
  ASSERT_TRUE(merge({{"k100", std::nullopt}}).ok());
  expected[Table::current].erase("k100");
  EXPECT_EQ(*contents(*engine_), expected);
  reopen();
  EXPECT_EQ(*contents(*engine_), expected);
}

// Everything at random, with views that stay open, against plain maps.
class RandomRun {
 public:
  RandomRun(Home& home, std::uint64_t seed) : home_(home), prng_(seed), engine_(home.open()) {}

  void run(int steps) {
    for (int step = 0; step < steps && !::testing::Test::HasFatalFailure(); ++step) {
      SCOPED_TRACE("step " + std::to_string(step));
      act();
    }
    views_.clear();
    engine_.reset();
    engine_ = home_.open();
    ASSERT_EQ(*contents(*engine_), model_);
  }

 private:
  struct OpenView {
    std::unique_ptr<View> view;
    Model expected;
  };

  void act() {
    const std::uint64_t dice = prng_.below(100);
    if (dice < 55) {
      WriteBatch batch = random_batch(prng_);
      model_.apply(batch);
      ASSERT_TRUE(engine_->write(std::move(batch)).ok());
    } else if (dice < 65) {
      const MapRows::Map rows = random_rows(prng_);
      apply(model_, Table::current, rows);
      MapRows source(rows);
      ASSERT_TRUE(engine_->merge_sorted(Table::current, source).ok());
    } else if (dice < 75) {
      const auto table = static_cast<Table>(prng_.below(table_count));
      const std::string key = random_key(prng_, 60);
      const auto found = model_[table].find(key);
      const auto value = engine_->get(table, key);
      ASSERT_TRUE(value.ok());
      ASSERT_EQ(*value, found == model_[table].end() ? std::nullopt : std::optional(found->second));
    } else if (dice < 82) {
      views_.push_back({engine_->view(), model_});
      if (views_.size() > 4) {
        const auto victim = views_.begin() + static_cast<std::ptrdiff_t>(prng_.below(views_.size()));
        ASSERT_EQ(*contents(*victim->view), victim->expected);
        views_.erase(victim);
      }
    } else if (dice < 88) {
      compare_part_backward();
    } else if (dice < 94) {
      ASSERT_TRUE(engine_->flush(prng_.chance(1, 2) ? FlushMode::wait : FlushMode::start).ok());
      ASSERT_LE(engine_->durable(), engine_->written());
    } else if (dice < 97) {
      ASSERT_EQ(*contents(*engine_), model_);
    } else if (dice < 98) {
      replace();
    } else {
      views_.clear();
      engine_.reset();
      engine_ = home_.open();
    }
  }

  void compare_part_backward() {
    const auto table = static_cast<Table>(prng_.below(table_count));
    std::string from = random_key(prng_, 60);
    std::string to = random_key(prng_, 60);
    if (to < from) std::swap(from, to);
    const auto view = engine_->view();
    const auto cursor = view->scan(table, from, to, Direction::backward);
    auto expected = model_[table].lower_bound(to);
    for (; cursor->valid(); cursor->next()) {
      ASSERT_NE(expected, model_[table].begin());
      --expected;
      ASSERT_EQ(cursor->key(), expected->first);
      ASSERT_EQ(cursor->value(), expected->second);
    }
    ASSERT_TRUE(cursor->status().ok());
    ASSERT_EQ(expected, model_[table].lower_bound(from));
  }

  void replace() {
    auto replacement = engine_->begin_replacement();
    ASSERT_TRUE(replacement.ok());
    Model next;
    for (const Table table : all_tables) {
      for (std::uint64_t i = prng_.below(20); i > 0; --i) {
        next[table][random_key(prng_, 60)] = random_value(prng_, 100);
      }
      for (const auto& [key, value] : next[table]) {
        ASSERT_TRUE((*replacement)->add(table, key, value).ok());
      }
    }
    if (prng_.chance(1, 4)) return;  // abandoned
    ASSERT_TRUE((*replacement)->commit().ok());
    model_ = std::move(next);
  }

  Home& home_;
  Prng prng_;
  std::unique_ptr<Engine> engine_;
  Model model_;
  std::vector<OpenView> views_;
};

TEST_P(Conformance, RandomRunsAgreeWithPlainMaps) {
  const char* const given = std::getenv("LOCKSTEP_SEED");
  const std::uint64_t first = given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
  const std::uint64_t count = given != nullptr ? 1 : rounds(5);
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    SCOPED_TRACE("LOCKSTEP_SEED=" + std::to_string(seed));
    const std::unique_ptr<Home> home = GetParam().make();
    RandomRun(*home, seed).run(400);
    if (HasFatalFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Engines, Conformance,
    ::testing::Values(
        Kind{"memory", []() -> std::unique_ptr<Home> { return std::make_unique<MemoryHome>(); }},
        Kind{"rocksdb", []() -> std::unique_ptr<Home> { return std::make_unique<RocksDbHome>(); }}),
    [](const auto& test) { return std::string(test.param.name); });

// The memory engine's power cut: every prefix that the promise allows, and merged rows outside of it.
TEST(MemoryMedium, APowerCutLeavesTheChosenPrefix) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Prng prng(seed);
    const auto medium = std::make_shared<MemoryMedium>();
    auto engine = open_memory_engine(medium);
    std::vector<Model> after(1);  // the batches' tables after so many batches
    std::map<std::string, std::string> merged;
    for (int lives = 0; lives < 4; ++lives) {
      after.erase(after.begin(), after.end() - 1);
      std::size_t flushed = 0;
      for (std::uint64_t step = prng.below(30); step > 0; --step) {
        if (prng.chance(1, 6)) {
          const MapRows::Map rows = random_rows(prng);
          Model model;
          model[Table::current] = merged;
          apply(model, Table::current, rows);
          merged = model[Table::current];
          MapRows source(rows);
          ASSERT_TRUE(engine->merge_sorted(Table::current, source).ok());
        } else if (prng.chance(1, 6)) {
          ASSERT_TRUE(engine->flush(FlushMode::wait).ok());
          flushed = after.size() - 1;
        } else {
          WriteBatch batch = random_batch(prng);
          after.push_back(after.back());
          after.back().apply(batch);
          ASSERT_TRUE(engine->write(std::move(batch)).ok());
        }
      }
      ASSERT_EQ(medium->durable(), Position(flushed));
      ASSERT_EQ(medium->written(), Position(after.size() - 1));
      engine.reset();
      const std::uint64_t survivor = prng.between(flushed, after.size() - 1);
      medium->crash(Position(survivor));
      after.resize(survivor + 1);
      engine = open_memory_engine(medium);
      Model expected = after.back();
      expected[Table::current] = merged;
      ASSERT_EQ(*contents(*engine), expected);
    }
  }
}

TEST(MemoryMedium, AFailedDiskRefusesEverything) {
  const auto medium = std::make_shared<MemoryMedium>();
  const auto engine = open_memory_engine(medium);
  medium->fail(Status(Code::io_error, "fsync"));
  EXPECT_EQ(engine->write(WriteBatch()).status().code(), Code::io_error);
  EXPECT_EQ(engine->flush(FlushMode::wait).code(), Code::io_error);
  EXPECT_EQ(engine->get(Table::meta, "a").status().code(), Code::io_error);
  EXPECT_EQ(engine->discard(Table::history, "", "a").code(), Code::io_error);
  EXPECT_EQ(engine->begin_replacement().status().code(), Code::io_error);
  EXPECT_EQ(engine->health().code(), Code::io_error);
  EXPECT_EQ(engine->written(), Position(0));
}

TEST(MemoryMedium, OldVersionsAreNotKept) {
  const auto medium = std::make_shared<MemoryMedium>();
  const auto engine = open_memory_engine(medium);
  for (int i = 0; i < 1000; ++i) {
    WriteBatch batch;
    batch.put(Table::meta, "key", std::string(1000, 'v'));
    batch.put(Table::meta, "gone" + std::to_string(i), "v");
    batch.remove(Table::meta, "gone" + std::to_string(i - 1));
    ASSERT_TRUE(engine->write(std::move(batch)).ok());
    if (i % 10 == 9) ASSERT_TRUE(engine->flush(FlushMode::wait).ok());
    ASSERT_LT(engine->stats().memory_bytes, 12'000U);
  }
}

}  // namespace
}  // namespace lockstep::engine
