#include "lockstep/lock.h"

#include <unistd.h>

#include "call.h"
#include "convert.h"
#include "handle.h"
#include "lockstep/client.h"
#include "recipes.h"
#include "service/lock/guard.h"
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

namespace detail {
namespace {

service::LockRelease release_of(const service::HeldLock& held) {
  service::LockRelease release;
  release.name = held.name;
  release.mode = held.mode;
  release.session = held.session;
  release.token = held.token;
  return release;
}

::lockstep::Task<void> release_in_background(std::shared_ptr<Runtime> runtime, service::HeldLock held,
                                             SessionUse use) {
  runtime->release_began();
  // An error: it ends with its session.
  (void)co_await runtime->recipes().locks.release(release_of(held), runtime->release_options());
  use = SessionUse();  // from here on the session may hold it again
  runtime->release_ended();
}

// On the strand. Its end gives the lock back, unless the sessions end anyway.
struct HeldOnStrand {
  std::weak_ptr<Runtime> runtime;
  service::HeldLock held;
  SessionUse use;
  bool released = false;

  HeldOnStrand(std::weak_ptr<Runtime> of, service::HeldLock what, SessionUse with)
      : runtime(std::move(of)), held(std::move(what)), use(std::move(with)) {}
  HeldOnStrand(const HeldOnStrand&) = delete;
  HeldOnStrand& operator=(const HeldOnStrand&) = delete;
  ~HeldOnStrand() {
    const auto here = runtime.lock();
    if (released || here == nullptr || here->closing()) return;
    release_in_background(here, std::move(held), std::move(use)).detach();
  }
};

}  // namespace

class LockHolding {
 public:
  LockHolding(const std::shared_ptr<Runtime>& runtime, const std::shared_ptr<HeldOnStrand>& thing)
      : name(thing->held.name),
        key(thing->held.key),
        token(thing->held.token.value()),
        session(thing->held.session.value()),
        over(thing->use.session()->over()),
        handle(runtime, thing) {}

  const std::string name;
  const std::string key;
  const std::int64_t token;
  const SessionId session;
  const std::stop_token over;
  const Handle<HeldOnStrand> handle;
};

}  // namespace detail

