// Tasks that run on their own and end with whoever started them: what is still suspended when the scope is
// destroyed is destroyed with it, without going on.
//
// Whoever would have resumed such a task must be gone by then, or never call again. Never destroyed from
// within one of its tasks. One strand, like the tasks.
#pragma once

#include <coroutine>
#include <cstddef>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "base/task.h"

namespace lockstep {

class TaskScope {
 public:
  TaskScope() = default;
  TaskScope(const TaskScope&) = delete;
  TaskScope& operator=(const TaskScope&) = delete;
  ~TaskScope() {
    while (!running_.empty()) {
      const Handle last = running_.back();
      running_.pop_back();
      last.destroy();
    }
  }

  // Runs the task until it first waits, unless a task is running already: then soon after. An exception that
  // escapes it is lost.
  void spawn(Task<void> task) {
    const Handle handle = run(std::move(task)).handle;
    handle.promise().scope = this;
    handle.promise().slot = running_.size();
    running_.push_back(handle);
    ResumeLoop::resume(handle);
  }
  [[nodiscard]] std::size_t size() const { return running_.size(); }

 private:
  struct Running {
    // NOLINTNEXTLINE(readability-identifier-naming): the language's name
    struct promise_type {
      Running get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
      std::suspend_always initial_suspend() noexcept { return {}; }
      struct FinalAwaiter {
        bool await_ready() noexcept { return false; }
        void await_suspend(std::coroutine_handle<promise_type> ended) noexcept {
          ended.promise().scope->remove(ended.promise().slot);
          ended.destroy();
        }
        void await_resume() noexcept {}
      };
      FinalAwaiter final_suspend() noexcept { return {}; }
      void return_void() {}
      void unhandled_exception() {}

      TaskScope* scope = nullptr;
      std::size_t slot = 0;
    };
    std::coroutine_handle<promise_type> handle;
  };
  using Handle = std::coroutine_handle<Running::promise_type>;

  static Running run(Task<void> task) { co_await std::move(task); }

  void remove(std::size_t slot) noexcept {
    LS_MUST(slot < running_.size());
    running_[slot] = running_.back();
    running_[slot].promise().slot = slot;
    running_.pop_back();
  }

  std::vector<Handle> running_;
};

}  // namespace lockstep
