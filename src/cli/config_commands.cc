// lockstep config list, show, use, set, delete.
#include <algorithm>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/contexts.h"
#include "cli/text.h"

namespace lockstep::cli {
namespace {

Status list(Session& session) {
  LS_ASSIGN_OR_RETURN(const Contexts contexts, read_contexts(contexts_path(session.variables())));
  Report report;
  report.detail("current", contexts.current);
  Table& table = report.table("contexts", {"name", "current", "endpoints", "user"});
  table.raw_columns = {0};
  for (const auto& [name, given] : contexts.by_name) {
    const auto text_of = [&stated = given](std::string_view setting) {
      const auto found = stated.find(setting);
      return found == stated.end() ? std::string() : found->second.text;
    };
    table.rows.push_back({name, name == contexts.current, text_of("endpoints"), text_of("user")});
  }
  session.print(report);
  return {};
}

Status show(Session& session, bool origin) {
  Report report;
  std::vector<std::string> columns = {"setting", "value"};
  if (origin) columns.emplace_back("origin");
  Table& table = report.table("settings", std::move(columns));
  for (const Setting& setting : settings()) {
    std::vector<Value>& row = table.rows.emplace_back();
    row.emplace_back(std::string(setting.name));
    row.emplace_back(setting.show(session.settings()));
    const auto found = session.resolved().origins.find(setting.name);
    if (origin)
      row.emplace_back(found == session.resolved().origins.end() ? std::string("default") : found->second);
  }
  session.print(report);
  return {};
}

Status change(Session& session, const std::function<Status(Contexts&)>& how) {
  const std::string path = contexts_path(session.variables());
  LS_ASSIGN_OR_RETURN(Contexts contexts, read_contexts(path));
  LS_RETURN_IF_ERROR(how(contexts));
  LS_RETURN_IF_ERROR(write_contexts(path, contexts));
  Report report;
  report.fact("file", path).fact("current", contexts.current);
  session.print(report);
  return {};
}

Status use(Session& session, const std::string& name) {
  return change(session, [&](Contexts& contexts) {
    LS_RETURN_IF_ERROR(context_settings(contexts, name).status());
    contexts.current = name;
    return Status();
  });
}

// "endpoints=a:1,b:2"; nothing after the sign takes the setting out.
Status set(Session& session, const std::string& name, const std::vector<std::string>& assignments) {
  return change(session, [&](Contexts& contexts) -> Status {
    GivenSettings& context = contexts.by_name[name];
    for (const std::string& assignment : assignments) {
      const std::size_t equals = assignment.find('=');
      const std::string key = assignment.substr(0, equals);
      const auto setting = std::ranges::find_if(
          settings(), [&](const Setting& known) { return known.name == key || key_of(known) == key; });
      if (equals == std::string::npos || setting == settings().end()) {
        std::vector<std::string> names;
        for (const Setting& known : settings()) names.emplace_back(known.name);
        const std::string meant = nearest(key, names);
        return {Code::invalid_argument,
                fmt::format("'{}': write SETTING=VALUE{}", assignment,
                            meant.empty() ? std::string() : fmt::format("; did you mean {}=...?", meant))};
      }
      const std::string text = assignment.substr(equals + 1);
      if (text.empty()) {
        context.erase(std::string(setting->name));
        continue;
      }
      ClientSettings scratch;
      if (const Status status = setting->set(scratch, text); !status.ok())
        return {status.code(), fmt::format("{}: {}", setting->name, status.message())};
      context[std::string(setting->name)] = {text, "command line"};
    }
    if (contexts.current.empty()) contexts.current = name;
    return {};
  });
}

Status remove(Session& session, const std::string& name) {
  return change(session, [&](Contexts& contexts) {
    LS_RETURN_IF_ERROR(context_settings(contexts, name).status());
    contexts.by_name.erase(name);
    if (contexts.current == name) contexts.current.clear();
    return Status();
  });
}

}  // namespace

void add_config_commands(Commands& commands) {
  CLI::App& config = commands.group("config", "contexts: names for ways to reach clusters");
  commands.command(config, "list", "all contexts", "  lockstep config list\n  lockstep config list -o raw\n",
                   list);

  auto origin = std::make_shared<bool>(false);
  commands
      .command(config, "show", "the settings as this run would use them",
               "  lockstep config show --origin\n  lockstep --context prod config show\n",
               [origin](Session& session) { return show(session, *origin); })
      .add_flag("--origin", *origin, "and where each comes from");

  auto used = std::make_shared<std::string>();
  commands
      .command(config, "use", "make a context the one without --context", "  lockstep config use prod\n",
               [used](Session& session) { return use(session, *used); })
      .add_option("name", *used, "the context")
      ->required();

  auto set_name = std::make_shared<std::string>();
  auto assignments = std::make_shared<std::vector<std::string>>();
  CLI::App& set_command = commands.command(
      config, "set", "make a context, or change it",
      "  lockstep config set prod endpoints=10.0.0.1:2379,10.0.0.2:2379 cacert=/etc/lockstep/ca.crt\n"
      "  lockstep config set prod user=root password_file=/etc/lockstep/root.password\n"
      "  lockstep config set prod user=\n",
      [set_name, assignments](Session& session) { return set(session, *set_name, *assignments); });
  set_command.add_option("name", *set_name, "the context")->required();
  set_command.add_option("assignments", *assignments, "SETTING=VALUE")->required();

  auto removed = std::make_shared<std::string>();
  commands
      .command(config, "delete", "forget a context", "  lockstep config delete staging\n",
               [removed](Session& session) { return remove(session, *removed); })
      .add_option("name", *removed, "the context")
      ->required();
}

}  // namespace lockstep::cli
