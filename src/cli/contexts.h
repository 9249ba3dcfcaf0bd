// The file of contexts: named ways to reach clusters, and which of them is used without --context.
//
//   current = "prod"
//   [contexts.prod]
//   endpoints = "10.0.0.1:2379,10.0.0.2:2379"
//   cacert = "/etc/lockstep/ca.crt"
//
// Written as a whole, to a new file that replaces the old one. Errors: invalid_argument with
// file:line:column; io_error with the system's text; a missing file is an empty one.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/status.h"
#include "cli/settings.h"

namespace lockstep::cli {

struct Contexts {
  std::string current;  // empty: none
  std::map<std::string, GivenSettings, std::less<>> by_name;
};

// Where the file is: LOCKSTEP_CLIENT_CONFIG, else in XDG_CONFIG_HOME or ~/.config.
std::string contexts_path(const Variables& variable);
Result<Contexts> read_contexts(const std::string& path);
// The text of a file; `path` is only named.
Result<Contexts> parse_contexts(std::string_view text, const std::string& path);
Status write_contexts(const std::string& path, const Contexts& contexts);
// The settings of the context `name`, of the current one if it is empty. Errors: not_found.
Result<GivenSettings> context_settings(const Contexts& contexts, std::string_view name);

}  // namespace lockstep::cli
