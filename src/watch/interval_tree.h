// Which of many key ranges contain a key: a treap ordered by where ranges begin, each node knowing how far
// its subtree reaches.
//
// Cost, with n ranges of which k contain the key: insert and erase O(log n) expected; visit O(log n + k) when
// ranges nest or are apart (prefixes do), at worst O(n). Priorities come from the watchers' ids, so the shape
// and the order of visits are the same in every run. Ownership: nodes view the watchers' keys; a watcher is
// erased before it dies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "watch/watcher.h"

namespace lockstep::watch {

class IntervalTree {
 public:
  // The watcher's request is a range, not a single key.
  void insert(Watcher& watcher);
  // Requires that it was inserted.
  void erase(Watcher& watcher);
  [[nodiscard]] bool empty() const { return root_ == nullptr; }
  [[nodiscard]] std::size_t size() const { return size_; }
  // Calls visit(Watcher&) for each range that contains the key, in the order of (begin, id).
  template <class Visit>
  void visit_containing(std::string_view key, Visit&& visit) const {
    visit_below(root_.get(), key, visit);
  }

 private:
  struct Node;
  using Link = std::unique_ptr<Node>;
  // Where a range ends; behind every key if unbounded.
  struct End {
    std::string_view key;
    bool unbounded = false;

    [[nodiscard]] bool is_behind(std::string_view other) const { return unbounded || other < key; }
    [[nodiscard]] bool is_before(const End& other) const {
      return !unbounded && (other.unbounded || key < other.key);
    }
  };
  struct Node {
    explicit Node(Watcher& of);
    // (begin, id): the order of the tree.
    [[nodiscard]] bool before(const Watcher& other) const;
    void update();

    Watcher& watcher;
    std::string_view begin;
    End end;
    End reach;  // the largest end in this subtree
    std::uint64_t priority;
    Link left;
    Link right;
  };

  template <class Visit>
  static void visit_below(const Node* node, std::string_view key, Visit& visit) {
    if (node == nullptr || !node->reach.is_behind(key)) return;
    visit_below(node->left.get(), key, visit);
    if (key < node->begin) return;
    if (node->end.is_behind(key)) visit(node->watcher);
    visit_below(node->right.get(), key, visit);
  }
  static void insert_into(Link& link, Link node);
  static void split(Link tree, const Watcher& at, Link& before, Link& behind);
  static Link merge(Link before, Link behind);
  static Link erase_from(Link& link, const Watcher& watcher);

  Link root_;
  std::size_t size_ = 0;
};

}  // namespace lockstep::watch
