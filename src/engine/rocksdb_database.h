// Inside the RocksDB engine: one open database with its options, and what is known about its durability. Not
// for other folders; the tests use it to put a faulty file system below.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <rocksdb/db.h>
#include <rocksdb/listener.h>
#include <rocksdb/sst_file_writer.h>

#include "engine/engine.h"
#include "engine/rocksdb_engine.h"

namespace lockstep::engine {

Status to_status(const rocksdb::Status& status, std::string_view what);

// Tells from RocksDB's flushes which batches are durable. Thread-safe: flushes end on RocksDB's threads.
class Durability final : public rocksdb::EventListener {
 public:
  // `base`: the position that the database was opened with.
  explicit Durability(Position base) : written_(base), durable_(base) {}

  // A batch was written; `sequence` is RocksDB's number of its last row.
  Position wrote(rocksdb::SequenceNumber sequence);
  void flushed(rocksdb::SequenceNumber sequence);
  // Keeps the first final error, and returns it for every later one; ok passes.
  Status check(Status status);

  [[nodiscard]] Position written() const;
  [[nodiscard]] Position durable() const;
  [[nodiscard]] Status failure() const;

 private:
  void OnFlushCompleted(rocksdb::DB* db, const rocksdb::FlushJobInfo& info) override;
  void OnBackgroundError(rocksdb::BackgroundErrorReason reason, rocksdb::Status* status) override;
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason reason, rocksdb::Status status,
                            bool* auto_recovery) override;
  void release();

  mutable std::mutex mutex_;
  std::deque<std::pair<rocksdb::SequenceNumber, Position>> unflushed_;
  rocksdb::SequenceNumber flushed_ = 0;
  Position written_;
  Position durable_;
  Status failure_;
};

// One generation, open. Shared with the views on it, so that a replaced one lives until they are gone.
class Database {
 public:
  static Result<std::shared_ptr<Database>> open(rocksdb::Env* env, const std::string& path,
                                                const RocksDbOptions& options, bool create, Position base);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  [[nodiscard]] rocksdb::DB& db() const { return *db_; }
  [[nodiscard]] rocksdb::ColumnFamilyHandle* family(Table table) const { return families_[index_of(table)]; }
  [[nodiscard]] const std::vector<rocksdb::ColumnFamilyHandle*>& families() const { return families_; }
  [[nodiscard]] Durability& durability() const { return *durability_; }
  // Its files are removed when it closes: another generation took its place.
  void set_obsolete() { obsolete_ = true; }

  // Views hold discards back. Both under the mutex, so that none slips in between.
  std::mutex views_mutex;
  std::uint64_t views_count = 0;

 private:
  Database(rocksdb::Env* env, std::string path) : env_(env), path_(std::move(path)) {}

  rocksdb::Env* env_;
  std::string path_;
  std::shared_ptr<Durability> durability_;
  std::unique_ptr<rocksdb::DB> db_;
  std::vector<rocksdb::ColumnFamilyHandle*> families_;
  bool obsolete_ = false;
};

// Writes ascending rows of one table as finished files and hands them to the database.
class FileBuilder {
 public:
  // Files lie in `directory` until they are handed over.
  FileBuilder(Database& database, Table table, std::string directory)
      : database_(database), table_(table), directory_(std::move(directory)) {}
  ~FileBuilder();
  FileBuilder(const FileBuilder&) = delete;
  FileBuilder& operator=(const FileBuilder&) = delete;

  // Requires ascending keys.
  Status add(const SortedRow& row);
  // Durable and visible as one when it returns.
  Status commit();

 private:
  Status finish_file();

  Database& database_;
  Table table_;
  std::string directory_;
  std::unique_ptr<rocksdb::SstFileWriter> writer_;
  std::vector<std::string> files_;
};

Result<std::unique_ptr<Engine>> open_rocksdb_engine_on(rocksdb::Env* env, const std::string& directory,
                                                       const RocksDbOptions& options);

}  // namespace lockstep::engine
