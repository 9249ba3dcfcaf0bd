// lockstep compact, alarm list, alarm disarm.
#include <CLI/CLI.hpp>

#include "cli/commands.h"
#include "cli/text.h"

namespace lockstep::cli {
namespace {

struct CompactArguments {
  std::int64_t revision = 0;
  bool physical = false;
};

Status compact(Session& session, const CompactArguments& arguments) {
  store::CompactRequest request;
  request.revision = Revision(arguments.revision);
  request.physical = arguments.physical;
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  LS_ASSIGN_OR_RETURN(const store::CompactResponse response,
                      client->wait_store<store::CompactResponse>([&](auto done) {
                        client->store().compact(request, client->options(), std::move(done));
                      }));
  Report report;
  report.fact("compacted", arguments.revision).detail("revision", response.header.revision.value());
  session.print(report);
  return {};
}

std::string name_of(store::AlarmKind kind) {
  switch (kind) {
    case store::AlarmKind::none:
      return "none";
    case store::AlarmKind::no_space:
      return "no_space";
    case store::AlarmKind::corrupt:
      return "corrupt";
  }
  return "unknown";
}

Status alarms(Session& session, store::AlarmAction action) {
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  store::AlarmRequest request;
  LS_ASSIGN_OR_RETURN(store::AlarmResponse response, client->wait_store<store::AlarmResponse>([&](auto done) {
    client->store().alarm(request, client->options(), std::move(done));
  }));
  if (action == store::AlarmAction::deactivate) {
    for (const store::Alarm& alarm : response.alarms) {
      request.action = action;
      request.alarm = alarm;
      LS_RETURN_IF_ERROR(client
                             ->wait_store<store::AlarmResponse>([&](auto done) {
                               client->store().alarm(request, client->options(), std::move(done));
                             })
                             .status());
    }
  }
  Report report;
  Table& table = report.table(action == store::AlarmAction::get ? "alarms" : "disarmed", {"member", "alarm"});
  for (const store::Alarm& alarm : response.alarms)
    table.rows.push_back({show_hex_id(alarm.member.value()), name_of(alarm.kind)});
  session.print(report);
  return {};
}

}  // namespace

void add_upkeep_commands(Commands& commands) {
  auto compacting = std::make_shared<CompactArguments>();
  CLI::App& compact_command =
      commands.command(commands.root(), "compact", "forget the history before a revision",
                       "  lockstep compact 12000\n  lockstep compact 12000 --physical\n",
                       [compacting](Session& session) { return compact(session, *compacting); });
  compact_command.add_option("revision", compacting->revision, "the oldest one that can still be read")
      ->required();
  compact_command.add_flag("--physical", compacting->physical, "wait until the space is given back");

  CLI::App& alarm = commands.group("alarm", "what members complain about");
  commands.command(alarm, "list", "active alarms", "  lockstep alarm list\n  lockstep alarm list -o json\n",
                   [](Session& session) { return alarms(session, store::AlarmAction::get); });
  commands.command(alarm, "disarm", "switch every active alarm off, after its cause was removed",
                   "  lockstep alarm disarm\n",
                   [](Session& session) { return alarms(session, store::AlarmAction::deactivate); });
}

}  // namespace lockstep::cli
