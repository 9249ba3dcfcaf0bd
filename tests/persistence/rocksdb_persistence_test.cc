// The random lives of src/store/persistence_test.cc on RocksDB: real files on a disk that forgets, at every
// power cut, what was not synced. Digests, answers and old revisions stay those of a machine that never
// stops.
#include <filesystem>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "base/testing_rounds.h"
#include "engine/faulty_file_system.h"
#include "engine/rocksdb_database.h"
#include "platform/test_support.h"
#include "store/testing/persistence_run.h"

namespace lockstep::store::testing {
namespace {

class RocksDbHome final : public EngineHome {
 public:
  RocksDbHome()
      : system_(std::make_shared<engine::FaultyFileSystem>(1)), env_(engine::make_impatient_env(system_)) {}

  Result<std::unique_ptr<engine::Engine>> open() override {
    engine::RocksDbOptions options;
    options.memory_bytes = 128 * limits::kibibyte;
    return engine::open_rocksdb_engine_on(env_.get(), directory_.path() + "/engine", options);
  }
  void power_goes() override { system_->fail_after(1, engine::FaultyFileSystem::Fault::io_error); }
  void power_is_back(Prng&) override { system_->power_cut(false); }

 private:
  platform::TemporaryDirectory directory_;
  std::shared_ptr<engine::FaultyFileSystem> system_;
  std::unique_ptr<rocksdb::Env> env_;
};

TEST(PersistenceOnRocksDb, RandomLivesAgreeWithAMachineThatNeverStops) {
  const char* const given = std::getenv("LOCKSTEP_SEED");
  const std::uint64_t first = given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
  const std::uint64_t count = given != nullptr ? 1 : rounds(6);
  PersistenceTotals totals;
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    const auto failure = persistence_run(seed, 120, &totals, [] { return std::make_unique<RocksDbHome>(); });
    ASSERT_FALSE(failure.has_value()) << "LOCKSTEP_SEED=" << seed << ": " << *failure;
  }
  if (given != nullptr) return;
  EXPECT_GT(totals.crashes, 20u);
  EXPECT_GT(totals.entries_lost, 20u);
  EXPECT_GT(totals.installs, 5u);
  EXPECT_GT(totals.historical_reads, 150u);
  EXPECT_GT(totals.compactions, 10u);
}

}  // namespace
}  // namespace lockstep::store::testing
