// /v1/transactions: what many services do, all of it or nothing.
#include <utility>

#include "gateway/v1/follow.h"
#include "gateway/v1/transaction_request.h"
#include "gateway/v1/transaction_view.h"
#include "service/transaction/machines.h"

namespace lockstep::gateway::v1 {
namespace {

namespace tx = service::transaction;
using std::chrono::milliseconds;

constexpr std::int64_t cursor_bytes_max = 512;

// As it stands when it is finished or the time is over, whichever is first. An error of waiting is no error
// of what was done before.
Task<tx::TransactionView> waited_for(Coordination* recipes, tx::TransactionView view, Call call) {
  const std::int64_t wait_ms = call.arguments.integer("wait_ms");
  if (wait_ms == 0 || view.finished()) co_return view;
  store::CallOptions waiting = call.options;
  waiting.deadline = recipes->context.clock.now() + milliseconds(wait_ms);
  Result<tx::TransactionView> finished = co_await recipes->transactions.wait(view.gid, waiting);
  if (!finished.ok()) finished = co_await recipes->transactions.get(view.gid, call.options);
  co_return finished.ok() ? *std::move(finished) : std::move(view);
}

// Whose fault it was: what the machine refuses is the document's.
Outcome submit_error(const Status& status, const tx::Submission& submission, const Call& call) {
  if (status == tx::errors::gid_wrong()) return wrong_field("gid", status.message());
  if (status.code() != Code::invalid_argument && status.code() != Code::resource_exhausted) return status;
  if (status == tx::errors::document_too_large()) return definition_problem(status, call.arguments);
  const auto machine = tx::make_machine(submission.mode, submission.document, {}, submission.gid);
  if (machine.ok()) return status;
  return definition_problem(machine.status(), call.arguments);
}

Task<Outcome> submit(Coordination* recipes, Call call) {
  tx::Submission submission;
  submission.mode = *tx::parse_mode(call.arguments.text("mode"));
  submission.gid = call.arguments.text("gid");
  submission.user = call.user;
  submission.document = document_of(submission.mode, call.arguments, recipes->services);
  if (std::optional<Problem> refused = address_problem(recipes->callouts, submission.document))
    co_return *refused;
  Result<tx::Submitted> submitted = co_await recipes->transactions.submit(submission, call.options);
  if (!submitted.ok()) co_return submit_error(submitted.status(), submission, call);
  const bool existed = submitted->existed;
  const tx::TransactionView view =
      co_await waited_for(recipes, std::move(submitted->transaction), std::move(call));
  JsonText json = to_json(view);
  co_return std::move(json.boolean("existed", existed));
}

Task<Outcome> wait(Coordination* recipes, Call call) {
  Result<tx::TransactionView> view =
      co_await recipes->transactions.get(call.arguments.text("gid"), call.options);
  if (!view.ok()) co_return view.status();
  co_return to_json(co_await waited_for(recipes, *std::move(view), std::move(call)));
}

// Into JSON; the view says the rest.
Task<Result<tx::TransactionView>> read_details(Coordination* recipes, std::string gid,
                                               store::CallOptions options, JsonText* json) {
  Result<tx::TransactionView> view = co_await recipes->transactions.get(gid, options);
  if (!view.ok()) co_return view.status();
  Result<tx::Next> next = co_await recipes->transactions.next(gid, options);
  if (!next.ok()) co_return next.status();
  Result<std::vector<tx::Audit>> audits = co_await recipes->transactions.audits(gid, options);
  if (!audits.ok()) co_return audits.status();
  Result<JsonText> shown = to_json({*view, *std::move(next), *std::move(audits)});
  if (!shown.ok()) co_return shown.status();
  *json = *std::move(shown);
  co_return view;
}

Task<Outcome> show(Coordination* recipes, Call call) {
  JsonText json;
  const Result<tx::TransactionView> view =
      co_await read_details(recipes, call.arguments.text("gid"), call.options, &json);
  if (!view.ok()) co_return view.status();
  co_return json;
}

Task<Outcome> definition(Coordination* recipes, Call call) {
  const std::string& gid = call.arguments.text("gid");
  const Result<std::vector<std::string>> documents =
      co_await recipes->transactions.documents(gid, call.options);
  if (!documents.ok()) co_return documents.status();
  JsonText json;
  json.text("gid", gid).json("definition", documents->front());
  std::string branches;
  for (std::size_t i = 1; i < documents->size(); ++i) branches += (i > 1 ? "," : "") + (*documents)[i];
  co_return std::move(json.json("branches", "[" + branches + "]"));
}

Task<Outcome> list(Coordination* recipes, Call call) {
  tx::ListRequest request;
  if (call.arguments.has("state")) request.state = tx::parse_verdict(call.arguments.text("state"));
  request.needs_operator_only = call.arguments.boolean("needs_operator");
  request.cursor = call.arguments.text("cursor");
  request.limit =
      static_cast<std::size_t>(call.arguments.integer("limit", static_cast<std::int64_t>(request.limit)));
  const Result<tx::Listed> listed = co_await recipes->transactions.list(request, call.options);
  if (!listed.ok()) co_return listed.status();
  JsonText json;
  json.begin_list("transactions");
  for (const tx::TransactionView& view : listed->transactions) json.element(to_json(view));
  json.end_list();
  if (!listed->cursor.empty()) json.text("cursor", listed->cursor);
  co_return json;
}

Task<Outcome> new_gid(Coordination* recipes, Call /*call*/) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string gid;
  for (int half = 0; half < 2; ++half) {
    const std::uint64_t number = recipes->context.random.next();
    for (unsigned shift = 64; shift > 0; shift -= 4) gid += digits[number >> (shift - 4) & 15U];
  }
  JsonText json;
  co_return std::move(json.text("gid", gid));
}

// NOLINTBEGIN(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<Status> watch(Coordination* recipes, Call call, EventSink* sink) {
  const std::string gid = call.arguments.text("gid");
  if (Status good = tx::check_gid(gid); !good.ok()) co_return good;
  Following what;
  // What finishes is taken away from there.
  what.key = tx::unfinished_key(gid);
  what.read = [recipes, gid](store::CallOptions options) -> Task<Result<State>> {
    return [](Coordination* from, std::string of, store::CallOptions with) -> Task<Result<State>> {
      State state;
      const Result<tx::TransactionView> view =
          co_await read_details(from, std::move(of), std::move(with), &state.data);
      if (!view.ok()) co_return view.status();
      state.event = "transaction";
      state.revision = view->revision;
      state.last = view->finished();
      co_return state;
    }(recipes, gid, std::move(options));
  };
  co_return co_await follow(recipes, std::move(what), call.options, sink);
}
// NOLINTEND(cppcoreguidelines-avoid-reference-coroutine-parameters)

