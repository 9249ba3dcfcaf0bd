#include "engine/rocksdb_engine.h"

#include <charconv>

#include <rocksdb/convenience.h>
#include <rocksdb/env.h>
#include <rocksdb/write_batch.h>

#include "engine/rocksdb_database.h"

namespace lockstep::engine {
namespace {

rocksdb::Slice slice(std::string_view bytes) {
  return {bytes.data(), bytes.size()};
}
std::string_view view_of(const rocksdb::Slice& bytes) {
  return {bytes.data(), bytes.size()};
}

Result<std::optional<std::string>> found(const rocksdb::Status& status, std::string value) {
  if (status.ok()) return std::optional<std::string>(std::move(value));
  if (status.IsNotFound()) return std::optional<std::string>();
  return to_status(status, "engine, get");
}

class RocksDbCursor final : public Cursor {
 public:
  RocksDbCursor(Database& database, Table table, const rocksdb::Snapshot* snapshot, std::string_view from,
                std::string_view to, Direction direction)
      : durability_(database.durability()),
        to_(to),
        end_(to_),
        from_(from),
        begin_(from_),
        direction_(direction) {
    rocksdb::ReadOptions options;
    options.snapshot = snapshot;
    options.fill_cache = false;  // a scan would push out what single reads need
    // Without this a scan takes a damaged file for an empty one (RocksDB below 8.5.2, pull request 11782: the
    // status is not looked at where a level goes on to its next file). So there are no range deletions here.
    options.ignore_range_deletions = true;
    options.iterate_lower_bound = &begin_;
    if (!to_.empty()) options.iterate_upper_bound = &end_;
    iterator_.reset(database.db().NewIterator(options, database.family(table)));
    if (direction_ == Direction::forward) {
      iterator_->SeekToFirst();
    } else {
      iterator_->SeekToLast();
    }
  }

  [[nodiscard]] bool valid() const override { return iterator_->Valid(); }
  [[nodiscard]] std::string_view key() const override { return view_of(iterator_->key()); }
  [[nodiscard]] std::string_view value() const override { return view_of(iterator_->value()); }
  void next() override {
    LS_MUST(iterator_->Valid());
    if (direction_ == Direction::forward) {
      iterator_->Next();
    } else {
      iterator_->Prev();
    }
  }
  [[nodiscard]] Status status() const override {
    return durability_.check(to_status(iterator_->status(), "engine, scan"));
  }

 private:
  Durability& durability_;
  const std::string to_;
  const rocksdb::Slice end_;
  const std::string from_;
  const rocksdb::Slice begin_;
  const Direction direction_;
  std::unique_ptr<rocksdb::Iterator> iterator_;
};

class RocksDbView final : public View {
 public:
  explicit RocksDbView(std::shared_ptr<Database> database) : database_(std::move(database)) {
    const std::scoped_lock lock(database_->views_mutex);
    ++database_->views_count;
    snapshot_ = database_->db().GetSnapshot();
  }
  ~RocksDbView() override {
    database_->db().ReleaseSnapshot(snapshot_);
    const std::scoped_lock lock(database_->views_mutex);
    LS_MUST(database_->views_count > 0);
    --database_->views_count;
  }

  Result<std::optional<std::string>> get(Table table, std::string_view key) override {
    rocksdb::ReadOptions options;
    options.snapshot = snapshot_;
    std::string value;
    const auto status = database_->db().Get(options, database_->family(table), slice(key), &value);
    auto result = found(status, std::move(value));
    if (!result.ok()) static_cast<void>(database_->durability().check(result.status()));
    return result;
  }
  std::unique_ptr<Cursor> scan(Table table, std::string_view from, std::string_view to,
                               Direction direction) override {
    return std::make_unique<RocksDbCursor>(*database_, table, snapshot_, from, to, direction);
  }

 private:
  std::shared_ptr<Database> database_;
  const rocksdb::Snapshot* snapshot_ = nullptr;
};

// The directory of an engine: generation-<n>/ with a database, incoming/ for files being built, and the file
// GENERATION: "lockstep engine 1\n", then "generation <n>\n", or "creating <n>\n" before it first opened.
class Layout {
 public:
  Layout(rocksdb::Env* env, std::string directory) : env_(env), directory_(std::move(directory)) {}

