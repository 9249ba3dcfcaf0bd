// The tree of commands. Each group is one function that adds its commands to the tree; what to run is decided
// by the tree when the command line was read. Help, completion and suggestions are made from the same tree.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "cli/session.h"

namespace CLI {
class App;
}

namespace lockstep::cli {

using Action = std::function<Status(Session&)>;

class Commands {
 public:
  explicit Commands(CLI::App& root) : root_(root) {}
  CLI::App& root() { return root_; }

  // A group of commands, which is no command itself.
  CLI::App& group(std::string_view name, std::string_view help);
  // A command under `parent`. `examples` are lines of a shell.
  CLI::App& command(CLI::App& parent, std::string_view name, std::string_view help, std::string_view examples,
                    Action action);
  // Of the command that was asked for; empty before.
  [[nodiscard]] const Action& chosen() const { return chosen_; }

 private:
  CLI::App& root_;
  Action chosen_;
};

void add_all_commands(Commands& commands);
void add_kv_commands(Commands& commands);
void add_txn_command(Commands& commands, CLI::App& kv);
void add_watch_command(Commands& commands, CLI::App& kv);
void add_lease_commands(Commands& commands);
void add_lock_commands(Commands& commands);
void add_semaphore_commands(Commands& commands);
void add_elect_commands(Commands& commands);
void add_count_commands(Commands& commands);
void add_timer_commands(Commands& commands);
void add_topic_commands(Commands& commands);
void add_tx_commands(Commands& commands);
void add_saga_commands(Commands& commands);
void add_member_commands(Commands& commands);
void add_endpoint_commands(Commands& commands);
void add_upkeep_commands(Commands& commands);
void add_snapshot_commands(Commands& commands);
void add_restore_command(Commands& commands, CLI::App& snapshot);
void add_user_commands(Commands& commands);
void add_role_commands(Commands& commands);
void add_auth_commands(Commands& commands);
void add_bench_commands(Commands& commands);
void add_topic_bench(Commands& commands, CLI::App& bench);
void add_config_commands(Commands& commands);
void add_completion_command(Commands& commands);

// The page docs/cli.md.
std::string command_reference();

// Runs the whole program.
int run(int argc, char** argv);

}  // namespace lockstep::cli
