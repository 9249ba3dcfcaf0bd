#include "platform/executor.h"

#include <algorithm>
#include <iterator>
#include <sched.h>
#include <utility>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/assert.h"

namespace lockstep::platform {
namespace {

// Asio tries each operation at once and queues its completion: with a peer that never pauses, an unbounded
// poll() would never end.
constexpr int io_handlers_per_turn_max = 256;
// A queue that grew beyond this in a burst gives its memory back.
constexpr std::size_t queue_capacity_kept = 16 * 1024;

// A look takes so long where others want the processor: longer, four processes on two processors did less.
constexpr Duration look_time = 20us;
// Longer, as the strand was told, where every yield came back soon.
constexpr Duration yield_time_alone = 25us;
// Who kept the processor for so long was not the one to answer, but somebody with work of his own: a sleeper
// is woken sooner.
constexpr Duration yield_time_bearable = 300us;
// Looks go on while two of three find something: each that does earns one more, one in vain costs two.
constexpr int looks_earned_max = 4;
constexpr int look_in_vain_costs = 2;
// Otherwise one for so many sleeps; sooner where it was not the look that failed but the processor that was
// wanted, which passes: two sides of one conversation may have been put on one processor.
constexpr int sleeps_per_look = 32;
constexpr int sleeps_per_look_crowded = 4;

thread_local AsioExecutor* current_strand = nullptr;

}  // namespace

struct AsioExecutor::Loop {
  // One thread runs it; the resolver's thread and our wake-ups post to it.
  boost::asio::io_context context{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard{context.get_executor()};
  boost::asio::steady_timer timer{context};
  TimePoint armed = no_deadline;
  std::uint64_t arming = 0;
};

AsioExecutor::AsioExecutor(RealClock& clock) : clock_(clock), loop_(std::make_unique<Loop>()) {}

AsioExecutor::~AsioExecutor() {
  LS_MUST(!running_.load(), "the strand is still running");
  // Before the context: what closures hold (sockets) needs it.
  queue_.clear();
  turn_end_.clear();
  released_.clear();
  quiet_.clear();
  other_threads_.clear();
  timers_ = TimerHeap();
}

boost::asio::io_context& AsioExecutor::context() {
  return loop_->context;
}

bool AsioExecutor::on_strand() const {
  return current_strand == this;
}

void AsioExecutor::post(env::Closure closure) {
  LS_MUST(on_strand() || !running_.load(std::memory_order_relaxed));
  queue_.push_back(std::move(closure));
}

void AsioExecutor::post_from_any_thread(env::Closure closure) {
  if (on_strand()) return post(std::move(closure));  // keeps the order with post()
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    other_threads_.push_back(std::move(closure));
    other_threads_pending_.store(true, std::memory_order_relaxed);
    wake = sleeping_ && !waking_;
    if (wake) {
      waking_ = true;
      ++wake_ups_;
    }
  }
  if (wake) boost::asio::post(loop_->context, [] {});
}

env::TimerId AsioExecutor::schedule(TimePoint deadline, env::Closure closure) {
  LS_MUST(on_strand() || !running_.load(std::memory_order_relaxed));
  return timers_.add(deadline, std::move(closure));
}

void AsioExecutor::cancel(env::TimerId timer) {
  LS_MUST(on_strand() || !running_.load(std::memory_order_relaxed));
  const env::Closure dropped = timers_.cancel(timer);
}

void AsioExecutor::at_turn_end(env::Closure closure) {
  LS_MUST(on_strand() || !running_.load(std::memory_order_relaxed));
  turn_end_.push_back(std::move(closure));
}

void AsioExecutor::when_quiet(env::Closure closure) {
  LS_MUST(on_strand() || !running_.load(std::memory_order_relaxed));
  quiet_.push_back(std::move(closure));
}

void AsioExecutor::set_held(bool held) {
  LS_MUST(on_strand());
  LS_MUST(held != held_);
  held_ = held;
  std::ranges::move(released_, std::back_inserter(turn_end_));
  released_.clear();
}

void AsioExecutor::when_released(env::Closure closure) {
  LS_MUST(on_strand() && held_);
  released_.push_back(std::move(closure));
}

void AsioExecutor::run() {
  LS_MUST(!running_.exchange(true), "one thread at a time is the strand");
  LS_MUST(current_strand == nullptr, "strands do not nest");
  current_strand = this;
  struct Leave {
    AsioExecutor& executor;
    ~Leave() {
      current_strand = nullptr;
      executor.running_.store(false);
    }
  } leave{*this};
  while (true) {
    {
      const std::lock_guard lock(mutex_);
      metrics_.wake_ups = wake_ups_;
      if (std::exchange(stop_requested_, false)) return;
    }
    turn();
  }
}

void AsioExecutor::stop() {
  bool wake = false;
  {
    const std::lock_guard lock(mutex_);
    stop_requested_ = true;
    wake = sleeping_ && !waking_;
    if (wake) waking_ = true;
  }
  if (wake) boost::asio::post(loop_->context, [] {});
}

void AsioExecutor::turn() {
  ++metrics_.turns;
  wait_for_work();
  poll_io();
  fire_timers();
  take_from_other_threads();
  drain(queue_, draining_);
  drain(turn_end_, turn_end_draining_);
  run_quiet();
}

// One turn is waited for and no more: those who post again and again must not keep the disk idle.
void AsioExecutor::run_quiet() {
  if (quiet_.empty()) return;
  if (!queue_.empty() && !std::exchange(quiet_has_waited_, true)) return;
  quiet_has_waited_ = false;
  drain(turn_end_, turn_end_draining_);  // what the end of the turn itself wanted to send
  drain(quiet_, quiet_draining_);
  drain(turn_end_, turn_end_draining_);
}

void AsioExecutor::wait_for_work() {
  if (!queue_.empty() || !turn_end_.empty() || !quiet_.empty()) return;
  const TimePoint deadline = timers_.earliest();
  if (deadline != no_deadline && deadline <= clock_.now()) return;
  if (look_around(deadline) || !begin_sleep()) return;
  arm_timer(deadline);
  ++metrics_.sleeps;
  metrics_.io_handlers += loop_->context.run_one();
  end_sleep();
}

// Falling asleep and being woken costs both sides more than a look whether somebody asks or answers soon
// (some 27 us on virtual machines, 10 of them on the side that wakes): true if somebody did. Whoever else
// wants the processor has it meanwhile. A strand whose looks are often in vain looks seldom, so that one with
// little to do does not burn a processor.
bool AsioExecutor::look_around(TimePoint deadline) {
  if (look_time_alone_ <= Duration::zero()) return false;
  if (looks_earned_ == 0 && ++sleeps_without_look_ < sleeps_per_look) return false;
  sleeps_without_look_ = 0;
  ++metrics_.looks;
  const TimePoint begun = clock_.now();
  TimePoint end = std::min(begun + look_time_alone_, deadline);
  TimePoint now = begun;
  bool crowded = false;
  bool unbearable = false;
  while (true) {
    const std::size_t handlers = loop_->context.poll_one();
    metrics_.io_handlers += handlers;
    if (handlers != 0 || other_threads_pending_.load(std::memory_order_relaxed)) {
      looks_earned_ = unbearable ? 0 : std::min(looks_earned_ + 1, looks_earned_max);
      return true;
    }
    if (now >= deadline) return true;
    if (now >= end) break;  // behind the poll: who had the processor may have been the one to answer
    const TimePoint before = now;
    ::sched_yield();
    now = clock_.now();
    metrics_.looked += now - before;
    crowded = crowded || now - before > yield_time_alone;
    unbearable = unbearable || now - before > yield_time_bearable;
    if (crowded) end = std::min(end, begun + look_time);
  }
  looks_earned_ = unbearable ? 0 : std::max(looks_earned_ - look_in_vain_costs, 0);
  if (crowded && !unbearable) sleeps_without_look_ = sleeps_per_look - sleeps_per_look_crowded;
  return false;
}

void AsioExecutor::work_until(TimePoint end) {
  LS_MUST(on_strand() && held_);
  drain(turn_end_, turn_end_draining_);
  // Without yielding: whoever else wants the processor would keep it for milliseconds, and the disk is done
  // much sooner.
  do {
    metrics_.io_handlers += loop_->context.poll_one();
  } while (clock_.now() < end);
}

// False if there is something to do. From here until end_sleep() other threads wake us.
bool AsioExecutor::begin_sleep() {
  const std::lock_guard lock(mutex_);
  if (!other_threads_.empty() || stop_requested_) return false;
  LS_MUST(!waking_);
  sleeping_ = true;
  return true;
}

void AsioExecutor::end_sleep() {
  const std::lock_guard lock(mutex_);
  sleeping_ = false;
  waking_ = false;
}

// An earlier deadline than needed stays armed: one spurious turn costs less than re-arming each time.
void AsioExecutor::arm_timer(TimePoint deadline) {
  Loop& loop = *loop_;
  if (deadline >= loop.armed) return;
  loop.armed = deadline;
  const std::uint64_t arming = ++loop.arming;
  // By how long it is until then: the timer's clock is another one (system.cc).
  loop.timer.expires_after(std::max(deadline - clock_.now(), Duration::zero()));
  loop.timer.async_wait([&loop, arming](const boost::system::error_code&) {
    if (loop.arming == arming) loop.armed = no_deadline;
  });
}

void AsioExecutor::poll_io() {
  for (int handlers = 0; handlers < io_handlers_per_turn_max; ++handlers) {
    if (loop_->context.poll_one() == 0) return;
    ++metrics_.io_handlers;
  }
}

void AsioExecutor::fire_timers() {
  if (timers_.earliest() == no_deadline) return;
  const TimePoint now = clock_.now();
  const std::uint64_t order_end = timers_.next_order();
  while (env::Closure closure = timers_.pop_due(now, order_end)) {
    ++metrics_.timers_fired;
    closure();
  }
}

void AsioExecutor::take_from_other_threads() {
  if (!other_threads_pending_.load(std::memory_order_relaxed)) return;
  {
    const std::lock_guard lock(mutex_);
    other_threads_pending_.store(false, std::memory_order_relaxed);
    taken_.swap(other_threads_);
  }
  metrics_.closures_from_other_threads += taken_.size();
  queue_.insert(queue_.end(), std::make_move_iterator(taken_.begin()), std::make_move_iterator(taken_.end()));
  taken_.clear();
  if (taken_.capacity() > queue_capacity_kept) taken_.shrink_to_fit();
}

void AsioExecutor::drain(std::vector<env::Closure>& queue, std::vector<env::Closure>& draining) {
  if (queue.empty()) return;
  LS_MUST(draining.empty());
  draining.swap(queue);
  metrics_.closures += draining.size();
  for (env::Closure& closure : draining) {
    // Destroyed right after its run: what it holds must not live until the end of the turn.
    env::Closure running = std::exchange(closure, nullptr);
    running();
  }
  draining.clear();
  if (draining.capacity() > queue_capacity_kept) draining.shrink_to_fit();
}

}  // namespace lockstep::platform
