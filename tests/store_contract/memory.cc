#include <deque>
#include <map>
#include <utility>

#include "replica/memory_store.h"
#include "store_under_test.h"

namespace lockstep::store_contract {
namespace {

// Time passes only while somebody waits.
class VirtualStrand final : public env::Executor, public env::Clock {
 public:
  void post(env::Closure closure) override { queue_.push_back(std::move(closure)); }
  void post_from_any_thread(env::Closure closure) override { post(std::move(closure)); }
  env::TimerId schedule(TimePoint deadline, env::Closure closure) override {
    const env::TimerId id(++timers_made_);
    timers_.emplace(std::pair(deadline, id), std::move(closure));
    return id;
  }
  void cancel(env::TimerId timer) override {
    std::erase_if(timers_, [&](const auto& entry) { return entry.first.second == timer; });
  }
  TimePoint now() override { return now_; }
  Duration wall_now() override { return now_.time_since_epoch(); }

  // One closure or one timer, or a little time.
  void step(Duration time) {
    if (!queue_.empty()) {
      env::Closure closure = std::move(queue_.front());
      queue_.pop_front();
      return closure();
    }
    const TimePoint until = now_ + time;
    if (timers_.empty() || timers_.begin()->first.first > until) {
      now_ = until;
      return;
    }
    auto first = timers_.extract(timers_.begin());
    now_ = std::max(now_, first.key().first);
    first.mapped()();
  }

 private:
  std::deque<env::Closure> queue_;
  std::map<std::pair<TimePoint, env::TimerId>, env::Closure> timers_;
  std::uint64_t timers_made_ = 0;
  TimePoint now_{std::chrono::hours(1)};
};

class MemoryUnderTest final : public StoreUnderTest {
 public:
  store::Store& store() override { return store_; }
  void on_strand(const std::function<void()>& step) override { step(); }
  bool run_until(const std::function<bool()>& condition) override {
    const TimePoint end = strand_.now() + 10min;
    while (!condition()) {
      if (strand_.now() > end) return false;
      strand_.step(1ms);
    }
    return true;
  }
  TimePoint now() override { return strand_.now(); }

 private:
  VirtualStrand strand_;
  replica::MemoryStore store_{strand_, strand_};
};

}  // namespace

Implementation memory() {
  return {"Memory", [] { return std::make_unique<MemoryUnderTest>(); }};
}

}  // namespace lockstep::store_contract
