#include "cli/completion.h"

#include <algorithm>
#include <array>
#include <functional>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "cli/commands.h"

namespace lockstep::cli {
namespace {

std::vector<const CLI::App*> subcommands_of(const CLI::App& command) {
  return command.get_subcommands([](const CLI::App*) { return true; });
}

std::string path_of(const CLI::App& command) {
  if (command.get_parent() == nullptr) return "";
  const std::string above = path_of(*command.get_parent());
  return above.empty() ? command.get_name() : above + " " + command.get_name();
}

struct FlagWord {
  std::string name;  // with its dashes
  std::string help;
  bool takes_value = false;
};
std::vector<FlagWord> flags_of(const CLI::App& command) {
  std::vector<FlagWord> flags;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames())
      flags.push_back({"--" + name, option->get_description(), option->get_items_expected_max() > 0});
    for (const std::string& name : option->get_snames())
      flags.push_back({"-" + name, option->get_description(), option->get_items_expected_max() > 0});
  }
  return flags;
}

// The tree, each command before those below it.
void walk(const CLI::App& command, const std::function<void(const CLI::App&)>& visit) {
  visit(command);
  for (const CLI::App* subcommand : subcommands_of(command)) walk(*subcommand, visit);
}

std::string names_joined(const CLI::App& command) {
  std::string words;
  for (const CLI::App* subcommand : subcommands_of(command)) words += subcommand->get_name() + " ";
  return words;
}
std::string flags_joined(const CLI::App& command) {
  std::string words;
  for (const FlagWord& flag : flags_of(command)) words += flag.name + " ";
  return words;
}

// Its value is a file or a directory.
bool takes_file(std::string_view flag) {
  constexpr std::array<std::string_view, 6> names = {
      "--cacert", "--cert", "--key", "--password-file", "--new-password-file", "--data-dir"};
  return std::ranges::find(names, flag) != names.end();
}

// Inside single quotes of any of the shells.
std::string quoted(std::string text) {
  std::erase(text, '\'');
  std::erase(text, '\\');
  return "'" + text + "'";
}

// For zsh's lists, where a colon separates.
std::string described(const std::string& name, std::string help) {
  std::ranges::replace(help, ':', ',');
  return quoted(name + ":" + help);
}

Status print_script(std::string (*make)(const CLI::App&), const CLI::App& root) {
  Session::write(make(root));
  return {};
}

}  // namespace

// One table from a command's path to the words below it; keys are asked of the cluster.
std::string bash_completion(const CLI::App& root) {
  std::string script = "# bash completion for lockstep; source it, or put it in bash-completion's folder.\n";
  std::string commands;
  std::string flags;
  std::string with_value;
  walk(root, [&](const CLI::App& command) {
    const std::string path = path_of(command);
    if (const std::string names = names_joined(command); !names.empty())
      commands += fmt::format("    '{}') words='{}' ;;\n", path, names);
    flags += fmt::format("    '{}') words='{}' ;;\n", path, flags_joined(command));
    for (const FlagWord& flag : flags_of(command)) {
      if (flag.takes_value && with_value.find("|" + flag.name + "|") == std::string::npos)
        with_value += (with_value.empty() ? "|" : "") + flag.name + "|";
    }
  });
  script += fmt::format("_lockstep_commands() {{\n  words=''\n  case \"$1\" in\n{}  esac\n}}\n", commands);
  script += fmt::format("_lockstep_flags() {{\n  words=''\n  case \"$1\" in\n{}  esac\n}}\n", flags);
  script += fmt::format("_lockstep_with_value='{}'\n", with_value);
  script += R"sh(_lockstep() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} path='' words='' i word skip=0
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    if ((skip)); then skip=0; continue; fi
    if [[ $word == -* ]]; then
      [[ $word != *=* && $_lockstep_with_value == *"|$word|"* ]] && skip=1
      continue
    fi
    _lockstep_commands "$path"
    [[ " $words" == *" $word "* ]] && path="${path:+$path }$word"
  done
  case $previous in
    -o|--output) COMPREPLY=($(compgen -W 'table json yaml ndjson raw' -- "$current")); return ;;
    --context) COMPREPLY=($(compgen -W "$(lockstep config list -o raw 2>/dev/null)" -- "$current")); return ;;
    --cacert|--cert|--key|--password-file|--new-password-file|--data-dir) COMPREPLY=($(compgen -f -- "$current")); return ;;
  esac
  if [[ $current == -* ]]; then
    local own all=''
    _lockstep_flags ''; all=$words
    _lockstep_flags "$path"; own=$words
    COMPREPLY=($(compgen -W "$own $all" -- "$current"))
    return
  fi
  _lockstep_commands "$path"
  case $path in
    'kv get'|'kv put'|'kv del'|'kv watch')
      words=$(lockstep --timeout 1s kv get --prefix --keys-only --limit 50 -o raw -- "$current" 2>/dev/null) ;;
    'snapshot save'|'snapshot status'|'snapshot restore') COMPREPLY=($(compgen -f -- "$current")); return ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -F _lockstep lockstep
)sh";
  return script;
}

