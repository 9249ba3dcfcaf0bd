#include "service/transaction/saga/lint.h"

#include <algorithm>
#include <iterator>
#include <set>

#include "service/transaction/saga/definition.h"

namespace lockstep::service::transaction::saga {
namespace {

void look_at_compensation(const Definition& definition, Problems* problems) {
  std::vector<bool> has_follower(definition.states.size());
  for (const State& state : definition.states) {
    for (const std::size_t before : state.after) has_follower[before] = true;
  }
  for (std::size_t i = 0; i < definition.states.size(); ++i) {
    const State& state = definition.states[i];
    if (state.kind != StateKind::task || state.is_compensation || state.action.url.empty()) continue;
    if (state.compensate.has_value()) {
      if (state.compensate->url == state.action.url)
        problems->warn(state.path,
                       "is undone by the same URL that does it; the service must tell them apart by "
                       "the header Lockstep-Operation");
      continue;
    }
    if (definition.language == SagaLanguage::states) {
      if (state.is_update)
        problems->warn(state.path,
                       "changes something (IsForUpdate) and has no CompensateState: what it did stays");
    } else if (has_follower[i]) {
      problems->warn(state.path, "has no compensate: if a later step fails, what it did stays");
    } else {
      problems->note(state.path, "has no compensate: if its outcome stays unknown, what it did stays");
    }
  }
}

void look_at_patience(const Definition& definition, Problems* problems) {
  if (definition.time_limit != Duration::zero()) {
    if (definition.forward) problems->note("", "the time limit undoes nothing, since failures go forward");
    return;
  }
  for (const State& state : definition.states) {
    if (state.kind != StateKind::task || state.is_compensation || state.action.url.empty()) continue;
    if (state.action.retry.attempts_max != 0) continue;
    problems->note(
        "", "has no timeout, and " + state.name +
                " is repeated without end while its outcome is not known; an operator is called after " +
                std::to_string(state.action.retry.attempts_alarm) + " attempts");
    return;
  }
}

void look_at_reachability(const Definition& definition, Problems* problems) {
  if (definition.language != SagaLanguage::states) return;
  std::vector<bool> seen(definition.states.size());
  std::vector<std::size_t> due = {definition.start};
  while (!due.empty()) {
    const std::size_t at = due.back();
    due.pop_back();
    if (seen[at]) continue;
    seen[at] = true;
    const State& state = definition.states[at];
    if (state.next.has_value()) due.push_back(*state.next);
    for (const CatchRule& rule : state.catches) due.push_back(rule.next);
    for (const ChoiceRule& rule : state.choices) due.push_back(rule.next);
  }
  for (std::size_t i = 0; i < definition.states.size(); ++i) {
    if (!seen[i] && !definition.states[i].is_compensation)
      problems->warn(definition.states[i].path, "no way leads here");
  }
}

// Names that are looked at and that nothing sets: null, for ever.
void look_at_variables(const Definition& definition, Problems* problems) {
  std::set<std::string> known;
  for (const JsonMember& member : *definition.input.object()) known.insert(member.name);
  const bool has_input = !known.empty();
  for (const State& state : definition.states) {
    for (const auto& [name, value] : state.outputs) known.insert(name);
  }
  std::set<std::string> told;
  for (const State& state : definition.states) {
    std::vector<std::string> names;
    if (state.action.body.has_value()) names = state.action.body->names();
    for (const ChoiceRule& rule : state.choices) {
      const std::vector<std::string> more = rule.condition.names();
      names.insert(names.end(), more.begin(), more.end());
    }
    for (const std::string& name : names) {
      if (known.contains(name) || !told.insert(name).second) continue;
      const std::string message = "no Output sets '" + shorten(name) + "'";
      if (has_input) {
        problems->warn(state.path, message + ", and the input has none of that name: it is null");
      } else {
        problems->note(state.path, message + ": the input must bring it");
      }
    }
  }
}

}  // namespace

LintReport lint(std::string_view document) {
  Problems problems;
  ReadOptions options;
  options.any_service = true;
  LintReport report;
  if (const auto definition = read_definition(document, options, &problems); definition.has_value()) {
    report.runnable = true;
    report.name = definition->name;
    for (const State& state : definition->states)
      report.tasks += state.kind == StateKind::task && !state.is_compensation ? 1 : 0;
    look_at_compensation(*definition, &problems);
    look_at_patience(*definition, &problems);
    look_at_reachability(*definition, &problems);
    look_at_variables(*definition, &problems);
  }
  for (const Severity severity : {Severity::error, Severity::warning, Severity::note}) {
    std::ranges::copy_if(problems.all(), std::back_inserter(report.problems),
                         [&](const Problem& problem) { return problem.severity == severity; });
  }
  return report;
}

std::string to_text(const LintReport& report) {
  std::string text;
  for (const Problem& problem : report.problems) {
    text += std::string(to_string(problem.severity)) + ": " + problem.path +
            (problem.path.empty() ? "" : ": ") + problem.message + "\n";
  }
  if (!report.runnable) return text + "it would be refused\n";
  text += (report.name.empty() ? "the saga" : report.name) + " can be run: ";
  return text + std::to_string(report.tasks) + (report.tasks == 1 ? " step\n" : " steps\n");
}

Json to_json(const LintReport& report) {
  Json::Array problems;
  for (const Problem& problem : report.problems) {
    Json one;
    one.set("severity", Json(std::string(to_string(problem.severity))));
    one.set("path", Json(problem.path));
    one.set("message", Json(problem.message));
    problems.push_back(std::move(one));
  }
  Json json;
  json.set("runnable", Json(report.runnable));
  json.set("name", Json(report.name));
  json.set("tasks", Json(static_cast<std::int64_t>(report.tasks)));
  json.set("problems", Json(std::move(problems)));
  return json;
}

}  // namespace lockstep::service::transaction::saga
