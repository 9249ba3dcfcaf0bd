// Task<T>: a coroutine of the program's own that awaits operations and other tasks.
//
//   lockstep::Task<int> twice(lockstep::Client& client) {
//     auto value = co_await client.get("n");
//     …
//   }
//   int n = lockstep::wait(twice(client));          // from a thread
//   lockstep::start(twice(client), [](int n) {});   // from anywhere
//
// Lazy: begins when it is awaited or started, once. Programs that have a coroutine type of their own (Asio's
// awaitable, say) need none of this: an Operation can be awaited in any coroutine.
//
// A finished task does not resume its awaiter on its own stack but through the resume loop of the thread, so
// that any number of tasks that finish at once need one stack frame (GCC 12 has no tail calls without
// optimisation). An exception that leaves a task travels to whoever awaits it.
//
// With GCC 12: no aggregate and no capturing lambda inside a co_await expression; name them first.
#pragma once

#include <condition_variable>
#include <coroutine>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>

#include "lockstep/abi.h"
#include "lockstep/outcome.h"

namespace lockstep::LOCKSTEP_INLINE v1 {

template <class T = void>
class Task;

namespace detail {

void resume_in_turn(std::coroutine_handle<> handle);  // by the thread's resume loop
[[noreturn]] void task_run_twice();

class TaskPromiseBase {
 public:
  std::suspend_always initial_suspend() noexcept { return {}; }
  struct FinalAwaiter {
    bool await_ready() noexcept { return false; }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> handle) noexcept {
      if (handle.promise().continuation) resume_in_turn(handle.promise().continuation);
    }
    void await_resume() noexcept {}
  };
  FinalAwaiter final_suspend() noexcept { return {}; }
  void unhandled_exception() { exception = std::current_exception(); }

  std::coroutine_handle<> continuation;
  std::exception_ptr exception;
};

template <class T>
class TaskPromise : public TaskPromiseBase {
 public:
  Task<T> get_return_object();
  template <class U>
  void return_value(U&& value) {
    value_.emplace(std::forward<U>(value));
  }
  T take() {
    if (exception) std::rethrow_exception(exception);
    return std::move(*value_);
  }

 private:
  std::optional<T> value_;
};

template <>
class TaskPromise<void> : public TaskPromiseBase {
 public:
  Task<void> get_return_object();
  void return_void() {}
  void take() {
    if (exception) std::rethrow_exception(exception);
  }
};

// Begins at once and frees itself.
struct Detached {
  struct promise_type {  // NOLINT(readability-identifier-naming): the language's name
    Detached get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
};

}  // namespace detail

template <class T>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::TaskPromise<T>;

  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      if (handle_) handle_.destroy();
      handle_ = std::exchange(other.handle_, nullptr);
    }
    return *this;
  }
  // While it waits: gives up what it waits for.
  ~Task() {
    if (handle_) handle_.destroy();
  }

  class Awaiter {
   public:
    explicit Awaiter(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> continuation) {
      handle_.promise().continuation = continuation;
      detail::resume_in_turn(handle_);
    }
    T await_resume() { return handle_.promise().take(); }

   private:
    std::coroutine_handle<promise_type> handle_;
  };
  Awaiter operator co_await() && {
    if (!handle_ || handle_.promise().continuation) detail::task_run_twice();
    return Awaiter(handle_);
  }

 private:
  friend promise_type;
  explicit Task(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
  std::coroutine_handle<promise_type> handle_;
};

namespace detail {

template <class T>
Task<T> TaskPromise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<TaskPromise<T>>::from_promise(*this));
}
inline Task<void> TaskPromise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<TaskPromise<void>>::from_promise(*this));
}

template <class T, class Callback>
Detached run_then_call(Task<T> task, Callback callback) {
  if constexpr (std::is_void_v<T>) {
    co_await std::move(task);
    callback();
  } else {
    T value = co_await std::move(task);
    callback(std::move(value));
  }
}

template <class T>
struct Waiting {
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  std::exception_ptr exception;
  std::conditional_t<std::is_void_v<T>, char, std::optional<T>> value{};
};

template <class T>
Detached run_then_wake(Task<T> task, Waiting<T>* waiting) {
  try {
    Task<T> running = std::move(task);  // what its frame holds is gone before the waiter goes on
    if constexpr (std::is_void_v<T>) {
      co_await std::move(running);
    } else {
      waiting->value.emplace(co_await std::move(running));
    }
  } catch (...) {
    waiting->exception = std::current_exception();
  }
  // `waiting` is gone once `done` was seen.
  const std::lock_guard lock(waiting->mutex);
  waiting->done = true;
  waiting->changed.notify_all();
}

[[noreturn]] void task_waited_on_client_thread();
bool on_client_thread();

}  // namespace detail

// Runs the task and calls `callback` with what it returned, on the thread where it finished. An exception
// that leaves the task ends the program: there is nobody to catch it.
template <class T, class Callback>
void start(Task<T> task, Callback callback) {
  detail::run_then_call(std::move(task), std::move(callback));
}

// Runs the task and blocks this thread until it is done. Never on a client's own thread.
template <class T>
T wait(Task<T> task) {
  if (detail::on_client_thread()) detail::task_waited_on_client_thread();
  detail::Waiting<T> waiting;
  detail::run_then_wake(std::move(task), &waiting);
  std::unique_lock lock(waiting.mutex);
  waiting.changed.wait(lock, [&] { return waiting.done; });
  if (waiting.exception) std::rethrow_exception(waiting.exception);
  if constexpr (!std::is_void_v<T>) return std::move(*waiting.value);
}

}  // namespace lockstep::LOCKSTEP_INLINEv1
