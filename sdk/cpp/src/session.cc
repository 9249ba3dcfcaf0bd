#include "lockstep/session.h"

#include <algorithm>

#include "call.h"
#include "lockstep/client.h"
#include "recipes.h"
#include "sessions.h"

namespace lockstep::v1 {

using detail::CallContext;
using detail::make_operation;
using detail::SessionHolder;
using detail::Waits;

namespace detail {
namespace {

::lockstep::Task<void> close_in_background(std::shared_ptr<Runtime> runtime, service::SessionPtr session) {
  runtime->release_began();
  // An error: it ends when its time is out.
  (void)co_await session->close(runtime->release_options());
  runtime->release_ended();
}

}  // namespace

OwnedSession::~OwnedSession() {
  const auto runtime = runtime_.lock();
  if (left_ || runtime == nullptr || !session_->alive()) return;
  close_in_background(runtime, session_).detach();
}

struct SessionUse::Mark {
  std::weak_ptr<SessionPool::Entry> entry;
  std::vector<std::string> purposes;
  Mark(std::weak_ptr<SessionPool::Entry> of, std::vector<std::string> what)
      : entry(std::move(of)), purposes(std::move(what)) {}
  Mark(const Mark&) = delete;
  Mark& operator=(const Mark&) = delete;
  ~Mark() {
    const auto here = entry.lock();
    if (here == nullptr) return;
    for (const std::string& purpose : purposes) here->purposes.erase(purpose);
  }
};

SessionUse SessionPool::mark(const std::shared_ptr<Entry>& entry, const std::vector<std::string>& purposes) {
  entry->purposes.insert(purposes.begin(), purposes.end());
  SessionUse use(entry->session);
  use.mark_ = std::make_shared<SessionUse::Mark>(entry, purposes);
  return use;
}

std::optional<SessionUse> SessionPool::take_existing(const std::vector<std::string>& purposes) {
  entries_.remove_if([](const auto& entry) { return !entry->session->session()->alive(); });
  for (const auto& entry : entries_) {
    const auto taken = [&](const std::string& purpose) { return entry->purposes.contains(purpose); };
    if (std::ranges::none_of(purposes, taken)) return mark(entry, purposes);
  }
  return std::nullopt;
}

::lockstep::Task<::lockstep::Result<SessionUse>> SessionPool::take(std::shared_ptr<Runtime> runtime,
                                                                   std::vector<std::string> purposes,
                                                                   store::CallOptions options) {
  if (auto use = runtime->recipes().sessions.take_existing(purposes)) co_return *std::move(use);
  service::SessionOptions wanted;
  wanted.ttl = runtime->options().session_ttl();
  ::lockstep::Result<service::SessionPtr> opened =
      co_await service::open_session(runtime->context(), wanted, std::move(options));
  if (!opened.ok()) co_return opened.status();
  const auto entry = std::make_shared<Entry>();
  entry->session = std::make_shared<OwnedSession>(runtime, *std::move(opened));
  if (!runtime->closing()) runtime->recipes().sessions.entries_.push_back(entry);
  co_return mark(entry, purposes);
}

::lockstep::Task<::lockstep::Result<SessionUse>> SessionPool::take(std::shared_ptr<Runtime> runtime,
                                                                   std::shared_ptr<SessionHolder> named,
                                                                   std::vector<std::string> purposes,
                                                                   store::CallOptions options) {
  if (named == nullptr) co_return co_await take(std::move(runtime), std::move(purposes), std::move(options));
  auto owned = named->handle().here();
  if (owned == nullptr)
    co_return Status(::lockstep::Code::failed_precondition, "the session was closed or left");
  co_return SessionUse(std::move(owned));
}

}  // namespace detail

namespace {

service::SessionOptions to_service(const SessionOptions& options) {
  service::SessionOptions wanted;
  wanted.ttl = options.ttl();
  wanted.lock_delay = options.lock_delay();
  wanted.life_max = options.life_max();
  return wanted;
}

Session to_public(const std::shared_ptr<detail::Runtime>& runtime, service::SessionPtr session) {
  return Session(std::make_shared<SessionHolder>(
      runtime, std::make_shared<detail::OwnedSession>(runtime, std::move(session))));
}

::lockstep::Task<Outcome<Session>> open_body(CallContext context, SessionOptions options) {
  LS_SDK_ASSIGN(
      service::SessionPtr session,
      co_await service::open_session(context.runtime->context(), to_service(options), context.options));
  co_return to_public(context.runtime, std::move(session));
}

::lockstep::Task<Outcome<Session>> adopt_body(CallContext context, SessionId id, SessionOptions options) {
  LS_SDK_ASSIGN(service::SessionPtr session,
                co_await service::adopt_session(context.runtime->context(), ::lockstep::LeaseId(id),
                                                to_service(options), context.options));
  co_return to_public(context.runtime, std::move(session));
}

Error not_here() {
  return Error(Code::cancelled, "the session was left, or its client closed");
}

::lockstep::Task<Outcome<void>> check_body(CallContext context, std::shared_ptr<SessionHolder> holder) {
  (void)context;
  const auto owned = holder->handle().here();
  if (owned == nullptr) co_return not_here();
  co_return detail::to_outcome(owned->session()->state());
}

::lockstep::Task<Outcome<void>> renew_body(CallContext context, std::shared_ptr<SessionHolder> holder) {
  const auto owned = holder->handle().here();
  if (owned == nullptr) co_return not_here();
  co_return detail::to_outcome(co_await owned->session()->renew(context.options));
}

::lockstep::Task<Outcome<void>> close_body(CallContext context, std::shared_ptr<SessionHolder> holder) {
  const auto owned = holder->handle().here();
  if (owned == nullptr) co_return not_here();
  co_return detail::to_outcome(co_await owned->session()->close(context.options));
}

}  // namespace

SessionId Session::id() const {
  return holder_->id();
}
CallOptions::Duration Session::ttl() const {
  return holder_->ttl();
}
std::stop_token Session::over() const {
  return holder_->over();
}
Operation<void> Session::check(CallOptions options) {
  return make_operation(holder_->handle().runtime(), std::move(options), Waits::no, &check_body, holder_);
}
Operation<void> Session::renew(CallOptions options) {
  return make_operation(holder_->handle().runtime(), std::move(options), Waits::no, &renew_body, holder_);
}
Operation<void> Session::close(CallOptions options) {
  return make_operation(holder_->handle().runtime(), std::move(options), Waits::no, &close_body, holder_);
}
void Session::leave() {
  holder_->handle().runtime()->post([holder = holder_] {
    if (const auto owned = holder->handle().here()) {
      owned->leave();
      holder->handle().runtime()->drop(holder->handle().number());
    }
  });
}

Operation<Session> Client::open_session(SessionOptions session, CallOptions options) {
  return make_operation(runtime_, std::move(options), Waits::no, &open_body, std::move(session));
}
Operation<Session> Client::adopt_session(SessionId id, SessionOptions session, CallOptions options) {
  return make_operation(runtime_, std::move(options), Waits::no, &adopt_body, id, std::move(session));
}

}  // namespace lockstep::v1
