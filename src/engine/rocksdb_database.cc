#include "engine/rocksdb_database.h"

#include <rocksdb/cache.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/rate_limiter.h>
#include <rocksdb/table.h>

namespace lockstep::engine {

Status to_status(const rocksdb::Status& status, std::string_view what) {
  if (status.ok()) return {};
  Code code = Code::internal;
  if (status.IsCorruption()) {
    code = Code::corruption;
  } else if (status.IsNoSpace()) {
    code = Code::resource_exhausted;
  } else if (status.IsIOError()) {
    code = Code::io_error;
  }
  return {code, std::string(what) + ": " + status.ToString()};
}

Position Durability::wrote(rocksdb::SequenceNumber sequence) {
  const std::scoped_lock lock(mutex_);
  LS_MUST(unflushed_.empty() || unflushed_.back().first <= sequence, "batches are numbered in order");
  ++written_;
  unflushed_.emplace_back(sequence, written_);
  release();  // the flush may have been faster than this thread
  return written_;
}

void Durability::flushed(rocksdb::SequenceNumber sequence) {
  const std::scoped_lock lock(mutex_);
  flushed_ = std::max(flushed_, sequence);
  release();
}

// An atomic flush takes all tables as they stand between two batches, so a batch whose last row is not newer
// than the newest flushed row is on disk as a whole.
void Durability::release() {
  while (!unflushed_.empty() && unflushed_.front().first <= flushed_) {
    LS_MUST(unflushed_.front().second > durable_);
    durable_ = unflushed_.front().second;
    unflushed_.pop_front();
  }
}

Status Durability::check(Status status) {
  if (status.ok()) return status;
  const std::scoped_lock lock(mutex_);
  if (failure_.ok()) failure_ = std::move(status);
  return failure_;
}

Position Durability::written() const {
  const std::scoped_lock lock(mutex_);
  return written_;
}

Position Durability::durable() const {
  const std::scoped_lock lock(mutex_);
  return durable_;
}

Status Durability::failure() const {
  const std::scoped_lock lock(mutex_);
  return failure_;
}

void Durability::OnFlushCompleted(rocksdb::DB*, const rocksdb::FlushJobInfo& info) {
  flushed(info.largest_seqno);
}

void Durability::OnBackgroundError(rocksdb::BackgroundErrorReason, rocksdb::Status* status) {
  static_cast<void>(check(to_status(*status, "engine, in the background")));
}

// A full disk is tried again by a thread of its own, whatever max_bgerror_resume_count says. Besides, closing
// may wait for ever for a recovery that began while it was being cancelled (facebook/rocksdb, issue 11440).
void Durability::OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status, bool* auto_recovery) {
  *auto_recovery = false;
}

namespace {

// Two files that grow side by side do not disturb each other's neighbours: 64 MiB is a second of writing.
constexpr std::uint64_t file_bytes_target = 64 * limits::mebibyte;

rocksdb::DBOptions database_options(rocksdb::Env* env, const RocksDbOptions& options, bool create) {
  rocksdb::DBOptions db;
  db.env = env;
  db.create_if_missing = create;
  db.create_missing_column_families = create;
  db.error_if_exists = create;
  db.atomic_flush = true;
  db.paranoid_checks = true;
  db.verify_sst_unique_id_in_manifest = true;
  // An error is final for the member; a retry behind our back could report durable what is not.
  db.max_bgerror_resume_count = 0;
  db.max_background_jobs = 2;
  db.max_subcompactions = 1;
  // One writer: RocksDB's help for many costs more than it gives.
  db.allow_concurrent_memtable_write = false;
  db.enable_write_thread_adaptive_yield = false;
  db.avoid_unnecessary_blocking_io = true;
  db.rate_limiter.reset(rocksdb::NewGenericRateLimiter(
      static_cast<std::int64_t>(options.background_bytes_per_s), 50 * 1000 /* us between refills */));
  db.stats_dump_period_sec = 0;
  db.stats_persist_period_sec = 0;
  db.keep_log_file_num = 2;
  db.max_log_file_size = 4 * limits::mebibyte;
  db.info_log_level = rocksdb::InfoLogLevel::WARN_LEVEL;
  return db;
}

rocksdb::BlockBasedTableOptions file_options(const std::shared_ptr<rocksdb::Cache>& cache) {
  rocksdb::BlockBasedTableOptions file;
  file.block_cache = cache;
  file.checksum = rocksdb::kXXH3;
  file.format_version = 5;
  file.block_size = 16 * limits::kibibyte;
  file.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  return file;
}

rocksdb::ColumnFamilyOptions family_options(Table table, const RocksDbOptions& options,
                                            const std::shared_ptr<rocksdb::Cache>& cache) {
  rocksdb::ColumnFamilyOptions family;
  rocksdb::BlockBasedTableOptions file = file_options(cache);
  family.compression = rocksdb::kNoCompression;
  family.level_compaction_dynamic_level_bytes = true;
  family.target_file_size_base = file_bytes_target;
  family.max_write_buffer_number = 3;
  switch (table) {
    case Table::history:
      // Keys only grow, so files never overlap and move down the levels by name only.
      family.write_buffer_size = options.memory_bytes;
      family.arena_block_size = options.memory_bytes / 16;
      file.filter_policy.reset();  // found by order, not by key
      break;
    case Table::meta:
    case Table::pinned:
      family.write_buffer_size = options.memory_bytes / 4;
      break;
    case Table::current:
      // Each merge adds one file over all keys. Few wide steps: about three rewrites of a row at ten million
      // keys, where levels of ten would need twelve.
      family.write_buffer_size = limits::mebibyte;  // never used
      family.compaction_style = rocksdb::kCompactionStyleUniversal;
      family.level0_file_num_compaction_trigger = 12;
      family.level0_slowdown_writes_trigger = 40;
      family.level0_stop_writes_trigger = 60;
      family.compaction_options_universal.min_merge_width = 8;
      family.compaction_options_universal.size_ratio = 20;
      family.compaction_options_universal.max_size_amplification_percent = 200;
      break;
  }
  family.table_factory.reset(rocksdb::NewBlockBasedTableFactory(file));
  return family;
}

// Stored names; RocksDB insists on one called "default".
std::string family_name(Table table) {
  return table == Table::meta ? rocksdb::kDefaultColumnFamilyName : std::string(to_string(table));
}

}  // namespace

