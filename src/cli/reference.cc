#include "cli/reference.h"

#include <algorithm>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace lockstep::cli {
namespace {

std::vector<const CLI::App*> subcommands_of(const CLI::App& command) {
  return command.get_subcommands([](const CLI::App*) { return true; });
}

std::string path_of(const CLI::App& command) {
  if (command.get_parent() == nullptr) return command.get_name();
  return path_of(*command.get_parent()) + " " + command.get_name();
}

// In a cell of a table.
std::string cell(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '|' || c == '<' || c == '*') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

std::string usage_of(const CLI::App& command) {
  std::string usage = path_of(command);
  for (const CLI::Option* option : command.get_options()) {
    if (!option->get_positional()) continue;
    const std::string name = option->get_single_name();
    usage += option->get_required() ? " " + name : " [" + name + "]";
    if (option->get_items_expected_max() > 1) usage += "…";
  }
  return usage + " [option…]";
}

// Of a command alone, or of the program.
std::string options_of(const CLI::App& command) {
  std::string rows;
  for (const CLI::Option* option : command.get_options()) {
    if (option->get_single_name() == "help" || option->get_single_name() == "version") continue;
    std::string names;
    for (const std::string& name : option->get_snames())
      names += fmt::format("{}`-{}`", names.empty() ? "" : ", ", name);
    for (const std::string& name : option->get_lnames())
      names += fmt::format("{}`--{}`", names.empty() ? "" : ", ", name);
    if (option->get_positional()) names = option->get_single_name();
    rows += fmt::format("| {} | {} |\n", names, cell(option->get_description()));
  }
  return rows.empty() ? "" : "\n| | |\n|---|---|\n" + rows;
}

// What stands in the footer, without its heading and indentation.
std::string examples_of(const CLI::App& command) {
  const std::string footer = command.get_footer();
  std::string lines;
  for (std::size_t begin = footer.find("Examples:"); begin < footer.size();) {
    begin = footer.find('\n', begin);
    if (begin == std::string::npos) break;
    const std::size_t end = std::min(footer.find('\n', ++begin), footer.size());
    std::string_view line = std::string_view(footer).substr(begin, end - begin);
    while (line.starts_with(' ')) line.remove_prefix(1);
    if (!line.empty()) lines.append(line).append("\n");
    begin = end;
  }
  return lines.empty() ? "" : "\n```\n" + lines + "```\n";
}

std::string sentence(std::string text) {
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 'a' + 'A');
  return text + ".";
}

void add_command(const CLI::App& command, std::string* page) {
  const std::vector<const CLI::App*> below = subcommands_of(command);
  if (below.empty()) {
    *page += fmt::format("\n### {}\n\n{}\n\n`{}`\n", path_of(command), sentence(command.get_description()),
                         usage_of(command));
    *page += options_of(command) + examples_of(command);
    return;
  }
  *page += fmt::format("\n## {}\n\n{}\n", path_of(command), sentence(command.get_description()));
  for (const CLI::App* subcommand : below) add_command(*subcommand, page);
}

}  // namespace

std::string reference_page(const CLI::App& root) {
  std::string page = fmt::format("# The client `{}`\n\n{}\n\n", root.get_name(), root.get_description());
  page +=
      "Generated from the program (`LOCKSTEP_REWRITE=1 cli_test`); `--help` behind any command says the "
      "same.\n\n"
      "## Settings\n\nTaken by every command. They come from defaults, then the context of the client's "
      "file, then variables "
      "such as `LOCKSTEP_ENDPOINTS`, then flags.\n";
  page += options_of(root);
  const std::string footer = root.get_footer();
  const std::size_t status = footer.find("Exit status:");
  if (status != std::string::npos) {
    page += "\n## Exit status\n\n```\n" + footer.substr(footer.find('\n', status) + 1);
    page += "```\n";
  }
  for (const CLI::App* command : subcommands_of(root)) add_command(*command, &page);
  return page;
}

}  // namespace lockstep::cli
