// History: every effect since the compacted revision, the newest blocks in memory, older ones (if the store
// has a disk) behind ColdHistory.
//
// Old versions of a key are found by walking from its index node along previous_revision; so history needs no
// index of its own.
//
// Invariants:
//   1. Blocks in memory are consecutive and end at the newest revision.
//   2. A block leaves memory only if all its revisions are below the compacted revision (those at it can
//   still
//      be watched), or durable (set_durable_revision) and over the memory budget.
//   3. A version at or below the compacted revision C that was the newest at C, and was replaced later, stays
//      readable: it is embedded in its successor (effect.h), or still in a block, or pinned. The compaction
//      pass (compact_step) pins before it drops. So a read at C works at any moment of the pass.
//   4. What memory holds never changes an answer.
//
// Strand: the core strand only; the blocks handed out may go anywhere.
// Errors: out_of_range "compacted" below C and "future" above the newest; corruption or io_error from
// ColdHistory, which the owner treats as fatal.
#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "store/effect.h"

namespace lockstep::store {

// The part of history that is not in memory. Implemented over the engine.
class ColdHistory {
 public:
  virtual ~ColdHistory() = default;
  // The durable block with this revision. not_found: the pass dropped it, which it may only do below the
  // compacted revision and after pinning.
  virtual Result<std::shared_ptr<const EffectBlock>> block_containing(Revision revision) = 0;
  // The pinned version of a key (invariant 3), or nothing: encoded by rows.h, encode_pinned_row. Asked before
  // block_containing() for versions at or below the compacted revision.
  virtual Result<std::optional<std::string>> pinned_row(std::string_view key) = 0;
};

// An effect together with what keeps it alive (null for an effect of the entry being applied).
struct KeptEffect {
  std::shared_ptr<const EffectBlock> block;
  EffectView effect;
};

// A version of a key together with what keeps it alive (null for the newest versions: good until the next
// change of the state).
struct KeptRow {
  std::shared_ptr<const void> owner;
  RowView row;
};

struct HistoryOptions {
  // Memory for blocks that ColdHistory has as well.
  std::size_t memory_bytes_max = 32u * 1024 * 1024;
};

class History {
 public:
  // `cold` may be null (memory only) and must outlive this.
  History(HistoryOptions options, ColdHistory* cold);

  // Requires that the block follows the newest revision.
  void append(std::shared_ptr<const EffectBlock> block);
  // Effects of the entry being applied are found here, until append(); null: none.
  void set_open(const EffectTable* open) { open_ = open; }

  // The block that contains `revision`, for watch and write-back: go on at block->last_revision() + 1.
  // Requires revision <= newest(). Compacted revisions are refused even if still present.
  [[nodiscard]] Result<std::shared_ptr<const EffectBlock>> block_containing(Revision revision);
  // False: block_containing() and find() will read from the disk.
  [[nodiscard]] bool in_memory(Revision revision) const;
  // The effect on `key` at exactly `revision`. Requires that the caller knows it exists; else corruption.
  [[nodiscard]] Result<KeptEffect> find(Revision revision, std::string_view key);
  // The version of `key` that was current at `at`, or nothing if there was none. `newest` is the mod_revision
  // of its index node (a version or a tombstone), above `at`. Requires at >= compacted revision.
  [[nodiscard]] Result<std::optional<KeptRow>> row_at(std::string_view key, Revision newest, Revision at);

  // Reads below `revision` are refused from now on; compact_step() gives the memory back.
  void compact(Revision revision);
  // Goes on with the compaction of memory by about `effects_max` effects. False: nothing is left to do.
  // Without effect if there is ColdHistory: its owner runs the pass over the disk.
  bool compact_step(std::size_t effects_max);
  [[nodiscard]] bool compaction_pending() const { return pass_.has_value(); }

  // Everything up to here can be read from ColdHistory.
  void set_durable_revision(Revision revision);
  void set_memory_bytes_max(std::size_t bytes);

  [[nodiscard]] Revision newest() const { return newest_; }
  [[nodiscard]] Revision compacted() const { return compacted_; }
  [[nodiscard]] std::size_t memory_bytes() const { return memory_bytes_; }
  // Blocks in memory and pinned rows, for snapshots of a store without disk.
  [[nodiscard]] const std::deque<std::shared_ptr<const EffectBlock>>& blocks() const { return blocks_; }
  [[nodiscard]] const std::map<std::string, std::string, std::less<>>& pinned_rows() const { return pinned_; }

  // Recovery: restore_block() in order and restore_pinned_row(), if there is no ColdHistory; then stand at
  // `newest`. Errors: corruption, blocks that do not join or do not end at `newest`.
  Status restore_block(std::shared_ptr<const EffectBlock> block);
  void restore_pinned_row(std::string key, std::string encoded);
  Status restore(Revision newest, Revision compacted);

 private:
  struct Pass {
    Revision target;     // being compacted to
    Revision next;       // first revision whose effects were not looked at yet
    std::size_t offset;  // effects of that revision already looked at
    Revision last;       // later effects embed what they replaced
    std::map<std::string, std::string, std::less<>> pinned;
  };
  // Null if it is not there.
  [[nodiscard]] std::shared_ptr<const EffectBlock> find_in_memory(Revision revision) const;
  // The version of `key` made at `revision`, nothing if it was a deletion; at or below compacted().
  [[nodiscard]] Result<std::optional<KeptRow>> row_below(std::string_view key, Revision revision);
  // The same for a pinned encoding.
  [[nodiscard]] static Result<std::optional<KeptRow>> unpack_pinned(std::string_view key, Revision revision,
                                                                    const std::string& encoded);
  void pin_predecessor(const EffectView& effect);
  void finish_pass();
  void drop_front();
  void evict();

  HistoryOptions options_;
  ColdHistory* cold_;
  std::deque<std::shared_ptr<const EffectBlock>> blocks_;
  const EffectTable* open_ = nullptr;
  Revision newest_{1};
  Revision compacted_;
  Revision durable_;
  std::size_t memory_bytes_ = 0;
  std::map<std::string, std::string, std::less<>> pinned_;
  std::optional<Pass> pass_;
};

}  // namespace lockstep::store
