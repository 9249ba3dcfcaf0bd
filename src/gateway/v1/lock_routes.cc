// /v1/locks: usable with curl alone. Who brings no session gets one, and renews and releases by its number.
#include <utility>

#include "gateway/v1/coordination.h"
#include "service/names.h"
#include "service/session/session.h"
#include "service/waiting.h"
#include "store/awaitable.h"

namespace lockstep::gateway::v1 {
namespace {

constexpr std::int64_t ttl_ms_default = 10'000;

service::Description description_of(const Call& call) {
  service::Description description;
  description.holder = call.arguments.text("holder");
  description.host = call.arguments.text("host");
  description.reason = call.arguments.text("reason");
  description.pid = call.arguments.integer("pid");
  return description;
}

// The session that a request names, or one made for it: that is kept alive here until the answer.
struct Seat {
  service::SessionPtr session;
  bool made_here = false;
};

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

// For taking back what nobody will use.
store::CallOptions unhurried(Coordination& recipes, const store::CallOptions& options) {
  constexpr Duration patience = 10s;
  store::CallOptions made;
  made.principal = options.principal;
  made.deadline = recipes.context.clock.now() + patience;
  return made;
}

// As long as the request wants to wait, from now.
store::CallOptions waiting_options(Coordination& recipes, const Call& call) {
  store::CallOptions options = call.options;
  const Duration wait = std::chrono::milliseconds(call.arguments.integer("wait_ms"));
  if (wait > Duration::zero()) options.deadline = recipes.context.clock.now() + wait;
  return options;
}

Outcome not_held(const Status& status) {
  if (status == service::errors::wait_deadline_over())
    return make_problem("lock_held", "it was not free within wait_ms");
  return status;
}

// The holder's time begins with the answer.
Task<Status> hand_over(Seat seat, store::CallOptions options) {
  if (options.cancellation.stop_requested()) co_return service::errors::wait_cancelled();
  if (!seat.made_here) co_return Status();
  co_return co_await seat.session->renew(std::move(options));
}

Task<void> give_up(Coordination* recipes, Seat seat, std::vector<service::HeldLock> held,
                   store::CallOptions options) {
  store::CallOptions patient = unhurried(*recipes, options);
  if (seat.made_here) {
    static_cast<void>((co_await seat.session->close(std::move(patient))).ok());
  } else if (!held.empty()) {
    static_cast<void>((co_await recipes->locks.release_all(std::move(held), std::move(patient))).ok());
  }
}

void add_held(JsonText* json, const service::HeldLock& held) {
  json->bytes("name", held.name).text("mode", lock_mode_text(held.mode)).number("token", held.token.value());
  json->bytes("key", held.key).number("count", held.count);
}

Task<Outcome> acquire(Coordination* recipes, Call call) {
  const Result<LeaseId> named = session_of(call);
  if (!named.ok()) co_return wrong_field("session", named.status().message());
  const Result<Seat> seat = co_await seat_of(recipes, &call, *named);
  if (!seat.ok()) co_return seat.status();
  service::LockRequest request;
  request.name = call.arguments.text("name");
  request.mode = lock_mode_of(call);
  request.wait = call.arguments.integer("wait_ms") > 0;
  request.reentrant = call.arguments.boolean("reentrant");
  request.description = description_of(call);
  store::CallOptions waiting = waiting_options(*recipes, call);
  const Result<service::HeldLock> held =
      co_await recipes->locks.acquire(seat->session, std::move(request), std::move(waiting));
  std::vector<service::HeldLock> taken;
  if (held.ok()) taken.push_back(*held);
  call.options.deadline = std::max(call.options.deadline, recipes->context.clock.now() + 1s);
  const Status ready = held.ok() ? co_await hand_over(*seat, call.options) : held.status();
  if (!ready.ok()) {
    co_await give_up(recipes, *seat, std::move(taken), call.options);
    co_return not_held(ready);
  }
  JsonText json;
  add_held(&json, *held);
  json.text("session", session_text(seat->session->id()));
  co_return std::move(
      json.number("expires_in_ms", milliseconds_until(*recipes, seat->session->expires_at())));
}

Task<Outcome> acquire_all(Coordination* recipes, Call call) {
  const Result<LeaseId> named = session_of(call);
  if (!named.ok()) co_return wrong_field("session", named.status().message());
  const Result<Seat> seat = co_await seat_of(recipes, &call, *named);
  if (!seat.ok()) co_return seat.status();
  service::MultiLockRequest request;
  request.names = call.arguments.texts("names");
  request.mode = lock_mode_of(call);
  request.wait = call.arguments.integer("wait_ms") > 0;
  request.description = description_of(call);
  store::CallOptions waiting = waiting_options(*recipes, call);
  Result<std::vector<service::HeldLock>> held =
      co_await recipes->locks.acquire_all(seat->session, std::move(request), std::move(waiting));
  call.options.deadline = std::max(call.options.deadline, recipes->context.clock.now() + 1s);
  const Status ready = held.ok() ? co_await hand_over(*seat, call.options) : held.status();
  if (!ready.ok()) {
    std::vector<service::HeldLock> taken;
    if (held.ok()) taken = *std::move(held);
    co_await give_up(recipes, *seat, std::move(taken), call.options);
    co_return not_held(ready);
  }
  JsonText json;
  json.begin_list("locks");
  for (const service::HeldLock& one : *held) {
    JsonText element;
    add_held(&element, one);
    json.element(element);
  }
  json.end_list().text("session", session_text(seat->session->id()));
  co_return std::move(
      json.number("expires_in_ms", milliseconds_until(*recipes, seat->session->expires_at())));
}

// That the session lives says nothing about the lock: somebody may have taken it away.
Task<Status> check_held(Coordination* recipes, std::string key, Revision token, store::CallOptions options) {
  store::RangeRequest request;
  request.key = std::move(key);
  request.keys_only = true;
  const Result<store::RangeResponse> seen =
      co_await store::awaitable::range(recipes->context.store, std::move(request), std::move(options));
  if (!seen.ok()) co_return seen.status();
  if (seen->kvs.empty()) co_return service::errors::not_holder();
  if (seen->kvs[0].create_revision != token) co_return service::errors::stale_token();
  co_return Status();
}

Task<Outcome> renew(Coordination* recipes, Call call) {
  const Result<LeaseId> id = session_of(call);
  if (!id.ok()) co_return wrong_field("session", id.status().message());
  service::SessionOptions options;
  options.lock_delay = std::chrono::milliseconds(call.arguments.integer("lock_delay_ms"));
  options.renewal = service::Renewal::by_holder;
  const Result<service::SessionPtr> session =
      co_await service::adopt_session(recipes->context, *id, options, call.options);
  if (!session.ok()) co_return session.status();
  const std::string name = call.arguments.text("name");
  const Revision token(call.arguments.integer("token"));
  std::string key = lock_key_of(call, *id);
  const Status held = co_await check_held(recipes, std::move(key), token, std::move(call.options));
  if (!held.ok()) co_return held;
  JsonText json;
  json.bytes("name", name).number("token", token.value()).text("session", session_text(*id));
  co_return std::move(json.number("expires_in_ms", milliseconds_until(*recipes, (*session)->expires_at())));
}

Task<Outcome> release(Coordination* recipes, Call call) {
  const Result<LeaseId> id = session_of(call);
  if (!id.ok()) co_return wrong_field("session", id.status().message());
  service::LockRelease what;
  what.name = call.arguments.text("name");
  what.mode = lock_mode_of(call);
  what.session = *id;
  what.token = Revision(call.arguments.integer("token"));
  const Result<service::Released> released = co_await recipes->locks.release(what, call.options);
  if (!released.ok()) co_return released.status();
  if (released->count == 0 && call.arguments.boolean("close_session")) {
    store::LeaseRevokeRequest revoke;
    revoke.id = *id;
    // It would end by itself.
    static_cast<void>(
        (co_await store::awaitable::lease_revoke(recipes->context.store, revoke, std::move(call.options)))
            .ok());
  }
  JsonText json;
  co_return std::move(json.bytes("name", what.name).number("count", released->count));
}

// ---- the table

Fields request_fields(Field what) {
  constexpr auto delay_max = std::chrono::duration_cast<std::chrono::milliseconds>(service::lock_delay_max);
  const auto text = [](const char* name, const char* meaning) {
    return text_field(name, meaning).between(0, service::description_text_bytes_max);
  };
  return {std::move(what),
          lock_mode_field(),
          session_field("whose it is to be; one is made if absent"),
          ttl_field("of a session that is made: how long it lasts without being renewed; 10000 if absent"),
          integer_field("lock_delay_ms", "how much longer its locks stay taken when it is lost; 0 if absent")
              .between(0, delay_max.count()),
          wait_field(),
          text("holder", "who holds it, for people"),
          text("host", "where, for people"),
          text("reason", "why, for people"),
          integer_field("pid", "of the holder, for people").between(0, 4'294'967'295)};
}

Fields held_fields() {
  return {lock_name_field(), lock_mode_field().required(),
          integer_field("token", "only grows from holder to holder: give it to what the lock protects")
              .required(),
          bytes_field("key", "in the store; exists as long as it is held").required(),
          integer_field("count", "how often it must be released").required()};
}

Fields with_session(Fields fields) {
  fields.push_back(session_field("whose it is").required());
  fields.push_back(
      integer_field("expires_in_ms", "when it is lost unless the session is renewed").required());
  return fields;
}

Fields named_by(std::string meaning) {
  return {lock_name_field(), lock_mode_field(), session_field(std::move(meaning)).required(),
          integer_field("token", "as acquire answered").required().between(1, INT64_MAX)};
}

Routes acquiring(Coordination& recipes) {
  const std::vector<std::string_view> problems = {"lock_held", "session_not_found", "session_lost",
                                                  "lock_mode_conflict", "place_lost"};
  Route one = post(recipes, "/v1/locks/acquire", "Takes a lock, in the order of arrival", acquire);
  one.request = request_fields(lock_name_field());
  one.request.push_back(
      boolean_field("reentrant", "a session that holds it may take it again, and releases it as often"));
  one.answer = with_session(held_fields());
  one.problems = problems;
  Route all = post(recipes, "/v1/locks/acquire-all", "Takes several locks, all or none", acquire_all);
  all.request = request_fields(bytes_list_field("names", "the locks' names")
                                   .required()
                                   .between(1, service::locks_at_once_max)
                                   .not_reserved());
  all.answer = with_session({object_list_field("locks", "what is held", held_fields()).required()});
  all.problems = problems;
  return {std::move(one), std::move(all)};
}

}  // namespace

Routes lock_routes(Coordination& recipes) {
  Routes routes = acquiring(recipes);
  Route renewing =
      post(recipes, "/v1/locks/renew", "Renews the session of a lock, if it still holds it", renew);
  renewing.request = named_by("whose it is");
  renewing.request.push_back(
      integer_field("lock_delay_ms", "as the session was opened with").between(0, INT64_MAX));
  renewing.answer = with_session({lock_name_field(), integer_field("token", "the same").required()});
  renewing.problems = {"not_holder", "stale_token", "session_not_found", "session_lost"};
  routes.push_back(std::move(renewing));
  Route releasing = post(recipes, "/v1/locks/release", "Gives a lock back", release);
  releasing.request = named_by("whose it is");
  releasing.request.push_back(
      boolean_field("close_session", "nothing else belongs to the session: it need not end by itself"));
  releasing.answer = {
      lock_name_field(),
      integer_field("count", "how often it must still be released; 0: it is free").required()};
  releasing.problems = {"not_holder", "stale_token"};
  routes.push_back(std::move(releasing));
  for (Route& route : lock_state_routes(recipes)) routes.push_back(std::move(route));
  return routes;
}

}  // namespace lockstep::gateway::v1
