// lockstep saga: definitions of sagas looked at without running them, and without a server.
#include <fstream>
#include <iterator>
#include <map>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "cli/commands.h"
#include "service/transaction/saga/lint.h"
#include "service/transaction/saga/simulate.h"

namespace lockstep::cli {
namespace {

namespace saga = service::transaction::saga;

struct SagaArguments {
  std::string path;
  std::vector<std::string> answers;
  bool strict = false;
};

// One byte more than a definition may have, so that a longer one is refused as such.
Result<std::string> read_definition_file(const std::string& path) {
  if (path == "-") return Session::standard_input();
  std::ifstream file(path, std::ios::binary);
  std::string text(service::transaction::definition_bytes_max + 1, '\0');
  if (file) file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file.is_open() || file.bad()) return Status(Code::not_found, fmt::format("{}: cannot be read", path));
  text.resize(static_cast<std::size_t>(file.gcount()));
  return text;
}

Status lint(Session& session, const SagaArguments& arguments) {
  LS_ASSIGN_OR_RETURN(const std::string text, read_definition_file(arguments.path));
  const saga::LintReport found = saga::lint(text);
  std::int64_t warnings = 0;
  Report report;
  report.detail("runnable", found.runnable).detail("name", found.name);
  report.detail("steps", static_cast<std::int64_t>(found.tasks));
  Table& table = report.table("problems", {"severity", "path", "message"});
  for (const saga::Problem& problem : found.problems) {
    warnings += problem.severity == saga::Severity::warning ? 1 : 0;
    table.rows.push_back({std::string(saga::to_string(problem.severity)), problem.path, problem.message});
  }
  if (session.settings().output == Format::table) {
    Session::write(saga::to_text(found));
  } else {
    session.print(report);
  }
  if (!found.runnable) return {Code::invalid_argument, fmt::format("{} would be refused", arguments.path)};
  if (arguments.strict && warnings > 0)
    return {Code::invalid_argument, fmt::format("{} has {} warnings", arguments.path, warnings)};
  return {};
}

Result<std::map<std::string, std::string>> read_answers(const std::vector<std::string>& given) {
  std::map<std::string, std::string> answers;
  for (const std::string& one : given) {
    const std::size_t at = one.find('=');
    if (at == std::string::npos || at == 0)
      return Status(Code::invalid_argument, fmt::format("--answer {}: write TASK=JSON", one));
    answers[one.substr(0, at)] = one.substr(at + 1);
  }
  return answers;
}

Status simulate(Session& session, const SagaArguments& arguments) {
  LS_ASSIGN_OR_RETURN(const std::string text, read_definition_file(arguments.path));
  LS_ASSIGN_OR_RETURN(const auto answers, read_answers(arguments.answers));
  LS_ASSIGN_OR_RETURN(const saga::Simulation simulation, saga::simulate(text, answers));
  if (session.settings().output == Format::table) {
    Session::write(saga::to_text(simulation));
    return {};
  }
  Report report;
  report.detail("name", simulation.name).detail("complete", simulation.complete);
  Table& table = report.table(
      "calls", {"scenario", "title", "verdict", "round", "branch", "operation", "outcome", "url"});
  std::int64_t number = 0;
  for (const saga::Scenario& scenario : simulation.scenarios) {
    ++number;
    for (const saga::SimulatedCall& call : scenario.calls) {
      const bool is_action = call.operation == service::transaction::Operation::action;
      table.rows.push_back({number, scenario.title, scenario.verdict, static_cast<std::int64_t>(call.round),
                            call.branch, std::string(is_action ? "action" : "compensate"),
                            std::string(saga::to_string(call.outcome)), call.url});
    }
  }
  session.print(report);
  return {};
}

}  // namespace

void add_saga_commands(Commands& commands) {
  CLI::App& group = commands.group("saga", "check definitions of sagas, and see what they would do");
  auto linting = std::make_shared<SagaArguments>();
  CLI::App& lints =
      commands.command(group, "lint", "what is wrong with a definition, or probably not meant",
                       "  lockstep saga lint order.json\n  lockstep saga lint order.json --strict -o json\n"
                       "  generate-order | lockstep saga lint -\n\n"
                       "The definition is in the language of steps or in Seata's; docs/transactions/sagas.md "
                       "has both. No server is\n"
                       "asked. A definition that would be refused exits with 4.\n",
                       [linting](Session& session) { return lint(session, *linting); });
  lints.add_option("file", linting->path, "of the definition; - is standard input")
      ->type_name("FILE")
      ->required();
  lints.add_flag("--strict", linting->strict, "warnings are errors too");

  auto simulating = std::make_shared<SagaArguments>();
  CLI::App& simulates =
      commands.command(group, "simulate", "what a saga would do, with each step failing in turn",
                       "  lockstep saga simulate order.json\n"
                       "  lockstep saga simulate order.json --answer 'Stock={\"left\": 3}'\n"
                       "  lockstep saga simulate order.json -o json\n\n"
                       "Nobody is called and no server is asked: the saga runs as it would in earnest, on "
                       "answers that are made up.\n"
                       "Each step is refused once (409), and has no known outcome once.\n",
                       [simulating](Session& session) { return simulate(session, *simulating); });
  simulates.add_option("file", simulating->path, "of the definition; - is standard input")
      ->type_name("FILE")
      ->required();
  simulates.add_option("--answer", simulating->answers, "what a task answers; may be given for several")
      ->type_name("TASK=JSON");
}

}  // namespace lockstep::cli
