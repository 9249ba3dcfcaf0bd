// The index: every key with its newest version, or its tombstone while history still needs it.
//
// Two ways in: a hash set for point operations and an ordered set for ranges. An overwrite touches only the
// hash. Both hold pointers to nodes; a node is one allocation (header, key, value) at a stable address, until
// erase(). A value that outgrows its node moves to a buffer of its own.
//
// Memory a key beyond its own bytes and its value's: 64 of node, about 45 of both sets, 8 to 24 of the
// allocator and of rounding. Measured with 16-byte keys and 256-byte values: 126; 10 million keys take 4.0 GB
// with values.
//
// Invariants:
//   1. Both sets hold the same nodes.
//   2. live_count() counts the nodes that are not tombstones.
//   3. The ordered set compares as the keys' bytes do: its cached prefix only saves looking at the key.
//
// Strand: the core strand only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/ids.h"
#include "store/effect.h"
#include "store/key_range.h"

namespace lockstep::store {

// One key. Made and freed by the index only; the fields of a version are set by Index::put and bury.
class Node {
 public:
  [[nodiscard]] std::string_view key() const { return {key_data(), key_bytes_}; }
  [[nodiscard]] std::string_view value() const { return {value_data_, value_bytes_}; }
  [[nodiscard]] bool is_tombstone() const { return tombstone_; }
  [[nodiscard]] Revision create_revision() const { return create_revision_; }
  [[nodiscard]] Revision mod_revision() const { return mod_revision_; }
  [[nodiscard]] Revision previous_revision() const { return previous_revision_; }
  [[nodiscard]] std::int64_t version() const { return version_; }
  [[nodiscard]] LeaseId lease() const { return lease_; }
  [[nodiscard]] RowView row() const {
    return {key(), value(), create_revision_, mod_revision_, version_, lease_};
  }
  // Brings the value, which is about to be overwritten, into the cache.
  void prefetch_value() const {
    for (std::uint32_t offset = 0; offset < value_bytes_ && offset < prefetch_bytes_max; offset += 64) {
      __builtin_prefetch(value_data_ + offset, 1);
    }
  }
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

 private:
  friend class Index;
  static constexpr std::uint32_t prefetch_bytes_max = 512;
  Node() = default;
  ~Node() = default;
  [[nodiscard]] const char* key_data() const { return reinterpret_cast<const char*>(this + 1); }
  [[nodiscard]] char* key_data() { return reinterpret_cast<char*>(this + 1); }
  [[nodiscard]] char* inline_value() { return key_data() + key_bytes_; }

  Revision create_revision_;
  Revision mod_revision_;
  Revision previous_revision_;
  std::int64_t version_ = 0;
  LeaseId lease_;
  char* value_data_ = nullptr;
  std::uint32_t value_bytes_ = 0;
  std::uint32_t value_capacity_ = 0;
  std::uint32_t key_bytes_ = 0;
  bool tombstone_ = false;
};

class Index {
 public:
  Index();
  ~Index();
  Index(const Index&) = delete;
  Index& operator=(const Index&) = delete;

  [[nodiscard]] static std::uint64_t hash(std::string_view key);
  // Brings what find() will touch into the cache: call for a group of keys, then find them.
  void prefetch(std::uint64_t hash) const;
  [[nodiscard]] Node* find(std::string_view key, std::uint64_t hash) const;
  [[nodiscard]] Node* find(std::string_view key) const { return find(key, hash(key)); }

  // Makes a node for a key that has none, with `row` as its version.
  Node* insert(std::uint64_t hash, const RowView& row, Revision previous_revision);
  // A node that is a tombstone, for recovery.
  Node* insert_tombstone(std::string_view key, Revision mod_revision, Revision previous_revision);
  // A new version for a node, live or tombstone. `row.key` is the node's; `row.value` may be its own value.
  void put(Node* node, const RowView& row, Revision previous_revision);
  // The node becomes a tombstone; its value is freed.
  void bury(Node* node, Revision mod_revision, Revision previous_revision);
  // Frees the node.
  void erase(Node* node);

  // Calls visit(Node*) for each node in the range, tombstones too, in key order, while it returns true. The
  // index must not change meanwhile.
  template <class Visit>
  void visit(const KeyRange& range, Visit visit) const;
  // The first node in key order at or above `key`, or null; the next one.
  class Cursor {
   public:
    Cursor(const Index& index, std::string_view from);
    ~Cursor() = default;
    Cursor(const Cursor&) = delete;
    Cursor& operator=(const Cursor&) = delete;
    [[nodiscard]] Node* node() const { return node_; }
    void advance();

   private:
    static constexpr std::size_t iterator_bytes = 32;
    alignas(std::max_align_t) std::byte iterator_[iterator_bytes];
    const Index& index_;
    Node* node_ = nullptr;
  };

  [[nodiscard]] std::size_t node_count() const;
  [[nodiscard]] std::size_t live_count() const { return live_count_; }
  void reserve(std::size_t keys);

 private:
  struct Sets;
  static Node* allocate(std::string_view key, std::size_t value_bytes);
  static void free(Node* node);
  static void free_value(Node* node);
  static void set_value(Node* node, std::string_view value);
  void add(Node* node, std::uint64_t hash);

  std::unique_ptr<Sets> sets_;
  std::size_t live_count_ = 0;
};

template <class Visit>
void Index::visit(const KeyRange& range, Visit visit) const {
  if (range.is_point()) {
    if (Node* node = find(range.begin())) visit(node);
    return;
  }
  for (Cursor cursor(*this, range.begin()); cursor.node() != nullptr; cursor.advance()) {
    if (range.is_above(cursor.node()->key())) return;
    if (!visit(cursor.node())) return;
  }
}

}  // namespace lockstep::store
