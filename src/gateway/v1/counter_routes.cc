// /v1/counters: whole numbers that many add to at once.
#include <utility>

#include "gateway/v1/coordination.h"
#include "gateway/v1/follow.h"
#include "service/names.h"

namespace lockstep::gateway::v1 {
namespace {

using service::CounterValue;

Field end_field() {
  return integer_field("ttl_ms", "how long from now until it ends by itself; as it is if absent")
      .between(1, std::chrono::milliseconds(std::chrono::hours(24 * 365 * 100)).count());
}

Fields value_fields() {
  return {name_field("the counter's name"), integer_field("value", "what it counts now").required()};
}

std::optional<Duration> end_of(Coordination& recipes, const Call& call) {
  if (!call.arguments.has("ttl_ms")) return std::nullopt;
  return recipes.context.clock.wall_now() + std::chrono::milliseconds(call.arguments.integer("ttl_ms"));
}

JsonText counted(const std::string& name, const CounterValue& value) {
  JsonText json;
  return std::move(json.bytes("name", name).number("value", value.value));
}

JsonText shown(const std::string& name, const CounterValue& value) {
  JsonText json;
  json.bytes("name", name).number("value", value.value);
  return std::move(json.boolean("exists", value.exists));
}

Task<Outcome> add(Coordination* recipes, Call call) {
  service::CounterAdd request;
  request.delta = call.arguments.integer("delta", 1);
  request.expires_at = end_of(*recipes, call);
  std::string name = call.arguments.text("name");
  const CounterAnswer answer = [name](const CounterValue& value) { return counted(name, value); };
  const Result<CounterValue> value = co_await recipes->counter.add(
      std::move(name), request, std::move(call.options), counter_companion(call, answer));
  co_return counter_outcome(call.keeping, value, answer);
}

Task<Outcome> set(Coordination* recipes, Call call) {
  service::CounterSet request;
  request.value = call.arguments.integer("value");
  if (call.arguments.has("expected")) request.expected = call.arguments.integer("expected");
  request.expires_at = end_of(*recipes, call);
  std::string name = call.arguments.text("name");
  const CounterAnswer answer = [name](const CounterValue& value) { return counted(name, value); };
  const Result<CounterValue> value = co_await recipes->counter.set(
      std::move(name), request, std::move(call.options), counter_companion(call, answer));
  co_return counter_outcome(call.keeping, value, answer);
}

Task<Outcome> remove(Coordination* recipes, Call call) {
  std::string name = call.arguments.text("name");
  const CounterAnswer answer = [name](const CounterValue& value) { return shown(name, value); };
  const Result<CounterValue> value = co_await recipes->counter.remove(
      std::move(name), std::move(call.options), counter_companion(call, answer));
  co_return counter_outcome(call.keeping, value, answer);
}

Task<Outcome> show(Coordination* recipes, Call call) {
  std::string name = call.arguments.text("name");
  const Result<CounterValue> value = co_await recipes->counter.get(name, std::move(call.options));
  if (!value.ok()) co_return value.status();
  co_return shown(name, *value);
}

Task<Result<State>> read_value(Coordination* recipes, std::string name, store::CallOptions options) {
  const Result<CounterValue> value = co_await recipes->counter.get(name, std::move(options));
  if (!value.ok()) co_return value.status();
  co_return State{"value", shown(name, *value), value->revision};
}

Task<Status> watch(Coordination* recipes, Call call, EventSink* sink) {
  const std::string name = call.arguments.text("name");
  Following what;
  what.key = service::counter_key(name);
  what.read = [recipes, name](store::CallOptions options) {
    return read_value(recipes, name, std::move(options));
  };
  return follow(recipes, std::move(what), std::move(call.options), sink);
}

}  // namespace

std::optional<service::CounterCompanion> counter_companion(const Call& call, CounterAnswer answer) {
  if (call.keeping == nullptr) return std::nullopt;
  service::CounterCompanion beside;
  beside.key = call.keeping->key;
  beside.expected = call.keeping->revision;
  beside.ttl = call.keeping->keep;
  beside.value = [keeping = call.keeping, answer = std::move(answer)](const CounterValue& value) {
    return keeping->record(answer(value));
  };
  return beside;
}

Outcome counter_outcome(const std::shared_ptr<AnswerKeeping>& keeping, const Result<CounterValue>& value,
                        const CounterAnswer& answer) {
  if (value.status() == service::errors::counter_companion_lost())
    return make_problem("idempotency_in_progress", "it took too long, and was begun again");
  if (!value.ok()) return value.status();
  if (value->with_companion) keeping->kept = true;
  return answer(*value);
}

Routes counter_routes(Coordination& recipes) {
  Fields whole = value_fields();
  whole.push_back(boolean_field("exists", "or counts as zero").required());
  Route adding =
      post(recipes, "/v1/counters/add", "Adds to a counter, and makes it if it does not exist", add);
  adding.request = {name_field("the counter's name"), integer_field("delta", "how much; 1 if absent"),
                    end_field()};
  adding.answer = value_fields();
  adding.problems = {"not_a_counter", "counter_overflow"};
  Route setting = post(recipes, "/v1/counters/set", "Sets a counter, if it is as expected", set);
  setting.request = {name_field("the counter's name"),
                     integer_field("value", "what it is to count").required(),
                     integer_field("expected", "refused unless it counts this now"), end_field()};
  setting.answer = value_fields();
  setting.problems = {"not_a_counter", "value_differs"};
  Route removing = post(recipes, "/v1/counters/remove", "Removes a counter; answers what it was", remove);
  removing.request = {name_field("the counter's name")};
  removing.answer = whole;
  removing.problems = {"not_a_counter"};
  for (Route* route : {&adding, &setting, &removing}) route->keeps_answer = true;
  Route showing = get(recipes, "/v1/counters/show", "What a counter counts", show);
  showing.request = {name_field("the counter's name")};
  showing.answer = whole;
  showing.problems = {"not_a_counter"};
  Route watching = stream(recipes, "/v1/counters/watch", "A counter's values as they change", watch);
  watching.request = {name_field("the counter's name")};
  watching.events = {{"value", "what it counts; values in between may be left out", whole},
                     restarted_event()};
  watching.problems = {"not_a_counter"};
  return {std::move(adding), std::move(setting), std::move(removing), std::move(showing),
          std::move(watching)};
}

}  // namespace lockstep::gateway::v1
