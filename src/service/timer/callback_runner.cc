#include "service/timer/callback_runner.h"

#include <algorithm>
#include <stop_token>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "service/timer/timers.h"
#include "service/waiting.h"

namespace lockstep::service {
namespace {

// For claiming before, and settling after.
constexpr Duration time_around_sending = 10s;
constexpr Duration claim_wait = 60s;
constexpr Duration pause_after_error = 1s;
constexpr int back_off_doublings_max = 20;

}  // namespace

class CallbackRunner::Run : public std::enable_shared_from_this<Run> {
 public:
  Run(const Context& context, CallbackSender& sender, CallbackOptions options)
      : context_(context), sender_(sender), options_(std::move(options)), timers_(context), room_(context) {
    LS_MUST(options_.in_flight_max > 0);
    LS_MUST(options_.send_time_max > Duration{});
    LS_MUST(options_.send_time_max + time_around_sending <= timer_visibility_max);
  }

  static Task<void> claim_all(std::shared_ptr<Run> self) {
    while (!self->stop_.stop_requested()) {
      if (self->in_flight_ >= self->options_.in_flight_max) {
        static_cast<void>(co_await self->room_.wait(no_deadline, self->stop_.get_token()));
        continue;
      }
      TimerClaim claim;
      claim.max = std::min(self->options_.in_flight_max - self->in_flight_, timers_per_claim);
      claim.visibility = self->options_.send_time_max + time_around_sending;
      claim.wait = claim_wait;
      const Result<std::vector<TimerDelivery>> due =
          co_await self->timers_.claim(self->options_.queue, claim, self->call(self->stop_.get_token()));
      if (due.ok()) {
        // Counted here: a task that is detached inside another begins when that one pauses.
        self->in_flight_ += due->size();
        for (const TimerDelivery& one : *due) deliver(self, one).detach();
      } else if (!self->stop_.stop_requested()) {
        const TimePoint later = self->context_.clock.now() + pause_after_error;
        static_cast<void>(co_await pause_until(self->context_, later, self->call(self->stop_.get_token())));
      }
    }
  }
  void stop() { stop_.request_stop(); }

  std::uint64_t sent = 0;
  std::uint64_t failed = 0;

 private:
  [[nodiscard]] store::CallOptions call(std::stop_token stop) const {
    store::CallOptions options;
    options.principal = options_.principal;
    options.cancellation = std::move(stop);
    return options;
  }

  static Task<void> deliver(std::shared_ptr<Run> self, TimerDelivery delivery) {
    const TimePoint deadline = self->context_.clock.now() + self->options_.send_time_max;
    if (deadline > delivery.held_until) {  // too slow a process, or too slow a claim: it comes again
      --self->in_flight_;
      self->room_.set();
      co_return;
    }
    CallbackAnswer answer(Status(Code::invalid_argument, "timer: it has no target"));
    if (!delivery.target.empty()) {
      CallbackRequest request;
      request.target = delivery.target;
      request.queue = self->options_.queue;
      request.name = delivery.name;
      request.payload = delivery.payload;
      request.token = delivery.token.revision;
      request.attempt = delivery.attempt;
      request.wall = delivery.wall;
      auto start = [&](auto done) { self->sender_.send(std::move(request), deadline, std::move(done)); };
      answer = co_await from_callback<CallbackAnswer>(std::move(start));
    }
    const bool over = answer.received.ok() || answer.stop;
    --self->in_flight_;
    ++(answer.received.ok() ? self->sent : self->failed);
    self->room_.set();
    if (self->stop_.stop_requested()) co_return;
    TimerSettlement settlement;
    settlement.kind = over ? TimerSettlement::Kind::ack : TimerSettlement::Kind::give_back;
    settlement.name = delivery.name;
    settlement.token = delivery.token;
    if (answer.stop) settlement.token.recurring = false;  // no run comes after this one
    if (!over)
      settlement.delay = std::max(self->back_off(delivery.attempt),
                                  std::min(answer.not_before, self->options_.back_off_max));
    std::vector<TimerSettlement> settlements = {settlement};
    // Whatever comes of that: what is not settled comes again.
    static_cast<void>(
        co_await self->timers_.settle(self->options_.queue, std::move(settlements), self->call({})));
  }

  [[nodiscard]] Duration back_off(std::int64_t attempt) const {
    Duration delay = options_.back_off_min;
    for (int i = 1; i < std::min<std::int64_t>(attempt, back_off_doublings_max); ++i) {
      delay = std::min(2 * delay, options_.back_off_max);
    }
    return std::min(delay, options_.back_off_max);
  }

  Context context_;
  CallbackSender& sender_;
  CallbackOptions options_;
  Timers timers_;
  Signal room_;
  std::stop_source stop_;
  std::size_t in_flight_ = 0;
};

CallbackRunner::CallbackRunner(const Context& context, CallbackSender& sender, CallbackOptions options)
    : run_(std::make_shared<Run>(context, sender, std::move(options))) {
  Run::claim_all(run_).detach();
}

CallbackRunner::~CallbackRunner() {
  run_->stop();
}

std::uint64_t CallbackRunner::sent() const {
  return run_->sent;
}

std::uint64_t CallbackRunner::failed() const {
  return run_->failed;
}

}  // namespace lockstep::service
