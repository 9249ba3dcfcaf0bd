// /v1/simple: the plain shapes that a small script uses. POST takes, DELETE gives back; 200 or 409.
#include <utility>

#include "gateway/v1/coordination.h"
#include "service/names.h"

namespace lockstep::gateway::v1 {
namespace {

constexpr std::int64_t seconds_max = 9'000'000'000;  // the year 2255; nanoseconds count a little further

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
  if (ttl <= Duration::zero()) {
    Problem past = make_problem("invalid_request", "/expire: that moment is past");
    past.pointer = "/expire";
    co_return past;
  }
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

Route take_route(Coordination& recipes) {
  Route route;
  route.method = "POST";
  route.path = "/v1/simple/locks";
  route.tag = "simple";
  route.summary = "Takes a lock that ends at a given time; 409 if somebody has it";
  route.request = lock_fields();
  route.request.push_back(expire_field().required());
  route.answer = {bytes_field("key", "the lock's name").required(),
                  integer_field("token", "only grows from holder to holder").required(),
                  integer_field("expire", "as it was asked for").required()};
  route.problems = {"lock_held"};
  route.mutates = true;
  route.handler = [&recipes](Call call) { return take(&recipes, std::move(call)); };
  return route;
}

Route release_route(Coordination& recipes) {
  Route route;
  route.method = "DELETE";
  route.path = "/v1/simple/locks";
  route.tag = "simple";
  route.summary = "Gives a lock back; 409 if it is not held with this value";
  route.request = lock_fields();
  route.answer = {bytes_field("key", "the lock's name").required()};
  route.problems = {"not_holder"};
  route.mutates = true;
  route.handler = [&recipes](Call call) { return release(&recipes, std::move(call)); };
  return route;
}

}  // namespace

Routes simple_routes(Coordination& recipes) {
  return {take_route(recipes), release_route(recipes)};
}

}  // namespace lockstep::gateway::v1
