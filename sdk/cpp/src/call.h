// make_operation(): a coroutine on the strand as an Operation.
#pragma once

#include <memory>
#include <tuple>
#include <utility>

#include "base/task.h"
#include "errors.h"
#include "lockstep/operation.h"
#include "lockstep/task.h"
#include "runtime.h"

namespace lockstep::v1::detail {

// What the body of a call begins with.
struct CallContext {
  std::shared_ptr<Runtime> runtime;
  store::CallOptions options;  // its deadline; its token stops at the deadline, too

  [[nodiscard]] store::Store& store() const { return runtime->store(); }
  [[nodiscard]] Recipes& recipes() const { return runtime->recipes(); }
};

template <class T, class... Arguments>
using CallBody = ::lockstep::Task<Outcome<T>> (*)(CallContext, Arguments...);

enum class Waits : bool { no, yes };

template <class T, class... Arguments>
class CallLaunch final : public Launch<T>, public std::enable_shared_from_this<CallLaunch<T, Arguments...>> {
 public:
  CallLaunch(std::shared_ptr<Runtime> runtime, CallOptions options, Waits waits,
             CallBody<T, Arguments...> body, Arguments... arguments)
      : runtime_(std::move(runtime)),
        options_(std::move(options)),
        waits_(waits),
        body_(body),
        arguments_(std::move(arguments)...) {}

  void start(std::shared_ptr<Pending<T>> pending) override {
    const bool posted = runtime_->post([self = this->shared_from_this(), pending] { self->begin(pending); });
    if (!posted) pending->complete(closed());
  }
  void resume(std::function<void()> work) override {
    const Executor& executor =
        options_.resume_on().has_value() ? *options_.resume_on() : runtime_->options().resume_on();
    if (executor) return executor(std::move(work));
    // In a turn of its own, below no call of the library's. After close() wherever this is.
    if (!runtime_->post(work)) work();
  }
  void cancel() override {
    runtime_->post([self = this->shared_from_this()] {
      if (self->call_ != nullptr) self->call_->source.request_stop();
    });
  }

 private:
  static Error closed() { return Error(Code::cancelled, "the client is closed"); }

  void begin(const std::shared_ptr<Pending<T>>& pending) {
    call_ = runtime_->begin_call(options_, waits_ == Waits::yes, [pending] { pending->complete(closed()); });
    run(this->shared_from_this(), pending).detach();
  }
  static ::lockstep::Task<void> run(std::shared_ptr<CallLaunch> self, std::shared_ptr<Pending<T>> pending) {
    CallContext context;
    context.runtime = self->runtime_;
    context.options.deadline = self->call_->deadline;
    context.options.cancellation = self->call_->source.get_token();
    ::lockstep::Task<Outcome<T>> body = std::apply(
        [&](Arguments&... arguments) { return self->body_(std::move(context), std::move(arguments)...); },
        self->arguments_);
    Outcome<T> outcome = co_await std::move(body);
    const Runtime::CallPtr call = std::exchange(self->call_, nullptr);
    self->runtime_->end_call(call);
    if (call->timed_out && outcome.code() == Code::cancelled) {
      outcome = Error(Code::deadline_exceeded, "the call ran out of time");
    }
    pending->complete(std::move(outcome));
  }

  const std::shared_ptr<Runtime> runtime_;
  const CallOptions options_;
  const Waits waits_;
  const CallBody<T, Arguments...> body_;
  std::tuple<Arguments...> arguments_;
  Runtime::CallPtr call_;  // while it runs
};

template <class T, class... Arguments>
Operation<T> make_operation(std::shared_ptr<Runtime> runtime, CallOptions options, Waits waits,
                            ::lockstep::Task<Outcome<T>> (*body)(CallContext, Arguments...),
                            std::type_identity_t<Arguments>... arguments) {
  return Operation<T>(std::make_shared<CallLaunch<T, Arguments...>>(std::move(runtime), std::move(options),
                                                                    waits, body, std::move(arguments)...));
}

}  // namespace lockstep::v1::detail
