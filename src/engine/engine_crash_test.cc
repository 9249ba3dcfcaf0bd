// RocksDB's engine under kills and under a failing disk. What the caller was told is durable is there
// afterwards, and what is there is always the first n batches as a whole.
//
// Every failure names its seed; `--seed n` starts there.
// The binary starts itself as `--child directory seed` to have something to kill.
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <signal.h>
#include <unistd.h>

#include <gtest/gtest.h>
#include <rocksdb/env.h>
#include <sys/wait.h>

#include "base/codec.h"
#include "base/testing_rounds.h"
#include "engine/engine_model.h"
#include "engine/faulty_file_system.h"
#include "engine/rocksdb_database.h"

namespace lockstep::engine {
namespace {

std::uint64_t first_seed = 1;
std::uint64_t rounds_kill = rounds(10);
std::uint64_t rounds_fault = rounds(20);

// The story that every victim writes: batch n counts itself in `meta`, adds the block n to history, and
// changes a pinned row. Now and then it flushes and merges rows that say up to which batch they know.
constexpr std::uint64_t pinned_keys = 7;

std::string numbered(std::uint64_t number) {
  std::string text = std::to_string(number);
  return std::string(10 - text.size(), '0') + text;
}
std::string block(std::uint64_t number) {
  return std::string(200 + number % 50 * 100, static_cast<char>('a' + number % 26));
}
WriteBatch story_batch(std::uint64_t number) {
  WriteBatch batch;
  batch.put(Table::history, numbered(number), SharedBytes(block(number)));
  if (number % 3 == 0) batch.remove(Table::pinned, numbered(number % pinned_keys));
  if (number % 3 != 0) batch.put(Table::pinned, numbered(number % pinned_keys), numbered(number));
  if (number % 20 == 0) batch.remove_range(Table::pinned, numbered(0), numbered(3));
  batch.put(Table::meta, "applied", numbered(number));
  return batch;
}
MapRows story_rows(std::uint64_t known) {
  MapRows::Map rows;
  for (std::uint64_t i = 0; i < 20; ++i) rows[numbered(i)] = numbered(known);
  return MapRows(std::move(rows));
}

// What the engine holds must be the story up to some n; returns that n.
Result<std::uint64_t> check_story(Engine& engine) {
  LS_ASSIGN_OR_RETURN(const Model found, contents(engine));
  std::uint64_t applied = 0;
  if (const auto row = found[Table::meta].find("applied"); row != found[Table::meta].end()) {
    applied = std::strtoull(row->second.c_str(), nullptr, 10);
  }
  Model expected;
  for (std::uint64_t number = 1; number <= applied; ++number) expected.apply(story_batch(number));
  expected[Table::current] = found[Table::current];
  EXPECT_EQ(found, expected) << "not the first " << applied << " batches";
  if (!found[Table::current].empty()) {
    EXPECT_EQ(found[Table::current].size(), 20U) << "half a merge";
    const std::string& known = found[Table::current].begin()->second;
    for (const auto& [key, value] : found[Table::current]) EXPECT_EQ(value, known) << "half a merge";
    EXPECT_LE(known, numbered(applied)) << "merged rows lead the batches";
  }
  return applied;
}

RocksDbOptions small_options() {
  RocksDbOptions options;
  options.memory_bytes = 128 * limits::kibibyte;
  return options;
}

// Writes the story from where the engine stands. Stops at the first error, or after `batches`. Tells
// `durable` what has become durable.
template <class Durable>
Status write_story(Engine& engine, Prng& prng, std::uint64_t batches, Durable durable) {
  LS_ASSIGN_OR_RETURN(const auto applied, engine.get(Table::meta, "applied"));
  const std::uint64_t begin = applied.has_value() ? std::strtoull(applied->c_str(), nullptr, 10) : 0;
  std::uint64_t merged = 0;
  for (std::uint64_t number = begin + 1; number <= begin + batches; ++number) {
    LS_ASSIGN_OR_RETURN(const Position position, engine.write(story_batch(number)));
    LS_MUST(position == Position(number - begin));
    const std::uint64_t dice = prng.below(40);
    if (dice == 0) LS_RETURN_IF_ERROR(engine.flush(FlushMode::start));
    if (dice == 1) {
      LS_RETURN_IF_ERROR(engine.flush(FlushMode::wait));
      LS_MUST(engine.durable() == position);
      if (number > merged && prng.chance(1, 2)) {
        MapRows rows = story_rows(number);
        LS_RETURN_IF_ERROR(engine.merge_sorted(Table::current, rows));
        merged = number;
      }
    }
    durable(begin + engine.durable().value());
  }
  return {};
}

int run_child(const std::string& directory, std::uint64_t seed) {
  auto engine = open_rocksdb_engine(directory, small_options());
  if (!engine.ok()) {
    std::fprintf(stderr, "child: %s\n", engine.status().to_string().c_str());
    return 1;
  }
  Prng prng(seed);
  const Status status = write_story(**engine, prng, 1'000'000, [](std::uint64_t durable) {
    if (::write(STDOUT_FILENO, &durable, sizeof durable) != sizeof durable) std::_Exit(1);
  });
  std::fprintf(stderr, "child: %s\n", status.to_string().c_str());
  return 1;
}

struct Child {
  pid_t process = -1;
  int reports = -1;  // what is durable after each batch
};

Child start_child(const std::string& directory, std::uint64_t seed) {
  int ends[2];
  LS_MUST(::pipe(ends) == 0);
  const std::string seed_text = std::to_string(seed);
  const pid_t process = ::fork();
  LS_MUST(process >= 0);
  if (process == 0) {
    ::dup2(ends[1], STDOUT_FILENO);
    ::close(ends[0]);
    ::close(ends[1]);
    ::execl("/proc/self/exe", "engine_crash_test", "--child", directory.c_str(), seed_text.c_str(), nullptr);
    std::_Exit(1);
  }
  ::close(ends[1]);
  return {process, ends[0]};
}

TEST(EngineCrash, AKilledProcessLosesNothingThatWasDurable) {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/engine";
  std::uint64_t durable_seen = 0;
  for (std::uint64_t seed = first_seed; seed < first_seed + rounds_kill; ++seed) {
    SCOPED_TRACE("--seed " + std::to_string(seed));
    Prng prng(seed);
    const Child child = start_child(path, seed);
    std::uint64_t reports = prng.between(1, 800);
    std::uint64_t durable = 0;
    while (reports-- > 0 && ::read(child.reports, &durable, sizeof durable) == sizeof durable) {
    }
    ::kill(child.process, SIGKILL);
    int result = 0;
    ASSERT_EQ(::waitpid(child.process, &result, 0), child.process);
    ASSERT_TRUE(WIFSIGNALED(result)) << "the child ended by itself: the kill hit nothing";
    while (::read(child.reports, &durable, sizeof durable) == sizeof durable) {
    }
    ::close(child.reports);

    const auto engine = open_rocksdb_engine(path, small_options());
    ASSERT_TRUE(engine.ok()) << engine.status().to_string();
    const auto applied = check_story(**engine);
    ASSERT_TRUE(applied.ok()) << applied.status().to_string();
    ASSERT_GE(*applied, durable);
    ASSERT_GE(*applied, durable_seen) << "older than at the last opening";
    durable_seen = *applied;
    if (HasFailure()) return;
  }
  EXPECT_GT(durable_seen, 0U);
}

// One life on a disk that fails for good at some moment, then loses its power.
struct Toll {
  std::uint64_t errors = 0;
  std::uint64_t halts = 0;
};

void live_once(FaultyFileSystem& system, rocksdb::Env* env, const std::string& path, Prng& prng, Toll* toll) {
  using Fault = FaultyFileSystem::Fault;
  const Fault fault = prng.chance(1, 2) ? Fault::io_error : Fault::no_space;
  const Code code = fault == Fault::io_error ? Code::io_error : Code::resource_exhausted;
  system.fail_after(prng.between(1, 250), fault);
  std::uint64_t durable = 0;
  Status status;
  {
    auto engine = open_rocksdb_engine_on(env, path, small_options());
    status = engine.status();
    if (engine.ok()) {
      status =
          write_story(**engine, prng, 1500, [&](std::uint64_t now) { durable = std::max(durable, now); });
    }
    if (engine.ok() && !status.ok()) {
      ASSERT_EQ((*engine)->write(story_batch(1)).status().code(), status.code()) << "the error is final";
      ASSERT_EQ((*engine)->flush(FlushMode::wait).code(), status.code()) << "the error is final";
      ASSERT_EQ((*engine)->health().code(), status.code());
    }
  }
  if (system.failed() && !status.ok()) {
    EXPECT_EQ(status.code(), code) << status.to_string();
    ++toll->errors;
  } else {
    EXPECT_TRUE(status.ok()) << status.to_string();
  }
  const bool zeros = system.power_cut(prng.chance(1, 4));
  const auto engine = open_rocksdb_engine_on(env, path, small_options());
  if (zeros && !engine.ok()) {
    // RocksDB cannot tell a tail of zeros from damage: it halts, and the member asks its peers.
    ASSERT_EQ(engine.status().code(), Code::corruption) << engine.status().to_string();
    std::filesystem::remove_all(path);
    ++toll->halts;
    return;
  }
  ASSERT_TRUE(engine.ok()) << engine.status().to_string();
  const auto applied = check_story(**engine);
  ASSERT_TRUE(applied.ok()) << applied.status().to_string();
  ASSERT_GE(*applied, durable) << "durable batches were lost";
}

TEST(EngineCrash, AFailingDiskIsReportedAndLosesNothingThatWasDurable) {
  Toll toll;
  for (std::uint64_t seed = first_seed; seed < first_seed + rounds_fault; ++seed) {
    SCOPED_TRACE("--seed " + std::to_string(seed));
    Prng prng(seed);
    const TemporaryDirectory directory;
    const auto system = std::make_shared<FaultyFileSystem>(prng.next());
    const std::unique_ptr<rocksdb::Env> env = make_impatient_env(system);
    for (int lives = 0; lives < 3; ++lives) {
      live_once(*system, env.get(), directory.path() + "/engine", prng, &toll);
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(toll.errors, rounds_fault / 4) << "hardly any fault was met: the test tests nothing";
  EXPECT_LT(toll.halts, rounds_fault / 2) << "zeros are the exception";
}

// A replacement that meets a fault leaves the old content, or the whole new one.
TEST(EngineCrash, AReplacementIsAllOrNothing) {
  std::uint64_t replaced = 0;
  std::uint64_t refused = 0;
  for (std::uint64_t seed = first_seed; seed < first_seed + rounds_fault; ++seed) {
    SCOPED_TRACE("--seed " + std::to_string(seed));
    Prng prng(seed);
    const TemporaryDirectory directory;
    const std::string path = directory.path() + "/engine";
    const auto system = std::make_shared<FaultyFileSystem>(prng.next());
    const std::unique_ptr<rocksdb::Env> env = make_impatient_env(system);
    Model before;
    Model after;
    Status status;
    {
      auto engine = open_rocksdb_engine_on(env.get(), path, small_options());
      ASSERT_TRUE(engine.ok());
      ASSERT_TRUE(write_story(**engine, prng, 50, [](std::uint64_t) {}).ok());
      ASSERT_TRUE((*engine)->flush(FlushMode::wait).ok());
      before = *contents(**engine);
      system->fail_after(prng.between(1, 300), FaultyFileSystem::Fault::io_error);
      auto replacement = (*engine)->begin_replacement();
      status = replacement.status();
      for (const Table table : all_tables) {
        for (std::uint64_t i = 0; i < 100; ++i) {
          if (status.ok()) status = (*replacement)->add(table, numbered(i), block(i));
          after[table][numbered(i)] = block(i);
        }
      }
      if (status.ok()) status = (*replacement)->commit();
    }
    system->power_cut(false);
    const auto engine = open_rocksdb_engine_on(env.get(), path, small_options());
    ASSERT_TRUE(engine.ok()) << engine.status().to_string();
    const auto found = contents(**engine);
    ASSERT_TRUE(found.ok()) << found.status().to_string();
    if (status.ok()) {
      ASSERT_EQ(*found, after) << "the replacement was acknowledged";
    } else {
      ASSERT_TRUE(*found == before || *found == after) << "neither the old nor the new content";
    }
    ++(*found == after ? replaced : refused);
  }
  EXPECT_GT(replaced, 0U);
  EXPECT_GT(refused, 0U);
}

// A flipped bit anywhere in a file of rows is reported by whatever reads it.
TEST(EngineCrash, AFlippedBitIsNeverReadAsData) {
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/engine";
  std::uint64_t detected = 0;
  for (std::uint64_t seed = first_seed; seed < first_seed + rounds_fault; ++seed) {
    SCOPED_TRACE("--seed " + std::to_string(seed));
    Prng prng(seed);
    std::filesystem::remove_all(path);
    Model before;
    {
      auto engine = open_rocksdb_engine(path, small_options());
      ASSERT_TRUE(engine.ok());
      ASSERT_TRUE(write_story(**engine, prng, 100, [](std::uint64_t) {}).ok());
      before = *contents(**engine);
    }
    std::vector<std::filesystem::path> files;
    for (const auto& file : std::filesystem::recursive_directory_iterator(path)) {
      if (file.path().extension() == ".sst") files.push_back(file.path());
    }
    ASSERT_FALSE(files.empty());
    std::sort(files.begin(), files.end());
    const auto& victim = files[prng.below(files.size())];
    std::fstream file(victim, std::ios::in | std::ios::out | std::ios::binary);
    const auto offset = static_cast<std::streamoff>(prng.below(std::filesystem::file_size(victim)));
    file.seekg(offset);
    const char flipped = static_cast<char>(file.get() ^ (1 << prng.below(8)));
    file.seekp(offset);
    file.put(flipped);
    file.close();

    const auto engine = open_rocksdb_engine(path, small_options());
    const auto found = engine.ok() ? contents(**engine) : Result<Model>(engine.status());
    if (found.ok()) {
      // Some bytes mean nothing.
      ASSERT_TRUE(*found == before) << "damage was read as data: " << victim << ", byte " << offset;
    } else {
      ASSERT_EQ(found.status().code(), Code::corruption) << found.status().to_string();
      ++detected;
    }
  }
  EXPECT_GT(detected, rounds_fault / 2);
}

}  // namespace
}  // namespace lockstep::engine

int main(int argc, char** argv) {
  using namespace lockstep::engine;
  if (argc == 4 && std::strcmp(argv[1], "--child") == 0) {
    return run_child(argv[2], std::strtoull(argv[3], nullptr, 10));
  }
  ::testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
      first_seed = std::strtoull(argv[++i], nullptr, 10);
    } else {
      std::fprintf(stderr, "usage: engine_crash_test [--seed n]\n");
      return 2;
    }
  }
  return RUN_ALL_TESTS();
}
