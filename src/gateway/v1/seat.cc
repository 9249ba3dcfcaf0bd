#include "gateway/v1/seat.h"

#include <algorithm>
#include <utility>

#include "service/line.h"
#include "service/lock/locks.h"
#include "service/waiting.h"

namespace lockstep::gateway::v1 {
namespace {

constexpr std::int64_t ttl_ms_default = 10'000;
// For taking back, whatever time the request has left.
constexpr Duration take_back_time = 10s;
constexpr Duration renewal_time = 1s;
constexpr std::int64_t pid_max = 4'294'967'295;

bool is_gone(const Status& given_up) {
  using namespace service::errors;
  return given_up.ok() || given_up == not_holder() || given_up == stale_token() ||
         given_up == session_lost() || given_up == session_closed() || given_up == session_not_found();
}

}  // namespace

Task<Result<Seat>> seat_of(Coordination* recipes, const Call* call, LeaseId named) {
  service::SessionOptions options;
  options.lock_delay = std::chrono::milliseconds(call->arguments.integer("lock_delay_ms"));
  options.ttl = std::chrono::milliseconds(call->arguments.integer("ttl_ms", ttl_ms_default));
  const bool made_here = named == LeaseId();
  options.renewal = made_here ? service::Renewal::automatic : service::Renewal::elsewhere;
  Result<service::SessionPtr> session =
      made_here ? co_await service::open_session(recipes->context, options, call->options)
                : co_await service::adopt_session(recipes->context, named, options, call->options);
  if (!session.ok()) co_return session.status();
  co_return Seat{*std::move(session), made_here};
}

store::CallOptions waiting_options(Coordination& recipes, const Call& call) {
  store::CallOptions options = call.options;
  const Duration wait = std::chrono::milliseconds(call.arguments.integer("wait_ms"));
  if (wait > Duration::zero()) options.deadline = recipes.context.clock.now() + wait;
  return options;
}

Task<Status> hand_over(Seat seat, Call* call) {
  if (call->options.cancellation.stop_requested()) co_return service::errors::wait_cancelled();
  if (!seat.made_here) co_return Status();
  store::CallOptions options = call->options;
  options.deadline += renewal_time;
  co_return co_await seat.session->renew(std::move(options));
}

Task<Status> give_up(Coordination* recipes, Seat seat, store::CallOptions options,
                     std::function<Task<Status>(store::CallOptions options)> release, Status why) {
  store::CallOptions patient;
  patient.principal = options.principal;
  patient.deadline = recipes->context.clock.now() + take_back_time;
  Status given_up;
  if (seat.made_here) {
    given_up = co_await seat.session->close(std::move(patient));
  } else if (release) {
    given_up = co_await release(std::move(patient));
  }
  if (!release || is_gone(given_up)) co_return why;
  co_return Status(Code::unknown_outcome, "it was taken, and may not have been given back");
}

Fields seat_fields(Field what) {
  const auto text = [](const char* name, const char* meaning) {
    return text_field(name, meaning).between(0, service::description_text_bytes_max);
  };
  return {std::move(what),
          session_field("whose it is to be; one is made if absent"),
          ttl_field("of a session that is made: how long it lasts without being renewed; 10000 if absent"),
          lock_delay_field("how much longer what it holds stays taken when it is lost; 0 if absent"),
          wait_field(),
          text("holder", "who holds it, for people"),
          text("host", "where, for people"),
          text("reason", "why, for people"),
          integer_field("pid", "of the holder, for people").between(0, pid_max)};
}

Fields with_session(Fields fields) {
  fields.push_back(session_field("whose it is").required());
  fields.push_back(
      integer_field("expires_in_ms", "when it is lost unless the session is renewed").required());
  return fields;
}

void add_session(Coordination& recipes, JsonText* json, const Seat& seat) {
  json->text("session", session_text(seat.session->id()));
  json->number("expires_in_ms", milliseconds_until(recipes, seat.session->expires_at()));
}

service::Description description_of(const Call& call) {
  service::Description description;
  description.holder = call.arguments.text("holder");
  description.host = call.arguments.text("host");
  description.reason = call.arguments.text("reason");
  description.pid = call.arguments.integer("pid");
  return description;
}

}  // namespace lockstep::gateway::v1