  struct Pointer {
    std::uint64_t generation = 0;
    bool creating = true;
  };

  [[nodiscard]] rocksdb::Env* env() const { return env_; }
  [[nodiscard]] std::string generation_path(std::uint64_t generation) const {
    return directory_ + "/generation-" + std::to_string(generation);
  }
  [[nodiscard]] std::string incoming_path() const { return directory_ + "/incoming"; }

  Result<Pointer> read() {
    std::string text;
    const rocksdb::Status status = rocksdb::ReadFileToString(env_, pointer_path(), &text);
    if (status.IsNotFound() || status.IsPathNotFound()) return start();
    LS_RETURN_IF_ERROR(to_status(status, "engine, read GENERATION"));
    std::string_view rest = text;
    Pointer pointer;
    if (!take(rest, "lockstep engine 1\n")) return damaged(text);
    if (take(rest, "generation ")) {
      pointer.creating = false;
    } else if (!take(rest, "creating ")) {
      return damaged(text);
    }
    const char* const end = rest.data() + rest.size();
    const auto [stop, error] = std::from_chars(rest.data(), end, pointer.generation);
    if (error != std::errc() || std::string_view(stop, end) != "\n") return damaged(text);
    if (pointer.generation == 0) return damaged(text);
    return pointer;
  }

  Status point_to(Pointer pointer) {
    const std::string text = std::string("lockstep engine 1\n") +
                             (pointer.creating ? "creating " : "generation ") +
                             std::to_string(pointer.generation) + "\n";
    const std::string temporary = pointer_path() + ".new";
    LS_RETURN_IF_ERROR(
        to_status(rocksdb::WriteStringToFile(env_, text, temporary, true), "engine, write GENERATION"));
    LS_RETURN_IF_ERROR(to_status(env_->RenameFile(temporary, pointer_path()), "engine, rename GENERATION"));
    return sync(directory_);
  }

  // Removes every generation but `kept`, and files left half built.
  Status clean(std::uint64_t kept) {
    std::vector<std::string> names;
    LS_RETURN_IF_ERROR(to_status(env_->GetChildren(directory_, &names), "engine, list"));
    const std::string kept_path = generation_path(kept);
    for (const std::string& name : names) {
      if (!name.starts_with("generation-") || directory_ + "/" + name == kept_path) continue;
      LS_RETURN_IF_ERROR(remove_generation(directory_ + "/" + name));
    }
    LS_RETURN_IF_ERROR(to_status(env_->CreateDirIfMissing(incoming_path()), "engine, create incoming"));
    LS_RETURN_IF_ERROR(to_status(env_->GetChildren(incoming_path(), &names), "engine, list incoming"));
    for (const std::string& name : names) {
      if (!name.ends_with(".incoming")) continue;
      LS_RETURN_IF_ERROR(to_status(env_->DeleteFile(incoming_path() + "/" + name), "engine, remove"));
    }
    return {};
  }

  Status remove_generation(const std::string& path) {
    rocksdb::Options options;
    options.env = env_;
    const rocksdb::Status status = rocksdb::DestroyDB(path, options);
    if (status.IsNotFound() || status.IsPathNotFound()) return {};
    return to_status(status, "engine, remove old generation");
  }

 private:
  [[nodiscard]] std::string pointer_path() const { return directory_ + "/GENERATION"; }

  static bool take(std::string_view& rest, std::string_view word) {
    if (!rest.starts_with(word)) return false;
    rest.remove_prefix(word.size());
    return true;
  }
  static Status damaged(const std::string& text) {
    return {Code::corruption, "engine: GENERATION is damaged: '" + text.substr(0, 80) + "'"};
  }

