// How the client finds its cluster: defaults < context of the file < environment < flags.
//
// The file (~/.config/lockstep/config.toml, or LOCKSTEP_CLIENT_CONFIG) holds named contexts, each with the
// keys of the table in settings.cc. Passwords never stand in it, in the environment or on the command line:
// only the name of a file that holds one.
// Errors: invalid_argument with the place (file:line:column, variable, flag) and what was probably meant.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/time.h"
#include "cli/render.h"

namespace lockstep::cli {

struct ClientSettings {
  std::vector<std::string> endpoints = {"127.0.0.1:2379"};
  std::string ca_certificate;
  std::string certificate;
  std::string key;
  std::string user;
  std::string password_file;
  Duration timeout = 5s;
  Format output = Format::table;

  [[nodiscard]] bool tls() const { return !ca_certificate.empty() || !certificate.empty(); }
};

struct Setting {
  std::string_view name;   // "password-file": flag --password-file, key password_file, variable
                           // LOCKSTEP_PASSWORD_FILE
  std::string_view flags;  // for CLI11: "-o,--output"
  std::string_view metavar;
  std::string_view help;
  Status (*set)(ClientSettings& settings, std::string_view text);
  std::string (*show)(const ClientSettings& settings);
};
std::span<const Setting> settings();
std::string key_of(const Setting& setting);
std::string variable_of(const Setting& setting);

struct Given {
  std::string text;
  std::string origin;  // "config.toml:3:1", "LOCKSTEP_USER", "--user"
};
using GivenSettings = std::map<std::string, Given, std::less<>>;  // by name

// `variable(name)` is getenv or its stand-in.
using Variables = std::function<const char*(const std::string& name)>;
GivenSettings read_environment(const Variables& variable);

struct Resolved {
  ClientSettings settings;
  std::map<std::string, std::string, std::less<>> origins;  // by name; absent: default
};
// Later layers win.
Result<Resolved> resolve(std::span<const GivenSettings> layers);

}  // namespace lockstep::cli
