// For the tests of watch/: the plainest store that makes effects, a strand and a clock moved by hand.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "env/clock.h"
#include "env/executor.h"
#include "store/effect.h"
#include "store/history.h"
#include "watch/watch_hub.h"

namespace lockstep::watch::testing {

// Turns and time pass only when told.
class ManualStrand final : public env::Executor, public env::Clock {
 public:
  void post(env::Closure closure) override { queue_.push_back(std::move(closure)); }
  void post_from_any_thread(env::Closure closure) override { post(std::move(closure)); }
  env::TimerId schedule(TimePoint deadline, env::Closure closure) override {
    const env::TimerId id(next_timer_++);
    timers_.emplace(std::pair(deadline, id.value()), std::move(closure));
    return id;
  }
  void cancel(env::TimerId timer) override {
    std::erase_if(timers_, [&](const auto& entry) { return entry.first.second == timer.value(); });
  }
  TimePoint now() override { return now_; }
  Duration wall_now() override { return now_.time_since_epoch(); }

  // Runs what was posted before the call. False: there was nothing.
  bool turn() {
    if (queue_.empty()) return false;
    for (env::Closure& closure : std::exchange(queue_, {})) closure();
    return true;
  }
  void run() {
    while (turn()) {
    }
  }
  void advance(Duration by) {
    now_ += by;
    while (!timers_.empty() && timers_.begin()->first.first <= now_) {
      const auto first = timers_.extract(timers_.begin());
      queue_.push_back(std::move(first.mapped()));
    }
  }

 private:
  std::deque<env::Closure> queue_;
  std::map<std::pair<TimePoint, std::uint64_t>, env::Closure> timers_;
  std::uint64_t next_timer_ = 1;
  TimePoint now_{};
};

struct Change {
  bool put = true;
  std::string key;
  std::string value;
};
using Changes = std::vector<Change>;  // of one revision; deletions of missing keys are left out

class TestStore {
 public:
  explicit TestStore(WatchHubOptions options = {}, store::ColdHistory* cold = nullptr,
                     std::size_t history_bytes = std::size_t{1} << 30);

  // One block with these revisions, appended and shown to the hub. Revisions without change are left out.
  void apply(const std::vector<Changes>& revisions);
  void put(const std::string& key, const std::string& value) { apply({{Change{true, key, value}}}); }
  void remove(const std::string& key) { apply({{Change{false, key, {}}}}); }
  // At once and completely.
  void compact(Revision revision);
  std::unique_ptr<store::Subscription> watch(store::WatchRequest request);

  // Every event since the beginning, with prev_kv, in order.
  [[nodiscard]] const std::vector<store::Event>& events() const { return events_; }
  // The highest revision compacted so far.
  [[nodiscard]] Revision compacted() const { return history.compacted(); }

  ManualStrand strand;
  store::History history;
  std::optional<WatchHub> hub;

 private:
  void change(const Change& change, Revision revision, store::EffectBlockBuilder& builder);

  struct Row {
    store::KeyValue kv;
    Revision last;  // put or removal
    bool exists = false;
  };
  std::map<std::string, Row> rows_;
  std::vector<store::Event> events_;
};

// "put a=1 (version 1)", for scripts and failures.
std::string to_string(const store::Event& event);
std::string to_string(const store::WatchResponse& answer);

}  // namespace lockstep::watch::testing
