// /v1/simple: the plain shapes that a small script uses. POST takes, DELETE gives back; 200 or 409.
#include <utility>

#include "gateway/v1/coordination.h"
#include "service/names.h"

namespace lockstep::gateway::v1 {
namespace {

constexpr std::int64_t seconds_max = 9'000'000'000;  // the year 2255; nanoseconds count a little further
constexpr std::string_view in_the_past = "that moment is past";

Fields lock_fields() {
  return {bytes_field("key", "the lock's name").required().between(1, service::name_bytes_max),
          bytes_field("value", "what only its holder knows")
              .required()
              .between(1, service::simple_lock_value_bytes_max)};
}

Field expire_field() {
  return integer_field("expire", "when it ends by itself: seconds since 1970").between(1, seconds_max);
}

// From now; zero or less: that moment is past.
Duration until(Coordination& recipes, std::int64_t expire_s) {
  return std::chrono::seconds(expire_s) - recipes.context.clock.wall_now();
}

Task<Outcome> take(Coordination* recipes, Call call) {
  const Duration ttl = until(*recipes, call.arguments.integer("expire"));
  if (ttl <= Duration::zero()) co_return wrong_field("expire", in_the_past);
  // A lease counts whole milliseconds; the lock may end later than asked, never earlier.
  const Duration whole = std::chrono::ceil<std::chrono::milliseconds>(ttl);
  const Result<Revision> token = co_await recipes->simple_lock.take(
      call.arguments.text("key"), call.arguments.text("value"), whole, std::move(call.options));
  if (!token.ok()) co_return token.status();
  JsonText answer;
  answer.bytes("key", call.arguments.text("key")).number("token", token->value());
  co_return std::move(answer.number("expire", call.arguments.integer("expire")));
}

Task<Outcome> release(Coordination* recipes, Call call) {
  const Status released = co_await recipes->simple_lock.release(
      call.arguments.text("key"), call.arguments.text("value"), std::move(call.options));
  if (!released.ok()) co_return released;
  JsonText answer;
  co_return std::move(answer.bytes("key", call.arguments.text("key")));
}

Task<Outcome> count(Coordination* recipes, Call call) {
  service::CounterAdd add;
  add.delta = call.arguments.integer("value", 1);
  if (call.arguments.has("expire")) {
    const std::int64_t expire_s = call.arguments.integer("expire");
    if (until(*recipes, expire_s) <= Duration::zero()) co_return wrong_field("expire", in_the_past);
    add.expires_at = std::chrono::seconds(expire_s);
  }
  const CounterAnswer answer = [](const service::CounterValue& value) {
    JsonText json;
    return std::move(json.number("value", value.value));
  };
  const Result<service::CounterValue> counted = co_await recipes->counter.add(
      call.arguments.text("key"), add, std::move(call.options), counter_companion(call, answer));
  co_return counter_outcome(call.keeping, counted, answer);
}

Task<Outcome> look(Coordination* recipes, Call call) {
  const Result<service::CounterValue> value =
      co_await recipes->counter.get(call.arguments.text("key"), std::move(call.options));
  if (!value.ok()) co_return value.status();
  JsonText answer;
  co_return std::move(answer.number("value", value->value));
}

Field counter_key_field() {
  return bytes_field("key", "the counter's name").required().between(1, service::name_bytes_max);
}

Routes simple_counter_routes(Coordination& recipes) {
  const std::string path = "/v1/simple/counters";
  const Fields answer = {integer_field("value", "what it counts now").required()};
  Route add = post(recipes, path, "Adds to a counter, the same as /v1/counters", count);
  add.request = {counter_key_field(), integer_field("value", "how much to add; 1 if absent"), expire_field()};
  add.answer = answer;
  add.keeps_answer = true;
  add.problems = {"not_a_counter", "counter_overflow"};
  Route show = get(recipes, path, "What a counter counts; 0 if it does not exist", look);
  show.request = {counter_key_field()};
  show.answer = answer;
  show.problems = {"not_a_counter"};
  return {std::move(add), std::move(show)};
}

}  // namespace

Routes simple_routes(Coordination& recipes) {
  const std::string path = "/v1/simple/locks";
  Route taking = post(recipes, path, "Takes a lock that ends at a given time; 409 if somebody has it", take);
  taking.request = lock_fields();
  taking.request.push_back(expire_field().required());
  taking.answer = {bytes_field("key", "the lock's name").required(),
                   integer_field("token", "only grows from holder to holder").required(),
                   integer_field("expire", "as it was asked for").required()};
  taking.problems = {"lock_held"};
  Route releasing = post(recipes, path, "Gives a lock back; 409 if it is not held with this value", release);
  releasing.method = "DELETE";
  releasing.request = lock_fields();
  releasing.answer = {bytes_field("key", "the lock's name").required()};
  releasing.problems = {"not_holder"};
  Routes routes = simple_counter_routes(recipes);
  routes.push_back(std::move(taking));
  routes.push_back(std::move(releasing));
  return routes;
}

}  // namespace lockstep::gateway::v1
