#include "lockstep/counter.h"

#include "call.h"
#include "lockstep/client.h"
#include "recipes.h"

namespace lockstep::v1 {

using detail::CallContext;
using detail::make_operation;
using detail::Waits;

namespace {

::lockstep::Task<Outcome<std::int64_t>> add_body(CallContext context, std::string name,
                                                 service::CounterAdd add) {
  LS_SDK_ASSIGN(const service::CounterValue value,
                co_await context.recipes().counters.add(std::move(name), add, context.options));
  co_return value.value;
}

::lockstep::Task<Outcome<std::int64_t>> get_body(CallContext context, std::string name) {
  LS_SDK_ASSIGN(const service::CounterValue value,
                co_await context.recipes().counters.get(std::move(name), context.options));
  co_return value.value;
}

::lockstep::Task<Outcome<void>> set_body(CallContext context, std::string name, service::CounterSet set) {
  LS_SDK_ASSIGN([[maybe_unused]] const service::CounterValue value,
                co_await context.recipes().counters.set(std::move(name), set, context.options));
  co_return Nothing{};
}

::lockstep::Task<Outcome<std::int64_t>> remove_body(CallContext context, std::string name) {
  LS_SDK_ASSIGN(const service::CounterValue value,
                co_await context.recipes().counters.remove(std::move(name), context.options));
  co_return value.value;
}

}  // namespace

Operation<std::int64_t> Counter::add(std::int64_t delta, CallOptions options) const {
  service::CounterAdd add;
  add.delta = delta;
  add.expires_at = expires_at_;
  return make_operation(runtime_, std::move(options), Waits::no, &add_body, name_, add);
}

Operation<std::int64_t> Counter::get(CallOptions options) const {
  return make_operation(runtime_, std::move(options), Waits::no, &get_body, name_);
}

Operation<void> Counter::set(std::int64_t value, CallOptions options) const {
  service::CounterSet set;
  set.value = value;
  set.expires_at = expires_at_;
  return make_operation(runtime_, std::move(options), Waits::no, &set_body, name_, set);
}

Operation<void> Counter::set_if(std::int64_t expected, std::int64_t value, CallOptions options) const {
  service::CounterSet set;
  set.value = value;
  set.expected = expected;
  set.expires_at = expires_at_;
  return make_operation(runtime_, std::move(options), Waits::no, &set_body, name_, set);
}

Operation<std::int64_t> Counter::remove(CallOptions options) const {
  return make_operation(runtime_, std::move(options), Waits::no, &remove_body, name_);
}

Counter Client::counter(std::string name) {
  return Counter(runtime_, std::move(name));
}

}  // namespace lockstep::v1
