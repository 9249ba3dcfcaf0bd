#include "server/command_line.h"

#include <cstdlib>
#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/version.h"

namespace lockstep::server {
namespace {

constexpr int usage_error = 2;  // as the CLI documents its exit codes

constexpr std::string_view examples = R"(
Examples:
  lockstepd --dev                       one member on 127.0.0.1:2379, data in ./lockstep-data
  lockstepd --name n1 --data-dir /var/lib/lockstep --initial-cluster n1=10.0.0.1:2380,n2=10.0.0.2:2380,n3=10.0.0.3:2380 \
            --listen 10.0.0.1:2379 --config /etc/lockstep/lockstep.toml
  lockstepd --join 10.0.0.1:2380 --peer-listen 10.0.0.4:2380 --data-dir /var/lib/lockstep
  lockstepd --store etcd://127.0.0.1:2379 --listen 127.0.0.1:2479   coordination on an etcd that runs already
  lockstepd init --directory certificates n1 n2 n3

Each flag can also be a key of the file (data_dir = "...") or a variable (LOCKSTEP_DATA_DIR).
Flags win over variables, variables over the file.
See also: lockstep --help (the client), lockstepd config show --origin
)";

// The texts of flags, in a place that stays while CLI11 looks at it.
struct Flags {
  std::map<std::string, std::string, std::less<>> texts;
  bool dev = false;
  std::string config;
};

void add_settings(CLI::App& app, Flags& flags) {
  const ServerOptions defaults;
  for (const Setting& setting : settings()) {
    const std::string name = fmt::format("--{}", setting.name);
    if (setting.metavar.empty()) {
      app.add_flag(name, flags.dev, std::string(setting.help));
      continue;
    }
    std::string help(setting.help);
    if (const std::string value = setting.show(defaults); !value.empty()) help += fmt::format(" [{}]", value);
    app.add_option(name, flags.texts[std::string(setting.name)], help)
        ->type_name(std::string(setting.metavar));
  }
  app.add_option("--config", flags.config, "read settings from this TOML file; also LOCKSTEP_CONFIG")
      ->type_name("FILE");
}

Result<Resolved> resolve_all(const CLI::App& app, const Flags& flags) {
  std::vector<GivenSettings> layers;
  std::string file = flags.config;
  if (const char* named = std::getenv("LOCKSTEP_CONFIG"); file.empty() && named != nullptr) file = named;
  if (!file.empty()) {
    LS_ASSIGN_OR_RETURN(layers.emplace_back(), read_settings_file(file));
  }
  layers.push_back(read_environment([](const std::string& name) { return std::getenv(name.c_str()); }));
  GivenSettings given;
  for (const Setting& setting : settings()) {
    const std::string flag = fmt::format("--{}", setting.name);
    if (app.count(flag) == 0) continue;
    given[std::string(setting.name)] = {
        setting.metavar.empty() ? "true" : flags.texts.find(setting.name)->second, flag};
  }
  layers.push_back(std::move(given));
  return resolve(layers);
}

// CLI11 names what it does not know; the likely meaning is ours to find.
int report_usage(const CLI::App& app, const CLI::ParseError& error, int argc, char** argv) {
  if (error.get_exit_code() == 0) return app.exit(error);
  fmt::print(stderr, "lockstepd: {}\n", error.what());
  for (int i = 1; i < argc; ++i) {
    const std::string_view word(argv[i]);
    if (!word.starts_with("--")) continue;
    const std::string_view name = word.substr(2, word.find('=') - 2);
    if (find_setting(name) != nullptr) continue;
    if (const std::string meant = suggestion_for(name); !meant.empty())
      fmt::print(stderr, "  did you mean --{} instead of --{}?\n", meant, name);
  }
  fmt::print(stderr, "  lockstepd --help lists everything\n");
  return usage_error;
}

}  // namespace

CommandLine parse_command_line(int argc, char** argv) {
  CommandLine line;
  CLI::App app(
      "Lockstep's server: a replicated key-value store that speaks etcd v3, with coordination on top.");
  app.footer(std::string(examples));
  app.set_version_flag("--version", std::string("lockstepd ") + std::string(version));
  app.require_subcommand(0, 1);
  app.fallthrough();
  Flags flags;
  add_settings(app, flags);

  CLI::App* config = app.add_subcommand("config", "look at the configuration");
  config->require_subcommand(1);
  config->fallthrough();
  const CLI::App* check_command =
      config->add_subcommand("check", "read everything, start nothing; says what is wrong")->fallthrough();
  CLI::App* show_command =
      config->add_subcommand("show", "print every setting as it would be used")->fallthrough();
  show_command->add_flag("--origin", line.show_origin, "and where each value comes from");

  CLI::App* init = app.add_subcommand("init", "make a CA, certificates for members, and a password for root");
  init->add_option("names", line.init.names, "names of the members")->required();
  init->add_option("--directory", line.init.directory, "where to put the files")
      ->default_val("./lockstep-certificates");
  init->add_option("--host", line.init.hosts,
                   "a name or address of a member's machine, besides localhost; repeatable");
  init->add_option("--days", line.init.days, "how long the members' certificates hold")
      ->check(CLI::Range(1, 3650))
      ->capture_default_str();

  line.command = CommandLine::Command::finished;
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    line.exit_status = report_usage(app, error, argc, argv);
    return line;
  }
  if (init->parsed()) {
    line.command = CommandLine::Command::init;
    return line;
  }
  Result<Resolved> resolved = resolve_all(app, flags);
  if (!resolved.ok()) {
    fmt::print(stderr, "lockstepd: {}\n", resolved.status().message());
    line.exit_status = usage_error;
    return line;
  }
  line.resolved = *std::move(resolved);
  line.command = CommandLine::Command::run;
  if (check_command->parsed()) line.command = CommandLine::Command::config_check;
  if (show_command->parsed()) line.command = CommandLine::Command::config_show;
  return line;
}

}  // namespace lockstep::server
