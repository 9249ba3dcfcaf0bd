// ./do bench core: the figures of the replicated store, without any protocol in front.
#include <cstdio>
#include <filesystem>
#include <string>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "core/scenarios.h"

int main(int argc, char** argv) {
  using namespace lockstep::bench;
  Settings settings;
  settings.directory = "lockstep-bench";
  std::string only;
  bool keep = false;
  std::string member_directory;
  std::string member_peers;
  std::uint64_t member_node = 0;

  CLI::App app{
      "Measures the replicated store on this machine: rates, CPU a request, latencies.\n"
      "Needs a release build and an otherwise idle machine.\n\n"
      "Examples:\n"
      "  lockstep-bench                          all figures\n"
      "  lockstep-bench --only put --seconds 2   those whose name contains 'put'\n"
      "  lockstep-bench --directory /mnt/disk/x  on another disk"};
  app.add_option("--directory", settings.directory,
                 "Scratch directory on the disk to measure; must not exist");
  app.add_option("--seconds", settings.seconds, "Length of each measured run");
  app.add_option("--warm-up", settings.warm_up_seconds, "Seconds before measuring begins");
  app.add_option("--only", only, "Run scenarios whose name contains this");
  app.add_flag("--keep", keep, "Leave the scratch directory behind");
  CLI::App* member = app.add_subcommand("member", "One member of the three-process scenario (started by it)");
  member->group("");
  member->add_option("--data", member_directory)->required();
  member->add_option("--node", member_node)->required();
  member->add_option("--peers", member_peers)->required();
  CLI11_PARSE(app, argc, argv);

  if (*member) return run_member(member_directory, lockstep::NodeId(member_node), member_peers);

  if (std::filesystem::exists(settings.directory)) {
    fmt::print(stderr, "lockstep-bench: {} exists; remove it or name another with --directory\n",
               settings.directory);
    return 2;
  }
  std::filesystem::create_directories(settings.directory);
  int found = 0;
  for (const Scenario& scenario : scenarios()) {
    if (scenario.name.find(only) == std::string::npos) continue;
    ++found;
    fmt::print(stderr, "[{}]\n", scenario.name);
    scenario.run(settings);
  }
  if (!keep) std::filesystem::remove_all(settings.directory);
  if (found == 0) {
    fmt::print(stderr, "lockstep-bench: no scenario's name contains '{}'\n", only);
    return 2;
  }
  return 0;
}
