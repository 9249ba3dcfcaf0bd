// Operation<T>: a call that has not begun yet. One object, three ways to run it, each at most once:
//
//   Outcome<T> outcome = client.get("a").wait();               // blocks this thread
//   Outcome<T> outcome = co_await client.get("a");             // suspends this coroutine
//   client.get("a").start([](Outcome<T> outcome) { … });       // calls back
//
// Dropping it without running it does nothing. A coroutine goes on, and a callback runs, where
// CallOptions::resume_on() or ClientOptions::resume_on() say, otherwise on the client's own thread. A
// coroutine that is destroyed while it waits gives the call up: what the call still brings (a lock, say) is
// released.
//
// Threads: run it on any. wait() on the client's own thread would wait for itself: it is refused with
// Code::failed_precondition.
#pragma once

#include <condition_variable>
#include <coroutine>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "lockstep/abi.h"
#include "lockstep/executor.h"
#include "lockstep/outcome.h"

namespace lockstep::LOCKSTEP_INLINE v1 {

namespace detail {

// This is the thread of some client.
bool on_client_thread();
Error waiting_on_client_thread();

// Between whoever waits and the client's thread.
template <class T>
class Pending {
 public:
  void complete(Outcome<T> outcome) {
    std::function<void()> then;
    {
      const std::lock_guard lock(mutex_);
      if (given_up_) return;
      outcome_.emplace(std::move(outcome));
      then = std::exchange(then_, nullptr);
      changed_.notify_all();
    }
    if (then) then();
  }
  // Before complete() can be called.
  void when_complete(std::function<void()> then) { then_ = std::move(then); }
  Outcome<T> wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return outcome_.has_value(); });
    return std::move(*outcome_);
  }
  Outcome<T> take() {
    const std::lock_guard lock(mutex_);
    return std::move(*outcome_);
  }
  // What comes, or came, belongs to nobody.
  void give_up() {
    std::optional<Outcome<T>> unwanted;  // its destructor may call into the client
    const std::lock_guard lock(mutex_);
    given_up_ = true;
    then_ = nullptr;
    unwanted.swap(outcome_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Outcome<T>> outcome_;
  std::function<void()> then_;
  bool given_up_ = false;
};

template <class T>
class Launch {
 public:
  virtual ~Launch() = default;
  // Once. completes `pending` on the client's thread.
  virtual void start(std::shared_ptr<Pending<T>> pending) = 0;
  // Runs `work` where the call's options say.
  virtual void resume(std::function<void()> work) = 0;
  // The call is not wanted any more.
  virtual void cancel() = 0;
};

}  // namespace detail

template <class T>
class [[nodiscard]] Operation {
 public:
  explicit Operation(std::shared_ptr<detail::Launch<T>> launch) : launch_(std::move(launch)) {}
  Operation(Operation&&) noexcept = default;
  Operation& operator=(Operation&&) noexcept = default;

  Outcome<T> wait() && {
    if (detail::on_client_thread()) return detail::waiting_on_client_thread();
    const auto pending = std::make_shared<detail::Pending<T>>();
    launch_->start(pending);
    return pending->wait();
  }

  template <class Callback>
  void start(Callback callback) && {
    const auto pending = std::make_shared<detail::Pending<T>>();
    const auto shared = std::make_shared<Callback>(std::move(callback));
    auto launch = std::move(launch_);
    pending->when_complete([weak = std::weak_ptr(pending), kept = launch, shared] {
      kept->resume([pending = weak.lock(), shared] { (*shared)(pending->take()); });
    });
    launch->start(pending);
  }

  class Awaiter {
   public:
    explicit Awaiter(std::shared_ptr<detail::Launch<T>> launch) : launch_(std::move(launch)) {}
    Awaiter(Awaiter&&) = delete;
    ~Awaiter() {
      if (pending_ == nullptr || taken_) return;
      *alive_ = false;
      pending_->give_up();
      launch_->cancel();
    }
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> handle) {
      pending_ = std::make_shared<detail::Pending<T>>();
      // The coroutine may go on elsewhere, and be gone, before start() returns.
      const auto pending = pending_;
      const auto launch = launch_;
      pending->when_complete([launch, handle, alive = alive_] {
        launch->resume([handle, alive] {
          if (*alive) handle.resume();
        });
      });
      launch->start(pending);
    }
    Outcome<T> await_resume() {
      taken_ = true;
      return pending_->take();
    }

   private:
    std::shared_ptr<detail::Launch<T>> launch_;
    std::shared_ptr<detail::Pending<T>> pending_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // of the coroutine's own executor
    bool taken_ = false;
  };
  Awaiter operator co_await() && { return Awaiter(std::move(launch_)); }

 private:
  std::shared_ptr<detail::Launch<T>> launch_;
};

}  // namespace lockstep::LOCKSTEP_INLINEv1