  // A directory without pointer is new, or something is missing.
  Result<Pointer> start() {
    LS_RETURN_IF_ERROR(to_status(env_->CreateDirIfMissing(directory_), "engine, create directory"));
    LS_RETURN_IF_ERROR(sync(directory_ + "/.."));
    std::vector<std::string> names;
    LS_RETURN_IF_ERROR(to_status(env_->GetChildren(directory_, &names), "engine, list"));
    for (const std::string& name : names) {
      if (name.starts_with("generation-")) {
        return Status(Code::corruption, "engine: the file GENERATION is missing beside " + name);
      }
    }
    const Pointer pointer{.generation = 1, .creating = true};
    LS_RETURN_IF_ERROR(point_to(pointer));
    return pointer;
  }

  Status sync(const std::string& path) {
    std::unique_ptr<rocksdb::Directory> handle;
    LS_RETURN_IF_ERROR(to_status(env_->NewDirectory(path, &handle), "engine, open directory"));
    return to_status(handle->Fsync(), "engine, sync directory");
  }

  rocksdb::Env* env_;
  std::string directory_;
};

class RocksDbEngine final : public Engine {
 public:
  RocksDbEngine(Layout layout, RocksDbOptions options, std::uint64_t generation,
                std::shared_ptr<Database> database)
      : layout_(std::move(layout)),
        options_(options),
        generation_(generation),
        database_(std::move(database)) {}
  // A clean close leaves nothing to replay. What it cannot flush, the log still has.
  ~RocksDbEngine() override {
    if (health().ok()) static_cast<void>(flush(FlushMode::wait));
  }

  Result<Position> write(WriteBatch&& batch) override {
    const WriteBatch taken = std::move(batch);
    LS_RETURN_IF_ERROR(health());
    constexpr std::size_t row_overhead_bytes = 16;
    rocksdb::WriteBatch rows(taken.bytes() + taken.operations().size() * row_overhead_bytes);
    for (const WriteBatch::Operation& operation : taken.operations()) {
      if (operation.kind == WriteBatch::Kind::remove_range) {
        LS_RETURN_IF_ERROR(final(append_range(taken, operation, &rows)));
      } else {
        LS_RETURN_IF_ERROR(final(to_status(append(operation, &rows), "engine, batch")));
      }
    }
    rocksdb::WriteOptions write_options;
    write_options.disableWAL = true;
    LS_RETURN_IF_ERROR(final(to_status(database_->db().Write(write_options, &rows), "engine, write")));
    const Position position = durability().wrote(database_->db().GetLatestSequenceNumber());
    LS_RETURN_IF_ERROR(discard_now());
    return position;
  }

  Status merge_sorted(Table table, SortedRows& rows) override {
    LS_MUST(is_merged(table), "this table is changed by write() only");
    LS_RETURN_IF_ERROR(health());
    FileBuilder builder(*database_, table, layout_.incoming_path());
    std::string previous;
    bool first = true;
    while (true) {
      LS_ASSIGN_OR_RETURN(const std::optional<SortedRow> row, rows.next());
      if (!row.has_value()) break;
      LS_MUST(first || previous < row->key, "rows are merged in order");
      LS_RETURN_IF_ERROR(final(builder.add(*row)));
      previous.assign(row->key);
      first = false;
    }
    return final(builder.commit());
  }

  Status discard(Table table, std::string_view from, std::string_view to) override {
    LS_MUST(from <= to, "a range ends after it begins");
    LS_RETURN_IF_ERROR(health());
    discards_.push_back({table, std::string(from), std::string(to)});
    return discard_now();
  }

  Status flush(FlushMode mode) override {
    LS_RETURN_IF_ERROR(health());
    const rocksdb::SequenceNumber sequence = database_->db().GetLatestSequenceNumber();
    rocksdb::FlushOptions flush_options;
    flush_options.wait = mode == FlushMode::wait;
    flush_options.allow_write_stall = true;
    LS_RETURN_IF_ERROR(
        final(to_status(database_->db().Flush(flush_options, database_->families()), "engine, flush")));
    if (mode == FlushMode::wait) durability().flushed(sequence);
    return {};
  }

  [[nodiscard]] Position written() const override { return database()->durability().written(); }
  [[nodiscard]] Position durable() const override { return database()->durability().durable(); }

