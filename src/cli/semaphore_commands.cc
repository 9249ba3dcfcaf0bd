// lockstep semaphore NAME --permits N -- command, and looking at semaphores.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/holding.h"
#include "cli/text.h"
#include "service/semaphore/semaphores.h"

namespace lockstep::cli {
namespace {

struct SemaphoreArguments {
  HoldArguments hold;
  std::int64_t permits = 1;
};

Result<HeldThing> acquire(Session& session, const SemaphoreArguments& arguments, Client& client,
                          const service::SessionPtr& holder, const std::string& name,
                          const Waiting& waiting) {
  service::PermitRequest request;
  request.name = name;
  request.permits = arguments.permits;
  request.wait = waiting.wait;
  request.description = description_of(session, arguments.hold.reason);
  service::Semaphores semaphores(context_of(client));
  LS_ASSIGN_OR_RETURN(const service::Permit permit,
                      finish(client, semaphores.acquire(holder, request, waiting.options)));
  HeldThing thing;
  thing.what = fmt::format("the permit of {}", escape(name));
  thing.fence = {permit.key, permit.token};
  thing.report.fact("name", Bytes{name})
      .fact("token", permit.token.value())
      .fact("key", Bytes{permit.key})
      .fact("session", show_hex_id(static_cast<std::uint64_t>(permit.session.value())));
  thing.environment = {{"LOCKSTEP_PERMIT_NAME", name},
                       {"LOCKSTEP_PERMIT_KEY", permit.key},
                       {"LOCKSTEP_PERMIT_TOKEN", std::to_string(permit.token.value())}};
  return thing;
}

Status show(Session& session, const std::string& name) {
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  LS_ASSIGN_OR_RETURN(const std::string bytes, unescape(name));
  service::Semaphores semaphores(context_of(*client));
  LS_ASSIGN_OR_RETURN(const service::SemaphoreState state,
                      finish(*client, semaphores.show(bytes, client->options())));
  if (state.permits == 0) return {Code::not_found, "there is no such semaphore"};
  Report report;
  report.fact("name", Bytes{state.name}).fact("permits", state.permits);
  Table& table = report.table("contenders",
                              {"state", "token", "session", "holder", "host", "pid", "reason", "since_ms"});
  for (const service::PermitContender& contender : state.contenders) {
    const service::HolderValue& value = contender.value;
    table.rows.push_back({std::string(contender.holds ? "holds" : "waits"), contender.token.value(),
                          show_hex_id(static_cast<std::uint64_t>(contender.session.value())),
                          value.description.holder, value.description.host, value.description.pid,
                          value.description.reason, value.since_ms});
  }
  session.print(report);
  return {};
}

Status remove(Session& session, const std::string& name) {
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  LS_ASSIGN_OR_RETURN(const std::string bytes, unescape(name));
  service::Semaphores semaphores(context_of(*client));
  LS_RETURN_IF_ERROR(finish(*client, semaphores.remove(bytes, client->options())));
  Report report;
  report.fact("removed", Bytes{bytes});
  session.print(report);
  return {};
}

}  // namespace

void add_semaphore_commands(Commands& commands) {
  auto arguments = std::make_shared<SemaphoreArguments>();
  CLI::App& semaphore = commands.command(
      commands.root(), "semaphore", "run a command under one of so many permits; look at semaphores",
      "  lockstep semaphore importers --permits 3 -- ./import.sh    # at most three of them at a time\n"
      "  lockstep semaphore importers --permits 3 --wait 0s -- true # exit status 4 if none is free\n"
      "  lockstep semaphore show importers\n",
      [arguments](Session& session) {
        return hold_and_run(session, arguments->hold,
                            [&](Client& client, const service::SessionPtr& holder, const std::string& name,
                                const Waiting& waiting) {
                              return acquire(session, *arguments, client, holder, name, waiting);
                            });
      });
  add_hold_options(semaphore, arguments->hold, "of the semaphore");
  add_command_words(semaphore, arguments->hold);
  semaphore.add_option("--permits", arguments->permits, "that there are; the same from everybody")
      ->capture_default_str();
  semaphore.require_subcommand(0, 1);

  for (const bool removes : {false, true}) {
    auto name = std::make_shared<std::string>();
    CLI::App& command = commands.command(
        semaphore, removes ? "rm" : "show",
        removes ? "remove one that nobody uses, so that it may have another number of permits"
                : "who holds permits, and who waits",
        removes ? "  lockstep semaphore rm importers\n  lockstep semaphore rm importers -o json\n"
                : "  lockstep semaphore show importers\n  lockstep semaphore show importers -o json\n",
        [name, removes](Session& session) {
          return removes ? remove(session, *name) : show(session, *name);
        });
    command.add_option("name", *name, "of the semaphore")->type_name("NAME")->required();
  }
}

}  // namespace lockstep::cli
