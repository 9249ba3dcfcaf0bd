// /v1/limits: so much in a period, whoever asks.
#include <utility>

#include "gateway/v1/coordination.h"
#include "service/names.h"

namespace lockstep::gateway::v1 {
namespace {

using std::chrono::milliseconds;

Task<Outcome> take(Coordination* recipes, Call call) {
  service::LimitTake request;
  if (call.arguments.text("algorithm") == "sliding_window")
    request.rule.algorithm = service::LimitAlgorithm::sliding_window;
  request.rule.limit = call.arguments.integer("limit");
  request.rule.period = milliseconds(call.arguments.integer("period_ms"));
  request.rule.burst = call.arguments.integer("burst");
  request.cost = call.arguments.integer("cost", 1);
  std::string name = call.arguments.text("name");
  const Result<service::LimitAnswer> answer =
      co_await recipes->limiter.take(name, request, std::move(call.options));
  if (!answer.ok()) co_return answer.status();
  JsonText json;
  json.bytes("name", name).boolean("allowed", answer->allowed).number("remaining", answer->remaining);
  const auto wait = std::chrono::ceil<milliseconds>(answer->retry_after);
  co_return std::move(json.number("retry_after_ms", answer->allowed ? 0 : wait.count()));
}

Task<Outcome> reset(Coordination* recipes, Call call) {
  std::string name = call.arguments.text("name");
  const Status done = co_await recipes->limiter.reset(name, std::move(call.options));
  if (!done.ok()) co_return done;
  JsonText json;
  co_return std::move(json.bytes("name", name));
}

}  // namespace

Routes limit_routes(Coordination& recipes) {
  const Field name = name_field("the limit's name");
  Route taking =
      post(recipes, "/v1/limits/take", "Asks whether something is allowed now, and counts it", take);
  const auto amount = [](const char* field, const char* meaning) {
    return integer_field(field, meaning).between(0, service::limit_max);
  };
  taking.request = {
      name,
      text_field("algorithm", "token_bucket if absent").one_of({"token_bucket", "sliding_window"}),
      amount("limit", "so much in each period").required().between(1, service::limit_max),
      integer_field("period_ms", "how long a period is")
          .required()
          .between(1, std::chrono::duration_cast<milliseconds>(service::limit_period_max).count()),
      amount("burst", "of a token bucket: so much at once; as the limit if absent"),
      amount("cost", "all or nothing of it; 1 if absent, 0 only looks")};
  taking.answer = {
      name, boolean_field("allowed", "and counted; otherwise nothing was").required(),
      integer_field("remaining", "that could be taken now").required(),
      integer_field("retry_after_ms", "when it may be allowed, if nobody else takes it; 0: it was")
          .required()};
  taking.problems = {"not_a_limit"};
  Route resetting = post(recipes, "/v1/limits/reset", "Forgets what was counted", reset);
  resetting.request = {name};
  resetting.answer = {name};
  return {std::move(taking), std::move(resetting)};
}

}  // namespace lockstep::gateway::v1
