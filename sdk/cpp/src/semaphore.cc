#include "lockstep/semaphore.h"

#include "call.h"
#include "holding.h"
#include "lockstep/client.h"
#include "recipes.h"

namespace lockstep::v1 {

using detail::CallContext;
using detail::make_operation;
using detail::Runtime;
using detail::SessionHolder;
using detail::SessionPool;
using detail::SessionUse;
using detail::Waits;

namespace {

::lockstep::Task<Status> release_permit(detail::Recipes& recipes, service::PermitRelease release,
                                        store::CallOptions options) {
  co_return (co_await recipes.semaphores.release(release, std::move(options))).status();
}

::lockstep::Task<Outcome<Guard>> acquire_body(CallContext context, service::PermitRequest request,
                                              std::shared_ptr<SessionHolder> session) {
  std::vector<std::string> purposes(1, "semaphore/" + request.name);
  LS_SDK_ASSIGN(SessionUse use, co_await SessionPool::take(context.runtime, std::move(session),
                                                           std::move(purposes), context.options));
  LS_SDK_ASSIGN(const service::Permit permit, co_await context.recipes().semaphores.acquire(
                                                  use.session(), std::move(request), context.options));
  service::PermitRelease release;
  release.name = permit.name;
  release.session = permit.session;
  release.token = permit.token;
  detail::HeldOnStrand::Release give_back = [release](detail::Recipes& recipes, store::CallOptions options) {
    return release_permit(recipes, release, std::move(options));
  };
  const service::Fence fence{permit.key, permit.token};
  co_return Guard(std::make_shared<detail::Holding>(context.runtime, permit.name, fence, std::move(use),
                                                    std::move(give_back)));
}

::lockstep::Task<Outcome<std::vector<Contender>>> contenders_body(CallContext context, std::string name) {
  LS_SDK_ASSIGN(const service::SemaphoreState state,
                co_await context.recipes().semaphores.show(std::move(name), context.options));
  std::vector<Contender> contenders;
  for (const service::PermitContender& each : state.contenders)
    contenders.push_back(detail::to_contender(each));
  co_return contenders;
}

::lockstep::Task<Outcome<void>> remove_body(CallContext context, std::string name) {
  co_return detail::to_outcome(
      co_await context.recipes().semaphores.remove(std::move(name), context.options));
}

service::PermitRequest request_for(const std::string& name, std::int64_t permits,
                                   service::Description description) {
  service::PermitRequest request;
  request.name = name;
  request.permits = permits;
  request.description = std::move(description);
  return request;
}

}  // namespace

Operation<Guard> Semaphore::acquire(CallOptions options) const {
  service::PermitRequest request =
      request_for(name_, permits_, detail::describe(runtime_->options(), reason_));
  return make_operation(runtime_, std::move(options), Waits::yes, &acquire_body, std::move(request),
                        session_);
}

Operation<Guard> Semaphore::try_acquire(CallOptions options) const {
  service::PermitRequest request =
      request_for(name_, permits_, detail::describe(runtime_->options(), reason_));
  request.wait = false;
  return make_operation(runtime_, std::move(options), Waits::no, &acquire_body, std::move(request), session_);
}

Operation<std::vector<Contender>> Semaphore::contenders(CallOptions options) const {
  return make_operation(runtime_, std::move(options), Waits::no, &contenders_body, name_);
}

Operation<void> Semaphore::remove(CallOptions options) const {
  return make_operation(runtime_, std::move(options), Waits::no, &remove_body, name_);
}

Semaphore Client::semaphore(std::string name, std::int64_t permits) {
  return Semaphore(runtime_, std::move(name), permits);
}

}  // namespace lockstep::v1
