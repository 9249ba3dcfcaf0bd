// Limiter: so much in a period, no matter which process of a fleet asks.
//
//   auto limiter = client.limiter("mail", LimitRule::token_bucket(100, 1s).burst(20));
//   auto answer = limiter.take().wait();
//   if (answer && !answer->allowed) retry after answer->retry_after
//
// Guarantee: never more than the rule allows, over all processes that name the same limit. The limit's time
// is stored with it and never goes back. What is told unknown may have been taken, once.
//
// Cost: takes of one client that come together are one transaction; where nothing is allowed it is a read.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "lockstep/abi.h"
#include "lockstep/call_options.h"
#include "lockstep/operation.h"

namespace lockstep::LOCKSTEP_INLINE v1 {

namespace detail {
class Runtime;
}

// The rule comes with each take; the newest counts.
class LimitRule {
 public:
  using Duration = std::chrono::nanoseconds;

  // `limit` in each period on average, and at most burst() at once (the limit, if nothing is said).
  static LimitRule token_bucket(std::int64_t limit, Duration period) { return {limit, period, false}; }
  // `limit` in any interval as long as the period.
  static LimitRule sliding_window(std::int64_t limit, Duration period) { return {limit, period, true}; }
  LimitRule& burst(std::int64_t burst) {
    burst_ = burst;
    return *this;
  }

  [[nodiscard]] std::int64_t limit() const { return limit_; }
  [[nodiscard]] Duration period() const { return period_; }
  [[nodiscard]] std::int64_t burst() const { return burst_; }
  [[nodiscard]] bool is_sliding_window() const { return sliding_; }

 private:
  LimitRule(std::int64_t limit, Duration period, bool sliding)
      : limit_(limit), period_(period), sliding_(sliding) {}
  std::int64_t limit_;
  Duration period_;
  std::int64_t burst_ = 0;
  bool sliding_;
};

struct LimitAnswer {
  bool allowed = false;
  std::int64_t remaining = 0;              // that could be taken now
  std::chrono::nanoseconds retry_after{};  // when what was refused may be allowed, if nobody else takes it
};

class Limiter {
 public:
  Limiter(std::shared_ptr<detail::Runtime> runtime, std::string name, const LimitRule& rule)
      : runtime_(std::move(runtime)), name_(std::move(name)), rule_(rule) {}

  // All of `cost` or nothing; 0 only looks. A refusal by the rule is an answer, not an error.
  Operation<LimitAnswer> take(std::int64_t cost = 1, CallOptions options = {}) const;
  // As if nothing had ever been taken.
  Operation<void> reset(CallOptions options = {}) const;

 private:
  std::shared_ptr<detail::Runtime> runtime_;
  std::string name_;
  LimitRule rule_;
};

}  // namespace lockstep::LOCKSTEP_INLINEv1
