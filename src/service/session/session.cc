#include "service/session/session.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/limits.h"
#include "base/planted.h"
#include "service/contenders.h"
#include "service/waiting.h"
#include "store/awaitable.h"
#include "store/errors.h"

namespace lockstep::service {
namespace {

// Thirds: two renewals may be lost.
constexpr int renewals_per_ttl = 3;
// After a refusal: soon, but a store without a leader is not asked by everybody all the time.
constexpr int retries_per_ttl = 15;
constexpr Duration retry_pause_max = 1s;
constexpr Duration retry_pause = 50ms;
static_assert(session_ttl_max + lock_delay_max < std::chrono::seconds(limits::lease_ttl_s_max));

bool wrong(const SessionOptions& options) {
  return options.ttl < session_ttl_min || options.ttl > session_ttl_max ||
         options.lock_delay < Duration::zero() || options.lock_delay > lock_delay_max ||
         (options.life_max.has_value() &&
          (*options.life_max <= Duration::zero() || *options.life_max > session_ttl_max));
}

}  // namespace

namespace errors {
Status session_lost() {
  return {Code::failed_precondition, "lockstep: the session is lost"};
}
Status session_closed() {
  return {Code::failed_precondition, "lockstep: the session was closed"};
}
Status session_life_over() {
  return {Code::failed_precondition, "lockstep: the session has lasted as long as it may"};
}
Status session_not_found() {
  return {Code::not_found, "lockstep: no such session"};
}
Status session_options_wrong() {
  return {Code::invalid_argument,
          "lockstep: a session's ttl is 100 ms to 365 days, its lock delay 0 to 24 hours, its longest life "
          "above 0 "
          "and at most 365 days"};
}
}  // namespace errors

std::string session_key(LeaseId id) {
  return contender_key("lockstep/sessions", id);
}

Session::Session(const Context& context, LeaseId id, const SessionOptions& options,
                 store::Principal principal)
    : context_(context), id_(id), options_(options), principal_(principal) {
  if (options.life_max.has_value()) life_end_ = context.clock.now() + *options.life_max;
}

Session::~Session() {
  context_.executor.cancel(expiry_timer_);
  context_.executor.cancel(renewal_timer_);
}

Status Session::state() const {
  if (!why_over_.ok() || context_.clock.now() < expires_at_) return why_over_;
  if (options_.renewal == Renewal::elsewhere) {
    if (context_.clock.now() < life_end_) return {};  // the store is being asked
    return errors::session_life_over();
  }
  return expires_at_ < life_end_ ? errors::session_lost() : errors::session_life_over();
}

void Session::granted(TimePoint sent, Duration whole_ttl) {
  LS_MUST(whole_ttl > options_.lock_delay);
  ttl_ = whole_ttl - options_.lock_delay;
  renewed_at_ = sent;
  extend(sent + ttl_);
  if (options_.renewal == Renewal::automatic) schedule_renewal(sent + ttl_ / renewals_per_ttl);
}

void Session::extend(TimePoint until) {
  expires_at_ = std::max(expires_at_, std::min(until, life_end_));
  set_expiry_timer();
}

void Session::set_expiry_timer() {
  if (!why_over_.ok()) return;
  context_.executor.cancel(expiry_timer_);
  expiry_timer_ = context_.executor.schedule(expires_at_, [weak = weak_from_this()] {
    if (const SessionPtr self = weak.lock()) self->on_expiry_timer();
  });
}

void Session::on_expiry_timer() {
  expiry_timer_ = {};
  if (!why_over_.ok() || LS_PLANTED(renewal_after_loss)) return;
  if (context_.clock.now() < expires_at_) return set_expiry_timer();
  const Status now = state();
  if (now.ok()) return ask_store();
  finish(now);
}

void Session::schedule_renewal(TimePoint when) {
  if (!why_over_.ok()) return;
  context_.executor.cancel(renewal_timer_);
  renewal_timer_ = context_.executor.schedule(when, [weak = weak_from_this()] {
    if (const SessionPtr self = weak.lock()) self->renew_now();
  });
}

void Session::renew_now() {
  renewal_timer_ = {};
  if (const Status now = state(); !now.ok() && !LS_PLANTED(renewal_after_loss)) return finish(now);
  store::CallOptions options;
  options.principal = principal_;
  const TimePoint sent = context_.clock.now();
  options.deadline = sent + ttl_ / renewals_per_ttl;
  if (!LS_PLANTED(renewal_after_loss)) options.deadline = std::min(expires_at_, options.deadline);
  context_.store.lease_keep_alive(
      {id_}, options, [weak = weak_from_this(), sent](const Result<store::LeaseKeepAliveResponse>& answer) {
        const SessionPtr self = weak.lock();
        if (self == nullptr) return;
        self->on_renewed(sent, answer);
        if (!self->why_over_.ok()) return;
        const Duration pause = answer.ok() ? self->ttl_ / renewals_per_ttl
                                           : std::min(self->ttl_ / retries_per_ttl, retry_pause_max);
        self->schedule_renewal((answer.ok() ? sent : self->context_.clock.now()) + pause);
      });
}

void Session::on_renewed(TimePoint sent, const Result<store::LeaseKeepAliveResponse>& answer) {
  const Status now = state();
  if (!now.ok() && !LS_PLANTED(renewal_after_loss)) return finish(now);  // too late, whatever it says
  if (!answer.ok()) {
    if (answer.status() == store::errors::lease_not_found()) finish(errors::session_lost());
    return;
  }
  if (answer->ttl <= options_.lock_delay) return finish(errors::session_lost());
  saw(answer->header.revision);
  renewed_at_ = std::max(renewed_at_, sent);
  extend(sent + ttl_);
}

// Not renewed by us, and its time seems to be out: the store knows whether somebody else did.
void Session::ask_store() {
  store::CallOptions options;
  options.principal = principal_;
  const TimePoint sent = context_.clock.now();
  options.deadline = sent + ttl_ / renewals_per_ttl;
  context_.store.lease_time_to_live(
      {id_, false}, options,
      [weak = weak_from_this(), sent](const Result<store::LeaseTimeToLiveResponse>& answer) {
        if (const SessionPtr self = weak.lock()) self->on_asked(sent, answer);
      });
}

void Session::on_asked(TimePoint sent, const Result<store::LeaseTimeToLiveResponse>& answer) {
  if (!why_over_.ok()) return;
  if (answer.ok() && answer->found) extend(sent + answer->remaining - options_.lock_delay);
  const TimePoint now = context_.clock.now();
  if (now < expires_at_) return;
  if (answer.ok() || answer.status() == store::errors::lease_not_found() || now >= life_end_) {
    return finish(now < life_end_ ? errors::session_lost() : errors::session_life_over());
  }
  // Its holder may have renewed it all the same.
  context_.executor.cancel(expiry_timer_);
  const TimePoint again = std::min(now + std::min(ttl_ / retries_per_ttl, retry_pause_max), life_end_);
  expiry_timer_ = context_.executor.schedule(again, [weak = weak_from_this()] {
    if (const SessionPtr self = weak.lock()) self->on_expiry_timer();
  });
}

void Session::finish(Status why) {
  LS_MUST(!why.ok());
  if (!why_over_.ok()) return;
  const SessionPtr self = shared_from_this();  // whoever is told may drop us
  why_over_ = std::move(why);
  context_.executor.cancel(expiry_timer_);
  context_.executor.cancel(renewal_timer_);
  over_.request_stop();
}

Task<Status> Session::renew(store::CallOptions options) {
  return renew_once(shared_from_this(), std::move(options));
}

Task<Status> Session::renew_once(std::shared_ptr<Session> self, store::CallOptions options) {
  if (Status now = self->state(); !now.ok()) {
    self->finish(now);
    co_return now;
  }
  const TimePoint sent = self->context_.clock.now();
  const store::LeaseKeepAliveRequest request{self->id_};
  const Result<store::LeaseKeepAliveResponse> answer =
      co_await store::awaitable::lease_keep_alive(self->context_.store, request, std::move(options));
  self->on_renewed(sent, answer);
  if (Status now = self->state(); !now.ok()) co_return now;
  co_return answer.status();
}

Task<Status> Session::close(store::CallOptions options) {
  return give_up(shared_from_this(), std::move(options));
}

Task<Status> Session::give_up(std::shared_ptr<Session> self, store::CallOptions options) {
  if (Status now = self->state(); !now.ok()) {
    self->finish(now);
    co_return Status();
  }
  self->finish(errors::session_closed());
  const store::LeaseRevokeRequest request{self->id_};
  while (true) {
    const Result<store::LeaseRevokeResponse> answer =
        co_await store::awaitable::lease_revoke(self->context_.store, request, options);
    if (answer.ok() || answer.status() == store::errors::lease_not_found()) co_return Status();
    const Code code = answer.status().code();
    if (code != Code::unknown_outcome && code != Code::unavailable) co_return answer.status();
    // By then it has ended by itself.
    if (self->context_.clock.now() >= self->renewed_at_ + self->ttl_ + self->options_.lock_delay) {
      co_return answer.status();
    }
    const TimePoint when = self->context_.clock.now() + retry_pause;
    if (const Status slept = co_await pause_until(self->context_, when, options); !slept.ok()) {
      co_return answer.status();
    }
  }
}

// Who may make sessions.
class SessionMaker {
 public:
  static Task<Result<SessionPtr>> open(Context context, SessionOptions options, store::CallOptions call) {
    if (wrong(options)) co_return errors::session_options_wrong();
    // Drawn here, so that a repetition after an unknown outcome means the same lease.
    store::LeaseGrantRequest request;
    while (request.id == LeaseId()) {
      request.id = LeaseId(static_cast<std::int64_t>(context.random.next() >> 1U));
    }
    request.ttl = options.ttl + options.lock_delay;
    bool maybe_granted = false;
    while (true) {
      const SessionPtr session(new Session(context, request.id, options, call.principal));
      const TimePoint sent = context.clock.now();
      const Result<store::LeaseGrantResponse> granted =
          co_await store::awaitable::lease_grant(context.store, request, call);
      if (granted.ok()) {
        if (granted->ttl <= options.lock_delay) co_return errors::session_not_found();
        session->granted(sent, granted->ttl);
        session->saw(granted->header.revision);
        co_return session;
      }
      if (maybe_granted && granted.status() == store::errors::lease_exists()) {
        co_return co_await adopt(context, request.id, options, call);
      }
      if (!is_unknown(granted.status())) co_return granted.status();
      maybe_granted = true;
      const TimePoint again = context.clock.now() + retry_pause;
      if (!(co_await pause_until(context, again, call)).ok()) co_return granted.status();
    }
  }

