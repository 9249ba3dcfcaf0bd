// lockstep elect NAME VALUE -- command: leads while the command runs; and watching who leads.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/holding.h"
#include "cli/render.h"
#include "cli/text.h"
#include "service/election/elections.h"

namespace lockstep::cli {
namespace {

struct ElectArguments {
  HoldArguments hold;
  std::string value;
};

Result<HeldThing> campaign(const ElectArguments& arguments, Client& client, const service::SessionPtr& holder,
                           const std::string& name, const Waiting& waiting) {
  service::Campaign request;
  request.name = name;
  request.wait = waiting.wait;
  LS_ASSIGN_OR_RETURN(request.value, unescape(arguments.value));
  service::Elections elections(context_of(client));
  LS_ASSIGN_OR_RETURN(const service::Elected elected,
                      finish(client, elections.campaign(holder, request, waiting.options)));
  HeldThing thing;
  thing.what = fmt::format("the leadership of {}", escape(name));
  thing.fence = {elected.key, elected.token};
  thing.report.fact("name", Bytes{name})
      .fact("value", Bytes{request.value})
      .fact("token", elected.token.value())
      .fact("key", Bytes{elected.key});
  thing.environment = {{"LOCKSTEP_ELECTION_NAME", name},
                       {"LOCKSTEP_ELECTION_KEY", elected.key},
                       {"LOCKSTEP_ELECTION_TOKEN", std::to_string(elected.token.value())}};
  return thing;
}

Table leader_table() {
  Table table;
  table.columns = {"value", "token", "key"};
  return table;
}

std::vector<Value> row_of(const service::Leader& leader) {
  return {Bytes{leader.kv.value}, leader.kv.create_revision.value(), Bytes{leader.kv.key}};
}

Status show(Session& session, const std::string& name) {
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  LS_ASSIGN_OR_RETURN(const std::string bytes, unescape(name));
  service::Elections elections(context_of(*client));
  LS_ASSIGN_OR_RETURN(const service::Leader leader,
                      finish(*client, elections.leader(bytes, client->options())));
  Report report;
  report.fact("value", Bytes{leader.kv.value})
      .fact("token", leader.kv.create_revision.value())
      .fact("key", Bytes{leader.kv.key});
  session.print(report);
  return {};
}

Status watch(Session& session, const std::string& name) {
  LS_ASSIGN_OR_RETURN(Client * client, session.client(Patience::patient));
  LS_ASSIGN_OR_RETURN(const std::string bytes, unescape(name));
  service::Elections elections(context_of(*client));
  service::LeaderWatch leaders = elections.observe(bytes, {});
  for (bool first = true;; first = false) {
    LS_ASSIGN_OR_RETURN(const service::Leader leader, finish(*client, leaders.next({})));
    Session::write(render_row(leader_table(), row_of(leader), session.settings().output, first));
    Session::flush();
  }
}

}  // namespace

void add_elect_commands(Commands& commands) {
  auto arguments = std::make_shared<ElectArguments>();
  CLI::App& elect = commands.command(
      commands.root(), "elect", "lead while a command runs; see who leads",
      "  lockstep elect scheduler host-a1 -- ./schedule.sh   # waits until it leads; LOCKSTEP_ELECTION_TOKEN "
      "fences\n"
      "  lockstep elect scheduler host-a1                    # leads until Ctrl-C\n"
      "  lockstep elect show scheduler\n"
      "  lockstep elect watch scheduler                      # every leader from now on\n",
      [arguments](Session& session) {
        return hold_and_run(
            session, arguments->hold,
            [&](Client& client, const service::SessionPtr& holder, const std::string& name,
                const Waiting& waiting) { return campaign(*arguments, client, holder, name, waiting); });
      });
  add_hold_options(elect, arguments->hold, "of the election");
  elect.add_option("value", arguments->value, "what the leader says of itself")->type_name("VALUE");
  add_command_words(elect, arguments->hold);
  elect.require_subcommand(0, 1);

  for (const bool watches : {false, true}) {
    auto name = std::make_shared<std::string>();
    CLI::App& command = commands.command(
        elect, watches ? "watch" : "show",
        watches ? "every leader, from the one that leads now" : "who leads",
        watches ? "  lockstep elect watch scheduler\n  lockstep elect watch scheduler -o ndjson\n"
                : "  lockstep elect show scheduler\n  lockstep elect show scheduler -o json\n",
        [name, watches](Session& session) { return watches ? watch(session, *name) : show(session, *name); });
    command.add_option("name", *name, "of the election")->type_name("NAME")->required();
  }
}

}  // namespace lockstep::cli
