// lockstep lock NAME -- command, and looking at locks.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/holding.h"
#include "cli/text.h"
#include "service/lock/lock_states.h"
#include "service/lock/locks.h"

namespace lockstep::cli {
namespace {

struct LockArguments {
  HoldArguments hold;
  bool shared = false;
};

Result<HeldThing> acquire(Session& session, const LockArguments& arguments, Client& client,
                          const service::SessionPtr& holder, const std::string& name,
                          const Waiting& waiting) {
  service::LockRequest request;
  request.name = name;
  request.mode = arguments.shared ? service::LockMode::shared : service::LockMode::exclusive;
  request.wait = waiting.wait;
  request.description = description_of(session, arguments.hold.reason);
  service::Locks locks(context_of(client));
  LS_ASSIGN_OR_RETURN(const service::HeldLock held,
                      finish(client, locks.acquire(holder, request, waiting.options)));
  HeldThing thing;
  thing.what = fmt::format("the lock {}", escape(name));
  thing.fence = {held.key, held.token};
  thing.report.fact("name", Bytes{name})
      .fact("token", held.token.value())
      .fact("key", Bytes{held.key})
      .fact("session", show_hex_id(static_cast<std::uint64_t>(held.session.value())));
  thing.environment = {{"LOCKSTEP_LOCK_NAME", name},
                       {"LOCKSTEP_LOCK_KEY", held.key},
                       {"LOCKSTEP_LOCK_TOKEN", std::to_string(held.token.value())}};
  return thing;
}

std::vector<Value> row_of(const std::string& name, const service::LockContender& contender) {
  const service::HolderValue& value = contender.value;
  return {Bytes{name},
          std::string(contender.holds ? "holds" : "waits"),
          std::string(contender.mode == service::LockMode::shared ? "shared" : "exclusive"),
          contender.token.value(),
          show_hex_id(static_cast<std::uint64_t>(contender.session.value())),
          value.description.holder,
          value.description.host,
          value.description.pid,
          value.description.reason,
          value.since_ms};
}

const std::vector<std::string> columns = {"name",   "state", "mode", "token",  "session",
                                          "holder", "host",  "pid",  "reason", "since_ms"};

Status list(Session& session, const std::string& prefix) {
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  service::LockListRequest request;
  LS_ASSIGN_OR_RETURN(request.prefix, unescape(prefix));
  Report report;
  Table& table = report.table("locks", columns);
  do {
    LS_ASSIGN_OR_RETURN(
        const service::LockList page,
        finish(*client, service::list_locks(context_of(*client), request, client->options())));
    for (const service::LockState& lock : page.locks) {
      for (const service::LockContender& contender : lock.contenders) {
        if (contender.holds) table.rows.push_back(row_of(lock.name, contender));
      }
    }
    request.from = page.next;
  } while (!request.from.empty());
  session.print(report);
  return {};
}

Status show(Session& session, const std::string& name) {
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  LS_ASSIGN_OR_RETURN(const std::string bytes, unescape(name));
  LS_ASSIGN_OR_RETURN(const service::LockState lock,
                      finish(*client, service::show_lock(context_of(*client), bytes, client->options())));
  Report report;
  Table& table = report.table("contenders", columns);
  for (const service::LockContender& contender : lock.contenders)
    table.rows.push_back(row_of(lock.name, contender));
  session.print(report);
  if (lock.more) Session::warn("there are more who wait");
  return {};
}

struct ReleaseArguments {
  std::string name;
  std::int64_t token = 0;
  std::string reason;
  bool yes = false;
};

Status release(Session& session, const ReleaseArguments& arguments) {
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  const service::Context context = context_of(*client);
  service::ForceRelease request;
  LS_ASSIGN_OR_RETURN(request.name, unescape(arguments.name));
  request.token = Revision(arguments.token);
  if (arguments.token == 0) {
    LS_ASSIGN_OR_RETURN(const service::LockState lock,
                        finish(*client, service::show_lock(context, request.name, client->options())));
    if (lock.contenders.empty()) return {Code::not_found, "nobody holds that lock"};
    request.token = lock.contenders.front().token;
  }
  LS_RETURN_IF_ERROR(Session::confirm(
      fmt::format("Take the lock {} (token {}) from its holder, who is not asked and may go on?",
                  arguments.name, request.token.value()),
      arguments.yes));
  const service::Description description = description_of(session, arguments.reason);
  request.by = fmt::format("{}@{}", description.holder, description.host);
  request.reason = arguments.reason;
  LS_ASSIGN_OR_RETURN(const service::ForcedRelease released,
                      finish(*client, service::force_release(context, request, client->options())));
  Report report;
  report.fact("released", Bytes{request.name})
      .fact("token", request.token.value())
      .fact("record", Bytes{released.audit_key});
  session.print(report);
  return {};
}

}  // namespace

void add_lock_commands(Commands& commands) {
  auto arguments = std::make_shared<LockArguments>();
  CLI::App& lock = commands.command(
      commands.root(), "lock", "run a command under a lock; look at locks",
      "  lockstep lock orders -- ./nightly.sh          # waits for it; LOCKSTEP_LOCK_TOKEN is the fencing "
      "token\n"
      "  lockstep lock orders --wait 10s -- make deploy\n"
      "  lockstep lock orders --wait 0s -- true        # exit status 4 if somebody holds it\n"
      "  lockstep lock orders                          # holds it until Ctrl-C\n"
      "  lockstep lock ls\n"
      "  lockstep lock -- ls                           # a lock of that name\n",
      [arguments](Session& session) {
        return hold_and_run(session, arguments->hold,
                            [&](Client& client, const service::SessionPtr& holder, const std::string& name,
                                const Waiting& waiting) {
                              return acquire(session, *arguments, client, holder, name, waiting);
                            });
      });
  add_hold_options(lock, arguments->hold, "of the lock");
  add_command_words(lock, arguments->hold);
  lock.add_flag("--shared", arguments->shared, "with others who share it");
  lock.require_subcommand(0, 1);

  auto prefix = std::make_shared<std::string>();
  CLI::App& ls = commands.command(lock, "ls", "who holds which locks",
                                  "  lockstep lock ls\n  lockstep lock ls orders/ -o json\n",
                                  [prefix](Session& session) { return list(session, *prefix); });
  ls.add_option("prefix", *prefix, "of the names")->type_name("PREFIX");

  auto name = std::make_shared<std::string>();
  CLI::App& shown = commands.command(lock, "show", "who holds a lock, and who waits for it",
                                     "  lockstep lock show orders\n  lockstep lock show orders -o yaml\n",
                                     [name](Session& session) { return show(session, *name); });
  shown.add_option("name", *name, "of the lock")->type_name("NAME")->required();

  auto releasing = std::make_shared<ReleaseArguments>();
  CLI::App& releases =
      commands.command(lock, "release", "take a lock from its holder, on the record",
                       "  lockstep lock release orders --reason 'host a1 is gone'\n"
                       "  lockstep lock release orders --token 4711 --yes\n",
                       [releasing](Session& session) { return release(session, *releasing); });
  releases.add_option("name", releasing->name, "of the lock")->type_name("NAME")->required();
  releases.add_option("--token", releasing->token, "of the holding [the first one's]");
  releases.add_option("--reason", releasing->reason, "kept in the record");
  releases.add_flag("--yes", releasing->yes, "do not ask");
}

}  // namespace lockstep::cli
