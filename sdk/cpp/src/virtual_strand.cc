#include "virtual_strand.h"

#include "base/assert.h"
#include "world.h"

namespace lockstep::v1::testing::detail {

VirtualStrand::VirtualStrand() {
  target_ = now_;
  thread_ = std::thread([this] {
    const v1::detail::ClientThread here;
    loop();
  });
}

VirtualStrand::~VirtualStrand() {
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void VirtualStrand::post_from_any_thread(env::Closure closure) {
  const std::lock_guard lock(mutex_);
  queue_.push_back(std::move(closure));
  changed_.notify_all();
}

env::TimerId VirtualStrand::schedule(TimePoint deadline, env::Closure closure) {
  const std::lock_guard lock(mutex_);
  const env::TimerId id(++timers_made_);
  timers_.emplace(std::pair(deadline, id), std::move(closure));
  timer_deadlines_.emplace(id, deadline);
  return id;
}

void VirtualStrand::cancel(env::TimerId timer) {
  env::Closure dropped;  // its destructor may call back
  const std::lock_guard lock(mutex_);
  const auto found = timer_deadlines_.find(timer);
  if (found == timer_deadlines_.end()) return;
  dropped = std::move(timers_.extract(std::pair(found->second, timer)).mapped());
  timer_deadlines_.erase(found);
}

TimePoint VirtualStrand::now() {
  const std::lock_guard lock(mutex_);
  return now_;
}

Duration VirtualStrand::wall_now() {
  const std::lock_guard lock(mutex_);
  return now_.time_since_epoch() + wall_offset_;
}

void VirtualStrand::set_wall(Duration since_epoch) {
  const std::lock_guard lock(mutex_);
  wall_offset_ = since_epoch - now_.time_since_epoch();
}

void VirtualStrand::jump_while_waiting() {
  const std::lock_guard lock(mutex_);
  jump_ = true;
  changed_.notify_all();
}

void VirtualStrand::waiting_changed(int by) {
  const std::lock_guard lock(mutex_);
  waiting_ += by;
  LS_MUST(waiting_ >= 0);
}

void VirtualStrand::advance(Duration by) {
  LS_MUST(by >= Duration::zero());
  std::unique_lock lock(mutex_);
  LS_MUST(std::this_thread::get_id() != thread_.get_id(),
          "the clock is moved by another thread than its own");
  const TimePoint target = std::max(target_, now_) + by;
  target_ = target;
  changed_.notify_all();
  changed_.wait(lock, [&] { return now_ >= target && queue_.empty() && !busy_; });
}

void VirtualStrand::run(const std::function<void()>& work) {
  if (std::this_thread::get_id() == thread_.get_id()) return work();
  bool done = false;
  post_from_any_thread([&] {
    work();
    const std::lock_guard lock(mutex_);
    done = true;
    changed_.notify_all();
  });
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return done; });
}

std::optional<env::Closure> VirtualStrand::next_closure() {
  if (!queue_.empty()) {
    env::Closure next = std::move(queue_.front());
    queue_.pop_front();
    return next;
  }
  const bool jump = jump_ && waiting_ > 0;
  if (!timers_.empty() && (timers_.begin()->first.first <= std::max(now_, target_) || jump)) {
    auto due = timers_.extract(timers_.begin());
    now_ = std::max(now_, due.key().first);
    timer_deadlines_.erase(due.key().second);
    return std::move(due.mapped());
  }
  now_ = std::max(now_, target_);
  return std::nullopt;
}

void VirtualStrand::loop() {
  std::unique_lock lock(mutex_);
  while (!over_) {
    std::optional<env::Closure> next = next_closure();
    if (!next.has_value()) {
      changed_.notify_all();
      changed_.wait(lock, [this] {
        return over_ || !queue_.empty() || now_ < target_ || (jump_ && waiting_ > 0 && !timers_.empty());
      });
      continue;
    }
    busy_ = true;
    lock.unlock();
    (*next)();
    next.reset();
    lock.lock();
    busy_ = false;
  }
}

}  // namespace lockstep::v1::testing::detail