namespace {

service::Description describe(const ClientOptions& options, std::string reason) {
  service::Description description;
  description.holder = options.name();
  description.reason = std::move(reason);
  description.pid = getpid();
  char host[256] = {};
  if (gethostname(host, sizeof host - 1) == 0) description.host = host;
  return description;
}

LockGuard to_guard(const std::shared_ptr<Runtime>& runtime, service::HeldLock held, SessionUse use) {
  const auto thing = std::make_shared<detail::HeldOnStrand>(runtime, std::move(held), std::move(use));
  return LockGuard(std::make_shared<detail::LockHolding>(runtime, thing));
}

::lockstep::Task<Outcome<LockGuard>> acquire_body(CallContext context, service::LockRequest request,
                                                  std::shared_ptr<SessionHolder> session) {
  std::vector<std::string> purposes(1, "lock/" + request.name);
  LS_SDK_ASSIGN(SessionUse use, co_await SessionPool::take(context.runtime, std::move(session),
                                                           std::move(purposes), context.options));
  LS_SDK_ASSIGN(service::HeldLock held,
                co_await context.recipes().locks.acquire(use.session(), std::move(request), context.options));
  co_return to_guard(context.runtime, std::move(held), std::move(use));
}

::lockstep::Task<Outcome<std::vector<LockGuard>>> acquire_all_body(CallContext context,
                                                                   service::MultiLockRequest request) {
  std::vector<std::string> purposes;
  for (const std::string& name : request.names) purposes.push_back("lock/" + name);
  LS_SDK_ASSIGN(const SessionUse use,
                co_await SessionPool::take(context.runtime, nullptr, std::move(purposes), context.options));
  LS_SDK_ASSIGN(std::vector<service::HeldLock> all, co_await context.recipes().locks.acquire_all(
                                                        use.session(), std::move(request), context.options));
  std::vector<LockGuard> guards;
  for (service::HeldLock& held : all) guards.push_back(to_guard(context.runtime, std::move(held), use));
  co_return guards;
}

::lockstep::Task<Outcome<void>> release_body(CallContext context,
                                             std::shared_ptr<detail::LockHolding> holding) {
  const auto thing = holding->handle.here();
  if (thing == nullptr || thing->released)
    co_return Error(Code::failed_precondition, "this lock was given back before");
  LS_SDK_ASSIGN([[maybe_unused]] const service::Released released,
                co_await context.recipes().locks.release(detail::release_of(thing->held), context.options));
  thing->released = true;
  thing->use = SessionUse();
  co_return Nothing{};
}

service::Fence fence_of(const detail::LockHolding& holding) {
  service::Fence fence;
  fence.key = holding.key;
  fence.token = ::lockstep::Revision(holding.token);
  return fence;
}

::lockstep::Task<Outcome<TxnResult>> commit_body(CallContext context,
                                                 std::shared_ptr<detail::LockHolding> holding, Txn txn) {
  store::TxnRequest request = txn.parts().request;
  LS_SDK_ASSIGN(const store::TxnResponse response,
                co_await service::guarded(context.runtime->context(), std::move(request), fence_of(*holding),
                                          context.options));
  co_return detail::to_public(response);
}

::lockstep::Task<Outcome<TxnResult>> commit_fenced_body(CallContext context, std::string resource,
                                                        std::int64_t token, Txn txn) {
  store::TxnRequest request = txn.parts().request;
  LS_SDK_ASSIGN(const store::TxnResponse response,
                co_await service::fenced(context.runtime->context(), std::move(request), std::move(resource),
                                         ::lockstep::Revision(token), context.options));
  co_return detail::to_public(response);
}

::lockstep::Task<Outcome<std::string>> until_lost_body(CallContext context,
                                                       std::shared_ptr<detail::LockHolding> holding) {
  const auto thing = holding->handle.here();
  if (thing == nullptr || thing->released) co_return std::string("it was given back");
  const Status why = co_await service::until_over(context.runtime->context(), thing->use.session(),
                                                  fence_of(*holding), context.options);
  if (why.code() != ::lockstep::Code::failed_precondition) co_return detail::to_error(why);
  co_return std::string(why.message());
}

::lockstep::Task<Outcome<std::vector<LockContender>>> contenders_body(CallContext context, std::string name) {
  LS_SDK_ASSIGN(const service::LockState state,
                co_await service::show_lock(context.runtime->context(), std::move(name), context.options));
  std::vector<LockContender> contenders;
  for (const service::LockContender& each : state.contenders) {
    LockContender out;
    out.holds = each.holds;
    out.shared = each.mode == service::LockMode::shared;
    out.session = each.session.value();
    out.token = each.token.value();
    out.holder = each.value.description.holder;
    out.host = each.value.description.host;
    out.pid = each.value.description.pid;
    out.reason = each.value.description.reason;
    out.since = std::chrono::system_clock::time_point(std::chrono::milliseconds(each.value.since_ms));
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

}  // namespace

LockGuard::LockGuard(std::shared_ptr<detail::LockHolding> holding) : holding_(std::move(holding)) {}
LockGuard::LockGuard(LockGuard&&) noexcept = default;
LockGuard& LockGuard::operator=(LockGuard&&) noexcept = default;
LockGuard::~LockGuard() = default;

const std::string& LockGuard::name() const {
  return holding_->name;
}
std::int64_t LockGuard::token() const {
  return holding_->token;
}
const std::string& LockGuard::key() const {
  return holding_->key;
}
SessionId LockGuard::session() const {
  return holding_->session;
}
std::stop_token LockGuard::lost() const {
  return holding_->over;
}
Operation<TxnResult> LockGuard::commit(const Txn& txn, CallOptions options) {
  return make_operation(holding_->handle.runtime(), std::move(options), Waits::no, &commit_body, holding_,
                        txn);
}
Operation<std::string> LockGuard::until_lost(CallOptions options) {
  return make_operation(holding_->handle.runtime(), std::move(options), Waits::yes, &until_lost_body,
                        holding_);
}
Operation<void> LockGuard::release(CallOptions options) {
  return make_operation(holding_->handle.runtime(), std::move(options), Waits::no, &release_body, holding_);
}

namespace {

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
  return v1::acquire(runtime_, request_for(name_, shared_, describe(runtime_->options(), reason_)), session_,
                     std::move(options));
}

Operation<LockGuard> Lock::try_acquire(CallOptions options) const {
  service::LockRequest request = request_for(name_, shared_, describe(runtime_->options(), reason_));
  request.wait = false;
  return v1::acquire(runtime_, std::move(request), session_, std::move(options));
}

Operation<std::vector<LockContender>> Lock::contenders(CallOptions options) const {
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
  request.description = describe(runtime_->options(), {});
  return make_operation(runtime_, std::move(options), Waits::yes, &acquire_all_body, std::move(request));
}

}  // namespace lockstep::v1
