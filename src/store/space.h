// How many bytes the store uses, counted so that every member gets the same number: current rows, and history
// above the compacted revision to the precision of checkpoint_bytes.
#pragma once

#include <cstdint>
#include <deque>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "store/rows.h"

namespace lockstep::store {

class SpaceAccount {
 public:
  // What the index and the row table need for a key besides its bytes.
  static constexpr std::uint64_t key_overhead_bytes = 128;
  // Compaction gives history back in steps of this size.
  static constexpr std::uint64_t checkpoint_bytes = 1024 * 1024;

  void add_row(std::size_t key_bytes, std::size_t value_bytes) {
    live_bytes_ += key_overhead_bytes + key_bytes + value_bytes;
  }
  void remove_row(std::size_t key_bytes, std::size_t value_bytes);
  // An entry's effects, ending at `last`.
  void add_history(Revision last, std::uint64_t bytes, std::vector<MetaChange>* meta);
  void compact(Revision revision, std::vector<MetaChange>* meta);

  [[nodiscard]] std::uint64_t bytes_in_use() const {
    return live_bytes_ + history_bytes_ - history_bytes_compacted_;
  }

  // The numbers live in the state row, the checkpoints in rows of their own.
  void fill(StateRow* row) const;
  void restore(const StateRow& row);
  Status restore_checkpoint(Revision revision, std::string_view encoded);
  // Sorts what was restored.
  void finish_restore();
  template <class Visit>
  void for_each_row(const Visit& visit) const {
    for (const Checkpoint& checkpoint : checkpoints_)
      visit(space_row_key(checkpoint.last), encode(checkpoint));
  }

 private:
  // Up to and including revision `last`, history had so many bytes since the beginning.
  struct Checkpoint {
    Revision last;
    std::uint64_t history_bytes = 0;
  };
  static std::string encode(const Checkpoint& checkpoint);

  std::uint64_t live_bytes_ = 0;
  std::uint64_t history_bytes_ = 0;
  std::uint64_t history_bytes_compacted_ = 0;
  std::deque<Checkpoint> checkpoints_;
};

}  // namespace lockstep::store
