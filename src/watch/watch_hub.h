// Turns effects into subscriptions: ordered, bounded, fair.
//
// What a subscription is promised (I4), each by a test of its name in watch_test.cc:
//   ordered       events come in the order of revisions
//   unique        no event comes twice
//   complete      every matching event from the start on comes, or the subscription is cancelled
//   atomic        the events of one revision come in one answer, unless `fragment` was asked for
//   resumable     a new watch from header.revision + 1 goes on without hole or repetition
//   bookmarkable  header.revision is true: everything up to it was delivered, with or without events
//
// How: a subscription holds no events. Each applied block is matched against the live watchers, which note
// the revision (8 bytes); next() reads the events from history. A watcher that notes too many is parked,
// costs nothing more, and is caught up from history once its subscriber took some. A watch from an old
// revision is caught up the same way. Catching up goes in slices of bounded work, a slice a turn, going round
// from the furthest behind to the nearest; watchers at about the same place share a slice. So (I11):
//   1. memory for a subscription is bounded, whatever its subscriber does: matched_revisions_max revisions;
//   2. a slow subscriber costs writes and other subscribers nothing;
//   3. a subscriber too slow for compaction is cancelled with compact_revision, never given a hole.
//
// Cost of an applied effect: watcher_index.h. Callbacks run once a turn for each subscription, outside
// on_block(). Strand only. The hub and its subscriptions may die in either order. Errors: invalid_argument
// (range, revision, key too long), resource_exhausted (too many watches); a history that cannot be read
// cancels the subscription with the reason.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "base/limits.h"
#include "base/status.h"
#include "base/time.h"
#include "env/clock.h"
#include "env/executor.h"
#include "store/effect.h"
#include "store/history.h"
#include "store/store.h"
#include "store/types.h"

namespace lockstep::watch {

// Bounds what watchers cost together: about 300 bytes each idle, 9 KiB each parked.
inline constexpr std::size_t watchers_max = 200'000;

struct WatchHubOptions {
  // Between answers without events for those that asked for progress_notify; etcd's default.
  Duration progress_interval = 10min;
  // Work of one catch-up slice: about 60 µs, so that a commit never waits much longer for the strand.
  std::size_t slice_effects_max = 1024;
  // Cluster, member and term for the answers' headers; the revision is the hub's.
  std::function<store::Header()> header;
};

struct WatchMetrics {
  std::uint64_t watchers = 0;
  std::uint64_t watchers_lagging = 0;  // being caught up
  std::uint64_t watchers_parked = 0;
  std::uint64_t events_delivered = 0;
  std::uint64_t answers = 0;
  std::uint64_t slices = 0;
  std::uint64_t effects_scanned = 0;  // by slices
  std::uint64_t parked_total = 0;     // how often a subscriber was too slow
  std::uint64_t cancelled_compacted = 0;
};

class WatchHub {
 public:
  // Stands at history.newest(). All three outlive the hub (the history until on_restored()).
  WatchHub(store::History& history, env::Executor& executor, env::Clock& clock, WatchHubOptions options = {});
  ~WatchHub();
  WatchHub(const WatchHub&) = delete;
  WatchHub& operator=(const WatchHub&) = delete;

  // The next block, right after it was appended to the history.
  void on_block(const store::EffectBlock& block);
  // A snapshot was installed: `history` takes the present one's place, which may go afterwards. Watchers go
  // on from where they were, or are cancelled if that is compacted there.
  void on_restored(store::History& history);

  // A start above the newest revision waits for it; one below the compacted revision is cancelled at once, by
  // its first answer.
  Result<std::unique_ptr<store::Subscription>> watch(store::WatchRequest request);

  [[nodiscard]] WatchMetrics metrics() const;
  // Is there a watch that was not asked for as patient?
  [[nodiscard]] bool any_in_a_hurry() const;

  class Core;

 private:
  std::shared_ptr<Core> core_;
};

}  // namespace lockstep::watch
