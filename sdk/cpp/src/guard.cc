#include "lockstep/guard.h"

#include <unistd.h>
#include <utility>

#include "call.h"
#include "convert.h"
#include "holding.h"
#include "recipes.h"

namespace lockstep::v1 {

using detail::CallContext;
using detail::HeldOnStrand;
using detail::Holding;
using detail::make_operation;
using detail::Runtime;
using detail::Waits;

namespace detail {
namespace {

::lockstep::Task<void> release_in_background(std::shared_ptr<Runtime> runtime, HeldOnStrand::Release release,
                                             SessionUse use) {
  runtime->release_began();
  // An error: it ends with its session.
  static_cast<void>(co_await release(runtime->recipes(), runtime->release_options()));
  use = SessionUse();  // from here on the session may hold it again
  runtime->release_ended();
}

}  // namespace

HeldOnStrand::~HeldOnStrand() {
  const auto runtime = runtime_.lock();
  if (released_ || runtime == nullptr || runtime->closing()) return;
  release_in_background(runtime, std::move(release_), std::move(use_)).detach();
}

::lockstep::Task<Status> HeldOnStrand::release(std::shared_ptr<HeldOnStrand> self, Recipes& recipes,
                                               store::CallOptions options) {
  if (std::exchange(self->releasing_, true)) {
    co_return Status(::lockstep::Code::failed_precondition, "this is being given back by another call");
  }
  Status status = co_await self->release_(recipes, std::move(options));
  self->releasing_ = false;
  if (status.ok()) {
    self->released_ = true;
    self->use_ = SessionUse();
  }
  co_return status;
}

Holding::Holding(const std::shared_ptr<Runtime>& runtime, std::string what, const service::Fence& fence,
                 SessionUse use, HeldOnStrand::Release release)
    : Holding(runtime, std::move(what), fence,
              std::make_shared<HeldOnStrand>(runtime, std::move(use), std::move(release))) {}

Holding::Holding(const std::shared_ptr<Runtime>& runtime, std::string what, const service::Fence& fence,
                 const std::shared_ptr<HeldOnStrand>& thing)
    : name(std::move(what)),
      key(fence.key),
      token(fence.token.value()),
      session(thing->use().session()->id().value()),
      over(thing->use().session()->over()),
      handle(runtime, thing) {}

service::Description describe(const ClientOptions& options, std::string reason) {
  service::Description description;
  description.holder = options.name();
  description.reason = std::move(reason);
  description.pid = getpid();
  char host[256] = {};
  if (gethostname(host, sizeof host - 1) == 0) description.host = host;
  return description;
}

}  // namespace detail

namespace {

::lockstep::Task<Outcome<void>> release_body(CallContext context, std::shared_ptr<Holding> holding) {
  const auto thing = holding->handle.here();
  if (thing == nullptr || thing->released()) {
    co_return Error(Code::failed_precondition, "this was given back before");
  }
  co_return detail::to_outcome(co_await HeldOnStrand::release(thing, context.recipes(), context.options));
}

::lockstep::Task<Outcome<TxnResult>> commit_body(CallContext context, std::shared_ptr<Holding> holding,
                                                 Txn txn) {
  store::TxnRequest request = txn.parts().request;
  LS_SDK_ASSIGN(const store::TxnResponse response,
                co_await service::guarded(context.runtime->context(), std::move(request), holding->fence(),
                                          context.options));
  co_return detail::to_public(response);
}

::lockstep::Task<Outcome<std::string>> until_lost_body(CallContext context,
                                                       std::shared_ptr<Holding> holding) {
  const auto thing = holding->handle.here();
  if (thing == nullptr || thing->released()) co_return std::string("it was given back");
  const service::SessionPtr session = thing->use().session();
  const Status why =
      co_await service::until_over(context.runtime->context(), session, holding->fence(), context.options);
  if (why.code() != ::lockstep::Code::failed_precondition) co_return detail::to_error(why);
  co_return std::string(why.message());
}

}  // namespace

Guard::Guard(std::shared_ptr<Holding> holding) : holding_(std::move(holding)) {}
Guard::Guard(Guard&&) noexcept = default;
Guard& Guard::operator=(Guard&&) noexcept = default;
Guard::~Guard() = default;

const std::string& Guard::name() const {
  return holding_->name;
}
std::int64_t Guard::token() const {
  return holding_->token;
}
const std::string& Guard::key() const {
  return holding_->key;
}
SessionId Guard::session() const {
  return holding_->session;
}
std::stop_token Guard::lost() const {
  return holding_->over;
}
Operation<TxnResult> Guard::commit(const Txn& txn, CallOptions options) {
  return make_operation(holding_->handle.runtime(), std::move(options), Waits::no, &commit_body, holding_,
                        txn);
}
Operation<std::string> Guard::until_lost(CallOptions options) {
  return make_operation(holding_->handle.runtime(), std::move(options), Waits::yes, &until_lost_body,
                        holding_);
}
Operation<void> Guard::release(CallOptions options) {
  return make_operation(holding_->handle.runtime(), std::move(options), Waits::no, &release_body, holding_);
}

}  // namespace lockstep::v1
