// Folding: what happened since the last fold, as the sorted rows that bring the current table up to date.
//
// The current table is a function of history: the row of a key is its newest effect. So writes pay for it
// only once a fold and key, however often the key changed in between, and nothing is lost if a fold is:
// recovery folds the same blocks again (recovery.h).
//
// Invariants:
//   1. The rows never lead the history that is durable: the caller flushes first. Folding a prefix of what
//   was
//      folded before a crash may bring back older rows only for keys that a later block folds anew.
//   2. A tombstone at or below `compacted` becomes a removal; nobody asks for it any more.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "engine/engine.h"
#include "store/effect.h"

namespace lockstep::store {

struct FoldedInput {
  std::vector<std::shared_ptr<const EffectBlock>> blocks;  // in order, without a gap
  std::vector<std::string> reclaimed;                      // keys whose tombstones left the index
  Revision compacted;
};

class FoldedRows final : public engine::SortedRows {
 public:
  explicit FoldedRows(FoldedInput input) : input_(std::move(input)) {}
  FoldedRows(const FoldedRows&) = delete;
  FoldedRows& operator=(const FoldedRows&) = delete;

  // Does the work; before anything else, where it may take its time.
  void prepare();

  Result<std::optional<engine::SortedRow>> next() override;
  // The newest effect of a key, if one of the blocks has any. Not to be mixed with next().
  [[nodiscard]] std::size_t size() const { return rows_.size(); }
  [[nodiscard]] std::string_view key(std::size_t position) const { return rows_[position].key; }
  // Nothing: the row goes.
  [[nodiscard]] std::optional<std::string> row(std::size_t position) const;

 private:
  struct Row {
    std::uint64_t order = 0;  // eight bytes of the key behind what all keys begin with: saves comparing keys
    std::string_view key;
    const EffectBlock* block = nullptr;  // null: reclaimed
    std::uint32_t position = 0;
  };

  void sort_rows();

  FoldedInput input_;
  std::vector<Row> rows_;  // ascending by key
  std::size_t next_ = 0;
  std::string encoded_;
};

}  // namespace lockstep::store
