#include "cli/settings.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "cli/text.h"

namespace lockstep::cli {
namespace {

std::string joined(const std::vector<std::string>& texts) {
  std::string line;
  for (const std::string& text : texts) line += (line.empty() ? "" : ",") + text;
  return line;
}

template <std::string ClientSettings::* member>
constexpr Setting text_setting(std::string_view name, std::string_view flags, std::string_view metavar,
                               std::string_view help) {
  return {name,
          flags,
          metavar,
          help,
          [](ClientSettings& settings, std::string_view text) {
            settings.*member = text;
            return Status();
          },
          [](const ClientSettings& settings) { return settings.*member; }};
}

Status set_endpoints(ClientSettings& settings, std::string_view text) {
  LS_ASSIGN_OR_RETURN(std::vector<std::string> endpoints, parse_addresses(text));
  if (endpoints.empty()) return {Code::invalid_argument, "name one address at least: host:port"};
  settings.endpoints = std::move(endpoints);
  return {};
}

Status set_timeout(ClientSettings& settings, std::string_view text) {
  LS_ASSIGN_OR_RETURN(settings.timeout, parse_duration(text));
  return {};
}

Status set_output(ClientSettings& settings, std::string_view text) {
  const std::optional<Format> format = parse_format(text);
  if (!format)
    return {Code::invalid_argument, fmt::format("'{}' is none of table, json, yaml, ndjson, raw", text)};
  settings.output = *format;
  return {};
}

constexpr std::array all_settings = {
    Setting{"endpoints", "--endpoints", "LIST", "where members listen: host:port,host:port,...",
            set_endpoints, [](const ClientSettings& settings) { return joined(settings.endpoints); }},
    text_setting<&ClientSettings::ca_certificate>("cacert", "--cacert", "FILE",
                                                  "PEM; members must show a certificate of it (means TLS)"),
    text_setting<&ClientSettings::certificate>("cert", "--cert", "FILE",
                                               "PEM; this client's certificate (means TLS)"),
    text_setting<&ClientSettings::key>("key", "--key", "FILE", "PEM, of --cert"),
    text_setting<&ClientSettings::user>("user", "--user", "NAME", "log in as this user"),
    text_setting<&ClientSettings::password_file>(
        "password-file", "--password-file", "FILE",
        "its first line is the password; asked for on a terminal otherwise"),
    Setting{"timeout", "--timeout", "TIME", "give up after so long", set_timeout,
            [](const ClientSettings& settings) { return show_duration(settings.timeout); }},
    Setting{"output", "-o,--output", "FORMAT", "table, json, yaml, ndjson or raw", set_output,
            [](const ClientSettings& settings) { return std::string(to_string(settings.output)); }},
};

std::string with(std::string_view name, char from, char to) {
  std::string text(name);
  std::ranges::replace(text, from, to);
  return text;
}

}  // namespace

std::span<const Setting> settings() {
  return all_settings;
}

std::string key_of(const Setting& setting) {
  return with(setting.name, '-', '_');
}

std::string variable_of(const Setting& setting) {
  std::string name = "LOCKSTEP_" + key_of(setting);
  for (char& c : name) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return name;
}

GivenSettings read_environment(const Variables& variable) {
  GivenSettings given;
  for (const Setting& setting : all_settings) {
    const std::string name = variable_of(setting);
    if (const char* text = variable(name)) given[std::string(setting.name)] = {text, name};
  }
  return given;
}

Result<Resolved> resolve(std::span<const GivenSettings> layers) {
  Resolved resolved;
  for (const GivenSettings& layer : layers) {
    for (const auto& [name, given] : layer) {
      const auto setting = std::ranges::find(all_settings, name, &Setting::name);
      LS_MUST(setting != all_settings.end(), "the readers of layers refuse unknown names");
      if (const Status status = setting->set(resolved.settings, given.text); !status.ok())
        return Status(status.code(), fmt::format("{}: {}", given.origin, status.message()));
      resolved.origins[name] = given.origin;
    }
  }
  const ClientSettings& settings = resolved.settings;
  if (settings.certificate.empty() != settings.key.empty())
    return Status(Code::invalid_argument, "--cert and --key belong together: give both or none");
  if (settings.user.empty() && !settings.password_file.empty())
    return Status(Code::invalid_argument, "--password-file without --user: whose password is it?");
  return resolved;
}

}  // namespace lockstep::cli
