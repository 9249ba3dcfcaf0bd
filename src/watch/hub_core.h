// The hub's inside, shared with its subscriptions. Contract: watch_hub.h. Internal to watch/.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "watch/watch_hub.h"
#include "watch/watcher.h"
#include "watch/watcher_index.h"

namespace lockstep::watch {

class WatchHub::Core : public std::enable_shared_from_this<WatchHub::Core> {
 public:
  Core(store::History& history, env::Executor& executor, env::Clock& clock, WatchHubOptions options);

  void on_block(const store::EffectBlock& block);
  void on_restored(store::History& history);
  Result<std::unique_ptr<store::Subscription>> watch(store::WatchRequest request);
  void close();
  [[nodiscard]] bool closed() const { return closed_; }
  [[nodiscard]] WatchMetrics metrics() const;
  [[nodiscard]] bool any_in_a_hurry() const { return watchers_.size() > patient_watchers_; }

  // For the subscriptions.
  std::optional<store::WatchResponse> next(Watcher& watcher, std::size_t bytes_max);
  void notify_when_ready(Watcher& watcher, std::move_only_function<void()> ready);
  void request_progress(Watcher& watcher);
  void remove(Watcher& watcher);

 private:
  using Place = std::pair<Revision, WatcherId>;  // of a lagging watcher: known_until first
  struct Slice {
    std::vector<std::shared_ptr<const store::EffectBlock>> blocks;
    Revision first;
    Revision last;
  };

  // watch_hub.cc
  void place(Watcher& watcher);
  void displace(Watcher& watcher);
  // False: the watcher has enough and is to be parked.
  bool note(Watcher& watcher, Revision revision, const store::EffectTable& block, std::size_t position);
  void cancel(Watcher& watcher, const Status& why);
  [[nodiscard]] Revision known_end(const Watcher& watcher) const;
  [[nodiscard]] bool has_answer(const Watcher& watcher) const;
  [[nodiscard]] bool progress_is_true(const Watcher& watcher) const;
  void wake(Watcher& watcher);
  void notify();
  void schedule_tick();
  void tick();

  // catch_up.cc
  void schedule_slice();
  void run_slice();
  Result<Slice> cut_slice(Revision first);
  std::vector<Watcher*> take_cohort(const Slice& slice);
  void scan(const store::EffectBlock& block, Revision first, Revision last);
  void settle(const std::vector<Watcher*>& cohort, Revision last);
  void cancel_lagging_at(Revision known_until, const Status& why);

  // delivery.cc
  Status collect(const Watcher& watcher, Revision revision, std::shared_ptr<const store::EffectBlock>* block,
                 std::vector<store::Event>* events);
  Result<std::optional<store::KeyValue>> previous_of(const store::EffectView& effect);
  Status deliver(Watcher& watcher, std::size_t bytes_max, store::WatchResponse* response);
  void cut_fragment(Watcher& watcher, std::size_t bytes_max, store::WatchResponse* response);
  [[nodiscard]] store::Header header(Revision revision) const;

  store::History* history_;
  env::Executor& executor_;
  env::Clock& clock_;
  WatchHubOptions options_;
  Revision newest_;
  std::map<WatcherId, Watcher*> watchers_;
  WatcherId next_id_{1};
  WatcherIndex live_;
  WatcherIndex lagging_;
  std::set<Place> lagging_places_;
  Place served_;  // where the round of slices stands
  bool slice_scheduled_ = false;
  bool closed_ = false;  // the hub is gone; a callback may still hold this alive
  std::vector<WatcherId> to_notify_;
  std::vector<Watcher*> overflowed_;  // inside on_block() only
  std::uint64_t progress_watchers_ = 0;
  std::uint64_t patient_watchers_ = 0;
  env::TimerId tick_timer_;
  WatchMetrics metrics_;
};

}  // namespace lockstep::watch