Result<std::shared_ptr<Database>> Database::open(rocksdb::Env* env, const std::string& path,
                                                 const RocksDbOptions& options, bool create, Position base) {
  std::shared_ptr<Database> database(new Database(env, path));
  database->durability_ = std::make_shared<Durability>(base);
  rocksdb::DBOptions db_options = database_options(env, options, create);
  db_options.listeners.push_back(database->durability_);
  const std::shared_ptr<rocksdb::Cache> cache = rocksdb::NewLRUCache(options.cache_bytes);
  std::vector<rocksdb::ColumnFamilyDescriptor> families;
  for (const Table table : all_tables) {
    families.emplace_back(family_name(table), family_options(table, options, cache));
  }
  env->LowerThreadPoolCPUPriority(rocksdb::Env::Priority::LOW, rocksdb::CpuPriority::kLow);
  rocksdb::DB* db = nullptr;
  const rocksdb::Status status = rocksdb::DB::Open(db_options, path, families, &database->families_, &db);
  if (!status.ok()) {
    if (status.IsIOError() && status.ToString().find("lock ") != std::string::npos) {
      return Status(Code::failed_precondition, "engine is open elsewhere: " + status.ToString());
    }
    if (status.IsInvalidArgument()) return Status(Code::corruption, "engine, open: " + status.ToString());
    return to_status(status, "engine, open");
  }
  database->db_.reset(db);
  LS_MUST(database->families_.size() == table_count);
  return database;
}

Database::~Database() {
  if (db_ == nullptr) return;
  LS_MUST(views_count == 0, "views must be gone before the engine is");
  for (rocksdb::ColumnFamilyHandle* family : families_) {
    static_cast<void>(db_->DestroyColumnFamilyHandle(family));
  }
  db_.reset();
  if (obsolete_) {
    rocksdb::Options options;
    options.env = env_;
    static_cast<void>(rocksdb::DestroyDB(path_, options));  // what stays is removed at the next open
  }
}

FileBuilder::~FileBuilder() {
  writer_.reset();
  for (const std::string& file : files_) static_cast<void>(database_.db().GetEnv()->DeleteFile(file));
}

Status FileBuilder::add(const SortedRow& row) {
  if (writer_ != nullptr && writer_->FileSize() >= file_bytes_target) {
    LS_RETURN_IF_ERROR(finish_file());
  }
  if (writer_ == nullptr) {
    rocksdb::ColumnFamilyHandle* family = database_.family(table_);
    writer_ = std::make_unique<rocksdb::SstFileWriter>(
        rocksdb::EnvOptions(), database_.db().GetOptions(family), family, false /* it is soon read again */);
    files_.push_back(directory_ + "/" + std::to_string(files_.size()) + ".incoming");
    LS_RETURN_IF_ERROR(to_status(writer_->Open(files_.back()), "engine, new file"));
  }
  const rocksdb::Slice key(row.key.data(), row.key.size());
  if (!row.value.has_value()) return to_status(writer_->Delete(key), "engine, merge");
  const rocksdb::Slice value(row.value->data(), row.value->size());
  return to_status(writer_->Put(key, value), "engine, merge");
}

Status FileBuilder::finish_file() {
  LS_MUST(writer_ != nullptr);
  const Status status = to_status(writer_->Finish(), "engine, finish file");
  writer_.reset();
  return status;
}

Status FileBuilder::commit() {
  if (writer_ != nullptr) LS_RETURN_IF_ERROR(finish_file());
  if (files_.empty()) return {};
  rocksdb::IngestExternalFileOptions options;
  options.move_files = true;
  options.write_global_seqno = false;
  options.allow_blocking_flush = false;  // the memory of a merged table is empty
  return to_status(database_.db().IngestExternalFile(database_.family(table_), files_, options),
                   "engine, merge");
}

}  // namespace lockstep::engine
