#include "lockstep/election.h"

#include "call.h"
#include "handle.h"
#include "holding.h"
#include "lockstep/client.h"
#include "recipes.h"

namespace lockstep::v1 {

using detail::CallContext;
using detail::LeaderState;
using detail::make_operation;
using detail::Runtime;
using detail::SessionHolder;
using detail::SessionPool;
using detail::SessionUse;
using detail::Waits;

namespace detail {

class LeaderState {
 public:
  explicit LeaderState(Handle<service::LeaderWatch> handle) : watch(std::move(handle)) {}
  const Handle<service::LeaderWatch> watch;
};

}  // namespace detail

namespace {

Leader to_public(service::Leader leader) {
  Leader out;
  out.value = std::move(leader.kv.value);
  out.token = leader.kv.create_revision.value();
  out.session = leader.kv.lease.value();
  return out;
}

::lockstep::Task<Status> resign(detail::Recipes& recipes, service::Leadership leadership,
                                store::CallOptions options) {
  co_return (co_await recipes.elections.resign(leadership, std::move(options))).status();
}

::lockstep::Task<Outcome<Leadership>> campaign_body(CallContext context, service::Campaign campaign,
                                                    std::shared_ptr<SessionHolder> session) {
  std::vector<std::string> purposes(1, "lock/" + campaign.name);  // the same keys as a lock's
  LS_SDK_ASSIGN(SessionUse use, co_await SessionPool::take(context.runtime, std::move(session),
                                                           std::move(purposes), context.options));
  const service::SessionPtr held_by = use.session();
  LS_SDK_ASSIGN(const service::Elected elected,
                co_await context.recipes().elections.campaign(held_by, std::move(campaign), context.options));
  const service::Leadership leadership = elected.leadership();
  detail::HeldOnStrand::Release give_back = [leadership](detail::Recipes& recipes,
                                                         store::CallOptions options) {
    return resign(recipes, leadership, std::move(options));
  };
  const service::Fence fence{elected.key, elected.token};
  Guard guard(std::make_shared<detail::Holding>(context.runtime, elected.name, fence, std::move(use),
                                                std::move(give_back)));
  co_return Leadership(context.runtime, std::move(guard));
}

::lockstep::Task<Outcome<void>> proclaim_body(CallContext context, service::Leadership leadership,
                                              std::string value) {
  LS_SDK_ASSIGN([[maybe_unused]] const store::Header header,
                co_await context.recipes().elections.proclaim(leadership, std::move(value), context.options));
  co_return Nothing{};
}

::lockstep::Task<Outcome<Leader>> leader_body(CallContext context, std::string name) {
  LS_SDK_ASSIGN(service::Leader leader,
                co_await context.recipes().elections.leader(std::move(name), context.options));
  co_return to_public(std::move(leader));
}

::lockstep::Task<Outcome<LeaderWatch>> observe_body(CallContext context, std::string name) {
  auto watch = std::make_shared<service::LeaderWatch>(
      context.recipes().elections.observe(std::move(name), store::CallOptions()));
  co_return LeaderWatch(std::make_shared<LeaderState>(detail::Handle(context.runtime, std::move(watch))));
}

::lockstep::Task<Outcome<Leader>> next_body(CallContext context, std::shared_ptr<LeaderState> state) {
  const auto watch = state->watch.here();
  if (watch == nullptr) co_return Error(Code::cancelled, "the client is closed");
  LS_SDK_ASSIGN(service::Leader leader, co_await watch->next(context.options));
  co_return to_public(std::move(leader));
}

Operation<Leadership> campaign(const std::shared_ptr<Runtime>& runtime, const std::string& name,
                               std::string value, bool wait, const std::shared_ptr<SessionHolder>& session,
                               CallOptions options) {
  service::Campaign campaign;
  campaign.name = name;
  campaign.value = std::move(value);
  campaign.wait = wait;
  return make_operation(runtime, std::move(options), wait ? Waits::yes : Waits::no, &campaign_body,
                        std::move(campaign), session);
}

}  // namespace

Operation<void> Leadership::proclaim(std::string value, CallOptions options) {
  service::Leadership leadership;
  leadership.key = key();
  leadership.token = ::lockstep::Revision(token());
  leadership.lease = ::lockstep::LeaseId(session());
  return make_operation(runtime_, std::move(options), Waits::no, &proclaim_body, std::move(leadership),
                        std::move(value));
}

LeaderWatch::LeaderWatch(std::shared_ptr<LeaderState> state) : state_(std::move(state)) {}
LeaderWatch::LeaderWatch(LeaderWatch&&) noexcept = default;
LeaderWatch& LeaderWatch::operator=(LeaderWatch&&) noexcept = default;
LeaderWatch::~LeaderWatch() = default;

Operation<Leader> LeaderWatch::next(CallOptions options) {
  return make_operation(state_->watch.runtime(), std::move(options), Waits::yes, &next_body, state_);
}

Operation<Leadership> Election::campaign(std::string value, CallOptions options) const {
  return v1::campaign(runtime_, name_, std::move(value), true, session_, std::move(options));
}
Operation<Leadership> Election::try_campaign(std::string value, CallOptions options) const {
  return v1::campaign(runtime_, name_, std::move(value), false, session_, std::move(options));
}
Operation<Leader> Election::leader(CallOptions options) const {
  return make_operation(runtime_, std::move(options), Waits::no, &leader_body, name_);
}
Operation<LeaderWatch> Election::observe(CallOptions options) const {
  return make_operation(runtime_, std::move(options), Waits::no, &observe_body, name_);
}

Election Client::election(std::string name) {
  return Election(runtime_, std::move(name));
}

}  // namespace lockstep::v1
