#include "lockstep/latch.h"

#include "call.h"
#include "lockstep/client.h"
#include "service/latch/latches.h"

namespace lockstep::v1 {

using detail::CallContext;
using detail::make_operation;
using detail::Waits;

namespace {

::lockstep::Task<Outcome<void>> make_body(CallContext context, std::string name, std::int64_t parties) {
  LS_SDK_ASSIGN(
      [[maybe_unused]] const service::LatchState state,
      co_await service::make_latch(context.runtime->context(), std::move(name), parties, context.options));
  co_return Nothing{};
}

::lockstep::Task<Outcome<std::int64_t>> count_body(CallContext context, std::string name, std::string party) {
  LS_SDK_ASSIGN(const service::LatchState state,
                co_await service::count_down(context.runtime->context(), std::move(name), std::move(party),
                                             context.options));
  co_return state.count;
}

::lockstep::Task<Outcome<void>> wait_body(CallContext context, std::string name) {
  LS_SDK_ASSIGN([[maybe_unused]] const service::LatchState state,
                co_await service::await_latch(context.runtime->context(), std::move(name), context.options));
  co_return Nothing{};
}

::lockstep::Task<Outcome<std::int64_t>> remaining_body(CallContext context, std::string name) {
  LS_SDK_ASSIGN(const service::LatchState state,
                co_await service::show_latch(context.runtime->context(), std::move(name), context.options));
  co_return state.count;
}

::lockstep::Task<Outcome<void>> remove_body(CallContext context, std::string name) {
  co_return detail::to_outcome(
      co_await service::remove_latch(context.runtime->context(), std::move(name), context.options));
}

}  // namespace

Operation<void> Latch::make(std::int64_t parties, CallOptions options) const {
  return make_operation(runtime_, std::move(options), Waits::no, &make_body, name_, parties);
}
Operation<std::int64_t> Latch::count_down(std::string party, CallOptions options) const {
  return make_operation(runtime_, std::move(options), Waits::no, &count_body, name_, std::move(party));
}
Operation<void> Latch::wait_open(CallOptions options) const {
  return make_operation(runtime_, std::move(options), Waits::yes, &wait_body, name_);
}
Operation<std::int64_t> Latch::remaining(CallOptions options) const {
  return make_operation(runtime_, std::move(options), Waits::no, &remaining_body, name_);
}
Operation<void> Latch::remove(CallOptions options) const {
  return make_operation(runtime_, std::move(options), Waits::no, &remove_body, name_);
}

Latch Client::latch(std::string name) {
  return Latch(runtime_, std::move(name));
}

}  // namespace lockstep::v1
