// /v1/semaphores: at most so many at once.
#include <utility>

#include "gateway/v1/coordination.h"
#include "gateway/v1/seat.h"
#include "service/waiting.h"

namespace lockstep::gateway::v1 {
namespace {

Outcome not_held(const Status& status) {
  if (status == service::errors::wait_deadline_over())
    return make_problem("no_permit_free", "none was free within wait_ms");
  return status;
}

Task<Status> give_back(Coordination* recipes, service::PermitRelease what, store::CallOptions options) {
  co_return (co_await recipes->semaphores.release(what, std::move(options))).status();
}

Task<Outcome> acquire(Coordination* recipes, Call call) {
  const Result<LeaseId> named = session_of(call);
  if (!named.ok()) co_return wrong_field("session", named.status().message());
  const Result<Seat> seat = co_await seat_of(recipes, &call, *named);
  if (!seat.ok()) co_return seat.status();
  service::PermitRequest request;
  request.name = call.arguments.text("name");
  request.permits = call.arguments.integer("permits");
  request.wait = call.arguments.integer("wait_ms") > 0;
  request.description = description_of(call);
  store::CallOptions waiting = waiting_options(*recipes, call);
  const Result<service::Permit> permit =
      co_await recipes->semaphores.acquire(seat->session, std::move(request), std::move(waiting));
  const Status ready = permit.ok() ? co_await hand_over(*seat, &call) : permit.status();
  if (!ready.ok()) {
    std::function<Task<Status>(store::CallOptions)> release;
    if (permit.ok() && !permit->was_held) {
      release = [recipes, what = service::PermitRelease{permit->name, permit->session, permit->token}](
                    store::CallOptions options) { return give_back(recipes, what, std::move(options)); };
    }
    co_return not_held(co_await give_up(recipes, *seat, call.options, std::move(release), ready));
  }
  JsonText json;
  json.bytes("name", permit->name).number("token", permit->token.value()).bytes("key", permit->key);
  add_session(*recipes, &json, *seat);
  co_return std::move(json);
}

Task<Outcome> release(Coordination* recipes, Call call) {
  const Result<LeaseId> id = session_of(call);
  if (!id.ok()) co_return wrong_field("session", id.status().message());
  service::PermitRelease what;
  what.name = call.arguments.text("name");
  what.session = *id;
  what.token = Revision(call.arguments.integer("token"));
  const Status released = co_await give_back(recipes, what, std::move(call.options));
  if (!released.ok()) co_return released;
  JsonText json;
  co_return std::move(json.bytes("name", what.name));
}

Task<Outcome> show(Coordination* recipes, Call call) {
  std::string name = call.arguments.text("name");
  const Result<service::SemaphoreState> state =
      co_await recipes->semaphores.show(std::move(name), std::move(call.options));
  if (!state.ok()) co_return state.status();
  JsonText json;
  json.bytes("name", state->name).number("permits", state->permits).begin_list("contenders");
  for (const service::PermitContender& contender : state->contenders) {
    JsonText one;
    one.text("session", session_text(contender.session)).number("token", contender.token.value());
    one.boolean("holds", contender.holds).number("since_ms", contender.value.since_ms);
    one.text("holder", contender.value.description.holder).text("reason", contender.value.description.reason);
    json.element(one);
  }
  co_return std::move(json.end_list().boolean("more", state->more));
}

Task<Outcome> remove(Coordination* recipes, Call call) {
  std::string name = call.arguments.text("name");
  const Status removed = co_await recipes->semaphores.remove(name, std::move(call.options));
  if (!removed.ok()) co_return removed;
  JsonText json;
  co_return std::move(json.bytes("name", name));
}

}  // namespace

Routes semaphore_routes(Coordination& recipes) {
  const Field name = name_field("the semaphore's name");
  Route acquiring =
      post(recipes, "/v1/semaphores/acquire", "Takes a permit, in the order of arrival", acquire);
  acquiring.request = seat_fields(name);
  acquiring.request.push_back(integer_field("permits", "how many there are; the first to come decides")
                                  .required()
                                  .between(1, service::permits_max));
  acquiring.answer =
      with_session({name, integer_field("token", "only grows").required(),
                    bytes_field("key", "in the store; exists as long as it is held").required()});
  acquiring.problems = {"no_permit_free", "permits_differ", "session_not_found", "session_lost",
                        "place_lost"};
  Route releasing = post(recipes, "/v1/semaphores/release", "Gives a permit back", release);
  releasing.request = {name, session_field("whose it is").required(),
                       integer_field("token", "as acquire answered").required().between(1, INT64_MAX)};
  releasing.answer = {name};
  releasing.problems = {"not_holder", "stale_token"};
  Route showing = get(recipes, "/v1/semaphores/show", "Who has permits, and who waits for one", show);
  showing.request = {name};
  showing.answer = {
      name, integer_field("permits", "how many there are; 0: no such semaphore").required(),
      object_list_field(
          "contenders", "in the order of service",
          {session_field("whose it is").required(), integer_field("token", "its place in line").required(),
           boolean_field("holds", "or waits").required(),
           integer_field("since_ms", "since 1970, by its own clock").required(),
           text_field("holder", "who, by its own words").required(), text_field("reason", "why").required()})
          .required(),
      boolean_field("more", "there are more than are shown").required()};
  Route removing = post(recipes, "/v1/semaphores/remove", "Removes a semaphore that nobody uses", remove);
  removing.request = {name};
  removing.answer = {name};
  removing.problems = {"semaphore_in_use"};
  return {std::move(acquiring), std::move(releasing), std::move(showing), std::move(removing)};
}

}  // namespace lockstep::gateway::v1
