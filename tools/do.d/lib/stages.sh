# The book-keeping of ./do test: each stage adds how many checks passed and failed, and the sum is the last
# line. A stage that fails does not stop the next one: one run shows everything that is wrong.

begin_stages() {
  total_passed=0
  total_failed=0
  stage_lines=()
}

# add_result <title> <passed> <failed> <seconds>
add_result() {
  total_passed=$((total_passed + $2))
  total_failed=$((total_failed + $3))
  stage_lines+=("$(printf '%7d passed %5d failed %6d s   %s' "$2" "$3" "$4" "$1")")
}

# A stage whose build failed ran none of its tests: that is one failure, whatever it would have counted.
stage_lost() {
  add_result "$1 failed; its tests did not run" 0 1 0
}

# run_check <log name> <title> <command...>: one check, passed if the command succeeds.
run_check() {
  local began=$SECONDS
  if run_logged "$@"; then
    add_result "$2" 1 0 $((SECONDS - began))
  else
    add_result "$2" 0 1 $((SECONDS - began))
  fi
}

# run_ctest <preset> <title> [ctest option...]: counts single gtest cases, and one for any other test.
run_ctest() {
  local preset=$1 title=$2 began=$SECONDS
  local reports=$log_folder/ctest-$preset
  local timeout_s=600
  [[ -z ${LOCKSTEP_LONG:-} ]] || timeout_s=14400
  shift 2
  rm -rf -- "$reports"
  mkdir -p "$reports/gtest"
  reports=$(realpath "$reports")
  GTEST_OUTPUT=json:$reports/gtest/ GTEST_COLOR=no run_logged "ctest-$preset" "$title" \
    ctest --test-dir "$(build_folder "$preset")" --timeout "$timeout_s" --parallel "$(nproc)" --output-on-failure --no-tests=ignore \
    --output-junit "$reports/ctest.xml" "$@" || true
  local counts
  counts=$(python3 tools/do.d/lib/count_tests.py "$reports/ctest.xml" "$reports/gtest") || counts='0 1'
  # shellcheck disable=SC2086
  add_result "$title" $counts $((SECONDS - began))
}

end_stages() {
  say
  printf '%s\n' "${stage_lines[@]}" >&2
  say
  printf '%d passed, %d failed\n' "$total_passed" "$total_failed"
  ((total_failed == 0 && total_passed > 0))
}
