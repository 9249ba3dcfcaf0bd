// Sending a mutation again after an unknown outcome, for recipes whose mutations may be sent again.
//
//   Repetition sends(context, options);
//   while (co_await sends.next()) {
//     … co_await store::awaitable::txn(store, txn, sends.call());
//     if (!answer.ok()) { sends.failed(answer.status()); continue; }
//     co_return …;
//   }
//   co_return sends.in_doubt() ? outcome_unknown : sends.last_failure();
//
// A certain error ends it, unless an earlier outcome is unknown; then it goes on, with pauses, until the
// options end it, or repetitions_max. A lease that ended meanwhile is worth some more.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "base/assert.h"
#include "base/status.h"
#include "base/task.h"
#include "base/time.h"
#include "service/context.h"
#include "service/waiting.h"
#include "store/errors.h"
#include "store/store.h"

namespace lockstep::service {

inline constexpr int repetitions_max = 16;
inline constexpr Duration repeated_call_time_max = 5s;  // one that has no answer by then is sent again

class Repetition {
 public:
  Repetition(const Context& context, store::CallOptions options)
      : context_(context), options_(std::move(options)) {}

  // Whether to send, now: after a pause if it was sent before.
  Task<bool> next() {
    if (sent_ == repetitions_max) {
      if (failure_.ok()) failure_ = Status(Code::unavailable, "lockstep: others changed it again and again");
      co_return false;
    }
    const bool repeated = sent_ > 0 && !std::exchange(again_, false);
    if (repeated && !in_doubt_ && failure_ != store::errors::lease_not_found()) co_return false;
    ++sent_;
    Status wanted = still_wanted(context_, options_);
    if (repeated && wanted.ok()) {
      const Duration most = std::chrono::milliseconds(1 << std::min(sent_, 8));
      const Duration pause(
          static_cast<std::int64_t>(context_.random.next() % static_cast<std::uint64_t>(most.count())));
      wanted = co_await pause_until(context_, context_.clock.now() + pause, options_);
    }
    if (!wanted.ok()) failure_ = wanted;
    co_return wanted.ok();
  }
  void failed(const Status& why) {
    failure_ = why;
    in_doubt_ = in_doubt_ || is_unknown(why);
  }
  // It took no effect, for a reason that is worth another look at once.
  void again() { again_ = true; }

  [[nodiscard]] bool in_doubt() const { return in_doubt_; }
  [[nodiscard]] const Status& last_failure() const {
    LS_MUST(!failure_.ok());
    return failure_;
  }
  [[nodiscard]] store::CallOptions call() const {
    store::CallOptions call;
    call.principal = options_.principal;
    call.deadline = std::min(options_.deadline, context_.clock.now() + repeated_call_time_max);
    return call;
  }

 private:
  Context context_;
  store::CallOptions options_;
  Status failure_;
  int sent_ = 0;
  bool in_doubt_ = false;
  bool again_ = false;
};

}  // namespace lockstep::service
