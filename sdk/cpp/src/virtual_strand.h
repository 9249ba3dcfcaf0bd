// A strand with a thread of its own and a clock that stands still unless it is moved.
//
// Invariants: 1. closures run one at a time, in the order they were posted; 2. time moves only when nothing
// is left to run, and never past a timer that has not fired. Threads: as env::Executor says; advance(),
// now_anywhere() and the setters on any thread but its own.
#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "env/clock.h"
#include "env/executor.h"

namespace lockstep::v1::testing::detail {

class VirtualStrand final : public env::Executor, public env::Clock {
 public:
  VirtualStrand();
  // Runs nothing more.
  ~VirtualStrand() override;
  VirtualStrand(const VirtualStrand&) = delete;
  VirtualStrand& operator=(const VirtualStrand&) = delete;

  void post(env::Closure closure) override { post_from_any_thread(std::move(closure)); }
  void post_from_any_thread(env::Closure closure) override;
  env::TimerId schedule(TimePoint deadline, env::Closure closure) override;
  void cancel(env::TimerId timer) override;
  TimePoint now() override;
  Duration wall_now() override;

  void advance(Duration by);
  void run_until_quiet() { advance(Duration::zero()); }
  void set_wall(Duration since_epoch);
  void jump_while_waiting();
  // Calls that run; on the strand.
  void waiting_changed(int by);
  // Runs it on the strand and waits until it is done.
  void run(const std::function<void()>& work);

 private:
  void loop();
  // What is next at the present moment, or after time has moved on; nothing if there is none.
  std::optional<env::Closure> next_closure();

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<env::Closure> queue_;
  std::map<std::pair<TimePoint, env::TimerId>, env::Closure> timers_;
  std::map<env::TimerId, TimePoint> timer_deadlines_;
  std::uint64_t timers_made_ = 0;
  TimePoint now_{std::chrono::hours(1)};
  Duration wall_offset_ = std::chrono::hours(24 * 365 * 56);  // early in 2026, when nothing was set
  TimePoint target_{};                                        // where advance() wants the clock
  bool busy_ = false;                                         // a closure runs
  bool jump_ = false;
  int waiting_ = 0;
  bool over_ = false;
  std::thread thread_;
};

}  // namespace lockstep::v1::testing::detail
