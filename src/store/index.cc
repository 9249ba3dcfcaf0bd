#include "store/index.h"

#include <cstring>
#include <new>

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

// Values grow a little without moving.
std::size_t value_capacity_for(std::size_t value_bytes) {
  return (value_bytes + 15) / 16 * 16;
}

}  // namespace

struct Index::Sets {
  absl::flat_hash_set<Node*, NodeHash, NodeEqual> hashed;
  OrderedSet ordered;
};

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
  const std::size_t capacity = value_capacity_for(value_bytes);
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
  sets_->ordered.insert({prefix_of(node->key()), node});
  sets_->hashed.insert(node);
  LS_MUST(sets_->ordered.size() == sets_->hashed.size());
}

Node* Index::insert(std::uint64_t hash, const RowView& row, Revision previous_revision) {
  Node* node = allocate(row.key, row.value.size());
  node->tombstone_ = true;
  put(node, row, previous_revision);
  add(node, hash);
  return node;
}

Node* Index::insert_tombstone(std::string_view key, Revision mod_revision, Revision previous_revision) {
  Node* node = allocate(key, 0);
  node->tombstone_ = true;
  node->mod_revision_ = mod_revision;
  node->previous_revision_ = previous_revision;
  add(node, hash(key));
  return node;
}

void Index::put(Node* node, const RowView& row, Revision previous_revision) {
  LS_MUST(row.mod_revision > node->mod_revision_, "one effect a key and revision");
  set_value(node, row.value);
  if (node->tombstone_) ++live_count_;
  node->tombstone_ = false;
  node->create_revision_ = row.create_revision;
  node->mod_revision_ = row.mod_revision;
  node->previous_revision_ = previous_revision;
  node->version_ = row.version;
  node->lease_ = row.lease;
}

void Index::bury(Node* node, Revision mod_revision, Revision previous_revision) {
  LS_MUST(!node->tombstone_);
  LS_MUST(mod_revision > node->mod_revision_, "one effect a key and revision");
  free_value(node);
  --live_count_;
  node->tombstone_ = true;
  node->create_revision_ = Revision{};
  node->mod_revision_ = mod_revision;
  node->previous_revision_ = previous_revision;
  node->version_ = 0;
  node->lease_ = LeaseId{};
}

void Index::erase(Node* node) {
  const std::string_view key = node->key();
  if (!node->tombstone_) --live_count_;
  const std::size_t ordered_erased = sets_->ordered.erase(OrderedKey{prefix_of(key), key});
  const std::size_t hashed_erased = sets_->hashed.erase(HashedKey{key, hash(key)});
  LS_MUST(ordered_erased == 1);
  LS_MUST(hashed_erased == 1);
  free(node);
}

std::size_t Index::node_count() const {
  return sets_->hashed.size();
}

void Index::reserve(std::size_t keys) {
  sets_->hashed.reserve(keys);
}

Index::Cursor::Cursor(const Index& index, std::string_view from) : index_(index) {
  using Iterator = OrderedSet::const_iterator;
  static_assert(sizeof(Iterator) <= iterator_bytes);
  static_assert(std::is_trivially_destructible_v<Iterator>);
  const OrderedSet& ordered = index_.sets_->ordered;
  auto* iterator = new (iterator_) Iterator(ordered.lower_bound(OrderedKey{prefix_of(from), from}));
  node_ = *iterator == ordered.end() ? nullptr : (*iterator)->node;
}

void Index::Cursor::advance() {
  LS_MUST(node_ != nullptr);
  auto* iterator = std::launder(reinterpret_cast<OrderedSet::const_iterator*>(iterator_));
  ++*iterator;
  node_ = *iterator == index_.sets_->ordered.end() ? nullptr : (*iterator)->node;
}

}  // namespace lockstep::store
