// /v1/transactions: what owners decide and operators do.
#include <utility>

#include "gateway/v1/transaction_request.h"
#include "gateway/v1/transaction_view.h"
#include "service/transaction/machines.h"

namespace lockstep::gateway::v1 {
namespace {

namespace tx = service::transaction;

constexpr std::int64_t note_bytes_max = 512;

Outcome answer_of(const Result<tx::TransactionView>& view) {
  if (!view.ok()) return view.status();
  return to_json(*view);
}

tx::OperatorNote note_of(const Call& call) {
  return {call.arguments.text("by"), call.arguments.text("reason"), call.user};
}

// Of a registered branch, as its document.
std::string branch_document(const Arguments& given) {
  JsonText json;
  json.text("id", given.text("branch"));
  for (const std::string_view name : {"confirm", "cancel", "commit", "rollback", "payload_text"}) {
    if (given.has(name)) json.text(name, given.text(name));
  }
  for (const std::string_view name : {"payload", "headers", "retry"}) {
    if (given.has(name)) json.json(name, given.text(name));
  }
  return json.str();
}

Task<Outcome> register_branch(Coordination* recipes, Call call) {
  const std::string document = branch_document(call.arguments);
  if (std::optional<Problem> refused = address_problem(recipes->callouts, document)) co_return *refused;
  const Result<tx::TransactionView> view =
      co_await recipes->transactions.register_branch(call.arguments.text("gid"), document, call.options);
  const Status& status = view.status();
  // Not that of who is not logged in, which has the same code in the store.
  const bool wrong =
      status.code() == Code::invalid_argument && problem_of(status).kind->code == "invalid_request";
  if (wrong || status == tx::errors::document_too_large()) co_return branch_problem(status);
  co_return answer_of(view);
}

Task<Outcome> decide(Coordination* recipes, Call call) {
  const bool commit = call.arguments.text("decision") == "commit";
  co_return answer_of(
      co_await recipes->transactions.decide(call.arguments.text("gid"), commit, call.options));
}

Task<Outcome> retry(Coordination* recipes, Call call) {
  co_return answer_of(
      co_await recipes->transactions.retry_now(call.arguments.text("gid"), note_of(call), call.options));
}

Task<Outcome> skip(Coordination* recipes, Call call) {
  co_return answer_of(co_await recipes->transactions.skip(
      call.arguments.text("gid"), call.arguments.text("branch"), note_of(call), call.options));
}

Task<Outcome> finish(Coordination* recipes, Call call) {
  co_return answer_of(
      co_await recipes->transactions.force_finish(call.arguments.text("gid"), note_of(call), call.options));
}

Task<Outcome> forward(Coordination* recipes, Call call) {
  co_return answer_of(
      co_await recipes->transactions.forward(call.arguments.text("gid"), note_of(call), call.options));
}

Task<Outcome> compensate(Coordination* recipes, Call call) {
  co_return answer_of(
      co_await recipes->transactions.compensate(call.arguments.text("gid"), note_of(call), call.options));
}

// ---- the table

Field branch_field() {
  return text_field("branch", "what participants know it by")
      .required()
      .between(1, static_cast<std::int64_t>(tx::branch_bytes_max));
}

Route branch_route(Coordination& recipes) {
  constexpr std::int64_t url_bytes_max = 2048;
  const auto url = [](const char* name, const char* meaning) {
    return text_field(name, meaning).between(0, url_bytes_max);
  };
  const auto json = [](const char* name, const char* meaning) {
    return json_field(name, meaning).between(0, static_cast<std::int64_t>(tx::definition_bytes_max));
  };
  Route route = post(recipes, "/v1/transactions/branches",
                     "One more branch of a tcc or xa transaction, before it is tried", register_branch);
  route.repeatable = true;
  route.request = {gid_field().required(),
                   branch_field(),
                   url("confirm", "of tcc: address"),
                   url("cancel", "of tcc: address"),
                   url("commit", "of xa: address"),
                   url("rollback", "of xa: address"),
                   json("payload", "sent with every call"),
                   text_field("payload_text", "sent as it is, instead")
                       .between(0, static_cast<std::int64_t>(tx::definition_bytes_max)),
                   json("headers", "sent with every call"),
                   json("retry", "how often and how long calls are repeated")};
  route.answer = transaction_fields();
  route.problems = {"transaction_not_found", "transaction_finished", "transaction_not_open",
                    "branch_exists",         "address_forbidden",    "conflict"};
  return route;
}

}  // namespace

Routes transaction_edit_routes(Coordination& recipes) {
  const auto by_hand = [&](const char* path, const char* summary, RecipeHandler handler) {
    Route route = post(recipes, path, summary, handler);
    const auto note = [](const char* name, const char* meaning) {
      return text_field(name, meaning).required().between(1, note_bytes_max);
    };
    route.request = {gid_field().required(), note("by", "who does it, for the record"),
                     note("reason", "why, for the record")};
    route.answer = transaction_fields();
    route.problems = {"transaction_not_found", "transaction_finished", "conflict"};
    return route;
  };
  Route deciding = post(recipes, "/v1/transactions/decide",
                        "The owner's decision about a tcc, xa or message; the first one counts", decide);
  deciding.repeatable = true;
  deciding.request = {gid_field().required(),
                      text_field("decision", "all of it, or nothing").required().one_of({"commit", "abort"})};
  deciding.answer = transaction_fields();
  deciding.problems = {"transaction_not_found", "transaction_finished", "decided_otherwise", "conflict"};
  Route retrying = by_hand("/v1/transactions/retry", "What waits to be tried again is tried now", retry);
  retrying.repeatable = true;
  Route skipping =
      by_hand("/v1/transactions/skip", "The call of a branch counts as done, on the record", skip);
  skipping.request.insert(skipping.request.begin() + 1, branch_field());
  skipping.problems.emplace_back("branch_not_called");
  return {branch_route(recipes),
          std::move(deciding),
          std::move(retrying),
          std::move(skipping),
          by_hand("/v1/transactions/finish", "Ends a transaction as it is, as failed, on the record", finish),
          by_hand("/v1/transactions/forward", "What failed or is held is tried again", forward),
          by_hand("/v1/transactions/compensate", "What is held is undone", compensate)};
}

}  // namespace lockstep::gateway::v1
