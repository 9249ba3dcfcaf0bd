// The outermost coroutine of a simulated process: begins at once, and ends with the process that owns it.
//
// Destroying it destroys its frame wherever it stands, and with it every task that it awaits. Nothing may
// call back into them after that: whatever could (timers, answers, subscriptions) belongs to the process,
// which is dead.
#pragma once

#include <coroutine>
#include <utility>

#include "base/task.h"

namespace lockstep::sim {

class [[nodiscard]] RootTask {
 public:
  class Promise {
   public:
    RootTask get_return_object() { return RootTask(std::coroutine_handle<Promise>::from_promise(*this)); }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() {}
    // A failed assertion: the world knows, and the process is doomed.
    void unhandled_exception() {}
  };
  using promise_type = Promise;

  RootTask(RootTask&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  RootTask& operator=(RootTask&&) = delete;
  ~RootTask() {
    if (handle_) handle_.destroy();
  }

 private:
  explicit RootTask(std::coroutine_handle<Promise> handle) : handle_(handle) {}
  std::coroutine_handle<Promise> handle_;
};

inline RootTask own(Task<void> task) {
  co_await std::move(task);
}

}  // namespace lockstep::sim
