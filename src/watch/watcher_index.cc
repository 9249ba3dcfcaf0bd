#include "watch/watcher_index.h"

#include <algorithm>

#include "base/assert.h"

namespace lockstep::watch {

void WatcherIndex::insert(Watcher& watcher) {
  if (!watcher.is_point()) return ranges_.insert(watcher);
  points_[watcher.request.key].push_back(&watcher);
}

void WatcherIndex::erase(Watcher& watcher) {
  if (!watcher.is_point()) return ranges_.erase(watcher);
  const auto found = points_.find(watcher.request.key);
  LS_MUST(found != points_.end());
  auto& watchers = found->second;
  const auto place = std::ranges::find(watchers, &watcher);
  LS_MUST(place != watchers.end());
  watchers.erase(place);
  if (watchers.empty()) points_.erase(found);
}

}  // namespace lockstep::watch
