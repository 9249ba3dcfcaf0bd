#include "service/transaction/saga/simulate.h"

#include <algorithm>

#include "base/assert.h"
#include "service/transaction/saga/saga_machine.h"

namespace lockstep::service::transaction::saga {
namespace {

using Answers = std::map<std::string, std::string>;

// The first of some usual answers that Status takes for success.
std::string plausible_answer(const Target& target) {
  if (target.statuses.empty()) return {};
  for (const char* candidate : {"true", "{}", "null", "1", "0", "\"OK\"", "\"SUCCESS\"", "false", "[]",
                                "{\"success\":true}", "{\"ok\":true}", "{\"code\":0}", "{\"code\":200}"}) {
    const Json answer = Json::of_answer(candidate);
    for (const StatusRule& rule : target.statuses) {
      if (!rule.condition.has_value()) continue;
      const Result<bool> holds = rule.condition->test(answer);
      if (!holds.ok()) break;
      if (!*holds) continue;
      if (rule.judgement == Judgement::success) return candidate;
      break;
    }
  }
  return {};
}

std::string_view word_of(Operation operation) {
  return operation == Operation::action ? "action" : "compensate";
}

// What fails in a scenario; nobody, if `branch` is empty.
struct Failure {
  std::string branch;
  Outcome outcome = Outcome::done;
};

class Simulator {
 public:
  Simulator(Definition definition, const Answers& answers)
      : definition_(std::move(definition)), answers_(&answers) {}

  Scenario run(const Failure& failure) {
    SagaMachine machine(definition_, "simulated");
    Scenario scenario;
    Next next = machine.next();
    for (std::size_t round = 1; !next.calls.empty() && left_ > 0; ++round) {
      for (const Call& call : next.calls) {
        Entry entry;
        entry.branch = call.branch;
        entry.operation = call.operation;
        const bool fails = call.operation == Operation::action && call.branch == failure.branch;
        entry.outcome = fails ? failure.outcome : Outcome::done;
        if (entry.outcome == Outcome::refused) entry.status = 409;
        if (entry.outcome == Outcome::done) entry.output = answer_of(call);
        const Status learned = machine.learn(entry);
        LS_MUST(learned.ok(), "what next() named is waited for");
        scenario.calls.push_back({round, call.branch, call.operation, entry.outcome, call.url});
        if (left_ > 0) --left_;
      }
      next = machine.next();
    }
    describe(next, &scenario);
    return scenario;
  }
  [[nodiscard]] bool is_exhausted() const { return left_ == 0; }
  [[nodiscard]] const Definition& definition() const { return definition_; }

 private:
  [[nodiscard]] const State& state_of(const std::string& branch) const {
    const std::string name = branch.substr(0, branch.find('#'));
    return *std::ranges::find(definition_.states, name, &State::name);
  }
  [[nodiscard]] std::string answer_of(const Call& call) const {
    const State& state = state_of(call.branch);
    if (call.operation == Operation::compensate) return plausible_answer(*state.compensate);
    const auto given = answers_->find(state.name);
    return given != answers_->end() ? given->second : plausible_answer(state.action);
  }
  void describe(const Next& next, Scenario* scenario) const {
    constexpr std::string_view verdicts[] = {"running",   "waiting", "committing", "aborting",
                                             "committed", "aborted", "failed"};
    scenario->verdict = next.held ? "held" : verdicts[static_cast<std::size_t>(next.verdict)];
    scenario->reason = next.reason;
    for (const SimulatedCall& call : scenario->calls) {
      if (call.operation == Operation::compensate) scenario->undone.push_back(call.branch);
    }
    if (scenario->verdict != "aborted") return;
    for (const SimulatedCall& call : scenario->calls) {
      const State& state = state_of(call.branch);
      const bool stays = call.operation == Operation::action && call.outcome != Outcome::refused &&
                         !call.url.empty() && !state.compensate.has_value() && state.is_update;
      if (stays) scenario->stays.push_back(call.branch);
    }
  }

