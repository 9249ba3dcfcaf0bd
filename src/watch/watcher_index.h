// Which watchers care about a key: single keys by hash, ranges by an interval tree.
//
// Cost of a key that nobody watches: one hash look-up, and O(log n) string comparisons if there are ranges.
// Order of visits: watchers of the single key, then ranges by (begin, id); it depends on nothing but the
// inserts and erases before.
// Strand only. No insert or erase inside visit().
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <absl/container/flat_hash_map.h>
#include <absl/container/inlined_vector.h>
#include <absl/strings/string_view.h>

#include "watch/interval_tree.h"
#include "watch/watcher.h"

namespace lockstep::watch {

class WatcherIndex {
 public:
  void insert(Watcher& watcher);
  // Requires that it was inserted.
  void erase(Watcher& watcher);
  [[nodiscard]] bool empty() const { return points_.empty() && ranges_.empty(); }

  template <class Visit>
  void visit(std::string_view key, Visit&& visit) const {
    if (!points_.empty()) {
      const auto found = points_.find(absl::string_view(key.data(), key.size()));
      if (found != points_.end()) {
        for (Watcher* watcher : found->second) visit(*watcher);
      }
    }
    if (!ranges_.empty()) ranges_.visit_containing(key, visit);
  }

 private:
  absl::flat_hash_map<std::string, absl::InlinedVector<Watcher*, 1>> points_;
  IntervalTree ranges_;
};

}  // namespace lockstep::watch
