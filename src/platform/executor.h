// The strand: one thread that runs closures, timers and Boost.Asio's handlers, a turn at a time.
//
// A turn: wait for I/O (only if nothing else is to be done, and after a short look around), run a bounded
// number of I/O handlers, then the timers that are due, then what was posted before this point, then the
// closures of at_turn_end(). What a closure posts runs in the next turn, so neither I/O nor timers starve.
// Closures of when_quiet() run behind all that, if nothing was posted, else behind the next turn.
//
// Invariants: 1. closures posted by one thread run in that order, one at a time; 2. a cancelled timer never
// runs; 3. any number of post_from_any_thread() calls cost at most one wake-up of a sleeping strand, and none
// while it is awake (waking another core costs some 30 µs on virtual machines).
// Threads: run() makes its caller the strand. stop() and post_from_any_thread() may be called from any
// thread; everything else on the strand, or before run() by the thread that sets things up.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "env/executor.h"
#include "platform/system.h"
#include "platform/timer_heap.h"

namespace boost::asio {
class io_context;
}

namespace lockstep::platform {

struct ExecutorMetrics {
  std::uint64_t turns = 0;
  std::uint64_t closures = 0;
  std::uint64_t closures_from_other_threads = 0;
  std::uint64_t io_handlers = 0;
  std::uint64_t timers_fired = 0;
  std::uint64_t sleeps = 0;
  std::uint64_t looks = 0;     // around, before a sleep
  Duration looked{};           // how long all of them took
  std::uint64_t wake_ups = 0;  // asked for by other threads
};

class AsioExecutor final : public env::Executor {
 public:
  // The clock outlives the executor.
  explicit AsioExecutor(RealClock& clock);
  // Destroys what did not run. The strand must have left run().
  ~AsioExecutor() override;
  AsioExecutor(const AsioExecutor&) = delete;
  AsioExecutor& operator=(const AsioExecutor&) = delete;

  void post(env::Closure closure) override;
  void post_from_any_thread(env::Closure closure) override;
  env::TimerId schedule(TimePoint deadline, env::Closure closure) override;
  void cancel(env::TimerId timer) override;
  void at_turn_end(env::Closure closure) override;
  // Runs `closure` once, after what is ready now and what that leads to, but soon: the place for what holds
  // the strand up, like waiting for a disk. On the strand.
  void when_quiet(env::Closure closure);

  // While it is held, what is written to a stream of this strand stays here, and its HTTP client begins no
  // request: for work that others may hear of only when the disk has confirmed what it rests on. On the
  // strand.
  void set_held(bool held);
  [[nodiscard]] bool held() const { return held_; }
  // Runs `closure` at the end of the turn that releases the strand; never, if it stays held. While it is
  // held.
  void when_released(env::Closure closure);
  // Inside when_quiet(), while it is held: the turn's end as far as that goes, and what I/O is ready until
  // `end`. A short wait that is sure costs less so than sleeping.
  void work_until(TimePoint end);

  // Runs turns until stop(). May be called again afterwards.
  void run();
  // run() returns after the present turn. A stop() before run() makes run() return at once.
  void stop();
  [[nodiscard]] bool on_strand() const;

  // How long it looks around before it sleeps, if nobody else wants the processor. As it is, that covers who
  // asks again at once; 300 us cover an answer that waits for a quick disk, and take most of a processor
  // while one call after the other is in flight. Before run(), or on the strand.
  void set_look_time(Duration longest) { look_time_alone_ = longest; }

  // For the parts of platform and gateway that speak Asio. Its handlers run on the strand.
  boost::asio::io_context& context();
  [[nodiscard]] RealClock& clock() { return clock_; }
  [[nodiscard]] const ExecutorMetrics& metrics() const { return metrics_; }

 private:
  struct Loop;  // what needs Asio's headers

  void turn();
  void wait_for_work();
  bool look_around(TimePoint deadline);
  bool begin_sleep();
  void end_sleep();
  void arm_timer(TimePoint deadline);
  void poll_io();
  void fire_timers();
  void take_from_other_threads();
  void run_quiet();
  void drain(std::vector<env::Closure>& queue, std::vector<env::Closure>& draining);

  RealClock& clock_;
  TimerHeap timers_;
  std::vector<env::Closure> queue_;
  std::vector<env::Closure> draining_;
  std::vector<env::Closure> turn_end_;
  std::vector<env::Closure> turn_end_draining_;
  std::vector<env::Closure> quiet_;
  std::vector<env::Closure> quiet_draining_;
  bool quiet_has_waited_ = false;  // for a turn
  bool held_ = false;
  std::vector<env::Closure> released_;
  Duration look_time_alone_ = std::chrono::microseconds(100);
  int looks_earned_ = 0;  // see look_around()
  int sleeps_without_look_ = 0;
  std::vector<env::Closure> taken_;  // swapped with other_threads_, to keep both capacities
  std::unique_ptr<Loop> loop_;
  ExecutorMetrics metrics_;
  std::atomic<bool> running_ = false;

  std::atomic<bool> other_threads_pending_ = false;  // a hint that spares the lock
  std::mutex mutex_;                                 // guards what follows
  std::vector<env::Closure> other_threads_;
  std::uint64_t wake_ups_ = 0;
  bool sleeping_ = false;
  bool waking_ = false;
  bool stop_requested_ = false;
};

}  // namespace lockstep::platform
