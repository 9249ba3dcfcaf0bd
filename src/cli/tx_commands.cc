// lockstep tx: transactions over many services, looked at and helped along.
#include <fstream>
#include <optional>
#include <sstream>

#include <CLI/CLI.hpp>
#include <fmt/chrono.h>
#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/recipes.h"
#include "cli/text.h"
#include "cli/waterfall.h"
#include "service/transaction/transactions.h"

namespace lockstep::cli {
namespace {

namespace tx = service::transaction;
using std::chrono::milliseconds;

struct TxArguments {
  std::string gid;
  std::string branch;
  std::string file;
  std::string mode = "saga";
  std::string wait = "0s";
  std::string state;
  std::string reason;
  std::size_t limit = 100;
  bool needs_operator = false;
};

// For people a moment, for programs milliseconds since 1970.
std::string moment_name(std::string_view name, Format output) {
  return fmt::format("{}{}", name, output == Format::table ? "" : "_ms");
}
Value moment(std::int64_t unix_ms, Format output) {
  if (output != Format::table) return unix_ms;
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(static_cast<std::time_t>(unix_ms / 1000)),
                     unix_ms % 1000);
}

void add_facts(Report& report, const tx::TransactionView& view, Format output) {
  const tx::State& state = view.state;
  report.fact("gid", view.gid).fact("mode", std::string(tx::to_string(state.mode)));
  report.fact("state", std::string(tx::to_string(state.verdict)));
  if (!state.reason.empty()) report.fact("reason", Bytes{state.reason});
  if (!state.needs_operator.empty()) report.fact("needs_operator", Bytes{state.needs_operator});
  report.fact(moment_name("created", output), moment(state.created_ms, output));
  report.fact(moment_name("changed", output), moment(state.changed_ms, output));
  if (!state.result.empty()) report.fact("result", Bytes{state.result});
}

// What a script wants to know: whether all of it happened.
void exit_by(Session& session, const tx::TransactionView& view) {
  if (!view.finished()) return session.exit_with(static_cast<int>(Exit::timeout));
  if (view.state.verdict != tx::Verdict::committed) session.exit_with(static_cast<int>(Exit::refused));
}

Status print(Session& session, const tx::TransactionView& view) {
  Report report;
  add_facts(report, view, session.settings().output);
  session.print(report);
  return {};
}

// The transaction when it is finished, or as it stands then.
Result<tx::TransactionView> waited(Client& client, const std::string& gid, Duration time) {
  tx::Transactions transactions(context_of(client));
  store::CallOptions options = client.options();
  options.deadline = client.clock().now() + time;
  Result<tx::TransactionView> view = finish(client, transactions.wait(gid, options));
  if (view.ok() || view.status().code() != Code::deadline_exceeded) return view;
  return finish(client, transactions.get(gid, client.options()));
}

Result<std::string> read_document(Session& session, const std::string& file) {
  if (file == "-") return session.standard_input();
  const std::ifstream stream(file, std::ios::binary);
  if (!stream) return Status(Code::not_found, fmt::format("{} not found", file));
  std::ostringstream text;
  text << stream.rdbuf();
  return std::move(text).str();
}

Status submit(Session& session, Client& client, const TxArguments& arguments) {
  tx::Submission submission;
  const std::optional<tx::Mode> mode = tx::parse_mode(arguments.mode);
  if (!mode.has_value()) return {Code::invalid_argument, "--mode is saga, tcc, xa, message or notification"};
  submission.mode = *mode;
  submission.gid = arguments.gid;
  LS_ASSIGN_OR_RETURN(submission.document, read_document(session, arguments.file));
  LS_ASSIGN_OR_RETURN(const Duration wait, parse_duration(arguments.wait));
  tx::Transactions transactions(context_of(client));
  LS_ASSIGN_OR_RETURN(tx::Submitted submitted,
                      finish(client, transactions.submit(std::move(submission), client.options())));
  tx::TransactionView view = std::move(submitted.transaction);
  if (wait > Duration::zero()) {
    LS_ASSIGN_OR_RETURN(view, waited(client, view.gid, wait));
    exit_by(session, view);
  }
  return print(session, view);
}

Status list(Session& session, Client& client, const TxArguments& arguments) {
  tx::ListRequest request;
  request.needs_operator_only = arguments.needs_operator;
  if (!arguments.state.empty()) {
    request.state = tx::parse_verdict(arguments.state);
    if (!request.state.has_value())
      return {Code::invalid_argument,
              "--state is submitted, trying, committing, aborting, committed, aborted or failed"};
  }
  tx::Transactions transactions(context_of(client));
  Report report;
  const Format output = session.settings().output;
  Table& table = report.table("transactions", {"gid", "mode", "state", moment_name("created", output),
                                               moment_name("changed", output), "needs_operator", "reason"});
  table.detail_columns = {4};
  do {
    request.limit = std::min(arguments.limit - table.rows.size(), tx::listed_max);
    LS_ASSIGN_OR_RETURN(const tx::Listed listed,
                        finish(client, transactions.list(request, client.options())));
    for (const tx::TransactionView& view : listed.transactions) {
      table.rows.push_back({view.gid, std::string(tx::to_string(view.state.mode)),
                            std::string(tx::to_string(view.state.verdict)),
                            moment(view.state.created_ms, output), moment(view.state.changed_ms, output),
                            Bytes{view.state.needs_operator}, Bytes{view.state.reason}});
    }
    request.cursor = listed.cursor;
  } while (!request.cursor.empty() && table.rows.size() < arguments.limit);
  session.print(report);
  if (!request.cursor.empty()) Session::warn("there are more; --limit says how many are shown");
  return {};
}

struct Details {
  tx::TransactionView view;
  tx::Next next;
  std::vector<tx::JournalLine> journal;
  std::vector<tx::Audit> audits;
};

Result<Details> read_details(Client& client, const std::string& gid) {
  tx::Transactions transactions(context_of(client));
  Details details;
  LS_ASSIGN_OR_RETURN(details.view, finish(client, transactions.get(gid, client.options())));
  LS_ASSIGN_OR_RETURN(details.next, finish(client, transactions.next(gid, client.options())));
  LS_ASSIGN_OR_RETURN(details.audits, finish(client, transactions.audits(gid, client.options())));
  LS_ASSIGN_OR_RETURN(details.journal, tx::parse_journal(details.view.state.journal));
  return details;
}

Report report_of(const Details& details, Format output) {
  Report report;
  add_facts(report, details.view, output);
  std::vector<std::string> audits;
  for (const tx::Audit& audit : details.audits) audits.push_back(line_of(audit));
  if (!audits.empty()) report.fact("audits", std::move(audits));
  Table& table =
      report.table("branches", {"branch", "operation", "state", "attempts", "status", "at_ms", "took_ms"});
  for (const tx::JournalLine& line : details.journal) {
    if (line.entry.kind != tx::Entry::Kind::outcome) continue;
    table.rows.push_back({Bytes{line.entry.branch}, std::string(tx::to_string(line.entry.operation)),
                          std::string(tx::to_string(line.entry.outcome)), line.attempts,
                          std::int64_t{line.entry.status}, line.at_ms, line.took_ms});
  }
  const auto add_open = [&](const std::string& branch, tx::Operation operation, const char* state) {
    std::vector<Value> row = {
        Bytes{branch}, std::string(tx::to_string(operation)), std::string(state), {}, {}, {}, {}};
    for (const tx::CallState& call : details.view.state.calls) {
      if (call.branch != branch || call.operation != operation) continue;
      row[3] = call.attempts;
      row[4] = std::int64_t{call.status};
    }
    table.rows.push_back(std::move(row));
  };
  for (const tx::Call& call : details.next.calls) add_open(call.branch, call.operation, "under_way");
  for (const auto& [branch, operation] : details.next.held_calls) add_open(branch, operation, "held");
  return report;
}

Status show(Session& session, Client& client, const TxArguments& arguments) {
  LS_ASSIGN_OR_RETURN(const Details details, read_details(client, arguments.gid));
  Report report = report_of(details, session.settings().output);
  if (session.settings().output != Format::table) {
    session.print(report);
    return {};
  }
  report.tables.clear();
  session.print(report);
  const std::int64_t now_ms = client.clock().wall_now() / milliseconds(1) - details.view.state.created_ms;
  Session::write("\n" + draw_waterfall(details.view.state, details.journal, details.next, now_ms));
  return {};
}

Status wait(Session& session, Client& client, const TxArguments& arguments) {
  LS_ASSIGN_OR_RETURN(const Duration time, parse_duration(arguments.wait));
  LS_ASSIGN_OR_RETURN(const tx::TransactionView view, waited(client, arguments.gid, time));
  exit_by(session, view);
  return print(session, view);
}

// ---- by hand

tx::OperatorNote note_of(const Session& session, const TxArguments& arguments) {
  const service::Description who = description_of(session, arguments.reason);
  return {fmt::format("{}@{}", who.holder.empty() ? "somebody" : who.holder, who.host), arguments.reason};
}

using Edit = Task<Result<tx::TransactionView>> (tx::Transactions::*)(std::string, tx::OperatorNote,
                                                                     store::CallOptions);
template <Edit edit>
Status by_hand(Session& session, Client& client, const TxArguments& arguments) {
  tx::Transactions transactions(context_of(client));
  LS_ASSIGN_OR_RETURN(
      const tx::TransactionView view,
      finish(client, (transactions.*edit)(arguments.gid, note_of(session, arguments), client.options())));
  return print(session, view);
}

Status skip(Session& session, Client& client, const TxArguments& arguments) {
  tx::Transactions transactions(context_of(client));
  LS_ASSIGN_OR_RETURN(const tx::TransactionView view,
                      finish(client, transactions.skip(arguments.gid, arguments.branch,
                                                       note_of(session, arguments), client.options())));
  return print(session, view);
}

// ---- the tree

using Verb = Status (*)(Session&, Client&, const TxArguments&);

struct Added {
  CLI::App& command;
  std::shared_ptr<TxArguments> arguments;
};

Added add(Commands& commands, CLI::App& group, std::string_view name, std::string_view help,
          std::string_view examples, Verb verb) {
  auto arguments = std::make_shared<TxArguments>();
  CLI::App& command =
      commands.command(group, name, help, examples, [arguments, verb](Session& session) -> Status {
        LS_ASSIGN_OR_RETURN(Client * client, session.client());
        return verb(session, *client, *arguments);
      });
  return {command, arguments};
}

void add_gid(const Added& added) {
  added.command.add_option("gid", added.arguments->gid, "of the transaction")->type_name("GID")->required();
}

void add_submit(Commands& commands, CLI::App& group) {
  const Added added = add(commands, group, "submit",
                          "begin a transaction from a file; with --wait, 4 says that it was undone or failed",
                          "  lockstep tx submit trip.json --wait 30s\n"
                          "  lockstep tx submit - --mode notification --gid mail-4711 < targets.json\n",
                          submit);
  TxArguments& given = *added.arguments;
  added.command.add_option("file", given.file, "its definition; - reads standard input")
      ->type_name("FILE")
      ->required();
  added.command.add_option("--mode", given.mode, "saga, tcc, xa, message or notification")
      ->capture_default_str();
  added.command.add_option("--gid", given.gid, "its name; the same one again is the same transaction");
  added.command.add_option("--wait", given.wait, "for its end")->capture_default_str();
}

void add_list(Commands& commands, CLI::App& group) {
  const Added added = add(commands, group, "ls", "transactions, those that are not finished first",
                          "  lockstep tx ls\n  lockstep tx ls --needs-operator\n"
                          "  lockstep tx ls --state committing -o json\n",
                          list);
  TxArguments& given = *added.arguments;
  added.command.add_option("--state", given.state, "only those that stand there");
  added.command.add_flag("--needs-operator", given.needs_operator, "only those that somebody must look at");
  added.command.add_option("--limit", given.limit, "so many")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
}

void add_by_hand(Commands& commands, CLI::App& group) {
  const auto one = [&](const char* name, const char* help, Verb verb, bool branch = false) {
    const std::string words = fmt::format("lockstep tx {} order-4711{}", name, branch ? " stock" : "");
    const Added added = add(
        commands, group, name, help,
        fmt::format("  {0} --reason 'as agreed with payments'\n  {0} --reason 'ticket 17' -o json\n", words),
        verb);
    add_gid(added);
    if (branch)
      added.command.add_option("branch", added.arguments->branch, "whose call it is")
          ->type_name("BRANCH")
          ->required();
    added.command.add_option("--reason", added.arguments->reason, "why, for the record")->required();
  };
  one("retry", "what waits to be tried again is tried now", by_hand<&tx::Transactions::retry_now>);
  one("skip", "the call of a branch counts as done", skip, true);
  one("finish", "end it as it is, as failed: nothing is called any more",
      by_hand<&tx::Transactions::force_finish>);
  one("forward", "what failed or is held is tried again", by_hand<&tx::Transactions::forward>);
  one("compensate", "what is held is undone", by_hand<&tx::Transactions::compensate>);
}

}  // namespace

void add_tx_commands(Commands& commands) {
  CLI::App& group = commands.group("tx", "transactions over many services: what they do, and help by hand");
  add_submit(commands, group);
  add_list(commands, group);
  add_gid(add(commands, group, "show", "every call of a transaction, drawn over time",
              "  lockstep tx show order-4711\n  lockstep tx show order-4711 -o json\n", show));
  const Added waiting =
      add(commands, group, "wait", "wait for its end; 4 says that it was undone or failed, 6 that it goes on",
          "  lockstep tx wait order-4711 --for 1m\n  lockstep tx wait order-4711 -o json\n", wait);
  add_gid(waiting);
  waiting.arguments->wait = "30s";
  waiting.command.add_option("--for", waiting.arguments->wait, "how long")->capture_default_str();
  add_by_hand(commands, group);
}

}  // namespace lockstep::cli
