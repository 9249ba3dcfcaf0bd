// For tests: what an engine should hold, as plain maps, and rows to merge from memory.
#pragma once

#include <array>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/prng.h"
#include "engine/engine.h"

namespace lockstep::engine {

struct Model {
  std::array<std::map<std::string, std::string>, table_count> tables;

  std::map<std::string, std::string>& operator[](Table table) { return tables[index_of(table)]; }
  const std::map<std::string, std::string>& operator[](Table table) const { return tables[index_of(table)]; }

  void apply(const WriteBatch& batch) {
    for (const WriteBatch::Operation& operation : batch.operations()) {
      auto& rows = (*this)[operation.table];
      switch (operation.kind) {
        case WriteBatch::Kind::put:
          rows[std::string(operation.key)] = operation.value;
          break;
        case WriteBatch::Kind::remove:
          rows.erase(std::string(operation.key));
          break;
        case WriteBatch::Kind::remove_range:
          rows.erase(rows.lower_bound(std::string(operation.key)),
                     rows.lower_bound(std::string(operation.value)));
          break;
      }
    }
  }
  friend bool operator==(const Model&, const Model&) = default;
};

// Reads everything a view shows.
inline Result<Model> contents(View& view) {
  Model model;
  for (const Table table : all_tables) {
    const auto cursor = view.scan(table, "", "", Direction::forward);
    for (; cursor->valid(); cursor->next()) {
      LS_MUST(model[table].empty() || model[table].rbegin()->first < cursor->key(), "a scan is in order");
      model[table].emplace(cursor->key(), cursor->value());
    }
    LS_RETURN_IF_ERROR(cursor->status());
  }
  return model;
}
inline Result<Model> contents(Engine& engine) {
  return contents(*engine.view());
}

// Sorted rows from a map; ends in an error after `fail_after` rows, if asked.
class MapRows final : public SortedRows {
 public:
  using Map = std::map<std::string, std::optional<std::string>>;
  explicit MapRows(Map rows) : rows_(std::move(rows)), next_(rows_.begin()) {}

  void fail_after(std::size_t count) { fail_after_ = count; }
  Result<std::optional<SortedRow>> next() override {
    if (yielded_ == fail_after_) return Status(Code::cancelled, "the source gave up");
    if (next_ == rows_.end()) return std::optional<SortedRow>();
    ++yielded_;
    SortedRow row{next_->first, std::nullopt};
    if (next_->second.has_value()) row.value = *next_->second;
    ++next_;
    return std::optional<SortedRow>(row);
  }

 private:
  Map rows_;
  Map::const_iterator next_;
  std::size_t yielded_ = 0;
  std::size_t fail_after_ = ~std::size_t{0};
};

inline void apply(Model& model, Table table, const MapRows::Map& rows) {
  for (const auto& [key, value] : rows) {
    if (value.has_value()) {
      model[table][key] = *value;
    } else {
      model[table].erase(key);
    }
  }
}

// A directory of its own, removed at the end. In memory if the system can: what these tests need of
// durability they simulate, and real syncs cost minutes.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::filesystem::path parent = "/dev/shm";
    if (!std::filesystem::is_directory(parent)) parent = std::filesystem::temp_directory_path();
    std::string pattern = (parent / "lockstep-engine-XXXXXX").string();
    LS_MUST(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline std::string random_key(Prng& prng, std::uint64_t count) {
  return "key-" + std::to_string(1000 + prng.below(count));
}
inline std::string random_value(Prng& prng, std::size_t bytes_max) {
  std::string value(prng.below(bytes_max + 1), '\0');
  for (char& byte : value) byte = static_cast<char>(prng.next());
  return value;
}

// Some operations on the tables of batches.
inline WriteBatch random_batch(Prng& prng) {
  WriteBatch batch;
  for (std::uint64_t i = prng.between(1, 8); i > 0; --i) {
    const auto table = static_cast<Table>(prng.below(table_count));
    if (is_merged(table)) continue;
    if (prng.chance(1, 10)) {
      std::string from = random_key(prng, 60);
      std::string to = random_key(prng, 60);
      if (to < from) std::swap(from, to);
      batch.remove_range(table, from, to);
    } else if (prng.chance(1, 4)) {
      batch.remove(table, random_key(prng, 60));
    } else if (prng.chance(1, 10)) {
      batch.put(table, random_key(prng, 60), SharedBytes(random_value(prng, 20000)));
    } else {
      batch.put(table, random_key(prng, 60), random_value(prng, 100));
    }
  }
  return batch;
}
inline MapRows::Map random_rows(Prng& prng) {
  MapRows::Map rows;
  for (std::uint64_t i = prng.below(10); i > 0; --i) {
    std::optional<std::string> value;
    if (!prng.chance(1, 4)) value = random_value(prng, 100);
    rows[random_key(prng, 60)] = std::move(value);
  }
  return rows;
}

}  // namespace lockstep::engine
