#include "lockstep/timer.h"

#include "call.h"
#include "convert.h"
#include "lockstep/client.h"
#include "recipes.h"

namespace lockstep::v1 {

using detail::CallContext;
using detail::Delivered;
using detail::make_operation;
using detail::Runtime;
using detail::Waits;

namespace detail {

struct Delivered {
  std::shared_ptr<Runtime> runtime;
  std::string queue;
  service::TimerDelivery delivery;
};

}  // namespace detail

namespace {

// A claim waits in pieces, so that its end is its deadline or its cancellation.
constexpr Duration claim_wait = 20s;

::lockstep::Task<Outcome<void>> set_body(CallContext context, std::string queue, service::TimerSpec spec) {
  LS_SDK_ASSIGN([[maybe_unused]] const service::TimerPlaced placed,
                co_await context.recipes().timers.set(std::move(queue), std::move(spec), context.options));
  co_return Nothing{};
}

::lockstep::Task<Outcome<void>> cancel_body(CallContext context, std::string queue, std::string name) {
  co_return detail::to_outcome(
      co_await context.recipes().timers.cancel(std::move(queue), std::move(name), context.options));
}

::lockstep::Task<Outcome<std::vector<TimerDelivery>>> claim_body(CallContext context, std::string queue,
                                                                 service::TimerClaim claim) {
  context.recipes().drive_timers();
  while (true) {
    const TimePoint now = context.runtime->world().clock().now();
    if (context.options.cancellation.stop_requested()) co_return Error(Code::cancelled, "given up");
    if (now >= context.options.deadline) co_return Error(Code::deadline_exceeded, "nothing was due in time");
    claim.wait = claim_wait;
    // The rest of the time belongs to the answer.
    if (context.options.deadline != no_deadline)
      claim.wait = std::min(claim.wait, context.options.deadline - now);
    LS_SDK_ASSIGN(std::vector<service::TimerDelivery> due,
                  co_await context.recipes().timers.claim(queue, claim, context.options));
    if (due.empty()) continue;
    std::vector<TimerDelivery> deliveries;
    for (service::TimerDelivery& each : due) {
      auto delivered = std::make_shared<Delivered>();
      delivered->runtime = context.runtime;
      delivered->queue = queue;
      delivered->delivery = std::move(each);
      deliveries.emplace_back(std::move(delivered));
    }
    co_return deliveries;
  }
}

::lockstep::Task<Outcome<void>> settle_body(CallContext context, std::shared_ptr<Delivered> delivered,
                                            service::TimerSettlement settlement) {
  settlement.name = delivered->delivery.name;
  settlement.token = delivered->delivery.token;
  std::vector<service::TimerSettlement> settlements(1, settlement);
  LS_SDK_ASSIGN(
      std::vector<service::TimerSettled> settled,
      co_await context.recipes().timers.settle(delivered->queue, std::move(settlements), context.options));
  LS_MUST(settled.size() == 1);
  if (settled.front().status.ok()) delivered->delivery.token = settled.front().token;
  co_return detail::to_outcome(settled.front().status);
}

::lockstep::Task<Outcome<std::vector<std::string>>> dead_body(CallContext context, std::string queue,
                                                              std::size_t limit) {
  LS_SDK_ASSIGN(const std::vector<service::DeadTimer> dead,
                co_await context.recipes().timers.dead(std::move(queue), limit, context.options));
  std::vector<std::string> names;
  for (const service::DeadTimer& each : dead) names.push_back(each.name);
  co_return names;
}

::lockstep::Task<Outcome<void>> revive_body(CallContext context, std::string queue, std::string name) {
  co_return detail::to_outcome(
      co_await context.recipes().timers.revive(std::move(queue), std::move(name), context.options));
}

Operation<void> settle(const std::shared_ptr<Delivered>& delivered, service::TimerSettlement::Kind kind,
                       Duration delay, CallOptions options) {
  service::TimerSettlement settlement;
  settlement.kind = kind;
  settlement.delay = delay;
  return make_operation(delivered->runtime, std::move(options), Waits::no, &settle_body, delivered,
                        std::move(settlement));
}

static_assert(static_cast<int>(MissedRuns::skip) == static_cast<int>(service::MissedRuns::skip));
static_assert(static_cast<int>(MissedRuns::all) == static_cast<int>(service::MissedRuns::all));

}  // namespace

TimerDelivery::TimerDelivery(std::shared_ptr<Delivered> delivered) : delivered_(std::move(delivered)) {}

const std::string& TimerDelivery::name() const {
  return delivered_->delivery.name;
}
const std::string& TimerDelivery::payload() const {
  return delivered_->delivery.payload;
}
std::int64_t TimerDelivery::attempt() const {
  return delivered_->delivery.attempt;
}
Operation<void> TimerDelivery::ack(CallOptions options) {
  return settle(delivered_, service::TimerSettlement::Kind::ack, Duration::zero(), std::move(options));
}
Operation<void> TimerDelivery::give_back(std::chrono::nanoseconds delay, CallOptions options) {
  return settle(delivered_, service::TimerSettlement::Kind::give_back, delay, std::move(options));
}
Operation<void> TimerDelivery::extend(std::chrono::nanoseconds visibility, CallOptions options) {
  return settle(delivered_, service::TimerSettlement::Kind::extend, visibility, std::move(options));
}
Txn& TimerDelivery::held(Txn& txn) const {
  detail::parts_of(txn).request.compare.push_back(
      service::Timers::held(delivered_->queue, delivered_->delivery.name, delivered_->delivery.token));
  return txn;
}

Operation<void> Timers::set(std::string name, const TimerSpec& spec, CallOptions options) const {
  service::TimerSpec wanted;
  wanted.name = std::move(name);
  wanted.after = spec.after();
  wanted.at = spec.at();
  wanted.cron = spec.cron();
  wanted.zone = spec.zone();
  wanted.missed = static_cast<service::MissedRuns>(spec.missed());
  wanted.payload = spec.payload();
  wanted.target = spec.target();
  wanted.attempts_max = spec.attempts_max();
  wanted.only_if_new = spec.is_only_if_new();
  return make_operation(runtime_, std::move(options), Waits::no, &set_body, queue_, std::move(wanted));
}

Operation<void> Timers::cancel(std::string name, CallOptions options) const {
  return make_operation(runtime_, std::move(options), Waits::no, &cancel_body, queue_, std::move(name));
}

Operation<std::vector<TimerDelivery>> Timers::claim(CallOptions options) const {
  return claim(ClaimOptions(), std::move(options));
}

Operation<std::vector<TimerDelivery>> Timers::claim(const ClaimOptions& claim, CallOptions options) const {
  service::TimerClaim wanted;
  wanted.max = claim.max();
  wanted.visibility = claim.visibility();
  return make_operation(runtime_, std::move(options), Waits::yes, &claim_body, queue_, wanted);
}

Operation<std::vector<std::string>> Timers::dead(std::size_t limit, CallOptions options) const {
  return make_operation(runtime_, std::move(options), Waits::no, &dead_body, queue_, limit);
}

Operation<void> Timers::revive(std::string name, CallOptions options) const {
  return make_operation(runtime_, std::move(options), Waits::no, &revive_body, queue_, std::move(name));
}

Timers Client::timers(std::string queue) {
  return Timers(runtime_, std::move(queue));
}

}  // namespace lockstep::v1
