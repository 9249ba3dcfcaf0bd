#include "store/fold.h"

#include <algorithm>
#include <utility>

#include <absl/container/flat_hash_set.h>

#include "base/assert.h"
#include "store/digest.h"
#include "store/rows.h"

namespace lockstep::store {
namespace {

struct HashBytes {
  std::size_t operator()(std::string_view bytes) const { return hash_bytes(bytes, 0); }
};

}  // namespace

void FoldedRows::prepare() {
  LS_MUST(rows_.empty());
  const auto& blocks = input_.blocks;
  absl::flat_hash_set<std::string_view, HashBytes> seen;
  // From the newest effect to the oldest: the first of a key is the one that counts.
  for (auto block = blocks.rbegin(); block != blocks.rend(); ++block) {
    const bool joins =
        block == blocks.rbegin() || (*block)->last_revision().next() == (*(block - 1))->first_revision();
    LS_MUST(joins, "blocks are folded without a gap");
    for (std::size_t position = (*block)->size(); position-- > 0;) {
      const std::string_view key = (*block)->key(position);
      if (seen.insert(key).second) rows_.push_back({key, block->get(), static_cast<std::uint32_t>(position)});
    }
  }
  // A key with an effect newer than its reclaimed tombstone lives again; one without is gone.
  for (const std::string& key : input_.reclaimed) {
    if (seen.insert(key).second) rows_.push_back({key, nullptr, 0});
  }
  std::ranges::sort(rows_, {}, &Row::key);
}

std::optional<std::string> FoldedRows::row(std::size_t position) const {
  const Row& row = rows_[position];
  if (row.block == nullptr) return std::nullopt;
  const EffectView effect = row.block->effect(row.position);
  LS_MUST(effect.row.key == row.key);
  if (effect.kind == EffectKind::remove && effect.row.mod_revision <= input_.compacted) return std::nullopt;
  return encode_current_row(effect);
}

Result<std::optional<engine::SortedRow>> FoldedRows::next() {
  if (next_ == rows_.size()) return std::optional<engine::SortedRow>();
  engine::SortedRow sorted{rows_[next_].key, std::nullopt};
  if (std::optional<std::string> encoded = row(next_)) {
    encoded_ = *std::move(encoded);
    sorted.value = encoded_;
  }
  ++next_;
  return std::optional(sorted);
}

}  // namespace lockstep::store
