// The configuration file: TOML, one key a setting.
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

}  // namespace

Result<GivenSettings> read_settings_file(const std::string& path) {
  LS_ASSIGN_OR_RETURN(const std::string text, read_text(path));
  return parse_settings(text, path);
}

Result<GivenSettings> parse_settings(std::string_view text, const std::string& path) {
  LS_ASSIGN_OR_RETURN(const toml::table table, toml_text::parse(text, path));
  GivenSettings given;
  for (const auto& [key, node] : table) {
    const std::string origin = place(path, node.source());
    const Setting* setting = setting_of_key(key.str());
    if (setting == nullptr) {
      const std::string suggestion = suggestion_for(key.str());
      const std::string hint = suggestion.empty()
                                   ? "`lockstepd config show` lists the keys"
                                   : fmt::format("did you mean {}?", key_of(*find_setting(suggestion)));
      return Status(Code::invalid_argument,
                    fmt::format("{}: unknown key '{}': {}", place(path, key.source()), key.str(), hint));
    }
    const Result<std::string> value = text_of(node);
    if (!value.ok())
      return Status(Code::invalid_argument,
                    fmt::format("{}: {}: {}", origin, key.str(), value.status().message()));
    given[std::string(setting->name)] = {*value, origin};
  }
  return given;
}

}  // namespace lockstep::server
