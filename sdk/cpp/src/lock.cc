#include "lockstep/lock.h"

#include "call.h"
#include "recipes.h"
#include "store/awaitable.h"

namespace lockstep::v1 {

using detail::CallContext;
using detail::make_operation;
using detail::Waits;

namespace detail {

class HeldLock {
 public:
  HeldLock(std::shared_ptr<Runtime> used, service::Ownership owned)
      : runtime(std::move(used)), ownership(std::move(owned)) {}
  HeldLock(const HeldLock&) = delete;
  HeldLock& operator=(const HeldLock&) = delete;
  // On any thread: the strand does it.
  ~HeldLock() {
    if (released) return;
    runtime->post([kept = runtime, key = std::move(ownership.key)] {
      kept->release_began();
      kept->recipes().locks.unlock(key, kept->release_options(),
                                   [kept](const auto&) { kept->release_ended(); });
    });
  }

  const std::shared_ptr<Runtime> runtime;
  service::Ownership ownership;
  bool released = false;
};

}  // namespace detail

namespace {

::lockstep::Task<Outcome<LockGuard>> acquire_body(CallContext context, std::string name) {
  auto start = [&](auto done) {
    context.recipes().locks.lock(std::move(name), ::lockstep::LeaseId{}, context.options, std::move(done));
  };
  LS_SDK_ASSIGN(service::Ownership ownership,
                co_await ::lockstep::from_callback<::lockstep::Result<service::Ownership>>(std::move(start)));
  co_return LockGuard(std::make_shared<detail::HeldLock>(context.runtime, std::move(ownership)));
}

::lockstep::Task<Outcome<void>> release_body(CallContext context, std::shared_ptr<detail::HeldLock> held) {
  store::DeleteRangeRequest request;
  request.key = held->ownership.key;
  LS_SDK_ASSIGN([[maybe_unused]] const auto response,
                co_await store::awaitable::delete_range(context.store(), std::move(request),
                                                        std::move(context.options)));
  held->released = true;
  co_return Nothing{};
}

}  // namespace

LockGuard& LockGuard::operator=(LockGuard&&) noexcept = default;
LockGuard::~LockGuard() = default;

std::int64_t LockGuard::token() const {
  return held_->ownership.token.value();
}
const std::string& LockGuard::key() const {
  return held_->ownership.key;
}
Operation<void> LockGuard::release(CallOptions options) {
  return make_operation(held_->runtime, std::move(options), Waits::no, &release_body, held_);
}

Operation<LockGuard> Lock::acquire(CallOptions options) {
  return make_operation(runtime_, std::move(options), Waits::yes, &acquire_body, name_);
}

}  // namespace lockstep::v1
