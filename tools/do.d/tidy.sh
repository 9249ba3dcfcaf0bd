# Style as a test: format, layers, headers alone, links alone, lengths, banned names, clang-tidy.
#
# usage: ./do tidy [--all] [--fix] [--since <commit>]
#
#   ./do tidy                  everything cheap on the whole tree, clang-tidy on what changed
#   ./do tidy --all            clang-tidy on every file (long)
#   ./do tidy --since HEAD~3   clang-tidy on what changed since then
#   ./do tidy --fix            format the sources, lower the ratchet; then check
#
# What changed: since the point where this branch left origin's main; on main itself, in the last 10 commits, the
# latest first. A file that was found clean, and includes what it included then, is not looked at again.

# Uses the folder of the debug build. Adds to the counts of ./do test.
run_tidy() {
  local began=$SECONDS title='style' counts status=0
  configure debug || { stage_lost "the configuration for style"; return 0; }
  run_check headers "every header compiles alone" \
    ninja -C "$(build_folder debug)" -j "$(job_count)" all_verify_interface_header_sets
  run_check links "every layer links with what it declares" \
    ninja -C "$(build_folder debug)" -j "$(job_count)" link_tests
  local summary=$log_folder/tidy-summary
  rm -f "$summary"
  began=$SECONDS
  run_logged tidy "style rules" python3 tools/tidy --build "$(build_folder debug)" --summary "$summary" "$@" || status=1
  counts=$(cat "$summary" 2>/dev/null) || counts='0 1'
  [[ $status -eq 0 || $counts != *' 0' ]] || counts='0 1'
  # shellcheck disable=SC2086
  add_result "$title" $counts $((SECONDS - began))
}

command_main() {
  # shellcheck source=/dev/null
  source tools/do.d/lib/stages.sh
  ensure_setup
  begin_stages
  run_tidy "$@"
  end_stages
}
