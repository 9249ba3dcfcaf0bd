#include "service/timer/clock_view.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "service/store_requests.h"
#include "store/awaitable.h"

namespace lockstep::service {
namespace {

// Older than that, the clock has lost more than one would like timers to be late.
constexpr Duration read_again_after = 1s;

}  // namespace

Task<Result<std::int64_t>> TimerClockView::at_most_now(store::CallOptions options) {
  if (!value_.has_value() || context_.clock.now() - sent_ > read_again_after) {
    Status known = co_await read(options);
    if (known.ok() && !value_.has_value()) {
      known = co_await make(options);
      if (known.ok()) known = co_await read(options);
    }
    if (!known.ok()) co_return known;
    if (!value_.has_value()) co_return Status(Code::unavailable, "timer: the timer clock was removed");
  }
  const auto since = std::chrono::ceil<std::chrono::milliseconds>(context_.clock.now() - sent_);
  co_return value_->now_ms + 2 * value_->step_ms_max + since.count();
}

void TimerClockView::learn(const TimerClockValue& value, TimePoint sent) {
  value_ = value;
  sent_ = sent;
}

Task<Status> TimerClockView::read(store::CallOptions options) {
  const TimePoint sent = context_.clock.now();
  store::RangeRequest request = one_key(std::string(timer_clock_key));
  const Result<store::RangeResponse> answer =
      co_await store::awaitable::range(context_.store, std::move(request), std::move(options));
  if (!answer.ok()) co_return answer.status();
  value_.reset();
  if (answer->kvs.empty()) co_return Status();
  const Result<TimerClockValue> value = parse_timer_clock(answer->kvs[0].value);
  if (!value.ok()) co_return value.status();
  learn(*value, sent);
  co_return Status();
}

// It begins where the wall clock stands, which means nothing later; only that it never begins anew below.
Task<Status> TimerClockView::make(store::CallOptions options) {
  const std::string key(timer_clock_key);
  const TimerClockValue value{std::max<std::int64_t>(context_.clock.wall_now() / 1ms, 0), timer_step_ms_min};
  store::TxnRequest txn;
  txn.compare.push_back(created_at(key, Revision()));
  txn.success.push_back(operation(put_of(key, encode(value), LeaseId())));
  options.request_id = {};
  const Result<store::TxnResponse> made =
      co_await store::awaitable::txn(context_.store, std::move(txn), std::move(options));
  // Unknown is as good: reading tells.
  co_return made.ok() || is_unknown(made.status()) ? Status() : made.status();
}

}  // namespace lockstep::service
