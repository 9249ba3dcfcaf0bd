#include "service/waiting.h"

#include <functional>
#include <optional>
#include <utility>

#include "base/assert.h"

namespace lockstep::service {

namespace errors {
Status wait_cancelled() {
  return {Code::cancelled, "lockstep: the call was cancelled"};
}
Status wait_deadline_over() {
  return {Code::deadline_exceeded, "lockstep: the deadline of the call has passed"};
}
}  // namespace errors

class Signal::State : public std::enable_shared_from_this<Signal::State> {
 public:
  explicit State(const Context& context) : executor_(context.executor), clock_(context.clock) {}

  void set() {
    if (done_) return finish(Wake::signalled);
    set_ = true;
  }
  bool take() { return std::exchange(set_, false); }
  [[nodiscard]] bool is_over(TimePoint deadline) const {
    return deadline != no_deadline && deadline <= clock_.now();
  }

  void arm(TimePoint deadline, const std::stop_token& cancellation,
           std::move_only_function<void(Wake)> done) {
    LS_MUST(!done_, "one waiter at a time");
    done_ = std::move(done);
    const std::uint64_t wait = ++waits_;
    const auto end = [weak = weak_from_this(), wait](Wake wake) {
      const std::shared_ptr<State> self = weak.lock();
      if (self != nullptr && self->waits_ == wait) self->finish(wake);
    };
    if (deadline != no_deadline) {
      timer_ = executor_.schedule(deadline, [end] { end(Wake::deadline); });
    }
    if (cancellation.stop_possible()) {
      stop_.emplace(cancellation, [&executor = executor_, end] {
        executor.post_from_any_thread([end] { end(Wake::cancelled); });
      });
    }
  }

 private:
  void finish(Wake wake) {
    if (!done_) return;
    if (timer_ != env::TimerId()) executor_.cancel(std::exchange(timer_, {}));
    stop_.reset();
    std::move_only_function<void(Wake)> done = std::exchange(done_, nullptr);
    done(wake);
  }

  env::Executor& executor_;
  env::Clock& clock_;
  bool set_ = false;
  std::uint64_t waits_ = 0;  // a late stop belongs to the wait that it was for
  std::move_only_function<void(Wake)> done_;
  env::TimerId timer_;
  std::optional<std::stop_callback<std::function<void()>>> stop_;
};

Signal::Signal(const Context& context) : state_(std::make_shared<State>(context)) {}

void Signal::set() const {
  const std::shared_ptr<State> state = state_;  // whoever is woken may drop us
  state->set();
}

Task<Wake> Signal::wait(TimePoint deadline, std::stop_token cancellation) const {
  const std::shared_ptr<State> state = state_;
  if (state->take()) co_return Wake::signalled;
  if (state->is_over(deadline)) co_return Wake::deadline;
  if (cancellation.stop_requested()) co_return Wake::cancelled;
  auto start = [&](auto done) { state->arm(deadline, cancellation, std::move(done)); };
  co_return co_await from_callback<Wake>(std::move(start));
}

Status still_wanted(const Context& context, const store::CallOptions& options) {
  if (options.deadline != no_deadline && options.deadline <= context.clock.now()) {
    return errors::wait_deadline_over();
  }
  if (options.cancellation.stop_requested()) return errors::wait_cancelled();
  return {};
}

Task<Status> pause_until(Context context, TimePoint when, store::CallOptions options) {
  const bool in_time = when <= options.deadline;
  const Signal nobody(context);
  const Wake wake = co_await nobody.wait(in_time ? when : options.deadline, options.cancellation);
  if (wake == Wake::cancelled) co_return errors::wait_cancelled();
  LS_MUST(wake == Wake::deadline);
  co_return in_time ? Status() : errors::wait_deadline_over();
}

Task<Result<store::WatchResponse>> next_answer(Context context, store::Subscription& subscription,
                                               store::CallOptions options, std::size_t bytes_max) {
  const Signal ready(context);
  while (true) {
    if (std::optional<store::WatchResponse> answer = subscription.next(bytes_max)) {
      co_return *std::move(answer);
    }
    subscription.notify_when_ready([ready] { ready.set(); });
    const Wake wake = co_await ready.wait(options.deadline, options.cancellation);
    if (wake == Wake::deadline) co_return errors::wait_deadline_over();
    if (wake == Wake::cancelled) co_return errors::wait_cancelled();
  }
}

}  // namespace lockstep::service
