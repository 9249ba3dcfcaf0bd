#include "cli/contexts.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <fmt/format.h>

#include "base/toml_text.h"
#include "cli/text.h"

namespace lockstep::cli {
namespace {

constexpr std::size_t file_bytes_max = 1 << 20;

using toml_text::place;

Status refuse(const std::string& where, std::string_view why) {
  return {Code::invalid_argument, fmt::format("{}: {}", where, why)};
}

Result<std::string> text_of(const toml::node& node) {
  if (const auto text = node.value_exact<std::string>()) return *text;
  const toml::array* array = node.as_array();
  if (array == nullptr) return Status(Code::invalid_argument, "expected a text or a list of texts");
  std::string joined;
  for (const toml::node& element : *array) {
    const auto text = element.value_exact<std::string>();
    if (!text) return Status(Code::invalid_argument, "a list holds texts only");
    joined += (joined.empty() ? "" : ",") + *text;
  }
  return joined;
}

Result<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    if (errno == ENOENT) return std::string();
    return Status(Code::io_error, fmt::format("{}: {}", path, std::strerror(errno)));
  }
  std::string text(file_bytes_max + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > file_bytes_max) return refuse(path, "larger than 1 MiB: not a file of contexts");
  return text;
}

Result<GivenSettings> read_context(const std::string& path, const toml::table& table) {
  GivenSettings given;
  for (const auto& [key, node] : table) {
    const auto setting =
        std::ranges::find_if(settings(), [&](const Setting& known) { return key_of(known) == key.str(); });
    if (setting == settings().end()) {
      std::vector<std::string> names;
      for (const Setting& known : settings()) names.push_back(key_of(known));
      const std::string meant = nearest(key.str(), names);
      return refuse(place(path, key.source()),
                    fmt::format("unknown key '{}'{}", key.str(),
                                meant.empty() ? "" : fmt::format(": did you mean {}?", meant)));
    }
    const Result<std::string> text = text_of(node);
    if (!text.ok()) return refuse(place(path, node.source()), text.status().message());
    given[std::string(setting->name)] = {*text, place(path, node.source())};
  }
  return given;
}

}  // namespace

std::string contexts_path(const Variables& variable) {
  if (const char* path = variable("LOCKSTEP_CLIENT_CONFIG")) return path;
  if (const char* directory = variable("XDG_CONFIG_HOME"); directory != nullptr && *directory != '\0')
    return std::string(directory) + "/lockstep/config.toml";
  const char* home = variable("HOME");
  return std::string(home == nullptr ? "." : home) + "/.config/lockstep/config.toml";
}

Result<Contexts> read_contexts(const std::string& path) {
  LS_ASSIGN_OR_RETURN(const std::string text, read_file(path));
  return parse_contexts(text, path);
}

Result<Contexts> parse_contexts(std::string_view text, const std::string& path) {
  LS_ASSIGN_OR_RETURN(const toml::table table, toml_text::parse(text, path));
  Contexts contexts;
  for (const auto& [key, node] : table) {
    if (key.str() == "current") {
      const auto name = node.value_exact<std::string>();
      if (!name) return refuse(place(path, node.source()), "current: expected a text");
      contexts.current = *name;
      continue;
    }
    const toml::table* named = key.str() == "contexts" ? node.as_table() : nullptr;
    if (named == nullptr)
      return refuse(place(path, key.source()),
                    fmt::format("unknown key '{}': known are current and [contexts.NAME]", key.str()));
    for (const auto& [name, settings_node] : *named) {
      const toml::table* context = settings_node.as_table();
      if (context == nullptr) return refuse(place(path, settings_node.source()), "expected [contexts.NAME]");
      LS_ASSIGN_OR_RETURN(contexts.by_name[std::string(name.str())], read_context(path, *context));
    }
  }
  return contexts;
}

Status write_contexts(const std::string& path, const Contexts& contexts) {
  toml::table by_name;
  for (const auto& [name, given] : contexts.by_name) {
    toml::table context;
    for (const Setting& setting : settings()) {
      if (const auto found = given.find(setting.name); found != given.end())
        context.insert(key_of(setting), found->second.text);
    }
    by_name.insert(name, std::move(context));
  }
  toml::table table;
  if (!contexts.current.empty()) table.insert("current", contexts.current);
  table.insert("contexts", std::move(by_name));
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  const std::string fresh = path + ".new";
  {
    std::ofstream file(fresh, std::ios::binary | std::ios::trunc);
    file << table << "\n";
    file.flush();
    if (!file) return {Code::io_error, fmt::format("{}: {}", fresh, std::strerror(errno))};
  }
  std::filesystem::rename(fresh, path, error);
  if (error) return {Code::io_error, fmt::format("{}: {}", path, error.message())};
  return {};
}

Result<GivenSettings> context_settings(const Contexts& contexts, std::string_view name) {
  const std::string_view wanted = name.empty() ? std::string_view(contexts.current) : name;
  if (wanted.empty()) return GivenSettings{};
  if (const auto found = contexts.by_name.find(wanted); found != contexts.by_name.end()) return found->second;
  std::vector<std::string> names;
  for (const auto& [known, given] : contexts.by_name) names.push_back(known);
  const std::string meant = nearest(wanted, names);
  return Status(Code::not_found, fmt::format("no context '{}'{}", wanted,
                                             meant.empty() ? ": `lockstep config list` names them"
                                                           : fmt::format(": did you mean '{}'?", meant)));
}

}  // namespace lockstep::cli