  Definition definition_;
  const Answers* answers_;
  std::size_t left_ = simulated_calls_max;
};

void note_never_began(const std::vector<std::string>& branches, Scenario* scenario) {
  for (const std::string& branch : branches) {
    if (std::ranges::find(scenario->calls, branch, &SimulatedCall::branch) == scenario->calls.end())
      scenario->never_began.push_back(branch);
  }
}

Json list_of(const std::vector<std::string>& names) {
  Json::Array list;
  for (const std::string& name : names) list.emplace_back(name);
  return Json(std::move(list));
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

char mark_of(const SimulatedCall& call) {
  if (call.operation == Operation::compensate) return '<';
  if (call.outcome == Outcome::refused) return 'x';
  return call.outcome == Outcome::gave_up ? '?' : '=';
}

// One line a branch, one column a round.
std::string waterfall(const Scenario& scenario) {
  std::vector<std::string> branches;
  std::size_t width = 0;
  for (const SimulatedCall& call : scenario.calls) {
    if (std::ranges::find(branches, call.branch) != branches.end()) continue;
    branches.push_back(call.branch);
    width = std::max(width, call.branch.size());
  }
  const std::size_t rounds = scenario.calls.empty() ? 0 : scenario.calls.back().round;
  const std::size_t cell = rounds <= 12 ? 4 : rounds <= 40 ? 2 : 1;
  std::string text;
  for (const std::string& branch : branches) {
    std::string bar(rounds * cell, ' ');
    for (const SimulatedCall& call : scenario.calls) {
      if (call.branch != branch) continue;
      std::fill_n(bar.begin() + static_cast<std::ptrdiff_t>((call.round - 1) * cell), cell, mark_of(call));
    }
    text += "    " + branch + std::string(width - branch.size(), ' ') + "  |" + bar + "|\n";
  }
  return text;
}

}  // namespace

std::string_view to_string(Outcome outcome) {
  constexpr std::string_view words[] = {"done", "refused", "unknown", "skipped", "refused late", "dropped"};
  return words[static_cast<std::size_t>(outcome)];
}

Result<Simulation> simulate(std::string_view document, const Answers& answers) {
  Problems problems;
  ReadOptions options;
  options.any_service = true;
  std::optional<Definition> definition = read_definition(document, options, &problems);
  if (!definition.has_value()) return problems.status();
  for (const auto& [name, answer] : answers) {
    const auto found = std::ranges::find(definition->states, name, &State::name);
    if (found == definition->states.end() || found->kind != StateKind::task)
      return Status(Code::invalid_argument, "there is no task '" + shorten(name) + "' to answer for");
    const Result<Json> json = Json::parse(answer);
    if (!json.ok())
      return Status(Code::invalid_argument,
                    "the answer of " + name + ": " + std::string(json.status().message()));
  }
  Simulation simulation;
  simulation.name = definition->name;
  Simulator simulator(*std::move(definition), answers);
  Scenario usual = simulator.run({});
  usual.title = "everything goes well";
  std::vector<std::string> branches;
  for (const SimulatedCall& call : usual.calls) {
    if (call.operation == Operation::action) branches.push_back(call.branch);
  }
  simulation.scenarios.push_back(std::move(usual));
  for (const std::string& branch : branches) {
    for (const Outcome outcome : {Outcome::refused, Outcome::gave_up}) {
      if (simulator.is_exhausted()) break;
      Scenario scenario = simulator.run({branch, outcome});
      scenario.title = branch + (outcome == Outcome::refused ? " is refused" : " has no known outcome");
      note_never_began(branches, &scenario);
      simulation.scenarios.push_back(std::move(scenario));
    }
  }
  simulation.complete = !simulator.is_exhausted();
  return simulation;
}

std::string to_text(const Simulation& simulation) {
  std::string text = simulation.name.empty() ? "" : simulation.name + "\n\n";
  std::size_t number = 0;
  for (const Scenario& scenario : simulation.scenarios) {
    text += std::to_string(++number) + ". " + scenario.title + ": " + scenario.verdict + "\n";
    text += waterfall(scenario);
    if (!scenario.reason.empty()) text += "    why: " + scenario.reason + "\n";
    if (!scenario.undone.empty()) text += "    undone: " + joined(scenario.undone) + "\n";
    if (!scenario.stays.empty())
      text += "    stays, since nothing undoes it: " + joined(scenario.stays) + "\n";
    if (!scenario.never_began.empty()) text += "    never began: " + joined(scenario.never_began) + "\n";
    text += "\n";
  }
  if (!simulation.complete)
    text += "stopped after " + std::to_string(simulated_calls_max) + " calls: there is more\n";
  return text + "= done   x refused   ? outcome unknown   < undone\n";
}

Json to_json(const Simulation& simulation) {
  Json::Array scenarios;
  for (const Scenario& scenario : simulation.scenarios) {
    Json::Array calls;
    for (const SimulatedCall& call : scenario.calls) {
      Json one;
      one.set("round", Json(static_cast<std::int64_t>(call.round)));
      one.set("branch", Json(call.branch));
      one.set("operation", Json(std::string(word_of(call.operation))));
      one.set("outcome", Json(std::string(to_string(call.outcome))));
      one.set("url", Json(call.url));
      calls.push_back(std::move(one));
    }
    Json one;
    one.set("title", Json(scenario.title));
    one.set("verdict", Json(scenario.verdict));
    one.set("reason", Json(scenario.reason));
    one.set("calls", Json(std::move(calls)));
    one.set("undone", list_of(scenario.undone));
    one.set("stays", list_of(scenario.stays));
    one.set("never_began", list_of(scenario.never_began));
    scenarios.push_back(std::move(one));
  }
  Json json;
  json.set("name", Json(simulation.name));
  json.set("complete", Json(simulation.complete));
  json.set("scenarios", Json(std::move(scenarios)));
  return json;
}

}  // namespace lockstep::service::transaction::saga
