// Effects: what applying one entry did to the keys, in revision order (docs/formats/effects.md).
//
// A block is made once and never changed: the index was updated with it, watch reads it, write-back stores
// its bytes in the history table. So there is one encoding, made while applying.
//
// Invariants:
//   1. A block's revisions are consecutive; each has at least one effect.
//   2. At most one effect per key and revision. A put or a delete command touches a key once; a transaction
//      that could touch a key twice, at least once by a put, is refused (validate.h), and a second delete
//      finds nothing to delete.
//   3. previous_revision < mod_revision: where the key's version (or deletion) before this one is found. 0:
//      none, or a deletion at or below the compacted revision.
//   4. The row before is embedded exactly if it existed and its mod_revision was at or below the compacted
//      revision when the effect was made: it may already be gone from the history table.
//
// Ownership: views point into the block; keep the shared_ptr. Immutable, so any thread may read.
// Errors: decode() refuses anything the builder would not have made, Code::corruption.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "store/types.h"

namespace lockstep::store {

// One version of a key, looked at.
struct RowView {
  std::string_view key;
  std::string_view value;
  Revision create_revision;
  Revision mod_revision;
  std::int64_t version = 0;
  LeaseId lease;

  [[nodiscard]] KeyValue to_key_value() const;
  friend bool operator==(const RowView&, const RowView&) = default;
};

enum class EffectKind : std::uint8_t { put, remove };

struct EffectView {
  EffectKind kind = EffectKind::put;
  RowView row;  // of a removal: key and mod_revision only
  Revision previous_revision;
  std::optional<RowView> previous_row;  // invariant 4

  friend bool operator==(const EffectView&, const EffectView&) = default;
};

// Encoded effects and where each lies. Shared by the finished block and the one under construction.
class EffectTable {
 public:
  [[nodiscard]] Revision first_revision() const { return first_revision_; }
  // Requires !empty().
  [[nodiscard]] Revision last_revision() const {
    return first_revision_ + (static_cast<std::int64_t>(revision_begins_.size()) - 1);
  }
  [[nodiscard]] bool contains(Revision revision) const {
    return revision >= first_revision_ && revision <= last_revision();
  }
  // Effects in the table; effect i for 0 <= i < size(), in order.
  [[nodiscard]] std::size_t size() const { return offsets_.size(); }
  [[nodiscard]] bool empty() const { return offsets_.empty(); }
  [[nodiscard]] EffectView effect(std::size_t position) const;
  // Cheaper than effect(), for those who look at the key first.
  [[nodiscard]] std::string_view key(std::size_t position) const;
  [[nodiscard]] Revision revision(std::size_t position) const;
  // Effects of one revision: [begin_of(revision), end_of(revision)). Requires contains(revision).
  [[nodiscard]] std::size_t begin_of(Revision revision) const;
  [[nodiscard]] std::size_t end_of(Revision revision) const;
  // The effect on `wanted` at exactly `revision`.
  [[nodiscard]] std::optional<EffectView> find(Revision revision, std::string_view wanted) const;

  // What it holds in memory.
  [[nodiscard]] std::size_t memory_bytes() const;

 protected:
  EffectTable() = default;
  ~EffectTable() = default;
  EffectTable(const EffectTable&) = delete;
  EffectTable& operator=(const EffectTable&) = delete;
  // Moves everything over and leaves `from` empty.
  void take(EffectTable& from);

  std::string encoded_;
  Revision first_revision_;
  std::vector<std::uint32_t> offsets_;          // of each effect, in encoded_
  std::vector<std::uint32_t> revision_begins_;  // position of each revision's first effect
};

class EffectBlock final : public EffectTable {
 public:
  // Checks every byte. Memory is bounded by the input's size.
  static Result<std::shared_ptr<const EffectBlock>> decode(std::string encoded);
  [[nodiscard]] std::string_view encoded() const { return encoded_; }

 private:
  friend class EffectBlockBuilder;
  EffectBlock() = default;
  [[nodiscard]] Status check_unique() const;
};

// Makes one block. Effects of one revision are added together. What was added can be read at once; views are
// good until the next effect is added.
class EffectBlockBuilder final : public EffectTable {
 public:
  // Starts over; the expectations are hints.
  void start(Revision first_revision, std::size_t bytes_expected, std::size_t effects_expected);
  // The revision of what is added next. Requires effects in the present one, if any is open.
  void begin_revision(Revision revision);
  // `previous_row` by invariant 4.
  void put(const RowView& row, Revision previous_revision, const std::optional<RowView>& previous_row);
  void remove(std::string_view key, Revision previous_revision, const std::optional<RowView>& previous_row);
  // Bytes so far.
  [[nodiscard]] std::size_t bytes() const { return encoded_.size(); }
  // Null if nothing was added.
  [[nodiscard]] std::shared_ptr<const EffectBlock> finish();

 private:
  void open_effect(std::uint8_t flags, std::string_view key);
  void close_effect(Revision previous_revision, const std::optional<RowView>& previous_row);

  Revision revision_;
  std::size_t count_offset_ = 0;
};

}  // namespace lockstep::store
