// What lock, semaphore and elect have in common: a session, something held in it, and a command that runs
// meanwhile.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "cli/commands.h"
#include "cli/recipes.h"
#include "cli/report.h"
#include "service/lock/guard.h"
#include "service/session/session.h"

namespace lockstep::cli {

struct HoldArguments {
  std::string name;
  std::vector<std::string> words;
  std::string wait;  // empty: for ever
  std::string ttl = "10s";
  std::string lock_delay = "0s";
  std::string grace = "5s";
  std::string reason;
  bool only_warn = false;
};
// Name, --wait and what else is the same for all of them, but for the words of the command.
void add_hold_options(CLI::App& command, HoldArguments& arguments, const std::string& name_help);
void add_command_words(CLI::App& command, HoldArguments& arguments);

struct HeldThing {
  std::string what;  // "the lock orders"
  service::Fence fence;
  Report report;                                                 // printed if no command runs
  std::vector<std::pair<std::string, std::string>> environment;  // of the command
};
struct Waiting {
  bool wait = true;
  store::CallOptions options;
};
using Acquire = std::function<Result<HeldThing>(Client& client, const service::SessionPtr& holder,
                                                const std::string& name, const Waiting& waiting)>;

// Opens a session, acquires, runs the command (or waits for the end), gives everything back. The exit status
// is the command's; conflict if what was held was lost.
Status hold_and_run(Session& session, const HoldArguments& arguments, const Acquire& acquire);

}  // namespace lockstep::cli