  Result<std::optional<std::string>> get(Table table, std::string_view key) override {
    const std::shared_ptr<Database> database = this->database();
    LS_RETURN_IF_ERROR(database->durability().failure());
    std::string value;
    const auto status =
        database->db().Get(rocksdb::ReadOptions(), database->family(table), slice(key), &value);
    auto result = found(status, std::move(value));
    if (!result.ok()) static_cast<void>(database->durability().check(result.status()));
    return result;
  }
  std::unique_ptr<View> view() override { return std::make_unique<RocksDbView>(database()); }

  Result<std::unique_ptr<Replacement>> begin_replacement() override;

  [[nodiscard]] Status health() const override { return database()->durability().failure(); }
  [[nodiscard]] Stats stats() const override {
    const std::shared_ptr<Database> database = this->database();
    Stats stats{.pending_discards = discards_.size()};
    for (rocksdb::ColumnFamilyHandle* family : database->families()) {
      std::uint64_t value = 0;
      if (database->db().GetIntProperty(family, rocksdb::DB::Properties::kSizeAllMemTables, &value)) {
        stats.memory_bytes += value;
      }
      if (database->db().GetIntProperty(family, rocksdb::DB::Properties::kTotalSstFilesSize, &value)) {
        stats.disk_bytes += value;
      }
    }
    std::uint64_t cached = 0;  // one cache for all tables
    if (database->db().GetIntProperty(rocksdb::DB::Properties::kBlockCacheUsage, &cached)) {
      stats.memory_bytes += cached;
    }
    return stats;
  }

 private:
  friend class RocksDbReplacement;
  struct Discard {
    Table table;
    std::string from;
    std::string to;
  };

  [[nodiscard]] std::shared_ptr<Database> database() const {
    const std::scoped_lock lock(database_mutex_);
    return database_;
  }
  [[nodiscard]] Durability& durability() const { return database_->durability(); }
  Status final(Status status) { return durability().check(std::move(status)); }

  rocksdb::Status append(const WriteBatch::Operation& operation, rocksdb::WriteBatch* rows) const {
    rocksdb::ColumnFamilyHandle* family = database_->family(operation.table);
    if (operation.kind == WriteBatch::Kind::remove) return rows->Delete(family, slice(operation.key));
    LS_MUST(operation.kind == WriteBatch::Kind::put);
    return rows->Put(family, slice(operation.key), slice(operation.value));
  }

  // Removes one by one, see RocksDbCursor: the rows that are there, and those the batch put before.
  Status append_range(const WriteBatch& batch, const WriteBatch::Operation& range,
                      rocksdb::WriteBatch* rows) {
    if (range.key == range.value) return {};
    rocksdb::ColumnFamilyHandle* family = database_->family(range.table);
    for (const WriteBatch::Operation& operation : batch.operations()) {
      if (&operation == &range) break;
      if (operation.kind != WriteBatch::Kind::put || operation.table != range.table) continue;
      if (operation.key < range.key || operation.key >= range.value) continue;
      LS_RETURN_IF_ERROR(to_status(rows->Delete(family, slice(operation.key)), "engine, batch"));
    }
    RocksDbCursor cursor(*database_, range.table, nullptr, range.key, range.value, Direction::forward);
    for (; cursor.valid(); cursor.next()) {
      LS_RETURN_IF_ERROR(to_status(rows->Delete(family, slice(cursor.key())), "engine, batch"));
    }
    return cursor.status();
  }

  // Whole files only: RocksDB removes them at once and for all, whatever its snapshots say.
  Status discard_now() {
    if (discards_.empty()) return {};
    const std::scoped_lock lock(database_->views_mutex);
    if (database_->views_count > 0) return {};
    for (const Discard& discard : discards_) {
      const rocksdb::Slice from(discard.from);
      const rocksdb::Slice to(discard.to);
      LS_RETURN_IF_ERROR(final(to_status(
          rocksdb::DeleteFilesInRange(&database_->db(), database_->family(discard.table), &from, &to, false),
          "engine, discard")));
    }
    discards_.clear();
    return {};
  }

  // The old generation is removed when its last view is gone.
  void switch_to(std::uint64_t generation, std::shared_ptr<Database> next) {
    LS_MUST(generation == generation_ + 1);
    database_->set_obsolete();
    discards_.clear();
    const std::scoped_lock lock(database_mutex_);
    database_.swap(next);
    generation_ = generation;
  }

