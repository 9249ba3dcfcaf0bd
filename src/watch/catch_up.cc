// Catching up: watchers behind the newest revision are led through history a slice at a time.
#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/planted.h"
#include "watch/hub_core.h"

namespace lockstep::watch {

void WatchHub::Core::schedule_slice() {
  if (lagging_places_.empty() || std::exchange(slice_scheduled_, true)) return;
  executor_.post([weak = weak_from_this()] {
    const auto core = weak.lock();
    if (core == nullptr) return;
    core->slice_scheduled_ = false;
    core->run_slice();
    core->schedule_slice();
  });
}

// Goes round: after the place served last comes the next further on, and after the foremost the hindmost. So
// each group gets a slice a round, however many there are and however far behind they start.
void WatchHub::Core::run_slice() {
  if (lagging_places_.empty()) return;
  auto place = lagging_places_.upper_bound(served_);
  if (place == lagging_places_.end()) place = lagging_places_.begin();
  const Revision known_until = place->first;
  const auto slice = cut_slice(known_until.next());
  ++metrics_.slices;
  if (!slice.ok()) return cancel_lagging_at(known_until, slice.status());
  const std::vector<Watcher*> cohort = take_cohort(*slice);
  LS_MUST(!cohort.empty());
  for (const auto& block : slice->blocks)
    scan(*block, std::max(slice->first, block->first_revision()),
         std::min(slice->last, block->last_revision()));
  settle(cohort, slice->last);
  served_ = {slice->last, WatcherId::max()};
}

// At least one revision, at most about slice_effects_max effects, at most one block that must be read from
// the disk.
Result<WatchHub::Core::Slice> WatchHub::Core::cut_slice(Revision first) {
  LS_MUST(first <= newest_);
  Slice slice;
  slice.first = first;
  slice.last = first.previous();
  std::size_t effects = 0;
  const auto fits = [&](const store::EffectBlock& block, Revision revision) {
    effects += block.end_of(revision) - block.begin_of(revision);
    return effects <= options_.slice_effects_max || slice.last < first;
  };
  while (slice.last < newest_) {
    Revision revision = slice.last.next();
    if (!slice.blocks.empty() && !history_->in_memory(revision)) break;
    LS_ASSIGN_OR_RETURN(auto block, history_->block_containing(revision));
    LS_MUST(block->contains(revision));
    const Revision before = slice.last;
    for (; block->contains(revision) && fits(*block, revision); ++revision) slice.last = revision;
    const bool complete = slice.last == block->last_revision();
    if (slice.last > before) slice.blocks.push_back(std::move(block));
    if (!complete) break;
  }
  LS_MUST(slice.last >= first);
  return slice;
}

// Everyone whose next revision lies in the slice joins it where they stand.
std::vector<Watcher*> WatchHub::Core::take_cohort(const Slice& slice) {
  std::vector<Watcher*> cohort;
  const auto begin = lagging_places_.lower_bound({slice.first.previous(), WatcherId{}});
  const auto end = lagging_places_.lower_bound({slice.last, WatcherId{}});
  for (auto place = begin; place != end; ++place) {
    cohort.push_back(watchers_.at(place->second));
    cohort.back()->phase = Phase::scanned;
  }
  lagging_places_.erase(begin, end);
  return cohort;
}

// Shows [first, last], which the block contains, to the cohort.
void WatchHub::Core::scan(const store::EffectBlock& block, Revision first, Revision last) {
  std::size_t position = block.begin_of(first);
  const std::size_t begin = position;
  for (Revision revision = first; revision <= last; ++revision) {
    for (const std::size_t end = block.end_of(revision); position < end; ++position) {
      lagging_.visit(block.key(position), [&](Watcher& watcher) {
        if (watcher.phase != Phase::scanned) return;  // not of this cohort, or parked in this slice
        if (watcher.known_until >= revision) return;  // further on
        if (note(watcher, revision, block, position)) return wake(watcher);
        watcher.phase = Phase::parked;
        watcher.known_until = revision.previous();
      });
    }
  }
  metrics_.effects_scanned += position - begin;
}

void WatchHub::Core::settle(const std::vector<Watcher*>& cohort, Revision last) {
  for (Watcher* watcher : cohort) {
    lagging_.erase(*watcher);
    if (watcher->phase == Phase::parked) {
      ++metrics_.watchers_parked;
      ++metrics_.parked_total;
      continue;
    }
    LS_MUST(watcher->phase == Phase::scanned);
    watcher->known_until = last;
    if (LS_PLANTED(duplicated_watch_event_on_catch_up) && last == newest_ && !watcher->matched.empty())
      watcher->matched.push_back(watcher->matched.back());
    place(*watcher);
  }
}

void WatchHub::Core::cancel_lagging_at(Revision known_until, const Status& why) {
  std::vector<Watcher*> ended;
  for (auto place = lagging_places_.lower_bound({known_until, WatcherId{}});
       place != lagging_places_.end() && place->first == known_until; ++place) {
    ended.push_back(watchers_.at(place->second));
  }
  LS_MUST(!ended.empty());
  for (Watcher* watcher : ended) {
    displace(*watcher);
    cancel(*watcher, why);
  }
}

}  // namespace lockstep::watch
