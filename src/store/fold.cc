#include "store/fold.h"

#include <algorithm>
#include <bit>
#include <cstring>
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

std::size_t common_prefix(std::string_view a, std::string_view b) {
  return static_cast<std::size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

// Sorts as the bytes do, as far as eight of them go: shorter keys are filled up with zeros.
std::uint64_t order_of(std::string_view bytes) {
  std::uint64_t order = 0;
  std::memcpy(&order, bytes.data(), std::min(bytes.size(), sizeof order));
  return std::byteswap(order);
}

// Rows in order of keys lie anywhere in the blocks: brings one that is needed soon into the cache.
void prefetch_row(std::string_view key) {
  constexpr std::size_t bytes = 384;
  for (std::size_t offset = 0; offset < bytes; offset += 64) __builtin_prefetch(key.data() + offset);
}

}  // namespace

void FoldedRows::prepare() {
  LS_MUST(rows_.empty());
  const auto& blocks = input_.blocks;
  absl::flat_hash_set<std::string_view, HashBytes> seen;
  std::size_t effects = 0;
  for (const auto& block : blocks) effects += block->size();
  seen.reserve(effects);
  // From the newest effect to the oldest: the first of a key is the one that counts.
  for (auto block = blocks.rbegin(); block != blocks.rend(); ++block) {
    const bool joins =
        block == blocks.rbegin() || (*block)->last_revision().next() == (*(block - 1))->first_revision();
    LS_MUST(joins, "blocks are folded without a gap");
    for (std::size_t position = (*block)->size(); position-- > 0;) {
      const std::string_view key = (*block)->key(position);
      if (seen.insert(key).second)
        rows_.push_back({0, key, block->get(), static_cast<std::uint32_t>(position)});
    }
  }
  // A key with an effect newer than its reclaimed tombstone lives again; one without is gone.
  for (const std::string& key : input_.reclaimed) {
    if (seen.insert(key).second) rows_.push_back({0, key, nullptr, 0});
  }
  sort_rows();
}

void FoldedRows::sort_rows() {
  if (rows_.empty()) return;
  std::size_t common = rows_.front().key.size();
  for (const Row& row : rows_) common = common_prefix(rows_.front().key.substr(0, common), row.key);
  for (Row& row : rows_) row.order = order_of(row.key.substr(common));
  std::ranges::sort(rows_, [](const Row& a, const Row& b) {
    return a.order != b.order ? a.order < b.order : a.key < b.key;
  });
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
  constexpr std::size_t ahead = 8;
  if (next_ + ahead < rows_.size()) prefetch_row(rows_[next_ + ahead].key);
  engine::SortedRow sorted{rows_[next_].key, std::nullopt};
  if (std::optional<std::string> encoded = row(next_)) {
    encoded_ = *std::move(encoded);
    sorted.value = encoded_;
  }
  ++next_;
  return std::optional(sorted);
}

}  // namespace lockstep::store