  Layout layout_;
  const RocksDbOptions options_;
  std::uint64_t generation_;
  // Written by the worker's thread only; the mutex is for readers elsewhere.
  std::shared_ptr<Database> database_;
  mutable std::mutex database_mutex_;
  std::vector<Discard> discards_;
};

class RocksDbReplacement final : public Replacement {
 public:
  RocksDbReplacement(RocksDbEngine& engine, std::shared_ptr<Database> next)
      : engine_(engine), next_(std::move(next)) {}
  ~RocksDbReplacement() override {
    builder_.reset();
    if (next_ != nullptr) next_->set_obsolete();
  }

  Status add(Table table, std::string_view key, std::string_view value) override {
    LS_MUST(next_ != nullptr, "nothing is added after commit");
    if (table < table_) return {Code::invalid_argument, "replacement: tables out of order"};
    if (builder_ != nullptr && table != table_) LS_RETURN_IF_ERROR(finish_table());
    if (builder_ == nullptr) {
      builder_ = std::make_unique<FileBuilder>(*next_, table, engine_.layout_.incoming_path());
    } else if (previous_ >= key) {
      return {Code::invalid_argument, "replacement: keys out of order"};
    }
    table_ = table;
    previous_.assign(key);
    return engine_.final(builder_->add({key, value}));
  }

  Status commit() override {
    LS_MUST(next_ != nullptr, "a replacement is committed once");
    if (builder_ != nullptr) LS_RETURN_IF_ERROR(finish_table());
    LS_RETURN_IF_ERROR(engine_.health());
    const std::uint64_t generation = engine_.generation_ + 1;
    LS_RETURN_IF_ERROR(
        engine_.final(engine_.layout_.point_to({.generation = generation, .creating = false})));
    engine_.switch_to(generation, std::exchange(next_, nullptr));
    return {};
  }

 private:
  Status finish_table() {
    const Status status = engine_.final(builder_->commit());
    builder_.reset();
    return status;
  }

  RocksDbEngine& engine_;
  std::shared_ptr<Database> next_;
  std::unique_ptr<FileBuilder> builder_;
  Table table_ = Table::meta;
  std::string previous_;
};

Result<std::unique_ptr<Replacement>> RocksDbEngine::begin_replacement() {
  LS_RETURN_IF_ERROR(health());
  const std::string path = layout_.generation_path(generation_ + 1);
  LS_RETURN_IF_ERROR(final(layout_.remove_generation(path)));
  auto next = Database::open(layout_.env(), path, options_, true, written());
  if (!next.ok()) return final(next.status());
  return std::unique_ptr<Replacement>(std::make_unique<RocksDbReplacement>(*this, *std::move(next)));
}

}  // namespace

Result<std::unique_ptr<Engine>> open_rocksdb_engine_on(rocksdb::Env* env, const std::string& directory,
                                                       const RocksDbOptions& options) {
  Layout layout(env, directory);
  LS_ASSIGN_OR_RETURN(Layout::Pointer pointer, layout.read());
  const std::string path = layout.generation_path(pointer.generation);
  if (pointer.creating) LS_RETURN_IF_ERROR(layout.remove_generation(path));
  LS_ASSIGN_OR_RETURN(std::shared_ptr<Database> database,
                      Database::open(env, path, options, pointer.creating, Position()));
  if (pointer.creating) {
    pointer.creating = false;
    LS_RETURN_IF_ERROR(layout.point_to(pointer));
  }
  // Only now that the database holds its lock is the directory ours to clean.
  LS_RETURN_IF_ERROR(layout.clean(pointer.generation));
  return std::unique_ptr<Engine>(
      std::make_unique<RocksDbEngine>(std::move(layout), options, pointer.generation, std::move(database)));
}

Result<std::unique_ptr<Engine>> open_rocksdb_engine(const std::string& directory,
                                                    const RocksDbOptions& options) {
  return open_rocksdb_engine_on(rocksdb::Env::Default(), directory, options);
}

}  // namespace lockstep::engine
