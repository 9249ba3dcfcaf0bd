// The port to scheduling: one strand that owns raft, apply, watch and services, and workers beside it.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>

#include "base/strong_integer.h"
#include "base/time.h"

namespace lockstep::env {

using Closure = std::move_only_function<void()>;
using TimerId = StrongInteger<struct TimerIdTag, std::uint64_t>;  // zero: none

// A strand: closures run one at a time, in the order they were posted.
class Executor {
 public:
  virtual ~Executor() = default;
  // Runs `closure` later on this strand, never inside post(). Call on the strand.
  virtual void post(Closure closure) = 0;
  // The same from any thread.
  virtual void post_from_any_thread(Closure closure) = 0;
  // Runs `closure` at or after `deadline` of this member's Clock, unless cancelled. Call on the strand.
  virtual TimerId schedule(TimePoint deadline, Closure closure) = 0;
  // After cancel() returns the closure will not run. Unknown and fired timers are ignored. Call on the
  // strand.
  virtual void cancel(TimerId timer) = 0;
  // Runs `closure` once, after everything else of this turn of the strand: the place to write out what the
  // turn produced. Call on the strand. Where there are no turns it is post().
  virtual void at_turn_end(Closure closure) { post(std::move(closure)); }
};

// Work beside the strand, one piece at a time, in order (write-back, snapshot files).
class Worker {
 public:
  virtual ~Worker() = default;
  // Runs `work` off the strand, then `done` on the strand. Call on the strand. What `work` touches belongs to
  // it until `done` runs. The simulator runs `work` at a later moment of the same single thread.
  virtual void submit(Closure work, Closure done) = 0;
};

}  // namespace lockstep::env
