// The command line: reads it, finds the settings, runs the command, says what went wrong.
#include <cstdlib>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/version.h"
#include "cli/commands.h"
#include "cli/contexts.h"
#include "cli/reference.h"
#include "cli/text.h"

namespace lockstep::cli {
namespace {

constexpr std::string_view purpose = "Lockstep's client: speaks etcd v3 to lockstepd and to etcd.";

constexpr std::string_view examples = R"(
Examples:
  lockstep kv put greeting hello
  lockstep kv get --prefix config/ -o json
  lockstep --endpoints 10.0.0.1:2379,10.0.0.2:2379 endpoint status

Settings come from defaults, then the context (lockstep config), then LOCKSTEP_ENDPOINTS and the like, then flags.
Keys and values are written as text; bytes that are not printable are written \xNN, a backslash is written \\.
)";

struct Flags {
  std::map<std::string, std::string, std::less<>> texts;  // by the name of the setting
  std::string context;
};

void add_settings(CLI::App& app, Flags& flags) {
  const ClientSettings defaults;
  for (const Setting& setting : settings()) {
    std::string help(setting.help);
    if (const std::string value = setting.show(defaults); !value.empty()) help += fmt::format(" [{}]", value);
    app.add_option(std::string(setting.flags), flags.texts[std::string(setting.name)], help)
        ->type_name(std::string(setting.metavar))
        ->group("Settings");
  }
  app.add_option("--context", flags.context, "use these settings of the file; also LOCKSTEP_CONTEXT")
      ->type_name("NAME")
      ->group("Settings");
}

Result<Resolved> resolve_all(const CLI::App& app, const Flags& flags, const Variables& variables) {
  std::vector<GivenSettings> layers;
  std::string context = flags.context;
  if (const char* named = variables("LOCKSTEP_CONTEXT"); context.empty() && named != nullptr) context = named;
  LS_ASSIGN_OR_RETURN(const Contexts contexts, read_contexts(contexts_path(variables)));
  LS_ASSIGN_OR_RETURN(layers.emplace_back(), context_settings(contexts, context));
  layers.push_back(read_environment(variables));
  GivenSettings& given = layers.emplace_back();
  for (const Setting& setting : settings()) {
    const std::string flag = fmt::format("--{}", setting.name);
    if (app.count(flag) != 0)
      given[std::string(setting.name)] = {flags.texts.find(setting.name)->second, flag};
  }
  return resolve(layers);
}

// The deepest command that the words name, and the words that name none where one could stand.
const CLI::App* command_of(const CLI::App& root, int argc, char** argv, std::vector<std::string>* unknown) {
  const CLI::App* command = &root;
  for (int i = 1; i < argc; ++i) {
    const std::string word(argv[i]);
    if (word.starts_with("-")) continue;
    const auto subcommands = command->get_subcommands([](const CLI::App*) { return true; });
    if (subcommands.empty()) return command;
    const auto found = std::ranges::find_if(
        subcommands, [&](const CLI::App* subcommand) { return subcommand->check_name(word); });
    if (found == subcommands.end()) {
      // The value of a flag before it looks the same; a near miss is told apart by being near.
      unknown->push_back(word);
      continue;
    }
    unknown->clear();
    command = *found;
  }
  return command;
}

std::vector<std::string> flags_of(const CLI::App* command) {
  std::vector<std::string> names;
  for (; command != nullptr; command = command->get_parent()) {
    for (const CLI::Option* option : command->get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
  }
  return names;
}

int report_usage(const CLI::App& app, const CLI::ParseError& error, int argc, char** argv) {
  if (error.get_exit_code() == 0) return app.exit(error);
  fmt::print(stderr, "lockstep: {}\n", error.what());
  std::vector<std::string> unknown;
  const CLI::App* command = command_of(app, argc, argv, &unknown);
  std::vector<std::string> names;
  for (const CLI::App* subcommand : command->get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(subcommand->get_name());
  for (const std::string& word : unknown) {
    if (const std::string meant = nearest(word, names); !meant.empty())
      fmt::print(stderr, "  did you mean {} instead of {}?\n", meant, word);
  }
  const std::vector<std::string> flags = flags_of(command);
  for (int i = 1; i < argc; ++i) {
    const std::string word(std::string_view(argv[i]).substr(0, std::string_view(argv[i]).find('=')));
    if (!word.starts_with("--") || std::ranges::find(flags, word) != flags.end()) continue;
    if (const std::string meant = nearest(word, flags); !meant.empty())
      fmt::print(stderr, "  did you mean {} instead of {}?\n", meant, word);
  }
  std::string path = command->get_name();
  for (const CLI::App* parent = command->get_parent(); parent != nullptr && parent->get_parent() != nullptr;
       parent = parent->get_parent())
    path = parent->get_name() + " " + path;
  fmt::print(stderr, "  lockstep {}--help tells more\n", command == &app ? "" : path + " ");
  return static_cast<int>(Exit::usage);
}

void describe(CLI::App& app, Flags& flags, Commands& commands) {
  app.footer(std::string(examples) + std::string(exit_codes_text()));
  app.set_version_flag("--version", std::string("lockstep ") + std::string(version));
  app.require_subcommand(1);
  app.fallthrough();
  add_settings(app, flags);
  add_all_commands(commands);
}

void add_version_command(Commands& commands) {
  commands.command(commands.root(), "version", "print the version of this program",
                   "  lockstep version\n  lockstep version -o json\n", [](Session& session) {
                     Report report;
                     report.fact("lockstep", std::string(version));
                     session.print(report);
                     return Status();
                   });
}

}  // namespace

void add_all_commands(Commands& commands) {
  add_kv_commands(commands);
  add_lease_commands(commands);
  add_lock_commands(commands);
  add_semaphore_commands(commands);
  add_elect_commands(commands);
  add_count_commands(commands);
  add_timer_commands(commands);
  add_tx_commands(commands);
  add_topic_commands(commands);
  add_saga_commands(commands);
  add_member_commands(commands);
  add_endpoint_commands(commands);
  add_upkeep_commands(commands);
  add_snapshot_commands(commands);
  add_user_commands(commands);
  add_role_commands(commands);
  add_auth_commands(commands);
  add_bench_commands(commands);
  add_config_commands(commands);
  add_completion_command(commands);
  add_version_command(commands);
}

CLI::App& Commands::group(std::string_view name, std::string_view help) {
  CLI::App* group = root_.add_subcommand(std::string(name), std::string(help));
  group->require_subcommand(1);
  group->footer(fmt::format("\nEach has examples: lockstep {} COMMAND --help\n", name));
  return *group;
}

CLI::App& Commands::command(CLI::App& parent, std::string_view name, std::string_view help,
                            std::string_view command_examples, Action action) {
  CLI::App* command = parent.add_subcommand(std::string(name), std::string(help));
  command->footer(fmt::format("\nExamples:\n{}", command_examples));
  command->callback([this, command, action = std::move(action)] {
    if (command->get_subcommands().empty()) chosen_ = action;  // else one of them was asked for
  });
  return *command;
}

std::string command_reference() {
  CLI::App app(std::string(purpose), "lockstep");
  Flags flags;
  Commands commands(app);
  describe(app, flags, commands);
  return reference_page(app);
}

int run(int argc, char** argv) {
  CLI::App app(std::string(purpose), "lockstep");
  Flags flags;
  Commands commands(app);
  describe(app, flags, commands);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return report_usage(app, error, argc, argv);
  }
  const Variables variables = [](const std::string& name) -> const char* {
    return std::getenv(name.c_str());
  };
  Result<Resolved> resolved = resolve_all(app, flags, variables);
  if (!resolved.ok()) {
    Session::warn(resolved.status().message());
    return static_cast<int>(Exit::usage);
  }
  Session session(variables);
  session.set_resolved(*std::move(resolved));
  const Status status = commands.chosen()(session);
  Session::end_progress();
  Session::flush();
  if (!status.ok() && !status.message().empty()) Session::warn(status.message());
  return status.ok() ? session.exit_code() : static_cast<int>(exit_of(status));
}

}  // namespace lockstep::cli
