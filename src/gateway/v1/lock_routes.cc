// /v1/locks: usable with curl alone. Who brings no session gets one, and renews and releases by its number.
#include <utility>

#include "gateway/v1/coordination.h"
#include "gateway/v1/seat.h"
#include "service/names.h"
#include "service/session/session.h"
#include "service/waiting.h"
#include "store/awaitable.h"

namespace lockstep::gateway::v1 {
namespace {

Outcome not_held(const Status& status) {
  if (status == service::errors::wait_deadline_over())
    return make_problem("lock_held", "it was not free within wait_ms");
  return status;
}

// What the session held before stays: others of it work under that.
std::function<Task<Status>(store::CallOptions)> releasing(Coordination* recipes,
                                                          std::vector<service::HeldLock> held) {
  std::erase_if(held, &service::HeldLock::was_held);
  if (held.empty()) return {};
  return [recipes, held = std::move(held)](store::CallOptions options) {
    return recipes->locks.release_all(held, std::move(options));
  };
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
  const Status ready = held.ok() ? co_await hand_over(*seat, &call) : held.status();
  if (!ready.ok()) {
    std::vector<service::HeldLock> taken;
    if (held.ok()) taken.push_back(*held);
    co_return not_held(
        co_await give_up(recipes, *seat, call.options, releasing(recipes, std::move(taken)), ready));
  }
  JsonText json;
  add_held(&json, *held);
  add_session(*recipes, &json, *seat);
  co_return std::move(json);
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
  const Status ready = held.ok() ? co_await hand_over(*seat, &call) : held.status();
  if (!ready.ok()) {
    std::vector<service::HeldLock> taken;
    if (held.ok()) taken = *std::move(held);
    co_return not_held(
        co_await give_up(recipes, *seat, call.options, releasing(recipes, std::move(taken)), ready));
  }
  JsonText json;
  json.begin_list("locks");
  for (const service::HeldLock& one : *held) {
    JsonText element;
    add_held(&element, one);
    json.element(element);
  }
  json.end_list();
  add_session(*recipes, &json, *seat);
  co_return std::move(json);
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
  what.count = call.arguments.integer("count");
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
  Fields fields = seat_fields(std::move(what));
  fields.push_back(lock_mode_field());
  return fields;
}

Fields held_fields() {
  return {lock_name_field(), lock_mode_field().required(),
          integer_field("token", "only grows from holder to holder: give it to what the lock protects")
              .required(),
          bytes_field("key", "in the store; exists as long as it is held").required(),
          integer_field("count", "how often it must be released").required()};
}

Fields named_by(std::string meaning) {
  return {lock_name_field(), lock_mode_field(), session_field(std::move(meaning)).required(),
          integer_field("token", "as acquire answered").required().between(1, INT64_MAX)};
}

Routes acquiring(Coordination& recipes) {
  const std::vector<std::string_view> problems = {"lock_held",          "session_not_found", "session_lost",
                                                  "lock_mode_conflict", "place_lost",        "foreign_key"};
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
  renewing.request.push_back(lock_delay_field("as the session was opened with"));
  renewing.answer = with_session({lock_name_field(), integer_field("token", "the same").required()});
  renewing.problems = {"not_holder", "stale_token", "session_not_found", "session_lost"};
  routes.push_back(std::move(renewing));
  Route releasing = post(recipes, "/v1/locks/release", "Gives a lock back", release);
  releasing.request = named_by("whose it is");
  releasing.request.push_back(
      boolean_field("close_session", "nothing else belongs to the session: it need not end by itself"));
  releasing.request.push_back(
      integer_field("count", "how often it is held: then giving back one time of several may be repeated")
          .between(1, INT64_MAX));
  releasing.answer = {
      lock_name_field(),
      integer_field("count", "how often it must still be released; 0: it is free").required()};
  releasing.problems = {"not_holder", "stale_token", "lock_count_differs"};
  routes.push_back(std::move(releasing));
  for (Route& route : lock_state_routes(recipes)) routes.push_back(std::move(route));
  return routes;
}

}  // namespace lockstep::gateway::v1
