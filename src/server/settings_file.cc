// The configuration file: TOML, one key a setting, plainly or below a table.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include <fmt/format.h>

#include "base/toml_text.h"
#include "server/settings.h"

namespace lockstep::server {
namespace {

constexpr std::size_t file_bytes_max = 1 << 20;

using toml_text::place;

Result<std::string> text_of(const toml::node& node) {
  if (const auto text = node.value_exact<std::string>()) return *text;
  if (const auto flag = node.value_exact<bool>()) return std::string(*flag ? "true" : "false");
  if (const auto number = node.value_exact<std::int64_t>()) return std::to_string(*number);
  if (const toml::array* array = node.as_array()) {
    std::string joined;
    for (const toml::node& element : *array) {
      const auto text = element.value_exact<std::string>();
      if (!text) return Status(Code::invalid_argument, "a list holds texts only");
      joined += (joined.empty() ? "" : ",") + *text;
    }
    return joined;
  }
  return Status(Code::invalid_argument, "expected a text, a whole number, true, false or a list of texts");
}

// [services] with a line for each, as name=value,…
Result<std::string> text_of(const toml::table& table) {
  std::string joined;
  for (const auto& [name, node] : table) {
    const auto text = node.value_exact<std::string>();
    if (!text) return Status(Code::invalid_argument, fmt::format("{}: expected a text", name.str()));
    joined += fmt::format("{}{}={}", joined.empty() ? "" : ",", name.str(), *text);
  }
  return joined;
}

Result<std::string> read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Status(Code::not_found, fmt::format("{}: {}", path, std::strerror(errno)));
  std::string text(file_bytes_max + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (file.bad()) return Status(Code::io_error, fmt::format("{}: cannot be read", path));
  if (text.size() > file_bytes_max)
    return Status(Code::invalid_argument,
                  fmt::format("{}: larger than 1 MiB: not a configuration file", path));
  return text;
}

const Setting* setting_of_key(std::string_view key) {
  for (const Setting& setting : settings()) {
    if (key_of(setting) == key) return &setting;
  }
  return nullptr;
}

bool begins_keys(const std::string& prefix) {
  return std::ranges::any_of(settings(), [&](const Setting& one) { return key_of(one).starts_with(prefix); });
}

Status unknown_key(const std::string& at, const std::string& name) {
  const std::string suggestion = suggestion_for(name);
  const std::string hint = suggestion.empty()
                               ? "`lockstepd config show` lists the keys"
                               : fmt::format("did you mean {}?", key_of(*find_setting(suggestion)));
  return {Code::invalid_argument, fmt::format("{}: unknown key '{}': {}", at, name, hint)};
}

// Keys below [table] are those that begin with its name: allow below [callouts] is callouts_allow.
Status read_table(const toml::table& table, const std::string& prefix, const std::string& path,
                  GivenSettings* given) {
  for (const auto& [key, node] : table) {
    const std::string origin = place(path, node.source());
    const std::string name = prefix + std::string(key.str());
    const Setting* setting = setting_of_key(name);
    const bool is_table = prefix.empty() && setting == nullptr && node.is_table();
    if (is_table && begins_keys(name + "_")) {
      LS_RETURN_IF_ERROR(read_table(*node.as_table(), name + "_", path, given));
      continue;
    }
    if (setting == nullptr) return unknown_key(place(path, key.source()), name);
    const bool texts = setting->name == "services" && node.is_table();
    const Result<std::string> value = texts ? text_of(*node.as_table()) : text_of(node);
    if (!value.ok())
      return {Code::invalid_argument, fmt::format("{}: {}: {}", origin, name, value.status().message())};
    (*given)[std::string(setting->name)] = {*value, origin};
  }
  return {};
}

}  // namespace

Result<GivenSettings> read_settings_file(const std::string& path) {
  LS_ASSIGN_OR_RETURN(const std::string text, read_text(path));
  return parse_settings(text, path);
}

Result<GivenSettings> parse_settings(std::string_view text, const std::string& path) {
  LS_ASSIGN_OR_RETURN(const toml::table table, toml_text::parse(text, path));
  GivenSettings given;
  LS_RETURN_IF_ERROR(read_table(table, "", path, &given));
  return given;
}

}  // namespace lockstep::server