// ---- the table

Route submit_route(Coordination& recipes) {
  Route route = post(recipes, "/v1/transactions",
                     "Begins a transaction; the same one under the same gid is begun once", submit);
  route.request = {
      gid_field(),
      text_field("mode", "what kind it is").required().one_of(mode_names()),
      wait_field(),
  };
  for (Field& field : definition_fields()) route.request.push_back(std::move(field));
  route.answer = transaction_fields();
  route.answer.push_back(boolean_field("existed", "it had been submitted before").required());
  route.problems = {"transaction_exists", "address_forbidden", "conflict", "too_many_transactions"};
  return route;
}

}  // namespace

Routes transaction_routes(Coordination& recipes) {
  const auto about = [&](Route route) {
    route.request.insert(route.request.begin(), gid_field().required());
    route.problems = {"transaction_not_found"};
    return route;
  };
  Route listing = get(recipes, "/v1/transactions", "Transactions, those that are not finished first", list);
  listing.request = {
      text_field("state", "only those that stand there").one_of(state_names()),
      boolean_field("needs_operator", "only those that somebody must look at"),
      text_field("cursor", "of the page before").between(0, cursor_bytes_max),
      integer_field("limit", "so many; 100 if absent").between(1, static_cast<std::int64_t>(tx::listed_max))};
  listing.answer = {object_list_field("transactions", "a page", transaction_fields()).required(),
                    text_field("cursor", "for the next page; absent: that was the last one")};
  Route showing = about(get(recipes, "/v1/transactions/show", "Every call of a transaction", show));
  showing.answer = transaction_details_fields();
  Route one =
      about(get(recipes, "/v1/transactions/{gid}", "As show; of a gid that is no other path's", show));
  one.answer = transaction_details_fields();
  Route waiting = about(get(recipes, "/v1/transactions/wait",
                            "A transaction once it is finished, or as it stands after the time", wait));
  waiting.request.push_back(wait_field());
  waiting.answer = transaction_fields();
  Route watching = about(stream(recipes, "/v1/transactions/watch", "A transaction as it goes on", watch));
  watching.events = {
      {"transaction", "as show answers; the last one is finished", transaction_details_fields()},
      restarted_event()};
  Route defining =
      about(get(recipes, "/v1/transactions/definition", "What a transaction was submitted with", definition));
  defining.problems.emplace_back("transaction_forgotten");
  defining.answer = {gid_field().required(), json_field("definition", "as it is kept").required(),
                     json_field("branches", "those that were registered later").required()};
  Route naming = get(recipes, "/v1/transactions/new-gid", "A gid that nobody has", new_gid);
  naming.answer = {gid_field().required()};
  return {submit_route(recipes), std::move(listing),  std::move(showing),  std::move(one),
          std::move(waiting),    std::move(watching), std::move(defining), std::move(naming)};
}

}  // namespace lockstep::gateway::v1
