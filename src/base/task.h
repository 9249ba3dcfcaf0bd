// Task<T>: a lazy coroutine, awaited at most once.
//
// Continuations never resume each other on the stack: a finished task hands its continuation to the resume
// loop of the thread, so a million synchronous completions need one stack frame (GCC 12 does not do symmetric
// transfer at -O0). One strand owns a task; a Task is not thread-safe. Exceptions are not used for operating
// errors, but one that escapes a coroutine (an assertion hook's) travels to the awaiter.
//
// Rules for callers (clang-19 and GCC 12 both build this): no capturing lambda coroutines, no lock held
// across co_await, no aggregate built inside a co_await expression.
#pragma once

#include <coroutine>
#include <deque>
#include <exception>
#include <functional>
#include <optional>
#include <utility>

#include "base/assert.h"

namespace lockstep {

// Runs what became ready, one after the other, until nothing is. Nested calls only enqueue.
class ResumeLoop {
 public:
  static void resume(std::coroutine_handle<> handle) {
    ResumeLoop& loop = current();
    loop.ready_.push_back(handle);
    if (loop.running_) return;
    struct Running {
      ResumeLoop& loop;
      ~Running() { loop.running_ = false; }
    } running{loop};
    loop.running_ = true;
    while (!loop.ready_.empty()) {
      const std::coroutine_handle<> next = loop.ready_.front();
      loop.ready_.pop_front();
      next.resume();
    }
  }

 private:
  static ResumeLoop& current() {
    static thread_local ResumeLoop loop;
    return loop;
  }
  std::deque<std::coroutine_handle<>> ready_;
  bool running_ = false;
};

template <class T>
class Task;

namespace task_internal {

class PromiseBase {
 public:
  std::suspend_always initial_suspend() noexcept { return {}; }
  struct FinalAwaiter {
    bool await_ready() noexcept { return false; }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> handle) noexcept {
      PromiseBase& promise = handle.promise();
      if (promise.detached_) {
        handle.destroy();
      } else if (promise.continuation_) {
        ResumeLoop::resume(promise.continuation_);
      }
    }
    void await_resume() noexcept {}
  };
  FinalAwaiter final_suspend() noexcept { return {}; }
  void unhandled_exception() { exception_ = std::current_exception(); }

  std::coroutine_handle<> continuation_;
  std::exception_ptr exception_;
  bool detached_ = false;
};

template <class T>
class Promise : public PromiseBase {
 public:
  Task<T> get_return_object();
  template <class U>
  void return_value(U&& value) {
    value_.emplace(std::forward<U>(value));
  }
  T take() {
    if (exception_) std::rethrow_exception(exception_);
    LS_MUST(value_.has_value());
    return std::move(*value_);
  }

 private:
  std::optional<T> value_;
};

template <>
class Promise<void> : public PromiseBase {
 public:
  Task<void> get_return_object();
  void return_void() {}
  void take() {
    if (exception_) std::rethrow_exception(exception_);
  }
};

}  // namespace task_internal

template <class T = void>
class [[nodiscard]] Task {
 public:
  using promise_type = task_internal::Promise<T>;

  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      if (handle_) handle_.destroy();
      handle_ = std::exchange(other.handle_, nullptr);
    }
    return *this;
  }
  ~Task() {
    if (handle_) handle_.destroy();
  }

  // Runs the task on its own; its frame frees itself. An escaping exception is lost: catch inside.
  void detach() && {
    const auto handle = std::exchange(handle_, nullptr);
    LS_MUST(handle != nullptr);
    handle.promise().detached_ = true;
    ResumeLoop::resume(handle);
  }

  auto operator co_await() && noexcept {
    struct Awaiter {
      std::coroutine_handle<promise_type> handle;
      bool await_ready() noexcept { return false; }
      void await_suspend(std::coroutine_handle<> continuation) {
        handle.promise().continuation_ = continuation;
        ResumeLoop::resume(handle);
      }
      T await_resume() { return handle.promise().take(); }
    };
    LS_MUST(handle_ != nullptr, "a task is awaited once");
    return Awaiter{handle_};
  }

 private:
  friend promise_type;
  explicit Task(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
  std::coroutine_handle<promise_type> handle_;
};

namespace task_internal {
template <class T>
Task<T> Promise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}
inline Task<void> Promise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<Promise<void>>::from_promise(*this));
}
}  // namespace task_internal

// Turns a callback call into something to await:
//   auto result = co_await from_callback<Result<int>>([&](auto done) { start(std::move(done)); });
// `start` receives a move-only callable to be called exactly once, on this strand, now or later.
template <class T, class Start>
class CallbackAwaiter {
 public:
  explicit CallbackAwaiter(Start start) : start_(std::move(start)) {}
  bool await_ready() noexcept { return false; }
  bool await_suspend(std::coroutine_handle<> handle) {
    handle_ = handle;
    start_([this](T value) {
      value_.emplace(std::move(value));
      if (suspended_) ResumeLoop::resume(handle_);
    });
    if (value_.has_value()) return false;  // completed at once: go on without suspending
    suspended_ = true;
    return true;
  }
  T await_resume() { return std::move(*value_); }

 private:
  Start start_;
  std::coroutine_handle<> handle_;
  std::optional<T> value_;
  bool suspended_ = false;
};

template <class T, class Start>
CallbackAwaiter<T, Start> from_callback(Start start) {
  return CallbackAwaiter<T, Start>(std::move(start));
}

}  // namespace lockstep
