#include "store/index.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <new>
#include <utility>
#include <vector>

#include <absl/container/btree_set.h>
#include <absl/container/flat_hash_set.h>
#include <absl/hash/hash.h>

#include "base/assert.h"
#include "base/limits.h"

namespace lockstep::store {
namespace {

struct HashedKey {
  std::string_view key;
  std::size_t hash;
};

struct NodeHash {
  using is_transparent = void;
  std::size_t operator()(const Node* node) const { return Index::hash(node->key()); }
  std::size_t operator()(const HashedKey& key) const { return key.hash; }
};

struct NodeEqual {
  using is_transparent = void;
  bool operator()(const Node* a, const Node* b) const { return a == b; }
  bool operator()(const Node* a, const HashedKey& b) const { return a->key() == b.key; }
  bool operator()(const HashedKey& a, const Node* b) const { return a.key == b->key(); }
};

// The first eight bytes as a number that sorts like them. Shorter keys are filled with zeros, so equal
// prefixes decide nothing and the keys are compared.
std::uint64_t prefix_of(std::string_view key) {
  std::uint64_t prefix = 0;
  if (!key.empty()) std::memcpy(&prefix, key.data(), std::min<std::size_t>(key.size(), sizeof prefix));
  return __builtin_bswap64(prefix);
}

struct OrderedEntry {
  std::uint64_t prefix;
  Node* node;
};

struct OrderedKey {
  std::uint64_t prefix;
  std::string_view key;
};

struct OrderedLess {
  using is_transparent = void;
  bool operator()(const OrderedEntry& a, const OrderedEntry& b) const {
    return a.prefix != b.prefix ? a.prefix < b.prefix : a.node->key() < b.node->key();
  }
  bool operator()(const OrderedEntry& a, const OrderedKey& b) const {
    return a.prefix != b.prefix ? a.prefix < b.prefix : a.node->key() < b.key;
  }
  bool operator()(const OrderedKey& a, const OrderedEntry& b) const {
    return a.prefix != b.prefix ? a.prefix < b.prefix : a.key < b.node->key();
  }
};

using OrderedSet = absl::btree_set<OrderedEntry, OrderedLess>;

// Values grow a little without moving: into what the allocator would round `before` and the value up to.
std::size_t value_capacity_for(std::size_t value_bytes, std::size_t before = 0) {
  return (before + value_bytes + 15) / 16 * 16 - before;
}

}  // namespace

struct Index::Sets {
  absl::flat_hash_set<Node*, NodeHash, NodeEqual> hashed;
  OrderedSet ordered;
  std::vector<KeyRun> runs;              // by id; those in `free_runs` are in no use
  std::vector<std::uint32_t> free_runs;  // ids

  [[nodiscard]] OrderedSet::const_iterator position_of(const Node* node) const {
    return ordered.find(OrderedKey{prefix_of(node->key()), node->key()});
  }
  KeyRun& run_of(const Node* node) { return runs[node->run_]; }
  void note_change(const Node* node, bool was_live);
  void join(OrderedSet::const_iterator position);
  void leave(const Node* node, OrderedSet::const_iterator after);

