#include "lockstep/barrier.h"

#include <atomic>

#include "call.h"
#include "handle.h"
#include "lockstep/client.h"
#include "recipes.h"
#include "service/barrier/barriers.h"

namespace lockstep::v1 {

using detail::BarrierPlace;
using detail::CallContext;
using detail::make_operation;
using detail::Runtime;
using detail::SessionHolder;
using detail::SessionPool;
using detail::SessionUse;
using detail::Waits;

namespace detail {
namespace {

::lockstep::Task<void> leave_in_background(std::shared_ptr<Runtime> runtime, std::string name,
                                           std::int64_t round, SessionUse use) {
  runtime->release_began();
  // It waits for the others, too: what was to be done is done long before that.
  static_cast<void>(co_await service::leave_barrier(runtime->context(), use.session(), std::move(name), round,
                                                    runtime->release_options()));
  use = SessionUse();
  runtime->release_ended();
}

}  // namespace

// On the strand: who stands in the round.
struct Party {
  std::weak_ptr<Runtime> runtime;
  std::string name;
  std::int64_t round;
  SessionUse use;
  bool left = false;

  Party(std::weak_ptr<Runtime> of, std::string what, std::int64_t number, SessionUse with)
      : runtime(std::move(of)), name(std::move(what)), round(number), use(std::move(with)) {}
  Party(const Party&) = delete;
  Party& operator=(const Party&) = delete;
  ~Party() {
    const auto here = runtime.lock();
    if (left || here == nullptr || here->closing()) return;
    leave_in_background(here, name, round, std::move(use)).detach();
  }
};

class BarrierPlace {
 public:
  BarrierPlace(const std::shared_ptr<Runtime>& runtime, const std::shared_ptr<Party>& party)
      : round(party->round), handle(runtime, party) {}
  const std::int64_t round;
  const Handle<Party> handle;
};

}  // namespace detail

namespace {

::lockstep::Task<Outcome<BarrierRound>> enter_body(CallContext context, std::string name,
                                                   std::int64_t parties,
                                                   std::shared_ptr<SessionHolder> session) {
  std::vector<std::string> purposes(1, "barrier/" + name);
  LS_SDK_ASSIGN(SessionUse use, co_await SessionPool::take(context.runtime, std::move(session),
                                                           std::move(purposes), context.options));
  const service::SessionPtr held_by = use.session();
  LS_SDK_ASSIGN(const service::BarrierPassed passed,
                co_await service::enter_barrier(context.runtime->context(), held_by, std::move(name), parties,
                                                context.options));
  const auto party =
      std::make_shared<detail::Party>(context.runtime, passed.name, passed.generation, std::move(use));
  co_return BarrierRound(std::make_shared<BarrierPlace>(context.runtime, party));
}

::lockstep::Task<Outcome<void>> leave_body(CallContext context, std::shared_ptr<BarrierPlace> place) {
  const auto party = place->handle.here();
  if (party == nullptr || party->left)
    co_return Error(Code::failed_precondition, "this party has left before");
  const service::SessionPtr session = party->use.session();
  const Status status = co_await service::leave_barrier(context.runtime->context(), session, party->name,
                                                        party->round, context.options);
  if (status.ok()) {
    party->left = true;
    party->use = SessionUse();
  }
  co_return detail::to_outcome(status);
}

::lockstep::Task<Outcome<void>> remove_body(CallContext context, std::string name) {
  co_return detail::to_outcome(
      co_await service::remove_barrier(context.runtime->context(), std::move(name), context.options));
}

}  // namespace

BarrierRound::BarrierRound(std::shared_ptr<BarrierPlace> place) : place_(std::move(place)) {}
BarrierRound::BarrierRound(BarrierRound&&) noexcept = default;
BarrierRound& BarrierRound::operator=(BarrierRound&&) noexcept = default;
BarrierRound::~BarrierRound() = default;

std::int64_t BarrierRound::number() const {
  return place_->round;
}
Operation<void> BarrierRound::leave(CallOptions options) {
  return make_operation(place_->handle.runtime(), std::move(options), Waits::yes, &leave_body, place_);
}

Operation<BarrierRound> Barrier::enter(CallOptions options) const {
  return make_operation(runtime_, std::move(options), Waits::yes, &enter_body, name_, parties_, session_);
}
Operation<void> Barrier::remove(CallOptions options) const {
  return make_operation(runtime_, std::move(options), Waits::no, &remove_body, name_);
}

Barrier Client::barrier(std::string name, std::int64_t parties) {
  return Barrier(runtime_, std::move(name), parties);
}

}  // namespace lockstep::v1