std::string zsh_completion(const CLI::App& root) {
  std::string script =
      "#compdef lockstep\n# zsh completion for lockstep; put it into a folder of $fpath as _lockstep.\n";
  std::string commands;
  std::string flags;
  walk(root, [&](const CLI::App& command) {
    std::string words;
    for (const CLI::App* subcommand : subcommands_of(command))
      words += " " + described(subcommand->get_name(), subcommand->get_description());
    if (!words.empty()) commands += fmt::format("    '{}') words=({}) ;;\n", path_of(command), words);
    words.clear();
    for (const FlagWord& flag : flags_of(command)) words += " " + described(flag.name, flag.help);
    flags += fmt::format("    '{}') words=({}) ;;\n", path_of(command), words);
  });
  script += fmt::format("_lockstep_commands() {{\n  words=()\n  case $1 in\n{}  esac\n}}\n", commands);
  script += fmt::format("_lockstep_flags() {{\n  words=()\n  case $1 in\n{}  esac\n}}\n", flags);
  script += R"sh(_lockstep() {
  local -a words names typed
  local path='' word
  typed=(${words[@]})
  typed=(${(@)typed[2,CURRENT-1]})
  for word in $typed; do
    [[ $word == -* ]] && continue
    _lockstep_commands "$path"
    names=(${words%%:*})
    (( ${names[(Ie)$word]} )) && path="${path:+$path }$word"
  done
  if [[ $PREFIX == -* ]]; then
    _lockstep_flags "$path"; _describe flag words
    [[ -n $path ]] && { _lockstep_flags ''; _describe setting words }
    return
  fi
  _lockstep_commands "$path"
  if (( $#words )); then _describe command words; else _files; fi
}
_lockstep_complete() { local -a command_line=($words); local words=($command_line); _lockstep }
compdef _lockstep_complete lockstep
)sh";
  return script;
}

std::string fish_completion(const CLI::App& root) {
  std::string script =
      "# fish completion for lockstep; put it into ~/.config/fish/completions/lockstep.fish.\n"
      "complete -c lockstep -f\n";
  walk(root, [&](const CLI::App& command) {
    const std::string path = path_of(command);
    const std::vector<const CLI::App*> subcommands = subcommands_of(command);
    std::string condition;
    for (const CLI::App* above = &command; above->get_parent() != nullptr; above = above->get_parent())
      condition = fmt::format("__fish_seen_subcommand_from {}{}{}", above->get_name(),
                              condition.empty() ? "" : "; and ", condition);
    if (!subcommands.empty()) {
      std::string names = names_joined(command);
      names.pop_back();
      const std::string here = fmt::format("{}{}not __fish_seen_subcommand_from {}", condition,
                                           condition.empty() ? "" : "; and ", names);
      for (const CLI::App* subcommand : subcommands)
        script += fmt::format("complete -c lockstep -n '{}' -a {} -d {}\n", here, subcommand->get_name(),
                              quoted(subcommand->get_description()));
    }
    for (const FlagWord& flag : flags_of(command)) {
      const bool is_long = flag.name.starts_with("--");
      script +=
          fmt::format("complete -c lockstep{} -{} {}{} -d {}\n",
                      condition.empty() ? "" : fmt::format(" -n '{}'", condition), is_long ? "l" : "s",
                      flag.name.substr(is_long ? 2 : 1),
                      flag.takes_value ? (takes_file(flag.name) ? " -r -F" : " -r") : "", quoted(flag.help));
    }
  });
  return script +
         "complete -c lockstep -n '__fish_seen_subcommand_from snapshot; and __fish_seen_subcommand_from "
         "save status "
         "restore' -F\n";
}

void add_completion_command(Commands& commands) {
  CLI::App& completion =
      commands.group("completion", "scripts that complete commands, flags and keys in a shell");
  const CLI::App& root = commands.root();
  commands.command(completion, "bash", "for bash", "  source <(lockstep completion bash)\n",
                   [&root](Session&) { return print_script(bash_completion, root); });
  commands.command(completion, "zsh", "for zsh", "  lockstep completion zsh > \"${fpath[1]}/_lockstep\"\n",
                   [&root](Session&) { return print_script(zsh_completion, root); });
  commands.command(completion, "fish", "for fish",
                   "  lockstep completion fish > ~/.config/fish/completions/lockstep.fish\n",
                   [&root](Session&) { return print_script(fish_completion, root); });
}

}  // namespace lockstep::cli
