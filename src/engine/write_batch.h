// WriteBatch: rows to be changed as one.
//
// Keys and values are copied into the batch, except values given as SharedBytes, which are shared: the packed
// blocks of history are large and already immutable. Operations take effect in the order they were added.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/bytes.h"
#include "engine/table.h"

namespace lockstep::engine {

class WriteBatch {
 public:
  enum class Kind : std::uint8_t { put, remove, remove_range };
  // For remove_range, `key` is the first key and `value` the end, which is excluded.
  struct Operation {
    Kind kind;
    Table table;
    std::string_view key;
    std::string_view value;
  };

  WriteBatch() = default;
  WriteBatch(WriteBatch&&) noexcept = default;
  WriteBatch& operator=(WriteBatch&&) noexcept = default;
  WriteBatch(const WriteBatch&) = delete;
  WriteBatch& operator=(const WriteBatch&) = delete;

  void put(Table table, std::string_view key, std::string_view value) {
    add({Kind::put, table, keep(key), keep(value)});
  }
  void put(Table table, std::string_view key, SharedBytes value) {
    shared_.push_back(std::move(value));
    add({Kind::put, table, keep(key), shared_.back().view()});
  }
  // `value` stays as it is while `owner` lives.
  void put(Table table, std::string_view key, std::shared_ptr<const void> owner, std::string_view value) {
    owners_.push_back(std::move(owner));
    add({Kind::put, table, keep(key), value});
  }
  void remove(Table table, std::string_view key) { add({Kind::remove, table, keep(key), {}}); }
  // Removes from <= key < to, one row after the other: for few rows. Requires from <= to.
  void remove_range(Table table, std::string_view from, std::string_view to) {
    LS_MUST(from <= to, "a range ends after it begins");
    add({Kind::remove_range, table, keep(from), keep(to)});
  }

  [[nodiscard]] const std::vector<Operation>& operations() const { return operations_; }
  [[nodiscard]] bool empty() const { return operations_.empty(); }
  // Of keys and values; what the batch will take in the engine's memory, roughly.
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  static constexpr std::size_t chunk_bytes = 16 * 1024;

  void add(Operation operation) {
    LS_MUST(!is_merged(operation.table), "this table is changed by merge_sorted() only");
    bytes_ += operation.key.size() + operation.value.size();
    operations_.push_back(operation);
  }
  // Copies into memory that does not move when the batch grows or is moved.
  std::string_view keep(std::string_view bytes) {
    if (bytes.empty()) return {};
    if (bytes.size() > chunk_free_) {
      const std::size_t size = bytes.size() > chunk_bytes / 4 ? bytes.size() : chunk_bytes;
      chunks_.push_back(std::make_unique_for_overwrite<char[]>(size));
      if (size != chunk_bytes) {  // of its own: the chunk in use stays in use
        std::memcpy(chunks_.back().get(), bytes.data(), bytes.size());
        return {chunks_.back().get(), bytes.size()};
      }
      chunk_next_ = chunks_.back().get();
      chunk_free_ = size;
    }
    std::memcpy(chunk_next_, bytes.data(), bytes.size());
    const std::string_view kept(chunk_next_, bytes.size());
    chunk_next_ += bytes.size();
    chunk_free_ -= bytes.size();
    return kept;
  }

  std::vector<Operation> operations_;
  std::vector<std::unique_ptr<char[]>> chunks_;
  std::vector<SharedBytes> shared_;
  std::vector<std::shared_ptr<const void>> owners_;
  char* chunk_next_ = nullptr;
  std::size_t chunk_free_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace lockstep::engine