  static Task<Result<SessionPtr>> adopt(Context context, LeaseId id, SessionOptions options,
                                        store::CallOptions call) {
    if (wrong(options)) co_return errors::session_options_wrong();
    const SessionPtr session(new Session(context, id, options, call.principal));
    const TimePoint asked = context.clock.now();
    const store::LeaseTimeToLiveRequest request{id, false};
    const Result<store::LeaseTimeToLiveResponse> known =
        co_await store::awaitable::lease_time_to_live(context.store, request, call);
    if (!known.ok()) co_return known.status();
    // In its lock delay it is lost already, only its keys remain.
    if (!known->found || std::min(known->remaining, known->granted_ttl) <= options.lock_delay) {
      co_return errors::session_not_found();
    }
    session->granted(asked, known->granted_ttl);
    session->saw(known->header.revision);
    session->must_call_off_ = options.renewal != Renewal::elsewhere;
    session->expires_at_ = std::min(asked + known->remaining - options.lock_delay, session->life_end_);
    session->set_expiry_timer();
    if (options.renewal == Renewal::elsewhere) co_return session;
    const Status renewed = co_await session->renew(call);
    if (!renewed.ok()) co_return renewed;
    co_return session;
  }

  static SessionPtr speak_for(const Context& context, LeaseId id, const store::Principal& principal) {
    const SessionOptions options{.renewal = Renewal::elsewhere};
    SessionPtr session(new Session(context, id, options, principal));
    session->expires_at_ = no_deadline;
    return session;
  }
};

Task<Result<SessionPtr>> open_session(Context context, SessionOptions options, store::CallOptions call) {
  return SessionMaker::open(context, options, std::move(call));
}

Task<Result<SessionPtr>> adopt_session(Context context, LeaseId id, SessionOptions options,
                                       store::CallOptions call) {
  return SessionMaker::adopt(context, id, options, std::move(call));
}

SessionPtr speak_for_lease(const Context& context, LeaseId id, const store::Principal& principal) {
  return SessionMaker::speak_for(context, id, principal);
}

}  // namespace lockstep::service
