# Build one preset: debug (ASan and UBSan; the default), tsan, release or fuzz.
#
# usage: ./do build [preset] [target...]
#
#   ./do build                        everything, debug
#   ./do build release                everything, optimised, assertions on
#   ./do build tsan platform_test     one target

command_main() {
  ensure_setup
  local preset=${1:-debug}
  [[ $# -eq 0 ]] || shift
  configure "$preset"
  compile "$preset" "$@"
  say "built in $(build_folder "$preset")"
}
