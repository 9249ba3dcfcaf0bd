#include "watch/interval_tree.h"

#include <utility>

#include "base/assert.h"
#include "base/prng.h"

namespace lockstep::watch {

IntervalTree::Node::Node(Watcher& of)
    : watcher(of),
      begin(of.request.key),
      end{of.request.range_end, of.request.range_end == std::string_view("\0", 1)},
      reach(end),
      priority(Prng(of.id.value()).next()) {
  LS_MUST(!of.request.range_end.empty());
}

bool IntervalTree::Node::before(const Watcher& other) const {
  if (begin != other.request.key) return begin < other.request.key;
  return watcher.id < other.id;
}

void IntervalTree::Node::update() {
  reach = end;
  for (const Link* child : {&left, &right}) {
    if (*child != nullptr && reach.is_before((*child)->reach)) reach = (*child)->reach;
  }
}

void IntervalTree::insert(Watcher& watcher) {
  insert_into(root_, std::make_unique<Node>(watcher));
  ++size_;
}

void IntervalTree::insert_into(Link& link, Link node) {
  if (link == nullptr) {
    link = std::move(node);
    return;
  }
  if (node->priority > link->priority) {
    split(std::move(link), node->watcher, node->left, node->right);
    link = std::move(node);
  } else {
    insert_into(link->before(node->watcher) ? link->right : link->left, std::move(node));
  }
  link->update();
}

void IntervalTree::split(Link tree, const Watcher& at, Link& before, Link& behind) {
  if (tree == nullptr) {
    before = nullptr;
    behind = nullptr;
    return;
  }
  if (tree->before(at)) {
    split(std::move(tree->right), at, tree->right, behind);
    tree->update();
    before = std::move(tree);
  } else {
    split(std::move(tree->left), at, before, tree->left);
    tree->update();
    behind = std::move(tree);
  }
}

IntervalTree::Link IntervalTree::merge(Link before, Link behind) {
  if (before == nullptr) return behind;
  if (behind == nullptr) return before;
  if (before->priority > behind->priority) {
    before->right = merge(std::move(before->right), std::move(behind));
    before->update();
    return before;
  }
  behind->left = merge(std::move(before), std::move(behind->left));
  behind->update();
  return behind;
}

void IntervalTree::erase(Watcher& watcher) {
  const Link erased = erase_from(root_, watcher);
  LS_MUST(erased != nullptr);
  LS_MUST(size_ > 0);
  --size_;
}

IntervalTree::Link IntervalTree::erase_from(Link& link, const Watcher& watcher) {
  LS_MUST(link != nullptr, "the watcher is not in the tree");
  if (&link->watcher == &watcher) {
    Link erased = std::move(link);
    link = merge(std::move(erased->left), std::move(erased->right));
    return erased;
  }
  Link erased = erase_from(link->before(watcher) ? link->right : link->left, watcher);
  link->update();
  return erased;
}

}  // namespace lockstep::watch
