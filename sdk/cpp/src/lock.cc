#include "lockstep/lock.h"

#include "call.h"
#include "convert.h"
#include "holding.h"
#include "lockstep/client.h"
#include "recipes.h"
#include "service/lock/lock_states.h"
#include "sessions.h"

namespace lockstep::v1 {

using detail::CallContext;
using detail::make_operation;
using detail::Runtime;
using detail::SessionHolder;
using detail::SessionPool;
using detail::SessionUse;
using detail::Waits;

namespace {

::lockstep::Task<Status> release_lock(detail::Recipes& recipes, service::LockRelease release,
                                      store::CallOptions options) {
  co_return (co_await recipes.locks.release(release, std::move(options))).status();
}

Guard to_guard(const std::shared_ptr<Runtime>& runtime, const service::HeldLock& held, SessionUse use) {
  service::LockRelease release;
  release.name = held.name;
  release.mode = held.mode;
  release.session = held.session;
  release.token = held.token;
  release.memory = std::make_shared<service::LeaveMemory>();
  return Guard(std::make_shared<detail::Holding>(runtime, held.name, service::Fence{held.key, held.token},
                                                 std::move(use),
                                                 [release](detail::Recipes& recipes, auto options) {
                                                   return release_lock(recipes, release, std::move(options));
                                                 }));
}

::lockstep::Task<Outcome<LockGuard>> acquire_body(CallContext context, service::LockRequest request,
                                                  std::shared_ptr<SessionHolder> session) {
  std::vector<std::string> purposes(1, "lock/" + request.name);
  LS_SDK_ASSIGN(SessionUse use, co_await SessionPool::take(context.runtime, std::move(session),
                                                           std::move(purposes), context.options));
  LS_SDK_ASSIGN(const service::HeldLock held,
                co_await context.recipes().locks.acquire(use.session(), std::move(request), context.options));
  co_return to_guard(context.runtime, held, std::move(use));
}

::lockstep::Task<Outcome<std::vector<LockGuard>>> acquire_all_body(CallContext context,
                                                                   service::MultiLockRequest request) {
  std::vector<std::string> purposes;
  for (const std::string& name : request.names) purposes.push_back("lock/" + name);
  LS_SDK_ASSIGN(const SessionUse use,
                co_await SessionPool::take(context.runtime, nullptr, std::move(purposes), context.options));
  LS_SDK_ASSIGN(
      const std::vector<service::HeldLock> all,
      co_await context.recipes().locks.acquire_all(use.session(), std::move(request), context.options));
  std::vector<LockGuard> guards;
  for (const service::HeldLock& held : all) guards.push_back(to_guard(context.runtime, held, use));
  co_return guards;
}

::lockstep::Task<Outcome<TxnResult>> commit_fenced_body(CallContext context, std::string resource,
                                                        std::int64_t token, Txn txn) {
  store::TxnRequest request = txn.parts().request;
  LS_SDK_ASSIGN(const store::TxnResponse response,
                co_await service::fenced(context.runtime->context(), std::move(request), std::move(resource),
                                         ::lockstep::Revision(token), context.options));
  co_return detail::to_public(response);
}

::lockstep::Task<Outcome<std::vector<Contender>>> contenders_body(CallContext context, std::string name) {
  LS_SDK_ASSIGN(const service::LockState state,
                co_await service::show_lock(context.runtime->context(), std::move(name), context.options));
  std::vector<Contender> contenders;
  for (const service::LockContender& each : state.contenders) {
    Contender out = detail::to_contender(each);
    out.shared = each.mode == service::LockMode::shared;
    contenders.push_back(std::move(out));
  }
  co_return contenders;
}

::lockstep::Task<Outcome<void>> force_body(CallContext context, service::ForceRelease request) {
  LS_SDK_ASSIGN(
      [[maybe_unused]] const service::ForcedRelease released,
      co_await service::force_release(context.runtime->context(), std::move(request), context.options));
  co_return Nothing{};
}

Operation<LockGuard> acquire(const std::shared_ptr<Runtime>& runtime, service::LockRequest request,
                             const std::shared_ptr<SessionHolder>& session, CallOptions options) {
  const Waits waits = request.wait ? Waits::yes : Waits::no;
  request.reentrant = session != nullptr;
  return make_operation(runtime, std::move(options), waits, &acquire_body, std::move(request), session);
}

service::LockRequest request_for(const std::string& name, bool shared, service::Description description) {
  service::LockRequest request;
  request.name = name;
  request.mode = shared ? service::LockMode::shared : service::LockMode::exclusive;
  request.description = std::move(description);
  return request;
}

}  // namespace

Operation<LockGuard> Lock::acquire(CallOptions options) const {
  return v1::acquire(runtime_, request_for(name_, shared_, detail::describe(runtime_->options(), reason_)),
                     session_, std::move(options));
}

Operation<LockGuard> Lock::try_acquire(CallOptions options) const {
  service::LockRequest request = request_for(name_, shared_, detail::describe(runtime_->options(), reason_));
  request.wait = false;
  return v1::acquire(runtime_, std::move(request), session_, std::move(options));
}

Operation<std::vector<Contender>> Lock::contenders(CallOptions options) const {
  return make_operation(runtime_, std::move(options), Waits::no, &contenders_body, name_);
}

Operation<void> Lock::force_release(std::int64_t token, std::string reason, CallOptions options) const {
  service::ForceRelease request;
  request.name = name_;
  request.token = ::lockstep::Revision(token);
  request.by = runtime_->options().name();
  request.reason = std::move(reason);
  return make_operation(runtime_, std::move(options), Waits::no, &force_body, std::move(request));
}

Operation<TxnResult> Client::commit_fenced(std::string resource, std::int64_t token, const Txn& txn,
                                           CallOptions options) {
  return make_operation(runtime_, std::move(options), Waits::no, &commit_fenced_body, std::move(resource),
                        token, txn);
}

Lock Client::lock(std::string name) {
  return Lock(runtime_, std::move(name));
}

Operation<std::vector<LockGuard>> Client::acquire_all(std::vector<std::string> names, CallOptions options) {
  service::MultiLockRequest request;
  request.names = std::move(names);
  request.description = detail::describe(runtime_->options(), {});
  return make_operation(runtime_, std::move(options), Waits::yes, &acquire_all_body, std::move(request));
}

}  // namespace lockstep::v1
