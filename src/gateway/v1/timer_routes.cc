// /v1/timers: something falls due, once or again and again, and is claimed by whoever works it off.
#include <utility>

#include "gateway/v1/coordination.h"
#include "service/names.h"
#include "service/timer/cron.h"
#include "service/timer/target.h"

namespace lockstep::gateway::v1 {
namespace {

using service::TimerDelivery;
using service::TimerSettlement;
using std::chrono::milliseconds;

constexpr std::int64_t epoch_ms_max = 9'000'000'000'000;  // the year 2255
constexpr std::int64_t listed_max = 1000;
constexpr std::int64_t dead_shown_max = 100;
constexpr std::int64_t token_bytes_max = 80;

std::int64_t count_ms(Duration time) {
  return std::chrono::floor<milliseconds>(time).count();
}

Task<Outcome> set(Coordination* recipes, Call call) {
  const Arguments& given = call.arguments;
  service::TimerSpec spec;
  spec.name = given.text("name");
  if (given.has("after_ms")) spec.after = milliseconds(given.integer("after_ms"));
  if (given.has("at_ms")) spec.at = milliseconds(given.integer("at_ms"));
  spec.cron = given.text("cron");
  spec.zone = given.text("zone");
  if (given.has("missed")) spec.missed = *service::parse_missed_runs(given.text("missed"));
  spec.missed_max = given.integer("missed_max", spec.missed_max);
  spec.payload = given.text("payload");
  spec.target = given.text("target");
  if (!spec.target.empty()) {
    if (const Status wrong = service::check_timer_target(spec.target); !wrong.ok())
      co_return wrong_field("target", wrong.message());
    const Status refused =
        recipes->callouts == nullptr ? Status() : recipes->callouts->refusal_of(spec.target);
    if (!refused.ok()) co_return wrong_field("target", refused.message());
  }
  spec.attempts_max = given.integer("attempts_max", spec.attempts_max);
  spec.only_if_new = given.boolean("only_if_new");
  const Result<service::TimerPlaced> placed =
      co_await recipes->timers.set(given.text("queue"), std::move(spec), std::move(call.options));
  if (!placed.ok()) co_return placed.status();
  JsonText json;
  json.bytes("name", call.arguments.text("name"));
  if (placed->wall.has_value()) json.number("at_ms", count_ms(*placed->wall));
  co_return std::move(json);
}

Outcome named(const Call& call, const Status& status) {
  if (!status.ok()) return status;
  JsonText json;
  return std::move(json.bytes("name", call.arguments.text("name")));
}

Task<Outcome> cancel(Coordination* recipes, Call call) {
  const Status done = co_await recipes->timers.cancel(call.arguments.text("queue"),
                                                      call.arguments.text("name"), call.options);
  co_return named(call, done);
}

Task<Outcome> revive(Coordination* recipes, Call call) {
  const Status done = co_await recipes->timers.revive(call.arguments.text("queue"),
                                                      call.arguments.text("name"), call.options);
  co_return named(call, done);
}

Task<Outcome> drop_dead(Coordination* recipes, Call call) {
  const Status done = co_await recipes->timers.drop_dead(call.arguments.text("queue"),
                                                         call.arguments.text("name"), call.options);
  co_return named(call, done);
}

Task<Outcome> show(Coordination* recipes, Call call) {
  const Result<service::TimerState> state =
      co_await recipes->timers.show(call.arguments.text("queue"), call.arguments.text("name"), call.options);
  if (!state.ok()) co_return state.status();
  JsonText json;
  json.bytes("name", state->name).boolean("delivered", state->delivered).number("attempts", state->attempts);
  if (state->due_in.has_value()) json.number("due_in_ms", count_ms(*state->due_in));
  if (state->wall.has_value()) json.number("at_ms", count_ms(*state->wall));
  if (!state->document.cron.empty())
    json.text("cron", state->document.cron).text("zone", state->document.zone);
  if (!state->document.target.empty()) json.text("target", state->document.target);
  co_return std::move(json);
}

Task<Outcome> list(Coordination* recipes, Call call) {
  const Result<std::vector<std::string>> names = co_await recipes->timers.list(
      call.arguments.text("queue"), call.arguments.text("after"), listed_max, call.options);
  if (!names.ok()) co_return names.status();
  JsonText json;
  json.begin_list("timers");
  for (const std::string& name : *names) {
    JsonText one;
    json.element(one.bytes("name", name));
  }
  co_return std::move(json.end_list());
}

JsonText to_json(const TimerDelivery& delivery) {
  JsonText json;
  json.bytes("name", delivery.name).bytes("payload", delivery.payload);
  json.text("token", service::to_string(delivery.token)).number("attempt", delivery.attempt);
  if (delivery.wall.has_value()) json.number("at_ms", count_ms(*delivery.wall));
  return json;
}

Task<Outcome> claim(Coordination* recipes, Call call) {
  service::TimerClaim request;
  request.max = static_cast<std::size_t>(call.arguments.integer("max", 1));
  request.visibility = milliseconds(call.arguments.integer("visibility_ms", 30'000));
  request.wait = milliseconds(call.arguments.integer("wait_ms"));
  const Result<std::vector<TimerDelivery>> due =
      co_await recipes->timers.claim(call.arguments.text("queue"), request, std::move(call.options));
  if (!due.ok()) co_return due.status();
  JsonText json;
  json.begin_list("deliveries");
  for (const TimerDelivery& delivery : *due) json.element(to_json(delivery));
  co_return std::move(json.end_list());
}

TimerSettlement::Kind kind_of(const std::string& text) {
  if (text == "extend") return TimerSettlement::Kind::extend;
  return text == "give_back" ? TimerSettlement::Kind::give_back : TimerSettlement::Kind::ack;
}

// Each delivery is settled for itself: the answers stand in the order of the question.
Task<Outcome> settle(Coordination* recipes, Call call) {
  std::vector<TimerSettlement> settlements;
  for (const Arguments& one : call.arguments.objects("deliveries")) {
    TimerSettlement& settlement = settlements.emplace_back();
    settlement.kind = kind_of(call.arguments.text("action"));
    settlement.name = one.text("name");
    const Result<service::TimerToken> token = service::parse_timer_token(one.text("token"));
    if (!token.ok()) co_return wrong_field("deliveries", token.status().message());
    settlement.token = *token;
    settlement.delay = milliseconds(call.arguments.integer("delay_ms"));
  }
  const Result<std::vector<service::TimerSettled>> settled = co_await recipes->timers.settle(
      call.arguments.text("queue"), std::move(settlements), std::move(call.options));
  if (!settled.ok()) co_return settled.status();
  JsonText json;
  json.begin_list("settled");
  for (std::size_t i = 0; i < settled->size(); ++i) {
    const service::TimerSettled& one = (*settled)[i];
    JsonText element;
    element.bytes("name", call.arguments.objects("deliveries")[i].text("name"));
    element.text("outcome", one.status.ok() ? "done" : problem_of(one.status).kind->code);
    if (one.status.ok() && call.arguments.text("action") == "extend")
      element.text("token", service::to_string(one.token));
    json.element(element);
  }
  co_return std::move(json.end_list());
}

Task<Outcome> dead(Coordination* recipes, Call call) {
  const Result<std::vector<service::DeadTimer>> letters =
      co_await recipes->timers.dead(call.arguments.text("queue"), dead_shown_max, std::move(call.options));
  if (!letters.ok()) co_return letters.status();
  JsonText json;
  json.begin_list("timers");
  for (const service::DeadTimer& letter : *letters) {
    JsonText one;
    one.bytes("name", letter.name).bytes("payload", letter.document.payload);
    json.element(one.number("attempts", letter.document.attempts));
  }
  co_return std::move(json.end_list());
}

// ---- the table

Field queue_field() {
  return bytes_field("queue", "of timers; any name without '/'")
      .required()
      .between(1, service::timer_queue_bytes_max);
}
Field timer_name_field() {
  return name_field("the timer's name, in its queue");
}
Field at_field() {
  return integer_field("at_ms", "the time of day of the run, milliseconds since 1970")
      .between(0, epoch_ms_max);
}
std::int64_t most(Duration time) {
  return std::chrono::duration_cast<milliseconds>(time).count();
}

Route set_route(Coordination& recipes) {
  Route route =
      post(recipes, "/v1/timers/set", "Sets a timer: after a while, at a time, or again and again", set);
  route.request = {
      queue_field(),
      timer_name_field(),
      integer_field("after_ms", "due so much later; give this, at_ms or cron")
          .between(0, most(service::timer_delay_max)),
      at_field(),
      text_field("cron", "minute hour day month weekday, or @daily and the like")
          .between(1, service::cron_bytes_max),
      text_field("zone", "of cron, as Europe/Berlin; UTC if absent").between(1, service::zone_bytes_max),
      text_field("missed", "of cron: runs that nobody was there for; once if absent")
          .one_of({"skip", "once", "all"}),
      integer_field("missed_max", "of all: so many in a row; 100 if absent").between(1, 10'000),
      bytes_field("payload", "for whoever works it off").between(0, service::timer_payload_bytes_max),
      text_field("target",
                 "http:// or https:// URL that it is sent to; a queue's timers have one, or none has")
          .between(1, service::timer_target_bytes_max),
      integer_field("attempts_max", "deliveries before it is a dead letter; 16 if absent")
          .between(1, service::timer_attempts_max),
      boolean_field("only_if_new", "refused if there is one of that name; otherwise replaced")};
  route.answer = {timer_name_field(), at_field()};
  route.problems = {"timer_exists", "timer_target_missing", "timer_queue_claimed"};
  return route;
}

Route claim_route(Coordination& recipes) {
  Route route =
      post(recipes, "/v1/timers/claim", "What is due, for whoever asks; waits for it if asked to", claim);
  route.request = {queue_field(),
                   integer_field("max", "so many at once; 1 if absent").between(1, service::timers_per_claim),
                   integer_field("visibility_ms", "how long they are yours unless settled; 30000 if absent")
                       .between(1, most(service::timer_visibility_max)),
                   wait_field()};
  route.answer = {object_list_field("deliveries", "oldest first; none if nothing was due",
                                    {timer_name_field(), bytes_field("payload", "as it was set").required(),
                                     text_field("token", "names this delivery").required(),
                                     integer_field("attempt", "1 for the first").required(), at_field()})
                      .required()};
  return route;
}

Route settle_route(Coordination& recipes) {
  const Field token = text_field("token", "as claim answered").required().between(1, token_bytes_max);
  Route route = post(recipes, "/v1/timers/settle",
                     "Acknowledges deliveries, gives them back, or asks for more time", settle);
  route.request = {
      queue_field(),
      text_field("action", "what becomes of them").required().one_of({"ack", "give_back", "extend"}),
      integer_field("delay_ms", "until it is delivered again; 0 if absent")
          .between(0, most(service::timer_visibility_max)),
      object_list_field("deliveries", "each for itself", {timer_name_field(), token})
          .required()
          .between(1, service::timers_per_claim)};
  route.answer = {object_list_field(
                      "settled", "in the order of the question",
                      {timer_name_field(), text_field("outcome", "done, or the code of a problem").required(),
                       text_field("token", "of an extension: its new name")})
                      .required()};
  return route;
}

}  // namespace

Routes timer_routes(Coordination& recipes) {
  const Fields one = {queue_field(), timer_name_field()};
  const auto about = [&](Route route) {
    route.request = one;
    route.answer = {timer_name_field()};
    route.problems = {"timer_not_found", "timer_exists"};
    return route;
  };
  Route showing = get(recipes, "/v1/timers/show", "When a timer is due", show);
  showing.request = one;
  showing.answer = {timer_name_field(),
                    boolean_field("delivered", "somebody works on it").required(),
                    integer_field("attempts", "deliveries so far").required(),
                    integer_field("due_in_ms", "by the timer clock"),
                    at_field(),
                    text_field("cron", "when again"),
                    text_field("zone", "of cron"),
                    text_field("target", "where it is sent to")};
  showing.problems = {"timer_not_found"};
  Route listing = get(recipes, "/v1/timers/list", "Names of a queue's timers, up to 1000", list);
  listing.request = {
      queue_field(),
      bytes_field("after", "the last name of the page before").between(0, service::name_bytes_max)};
  listing.answer = {
      object_list_field("timers", "in the order of their names", {timer_name_field()}).required()};
  Route dying = get(recipes, "/v1/timers/dead", "What was delivered too often, up to 100", dead);
  dying.request = {queue_field()};
  dying.answer = {object_list_field("timers", "in the order of their names",
                                    {timer_name_field(), bytes_field("payload", "as it was set").required(),
                                     integer_field("attempts", "that it had").required()})
                      .required()};
  return {
      set_route(recipes),
      about(post(recipes, "/v1/timers/cancel", "Removes a timer; a run under way goes on", cancel)),
      std::move(showing),
      std::move(listing),
      claim_route(recipes),
      settle_route(recipes),
      std::move(dying),
      about(post(recipes, "/v1/timers/revive", "A dead letter is due again, with all its attempts", revive)),
      about(post(recipes, "/v1/timers/drop-dead", "Removes a dead letter", drop_dead))};
}

}  // namespace lockstep::gateway::v1
