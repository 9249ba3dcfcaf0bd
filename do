#!/usr/bin/env bash
# The one entry point of this repository: ./do help
#
# Each command is a file tools/do.d/<command>.sh. Its leading comment is its help text (the first line is the
# summary in the list), and it defines command_main.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
source tools/do.d/lib/common.sh

command_files() {
  find tools/do.d -maxdepth 1 -name '*.sh' | sort
}

# The leading comment of a command file, without its marks.
help_text() {
  sed -n '/^#/!q; s/^# \{0,1\}//p' "$1"
}

print_commands() {
  printf 'usage: ./do <command> [options]      ./do <command> --help shows examples\n\n'
  local file
  while read -r file; do
    printf '  %-8s %s\n' "$(basename "$file" .sh)" "$(help_text "$file" | head -n 1)"
  done < <(command_files)
}

main() {
  local name=${1:-help}
  case $name in
    help | -h | --help)
      if [[ $# -ge 2 && -f tools/do.d/$2.sh ]]; then help_text "tools/do.d/$2.sh"; else print_commands; fi
      return 0
      ;;
  esac
  shift
  local file=tools/do.d/$name.sh
  if [[ ! $name =~ ^[a-z]+$ || ! -f $file ]]; then
    print_commands >&2
    die "there is no command '$name'" "pick one of the list above"
  fi
  local argument
  for argument in "$@"; do
    case $argument in
      -h | --help)  # after a lone -- it is meant for the program that the command runs
        help_text "$file"
        return 0
        ;;
      --) break ;;
    esac
  done
  # shellcheck source=/dev/null
  source "$file"
  command_main "$@"
}

main "$@"
