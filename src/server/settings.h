// The settings of the server: one table with the name, the meaning and the place of each, from which flags,
// environment variables, the file's keys, `config show` and the help text are made.
//
// Order: defaults < file < environment < flags. Errors are invalid_argument and say where the value came from
// (file and line, variable, flag), what is wrong, and what was probably meant.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "server/options.h"

namespace lockstep::server {

struct Setting {
  std::string_view
      name;  // "data-dir": the flag is --data-dir, the key data_dir, the variable LOCKSTEP_DATA_DIR
  std::string_view metavar;
  std::string_view help;
  Status (*set)(ServerOptions& options, std::string_view text);
  std::string (*show)(const ServerOptions& options);
};

std::span<const Setting> settings();
const Setting* find_setting(std::string_view name);
std::string key_of(const Setting& setting);
std::string variable_of(const Setting& setting);
// The known name that is closest to `name`, if one is close.
std::string suggestion_for(std::string_view name);

// What somebody wrote somewhere.
struct Given {
  std::string text;
  std::string origin;  // "lockstep.toml:3:1", "LOCKSTEP_LISTEN", "--listen"
};
using GivenSettings = std::map<std::string, Given, std::less<>>;  // by name

// The file's values. Unknown keys and values of a wrong kind are errors with line and column.
Result<GivenSettings> read_settings_file(const std::string& path);
// The text of a file; `path` is only named.
Result<GivenSettings> parse_settings(std::string_view text, const std::string& path);
// `variable(name)` is getenv or its stand-in. Unknown variables beginning with LOCKSTEP_ are not looked at.
GivenSettings read_environment(const std::function<const char*(const std::string& name)>& variable);

struct Resolved {
  ServerOptions options;
  std::map<std::string, std::string, std::less<>> origins;  // by name; absent: default
};
// Later layers win. Checks each value by itself, then all together.
Result<Resolved> resolve(std::span<const GivenSettings> layers);
// Fills in what follows from other settings (the peer address from --initial-cluster).
Status complete(ServerOptions& options);
// What does not fit together, and what must not be started so: a port that strangers can reach without TLS
// and authentication.
Status check(const ServerOptions& options);

}  // namespace lockstep::server
