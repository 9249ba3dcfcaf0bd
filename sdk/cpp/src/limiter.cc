#include "lockstep/limiter.h"

#include "call.h"
#include "lockstep/client.h"
#include "recipes.h"

namespace lockstep::v1 {

using detail::CallContext;
using detail::make_operation;
using detail::Waits;

namespace {

::lockstep::Task<Outcome<LimitAnswer>> take_body(CallContext context, std::string name,
                                                 service::LimitTake take) {
  LS_SDK_ASSIGN(const service::LimitAnswer answer,
                co_await context.recipes().limiters.take(std::move(name), take, context.options));
  LimitAnswer out;
  out.allowed = answer.allowed;
  out.remaining = answer.remaining;
  out.retry_after = answer.retry_after;
  co_return out;
}

::lockstep::Task<Outcome<void>> reset_body(CallContext context, std::string name) {
  co_return detail::to_outcome(co_await context.recipes().limiters.reset(std::move(name), context.options));
}

}  // namespace

Operation<LimitAnswer> Limiter::take(std::int64_t cost, CallOptions options) const {
  service::LimitTake take;
  take.cost = cost;
  take.rule.algorithm = rule_.is_sliding_window() ? service::LimitAlgorithm::sliding_window
                                                  : service::LimitAlgorithm::token_bucket;
  take.rule.limit = rule_.limit();
  take.rule.period = rule_.period();
  take.rule.burst = rule_.burst();
  return make_operation(runtime_, std::move(options), Waits::no, &take_body, name_, take);
}

Operation<void> Limiter::reset(CallOptions options) const {
  return make_operation(runtime_, std::move(options), Waits::no, &reset_body, name_);
}

Limiter Client::limiter(std::string name, const LimitRule& rule) {
  return Limiter(runtime_, std::move(name), rule);
}

}  // namespace lockstep::v1
