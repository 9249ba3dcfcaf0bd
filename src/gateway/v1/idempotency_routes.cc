// /v1/idempotency: for services that want their own requests to take effect once.
#include <utility>

#include "gateway/v1/coordination.h"
#include "service/names.h"

namespace lockstep::gateway::v1 {
namespace {

using service::IdempotencyState;
using std::chrono::milliseconds;

std::string_view state_text(IdempotencyState::Kind kind) {
  switch (kind) {
    case IdempotencyState::Kind::first:
      return "first";
    case IdempotencyState::Kind::in_progress:
      return "in_progress";
    case IdempotencyState::Kind::done:
      return "done";
    case IdempotencyState::Kind::mismatch:
      return "mismatch";
  }
  return "";
}

Task<Outcome> begin(Coordination* recipes, Call call) {
  service::IdempotencyBegin request;
  request.key = call.arguments.text("key");
  request.fingerprint = call.arguments.text("fingerprint");
  if (call.arguments.has("ttl_ms")) request.in_progress_time = milliseconds(call.arguments.integer("ttl_ms"));
  const Result<IdempotencyState> state =
      co_await recipes->idempotency.begin(std::move(request), std::move(call.options));
  if (!state.ok()) co_return state.status();
  JsonText json;
  json.text("state", state_text(state->kind));
  if (state->kind == IdempotencyState::Kind::first) json.text("token", service::to_string(state->token));
  if (state->kind == IdempotencyState::Kind::done) json.bytes("answer", state->answer);
  co_return std::move(json);
}

Task<Outcome> complete(Coordination* recipes, Call call) {
  const Result<service::IdempotencyToken> token =
      service::parse_idempotency_token(call.arguments.text("token"));
  if (!token.ok()) co_return wrong_field("token", token.status().message());
  std::string key = call.arguments.text("key");
  const Duration keep = milliseconds(call.arguments.integer("keep_ms"));
  const Status done = co_await recipes->idempotency.complete(key, *token, call.arguments.text("answer"), keep,
                                                             std::move(call.options));
  if (!done.ok()) co_return done;
  JsonText json;
  co_return std::move(json.bytes("key", key));
}

Task<Outcome> abandon(Coordination* recipes, Call call) {
  const Result<service::IdempotencyToken> token =
      service::parse_idempotency_token(call.arguments.text("token"));
  if (!token.ok()) co_return wrong_field("token", token.status().message());
  std::string key = call.arguments.text("key");
  const Status done = co_await recipes->idempotency.abandon(key, *token, std::move(call.options));
  if (!done.ok()) co_return done;
  JsonText json;
  co_return std::move(json.bytes("key", key));
}

std::int64_t most(Duration time) {
  return std::chrono::duration_cast<milliseconds>(time).count();
}

}  // namespace

Routes idempotency_routes(Coordination& recipes) {
  const Field key = bytes_field("key", "of the work").required().between(1, service::name_bytes_max);
  const Field token = text_field("token", "as begin answered").required().between(1, 64);
  Route beginning =
      post(recipes, "/v1/idempotency/begin", "Whether the work is to be done, or was done", begin);
  beginning.request = {key,
                       bytes_field("fingerprint", "of the work: the same key for other work is a mismatch")
                           .required()
                           .between(0, service::fingerprint_bytes_max),
                       integer_field("ttl_ms", "how long the work may take; 60000 if absent")
                           .between(1, most(service::in_progress_time_max))};
  beginning.answer = {text_field("state", "first: do it; done: it was")
                          .required()
                          .one_of({"first", "in_progress", "done", "mismatch"}),
                      text_field("token", "of a first, for complete and abandon"),
                      bytes_field("answer", "of what was done")};
  Route completing =
      post(recipes, "/v1/idempotency/complete", "The work was done, with this answer", complete);
  completing.request = {
      key, token,
      bytes_field("answer", "for whoever asks again").required().between(0, service::stored_answer_bytes_max),
      integer_field("keep_ms", "how long it is given").required().between(1, most(service::answer_time_max))};
  completing.answer = {key};
  completing.problems = {"not_the_first", "already_completed"};
  Route abandoning =
      post(recipes, "/v1/idempotency/abandon", "The work was not done: the next begin is first", abandon);
  abandoning.request = {key, token};
  abandoning.answer = {key};
  abandoning.problems = {"not_the_first", "already_completed"};
  // These are what makes others idempotent.
  Routes routes = {std::move(beginning), std::move(completing), std::move(abandoning)};
  for (Route& route : routes) route.mutates = false;
  return routes;
}

}  // namespace lockstep::gateway::v1
