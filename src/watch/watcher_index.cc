#include "watch/watcher_index.h"

#include "base/assert.h"

namespace lockstep::watch {

void WatcherIndex::insert(Watcher& watcher) {
  if (!watcher.is_point()) return ranges_.insert(watcher);
  auto& watchers = points_[watcher.request.key];
  watcher.place_among_equals = watchers.size();
  watchers.push_back(&watcher);
}

// The last one takes the place of the erased one: a key that everybody watches must not make leaving slow.
void WatcherIndex::erase(Watcher& watcher) {
  if (!watcher.is_point()) return ranges_.erase(watcher);
  const auto found = points_.find(watcher.request.key);
  LS_MUST(found != points_.end());
  auto& watchers = found->second;
  const std::size_t place = watcher.place_among_equals;
  LS_MUST(place < watchers.size());
  LS_MUST(watchers[place] == &watcher);
  watchers[place] = watchers.back();
  watchers[place]->place_among_equals = place;
  watchers.pop_back();
  if (watchers.empty()) points_.erase(found);
}

}  // namespace lockstep::watch
