// /v1/elections: one leads, the others wait in line, everybody sees who.
#include <utility>

#include "gateway/v1/coordination.h"
#include "gateway/v1/seat.h"
#include "service/names.h"
#include "service/waiting.h"

namespace lockstep::gateway::v1 {
namespace {

Outcome not_elected(const Status& status) {
  if (status == service::errors::wait_deadline_over())
    return make_problem("somebody_leads", "nobody resigned within wait_ms");
  return status;
}

service::Leadership leadership_of(const Call& call, LeaseId session) {
  return {service::contender_key(call.arguments.text("name"), session),
          Revision(call.arguments.integer("token")), session};
}

Task<Status> resign_from(Coordination* recipes, service::Leadership what, store::CallOptions options) {
  co_return (co_await recipes->elections.resign(what, std::move(options))).status();
}

Task<Outcome> campaign(Coordination* recipes, Call call) {
  const Result<LeaseId> named = session_of(call);
  if (!named.ok()) co_return wrong_field("session", named.status().message());
  const Result<Seat> seat = co_await seat_of(recipes, &call, *named);
  if (!seat.ok()) co_return seat.status();
  service::Campaign request;
  request.name = call.arguments.text("name");
  request.value = call.arguments.text("value");
  request.wait = call.arguments.integer("wait_ms") > 0;
  store::CallOptions waiting = waiting_options(*recipes, call);
  const Result<service::Elected> elected =
      co_await recipes->elections.campaign(seat->session, std::move(request), std::move(waiting));
  const Status ready = elected.ok() ? co_await hand_over(*seat, &call) : elected.status();
  if (!ready.ok()) {
    std::function<Task<Status>(store::CallOptions)> resign;
    if (elected.ok()) {
      resign = [recipes, what = elected->leadership()](store::CallOptions options) {
        return resign_from(recipes, what, std::move(options));
      };
    }
    co_return not_elected(co_await give_up(recipes, *seat, call.options, std::move(resign), ready));
  }
  JsonText json;
  json.bytes("name", elected->name).number("token", elected->token.value()).bytes("key", elected->key);
  add_session(*recipes, &json, *seat);
  co_return std::move(json);
}

Task<Outcome> proclaim(Coordination* recipes, Call call) {
  const Result<LeaseId> id = session_of(call);
  if (!id.ok()) co_return wrong_field("session", id.status().message());
  const Result<store::Header> done = co_await recipes->elections.proclaim(
      leadership_of(call, *id), call.arguments.text("value"), call.options);
  if (!done.ok()) co_return done.status();
  JsonText json;
  co_return std::move(json.bytes("name", call.arguments.text("name")));
}

Task<Outcome> resign(Coordination* recipes, Call call) {
  const Result<LeaseId> id = session_of(call);
  if (!id.ok()) co_return wrong_field("session", id.status().message());
  const Status done = co_await resign_from(recipes, leadership_of(call, *id), call.options);
  if (!done.ok()) co_return done;
  JsonText json;
  co_return std::move(json.bytes("name", call.arguments.text("name")));
}

JsonText to_json(const std::string& name, const store::KeyValue& kv) {
  JsonText json;
  json.bytes("name", name).bytes("value", kv.value).number("token", kv.create_revision.value());
  return std::move(json.text("session", session_text(kv.lease)));
}

Task<Outcome> leader(Coordination* recipes, Call call) {
  std::string name = call.arguments.text("name");
  const Result<service::Leader> found = co_await recipes->elections.leader(name, call.options);
  if (!found.ok()) co_return found.status();
  co_return to_json(name, found->kv);
}

Task<Status> observe(Coordination* recipes, Call call, EventSink* sink) {
  const std::string name = call.arguments.text("name");
  service::LeaderWatch leaders = recipes->elections.observe(name, call.options);
  while (true) {
    const Result<service::Leader> next = co_await leaders.next(call.options);
    if (!next.ok()) co_return call.options.cancellation.stop_requested() ? Status() : next.status();
    std::string id = std::to_string(next->kv.mod_revision.value());
    if (!co_await sink->send("leader", std::move(id), to_json(name, next->kv))) co_return Status();
  }
}

}  // namespace

Routes election_routes(Coordination& recipes) {
  const Field name = name_field("the election's name").not_reserved();
  const Field value =
      bytes_field("value", "what the leader says").between(0, service::leader_value_bytes_max);
  const Fields mine = {name, session_field("whose leadership").required(),
                       integer_field("token", "as campaign answered").required().between(1, INT64_MAX)};
  Route campaigning = post(recipes, "/v1/elections/campaign", "Leads, once its turn has come", campaign);
  campaigning.request = seat_fields(name);
  campaigning.request.push_back(value);
  campaigning.answer =
      with_session({name, integer_field("token", "only grows from leader to leader").required(),
                    bytes_field("key", "in the store; exists as long as it leads").required()});
  campaigning.problems = {"somebody_leads", "session_not_found", "session_lost", "place_lost", "foreign_key"};
  Route proclaiming =
      post(recipes, "/v1/elections/proclaim", "Says something else, while it leads", proclaim);
  proclaiming.request = mine;
  proclaiming.request.push_back(
      bytes_field("value", "what the leader says").required().between(0, service::leader_value_bytes_max));
  proclaiming.answer = {name};
  proclaiming.problems = {"not_leader"};
  Route resigning = post(recipes, "/v1/elections/resign", "Leads no more", resign);
  resigning.request = mine;
  resigning.answer = {name};
  resigning.problems = {"not_leader"};
  const Fields leads = {name, bytes_field("value", "what the leader says").required(),
                        integer_field("token", "the leader's").required(),
                        session_field("the leader's").required()};
  Route leading = get(recipes, "/v1/elections/leader", "Who leads", leader);
  leading.request = {name};
  leading.answer = leads;
  leading.problems = {"no_leader"};
  Route observing =
      stream(recipes, "/v1/elections/observe", "Leaders and what they say, as it changes", observe);
  observing.request = {name};
  observing.events = {{"leader", "who leads now", leads}};
  return {std::move(campaigning), std::move(proclaiming), std::move(resigning), std::move(leading),
          std::move(observing)};
}

}  // namespace lockstep::gateway::v1
