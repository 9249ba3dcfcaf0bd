// Repeating a transaction that can tell whether it has happened, until that is certain.
//
//   Repeating repeating(context, options);
//   while (true) {
//     … = co_await awaitable::txn(…, repeating.call());
//     if (answer.ok()) …
//     if (Status end = co_await repeating.after(answer.status()); !end.ok()) co_return end;
//   }
//
// Ends with the options, at the latest after repeating_time_max: unknown_outcome if any attempt's outcome is
// unknown, else the store's last answer. Strand only.
#pragma once

#include <algorithm>
#include <string>
#include <utility>

#include "base/status.h"
#include "base/task.h"
#include "service/context.h"
#include "service/waiting.h"

namespace lockstep::service {

// Those who ask go on afterwards: they do not wait forever without a deadline.
inline constexpr Duration repeating_time_max = 30s;
inline constexpr Duration repeating_pause = 100ms;

class Repeating {
 public:
  Repeating(const Context& context, store::CallOptions options)
      : context_(context), options_(std::move(options)) {
    options_.deadline = std::min(options_.deadline, context.clock.now() + repeating_time_max);
    options_.request_id = {};  // names one mutation; here are several
  }
  // Without the cancellation: half way, an outcome would be unknown.
  [[nodiscard]] store::CallOptions call() const {
    store::CallOptions call = options_;
    call.cancellation = {};
    return call;
  }
  [[nodiscard]] bool maybe_done() const { return maybe_done_; }
  // What became of earlier attempts is known now.
  void nothing_is_unknown() { maybe_done_ = false; }
  // ok: once more; or how the call ends.
  Task<Status> after(Status why) {
    maybe_done_ = maybe_done_ || is_unknown(why);
    if (is_unknown(why) || why.code() == Code::unavailable) {
      const TimePoint again = context_.clock.now() + repeating_pause;
      if ((co_await pause_until(context_, again, options_)).ok()) co_return Status();
    }
    co_return maybe_done_ ? Status(Code::unknown_outcome, std::string(why.message())) : why;
  }

 private:
  Context context_;
  store::CallOptions options_;
  bool maybe_done_ = false;
};

}  // namespace lockstep::service