  std::uint32_t make_run(std::uint32_t previous);
  void remove_run(std::uint32_t id);
  void give(Node* node, std::uint32_t id);
  void split(std::uint32_t id);
  void merge(std::uint32_t id, std::uint32_t next);
};

// Of a node that is in a run.
void Index::Sets::note_change(const Node* node, bool was_live) {
  KeyRun& run = run_of(node);
  run.live += (node->is_tombstone() ? 0U : 1U) - (was_live ? 1U : 0U);
  LS_MUST(run.live <= run.nodes);
  run.newest = std::max(run.newest, node->mod_revision());
}

std::uint32_t Index::Sets::make_run(std::uint32_t previous) {
  std::uint32_t id = static_cast<std::uint32_t>(runs.size());
  if (free_runs.empty()) {
    LS_MUST(id < no_key_run);
    runs.emplace_back();
  } else {
    id = free_runs.back();
    free_runs.pop_back();
    runs[id] = {};
  }
  if (previous == no_key_run) return id;
  runs[id].previous = previous;
  runs[id].next = std::exchange(runs[previous].next, id);
  if (runs[id].next != no_key_run) runs[runs[id].next].previous = id;
  return id;
}

void Index::Sets::remove_run(std::uint32_t id) {
  const KeyRun& run = runs[id];
  if (run.previous != no_key_run) runs[run.previous].next = run.next;
  if (run.next != no_key_run) runs[run.next].previous = run.previous;
  free_runs.push_back(id);
}

void Index::Sets::give(Node* node, std::uint32_t id) {
  node->run_ = id;
  ++runs[id].nodes;
  note_change(node, false);
}

// A node that has just come into the ordered set.
void Index::Sets::join(OrderedSet::const_iterator position) {
  Node* node = position->node;
  const auto next = std::next(position);
  if (position == ordered.begin()) {
    const std::uint32_t id = next == ordered.end() ? make_run(no_key_run) : next->node->run_;
    runs[id].first = node;
    give(node, id);
    if (runs[id].nodes > key_run_nodes_max) split(id);
    return;
  }
  const std::uint32_t id = std::prev(position)->node->run_;
  const bool at_end = next == ordered.end() || next->node->run_ != id;
  if (at_end && runs[id].nodes == key_run_nodes_max) {
    // Keys that come in order leave full runs behind; those in falling order go into the run behind.
    const std::uint32_t behind = runs[id].next;
    const bool has_room = behind != no_key_run && runs[behind].nodes < key_run_nodes_max;
    const std::uint32_t taker = has_room ? behind : make_run(id);
    runs[taker].first = node;
    give(node, taker);
    return;
  }
  give(node, id);
  if (runs[id].nodes > key_run_nodes_max) split(id);
}

void Index::Sets::split(std::uint32_t id) {
  const std::uint32_t upper = make_run(id);
  const std::uint32_t nodes = runs[id].nodes;
  auto position = position_of(runs[id].first);
  runs[id].nodes = 0;
  runs[id].live = 0;
  runs[id].newest = Revision{};
  for (std::uint32_t i = 0; i < nodes; ++i, ++position) {
    if (i == nodes / 2) runs[upper].first = position->node;
    give(position->node, i < nodes / 2 ? id : upper);
  }
}

void Index::Sets::merge(std::uint32_t id, std::uint32_t next) {
  LS_MUST(runs[id].next == next);
  auto position = position_of(runs[next].first);
  for (std::uint32_t i = 0; i < runs[next].nodes; ++i, ++position) give(position->node, id);
  remove_run(next);
}

// A node that has just left the ordered set; `after` is where it was.
void Index::Sets::leave(const Node* node, OrderedSet::const_iterator after) {
  const std::uint32_t id = node->run_;
  KeyRun& run = runs[id];
  run.live -= node->is_tombstone() ? 0U : 1U;
  --run.nodes;
  LS_MUST(run.live <= run.nodes);
  if (run.nodes == 0) return remove_run(id);
  if (run.first == node) run.first = after->node;
  const auto fits = [&](std::uint32_t other) {
    return other != no_key_run && run.nodes + runs[other].nodes <= key_run_nodes_joined_max;
  };
  if (fits(run.next)) return merge(id, run.next);
  if (fits(run.previous)) merge(run.previous, id);
}

Index::Index() : sets_(std::make_unique<Sets>()) {}

Index::~Index() {
  for (const OrderedEntry& entry : sets_->ordered) free(entry.node);
}

std::uint64_t Index::hash(std::string_view key) {
  return absl::Hash<std::string_view>{}(key);
}

void Index::prefetch(std::uint64_t hash) const {
  sets_->hashed.prefetch(HashedKey{{}, hash});
}

Node* Index::find(std::string_view key, std::uint64_t hash) const {
  const auto position = sets_->hashed.find(HashedKey{key, hash});
  return position == sets_->hashed.end() ? nullptr : *position;
}

Node* Index::allocate(std::string_view key, std::size_t value_bytes) {
  LS_MUST(!key.empty());
  LS_MUST(key.size() <= limits::key_bytes_max);
  const std::size_t capacity = value_capacity_for(value_bytes, sizeof(Node) + key.size());
  void* memory = ::operator new(sizeof(Node) + key.size() + capacity);
  Node* node = new (memory) Node;
  node->key_bytes_ = static_cast<std::uint32_t>(key.size());
  std::memcpy(node->key_data(), key.data(), key.size());
  node->value_data_ = node->inline_value();
  node->value_capacity_ = static_cast<std::uint32_t>(capacity);
  return node;
}

void Index::free_value(Node* node) {
  if (node->value_data_ != node->inline_value()) ::operator delete(node->value_data_);
  node->value_data_ = node->inline_value();
  node->value_capacity_ = 0;  // how much was there is not kept; a buried key rarely returns
  node->value_bytes_ = 0;
}

void Index::free(Node* node) {
  free_value(node);
  node->~Node();
  ::operator delete(node);
}

void Index::set_value(Node* node, std::string_view value) {
  LS_MUST(value.size() <= limits::value_bytes_max);
  if (value.size() > node->value_capacity_) {
    const std::size_t capacity = value_capacity_for(value.size());
    char* data = static_cast<char*>(::operator new(capacity));
    std::memcpy(data, value.data(), value.size());
    free_value(node);
    node->value_data_ = data;
    node->value_capacity_ = static_cast<std::uint32_t>(capacity);
  } else if (!value.empty()) {
    std::memmove(node->value_data_, value.data(), value.size());  // may be the same bytes
  }
  node->value_bytes_ = static_cast<std::uint32_t>(value.size());
}

void Index::add(Node* node, std::uint64_t hash) {
  LS_EXPENSIVE(find(node->key(), hash) == nullptr);
  sets_->hashed.insert(node);
  sets_->join(sets_->ordered.insert({prefix_of(node->key()), node}).first);
  LS_MUST(sets_->ordered.size() == sets_->hashed.size());
}

Node* Index::insert(std::uint64_t hash, const RowView& row, Revision previous_revision) {
  Node* node = allocate(row.key, row.value.size());
  node->tombstone_ = 1;
  put(node, row, previous_revision);
  add(node, hash);
  return node;
}

Node* Index::insert_tombstone(std::string_view key, Revision mod_revision, Revision previous_revision) {
  Node* node = allocate(key, 0);
  node->tombstone_ = 1;
  node->mod_revision_ = mod_revision;
  node->previous_revision_ = previous_revision;
  add(node, hash(key));
  return node;
}

void Index::put(Node* node, const RowView& row, Revision previous_revision) {
  LS_MUST(row.mod_revision > node->mod_revision_, "one effect a key and revision");
  set_value(node, row.value);
  const bool was_live = node->tombstone_ == 0;
  if (!was_live) ++live_count_;
  node->tombstone_ = 0;
  node->create_revision_ = row.create_revision;
  node->mod_revision_ = row.mod_revision;
  node->previous_revision_ = previous_revision;
  node->version_ = row.version;
  node->lease_ = row.lease;
  if (node->run_ != no_key_run) sets_->note_change(node, was_live);
}

void Index::bury(Node* node, Revision mod_revision, Revision previous_revision) {
  LS_MUST(!node->is_tombstone());
  LS_MUST(mod_revision > node->mod_revision_, "one effect a key and revision");
  free_value(node);
  --live_count_;
  node->tombstone_ = 1;
  node->create_revision_ = Revision{};
  node->mod_revision_ = mod_revision;
  node->previous_revision_ = previous_revision;
  node->version_ = 0;
  node->lease_ = LeaseId{};
  sets_->note_change(node, true);
}

void Index::erase(Node* node) {
  if (!node->is_tombstone()) --live_count_;
  const auto position = sets_->position_of(node);
  LS_MUST(position != sets_->ordered.end());
  sets_->leave(node, sets_->ordered.erase(position));
  const std::size_t hashed_erased = sets_->hashed.erase(HashedKey{node->key(), hash(node->key())});
  LS_MUST(hashed_erased == 1);
  free(node);
}

std::size_t Index::node_count() const {
  return sets_->hashed.size();
}

void Index::reserve(std::size_t keys) {
  sets_->hashed.reserve(keys);
}

std::size_t Index::run_count() const {
  return sets_->runs.size() - sets_->free_runs.size();
}

const KeyRun* Index::run_of(const Node* node) const {
  return &sets_->runs[node->run_];
}

const KeyRun* Index::next_run(const KeyRun& run) const {
  return run.next == no_key_run ? nullptr : &sets_->runs[run.next];
}

const KeyRun* Index::run_behind(const KeyRange& range) const {
  if (range.is_unbounded()) return nullptr;
  const Cursor cursor(*this, range.end());
  return cursor.node() == nullptr ? nullptr : run_of(cursor.node());
}

Index::Cursor::Cursor(const Index& index, std::string_view from) : index_(index) {
  seek(from);
}

void Index::Cursor::seek(std::string_view key) {
  using Iterator = OrderedSet::const_iterator;
  static_assert(sizeof(Iterator) <= iterator_bytes);
  static_assert(std::is_trivially_destructible_v<Iterator>);
  const OrderedSet& ordered = index_.sets_->ordered;
  auto* iterator = new (iterator_) Iterator(ordered.lower_bound(OrderedKey{prefix_of(key), key}));
  node_ = *iterator == ordered.end() ? nullptr : (*iterator)->node;
}

void Index::Cursor::advance() {
  LS_MUST(node_ != nullptr);
  if (std::exchange(moved_, false)) seek(node_->key());
  auto* iterator = std::launder(reinterpret_cast<OrderedSet::const_iterator*>(iterator_));
  ++*iterator;
  node_ = *iterator == index_.sets_->ordered.end() ? nullptr : (*iterator)->node;
}

void Index::Cursor::move_to(Node* node) {
  node_ = node;
  moved_ = true;
}

}  // namespace lockstep::store
