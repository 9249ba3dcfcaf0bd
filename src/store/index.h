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
// In key order the nodes are cut into runs of at most key_run_nodes_max, which know how many of theirs are
// live and how new the newest is: counting a large range looks at runs, not at keys.
//
// Invariants:
//   1. Both sets hold the same nodes.
//   2. live_count() counts the nodes that are not tombstones.
//   3. The ordered set compares as the keys' bytes do: its cached prefix only saves looking at the key.
//   4. Each node is in one run, each run holds neighbours, and none is empty.
//
// Strand: the core strand only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "base/ids.h"
#include "store/effect.h"
#include "store/key_range.h"

namespace lockstep::store {

inline constexpr std::uint32_t key_run_nodes_max = 512;
// Two neighbours with no more than this together become one.
inline constexpr std::uint32_t key_run_nodes_joined_max = key_run_nodes_max / 2;
inline constexpr std::uint32_t no_key_run = 0x7fffffff;

class Node;

// Neighbours in key order.
struct KeyRun {
  Node* first = nullptr;
  Revision newest;  // no node has a later mod_revision()
  std::uint32_t nodes = 0;
  std::uint32_t live = 0;
  std::uint32_t previous = no_key_run;
  std::uint32_t next = no_key_run;
};

inline bool has_none_live(const KeyRun& run) {
  return run.live == 0;
}

// One key. Made and freed by the index only; the fields of a version are set by Index::put and bury.
class Node {
 public:
  [[nodiscard]] std::string_view key() const { return {key_data(), key_bytes_}; }
  [[nodiscard]] std::string_view value() const { return {value_data_, value_bytes_}; }
  [[nodiscard]] bool is_tombstone() const { return tombstone_ != 0; }
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
  std::uint32_t run_ : 31 = no_key_run;
  std::uint32_t tombstone_ : 1 = 0;
};
static_assert(sizeof(Node) == 64, "a cache line");

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
  // Also calls take(const KeyRun&) for runs that lie in the range whole: true if the run was dealt with and
  // its nodes need no visit.
  template <class Visit, class Take>
  void visit(const KeyRange& range, Visit visit, Take take) const;
  // The first node in key order at or above `key`, or null; the next one.
  class Cursor {
   public:
    Cursor(const Index& index, std::string_view from);
    ~Cursor() = default;
    Cursor(const Cursor&) = delete;
    Cursor& operator=(const Cursor&) = delete;
    [[nodiscard]] Node* node() const { return node_; }
    void advance();
    // To another node of the index, or to the end (null).
    void move_to(Node* node);

   private:
    static constexpr std::size_t iterator_bytes = 32;
    void seek(std::string_view key);

    alignas(std::max_align_t) std::byte iterator_[iterator_bytes];
    const Index& index_;
    Node* node_ = nullptr;
    bool moved_ = false;  // the iterator is elsewhere
  };

  [[nodiscard]] std::size_t node_count() const;
  [[nodiscard]] std::size_t live_count() const { return live_count_; }
  [[nodiscard]] std::size_t run_count() const;
  void reserve(std::size_t keys);

 private:
  struct Sets;
  static Node* allocate(std::string_view key, std::size_t value_bytes);
  static void free(Node* node);
  static void free_value(Node* node);
  static void set_value(Node* node, std::string_view value);
  void add(Node* node, std::uint64_t hash);
  [[nodiscard]] const KeyRun* run_of(const Node* node) const;
  [[nodiscard]] const KeyRun* next_run(const KeyRun& run) const;
  // The run of the first node behind the range, or null.
  [[nodiscard]] const KeyRun* run_behind(const KeyRange& range) const;

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
    if (range.is_above(cursor.node()->key()) || !visit(cursor.node())) return;
  }
}

template <class Visit, class Take>
void Index::visit(const KeyRange& range, Visit visit, Take take) const {
  if (range.is_point()) {
    if (Node* node = find(range.begin())) visit(node);
    return;
  }
  Cursor cursor(*this, range.begin());
  std::optional<const KeyRun*> behind;  // looked for at the first run that begins in the range
  while (cursor.node() != nullptr && !range.is_above(cursor.node()->key())) {
    const KeyRun* run = run_of(cursor.node());
    const bool begins = run->first == cursor.node();
    if (begins && !behind) behind = run_behind(range);
    if (begins && run != *behind && take(*run)) {
      do run = next_run(*run);
      while (run != *behind && run != nullptr && take(*run));
      cursor.move_to(run == nullptr ? nullptr : run->first);
    } else {
      if (!visit(cursor.node())) return;
      cursor.advance();
    }
  }
}

}  // namespace lockstep::store
