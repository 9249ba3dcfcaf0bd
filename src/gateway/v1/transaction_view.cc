#include "gateway/v1/transaction_view.h"

#include <algorithm>

#include "gateway/v1/transaction_request.h"

namespace lockstep::gateway::v1 {
namespace {

namespace tx = service::transaction;

std::string_view kind_text(tx::Entry::Kind kind) {
  switch (kind) {
    case tx::Entry::Kind::outcome:
      return "outcome";
    case tx::Entry::Kind::decision:
      return "decision";
    case tx::Entry::Kind::timed_out:
      return "timed_out";
    case tx::Entry::Kind::forward:
      return "forward";
    case tx::Entry::Kind::compensate:
      return "compensate";
  }
  return "outcome";
}

JsonText journal_entry(const tx::JournalLine& line) {
  JsonText json;
  json.number("at_ms", line.at_ms).text("kind", kind_text(line.entry.kind));
  if (line.entry.kind == tx::Entry::Kind::decision) json.boolean("commit", line.entry.commit);
  if (line.entry.kind != tx::Entry::Kind::outcome) return json;
  json.text("branch", line.entry.branch).text("operation", tx::to_string(line.entry.operation));
  json.text("outcome", tx::to_string(line.entry.outcome)).number("status", line.entry.status);
  json.number("attempts", line.attempts).number("took_ms", line.took_ms);
  if (!line.entry.output.empty()) json.bytes("output", line.entry.output);
  return json;
}

JsonText done_branch(const tx::JournalLine& line) {
  JsonText json;
  json.text("branch", line.entry.branch).text("operation", tx::to_string(line.entry.operation));
  json.text("state", tx::to_string(line.entry.outcome)).number("attempts", line.attempts);
  json.number("status", line.entry.status);
  return std::move(json.number("at_ms", line.at_ms).number("took_ms", line.took_ms));
}

// Of a call that has no outcome yet; what is not recorded of it was not begun.
JsonText open_branch(const tx::State& state, const std::string& branch, tx::Operation operation, bool held) {
  JsonText json;
  json.text("branch", branch).text("operation", tx::to_string(operation));
  json.text("state", held ? "held" : "under_way");
  const auto found = std::ranges::find_if(state.calls, [&](const tx::CallState& call) {
    return call.branch == branch && call.operation == operation;
  });
  if (found == state.calls.end()) return std::move(json.number("attempts", 0).number("status", 0));
  json.number("attempts", found->attempts).number("status", found->status);
  if (!found->error.empty()) json.text("error", found->error);
  return json;
}

JsonText to_json(const tx::Audit& audit) {
  JsonText json;
  json.text("action", audit.action).text("by", audit.by).text("reason", audit.reason).text("was", audit.was);
  if (!audit.user.empty()) json.text("user", audit.user);
  if (!audit.branch.empty()) json.text("branch", audit.branch);
  return std::move(json.number("at_ms", audit.at_ms));
}

Field operation_field() {
  return text_field("operation", "action, compensate, try, confirm, cancel and so on").required();
}

Fields branch_fields() {
  return {
      text_field("branch", "what participants know it by").required(),
      operation_field(),
      text_field("state", "of the call; held: it waits for an operator")
          .required()
          .one_of({"done", "refused", "gave_up", "skipped", "refused_late", "dropped", "under_way", "held"}),
      integer_field("attempts", "that it had").required(),
      integer_field("status", "HTTP's, of the last answer; 0: none came").required(),
      integer_field("at_ms", "when it ended, counted from created_ms"),
      integer_field("took_ms", "of the last attempt"),
      text_field("error", "why the last attempt has no outcome")};
}

Fields journal_fields() {
  return {integer_field("at_ms", "counted from created_ms").required(),
          text_field("kind", "what was recorded")
              .required()
              .one_of({"outcome", "decision", "timed_out", "forward", "compensate"}),
          boolean_field("commit", "of a decision"),
          text_field("branch", "of an outcome"),
          text_field("operation", "of an outcome"),
          text_field("outcome", "done, refused, gave_up, skipped, refused_late or dropped"),
          integer_field("status", "HTTP's; 0: none came"),
          integer_field("attempts", "that it took"),
          integer_field("took_ms", "of the last attempt"),
          bytes_field("output", "the answer's body, as far as it is kept")};
}

Fields audit_fields() {
  return {text_field("action", "what was done").required(),
          text_field("by", "by whom, in their words").required(),
          text_field("user", "by whom, as the server knew them"),
          text_field("reason", "why, in their words").required(),
          text_field("was", "the state before").required(),
          text_field("branch", "that was skipped"),
          integer_field("at_ms", "since 1970").required()};
}

}  // namespace

Field gid_field() {
  return text_field("gid", "the transaction: printable characters without '/'")
      .between(1, static_cast<std::int64_t>(tx::gid_bytes_max));
}

Fields transaction_fields() {
  return {gid_field().required(),
          text_field("mode", "what kind it is").required().one_of(mode_names()),
          text_field("state", "where it stands").required().one_of(state_names()),
          boolean_field("finished", "it does not change any more").required(),
          text_field("reason", "why it is undone, or failed"),
          integer_field("created_ms", "since 1970, by the clock of whoever took it").required(),
          integer_field("changed_ms", "since 1970, likewise").required(),
          boolean_field("needs_operator", "somebody must look at it").required(),
          text_field("needs_operator_why", "what hinders it"),
          integer_field("needs_operator_since_ms", "since 1970"),
          text_field("user", "who submitted it, as the server knew them"),
          json_field("result", "of one that is finished: a saga's outputs")};
}

JsonText to_json(const tx::TransactionView& view) {
  const tx::State& state = view.state;
  JsonText json;
  json.text("gid", view.gid).text("mode", tx::to_string(state.mode));
  json.text("state", tx::to_string(state.verdict)).boolean("finished", view.finished());
  if (!state.reason.empty()) json.text("reason", state.reason);
  json.number("created_ms", state.created_ms).number("changed_ms", state.changed_ms);
  json.boolean("needs_operator", !state.needs_operator.empty());
  if (!state.needs_operator.empty()) {
    json.text("needs_operator_why", state.needs_operator);
    json.number("needs_operator_since_ms", state.needs_operator_since_ms);
  }
  if (!state.user.empty()) json.text("user", state.user);
  if (!state.result.empty() && is_json(state.result)) json.json("result", state.result);
  return json;
}

Fields transaction_details_fields() {
  Fields fields = transaction_fields();
  fields.push_back(
      object_list_field("branches", "every call: those that ended, then those that did not", branch_fields())
          .required());
  fields.push_back(
      object_list_field("journal", "what was recorded, in its order", journal_fields()).required());
  fields.push_back(object_list_field("audits", "what operators did", audit_fields()).required());
  return fields;
}

Result<JsonText> to_json(const TransactionDetails& details) {
  const tx::State& state = details.view.state;
  LS_ASSIGN_OR_RETURN(const std::vector<tx::JournalLine> journal, tx::parse_journal(state.journal));
  JsonText json = to_json(details.view);
  json.begin_list("branches");
  for (const tx::JournalLine& line : journal) {
    if (line.entry.kind == tx::Entry::Kind::outcome) json.element(done_branch(line));
  }
  for (const tx::Call& call : details.next.calls)
    json.element(open_branch(state, call.branch, call.operation, false));
  for (const auto& [branch, operation] : details.next.held_calls)
    json.element(open_branch(state, branch, operation, true));
  json.end_list().begin_list("journal");
  for (const tx::JournalLine& line : journal) json.element(journal_entry(line));
  json.end_list().begin_list("audits");
  for (const tx::Audit& audit : details.audits) json.element(to_json(audit));
  return std::move(json.end_list());
}

}  // namespace lockstep::gateway::v1
