// The command line of lockstepd.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "server/certificates.h"
#include "server/settings.h"

namespace lockstep::server {

struct CommandLine {
  enum class Command { run, config_check, config_show, init, finished };
  Command command = Command::run;
  int exit_status = 0;  // of `finished`: --help, --version and wrong usage were dealt with
  Resolved resolved;    // of run and config
  bool show_origin = false;
  InitOptions init;
};

// Reads flags, environment and file. What it refuses it prints to standard error.
CommandLine parse_command_line(int argc, char** argv);

}  // namespace lockstep::server
