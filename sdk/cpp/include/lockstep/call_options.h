// How long a call may take and who may end it early.
#pragma once

#include <chrono>
#include <optional>
#include <stop_token>
#include <utility>

#include "lockstep/abi.h"
#include "lockstep/executor.h"

namespace lockstep::LOCKSTEP_INLINE v1 {

// Each call has them as its last parameter: client.put("a", "1", CallOptions().timeout(2s).stop(token)).
//
// A class with setters, not an aggregate: GCC 12 destroys aggregates twice that are written inside a co_await
// expression.
class CallOptions {
 public:
  using Duration = std::chrono::nanoseconds;

  CallOptions() = default;

  // From when the call begins. Without any, calls that only ask the store have ClientOptions::call_timeout(),
  // and calls that wait for others (a lock, a barrier) wait as long as it takes.
  CallOptions& timeout(Duration timeout) {
    timeout_ = timeout;
    return *this;
  }
  CallOptions& deadline(std::chrono::steady_clock::time_point deadline) {
    deadline_ = deadline;
    return *this;
  }
  // A request to stop ends the call with Code::cancelled, or Code::unknown if it may have taken effect by
  // then.
  CallOptions& stop(std::stop_token token) {
    stop_ = std::move(token);
    return *this;
  }
  // Instead of ClientOptions::resume_on().
  CallOptions& resume_on(Executor executor) {
    executor_ = std::move(executor);
    return *this;
  }

  [[nodiscard]] const std::optional<Duration>& timeout() const { return timeout_; }
  [[nodiscard]] const std::optional<std::chrono::steady_clock::time_point>& deadline() const {
    return deadline_;
  }
  [[nodiscard]] const std::stop_token& stop() const { return stop_; }
  [[nodiscard]] const std::optional<Executor>& resume_on() const { return executor_; }

 private:
  std::optional<Duration> timeout_;
  std::optional<std::chrono::steady_clock::time_point> deadline_;
  std::stop_token stop_;
  std::optional<Executor> executor_;
};

}  // namespace lockstep::LOCKSTEP_INLINEv1
