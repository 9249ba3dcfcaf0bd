# Run the tests, all of them or one binary; the last line is "N passed, N failed".
#
# usage: ./do test [name [case]] [--long]
#
#   ./do test                          everything: sanitizer builds, simulator, style
#   ./do test raft                     only the test binaries whose name matches, debug build
#   ./do test raft_test 'Election.*'   only some cases of them (a gtest filter)
#   ./do test faults [scenario]        real processes under real faults, every scenario
#   ./do test faults --long            the same, and 200 kills of the leader
#   ./do test package                  the C++ SDK installed, found and linked by two compilers, run against a server
#   ./do test --long                   also what takes hours: 20 times the seeds, more fuzzing
#
# On a bare Debian 12 this first installs what is missing (./do setup).

# shellcheck source=/dev/null
source tools/do.d/lib/stages.sh
# shellcheck source=/dev/null
source tools/do.d/lib/faults.sh

# Every test binary under ASan and UBSan.
stage_debug() {
  configure debug && compile debug || { stage_lost "the debug build"; return 0; }
  run_ctest debug "all tests, ASan and UBSan"
}

# What runs more than one thread, under ThreadSanitizer. Everything else is single-threaded by design.
stage_tsan() {
  configure tsan && compile tsan threaded_tests || { stage_lost "the tsan build"; return 0; }
  run_ctest tsan "threaded tests, ThreadSanitizer" --label-regex threaded
}

# The simulator, optimised: many seeds, then every planted bug must be caught.
stage_simulator() {
  local seeds=300
  [[ -z $long ]] || seeds=2000
  configure release || { stage_lost "the release configuration"; return 0; }
  compile release lockstep-sim lockstep-sim-planted || { stage_lost "the release build"; return 0; }
  local simulator
  simulator=$(binary release lockstep-sim)
  run_check sim-seeds "simulator, $seeds seeds" simulate "$simulator" --seeds "$seeds"
  run_check sim-planted "simulator, planted bugs" simulate "$simulator" --planted --seeds-max 100
  run_check sim-recipes "simulator, recipes, $((seeds / 4)) seeds" simulate "$simulator" --recipes --seeds $((seeds / 4))
  run_check sim-recipes-planted "simulator, planted bugs of the recipes" \
    simulate "$simulator" --recipes --planted --seeds-max 40
}

# A failure that the simulator prints counts, whatever its exit status says; so does silence.
simulate() {
  local output=$log_folder/simulation
  "$@" 2>&1 | tee "$output" || return 1
  [[ -s $output ]] && ! grep -q FAIL "$output"
}

# The package of the C++ SDK as its users get it: optimised, without sanitizers.
stage_package() {
  configure release || { stage_lost "the release configuration"; return 0; }
  compile release lockstepd sdk_archive || { stage_lost "the build of the C++ package"; return 0; }
  run_ctest release "the C++ package, two compilers" --label-regex package
}

stage_fuzz() {
  # shellcheck source=/dev/null
  source tools/do.d/fuzz.sh
  run_check fuzz "fuzzing, 60 s a target" fuzz_all 60
}

stage_tidy() {
  # shellcheck source=/dev/null
  source tools/do.d/tidy.sh
  # Files for which there was no time are named; those found clean before cost none.
  run_tidy --budget-seconds 240
}

command_main() {
  local long='' argument rest=()
  for argument in "$@"; do
    case $argument in
      --long) long=1 ;;
      --*) die "unknown option '$argument'" "./do test --help" ;;
      *) rest+=("$argument") ;;
    esac
  done
  set -- ${rest[@]+"${rest[@]}"}
  [[ -z $long ]] || export LOCKSTEP_LONG=1
  ensure_setup
  sanitizer_environment
  begin_stages
  if [[ ${1:-} == faults ]]; then
    stage_faults "fault suite, real processes" ${long:+--long} ${2:+--only "$2"}
  elif [[ ${1:-} == package ]]; then
    stage_package
  elif [[ $# -gt 0 ]]; then
    [[ -z ${2:-} ]] || export GTEST_FILTER=$2
    stage_named "$1"
  else
    stage_debug
    stage_tsan
    stage_simulator
    stage_package
    stage_faults "fault suite, real processes, the short one" --short
    [[ -z $long ]] || stage_fuzz
    stage_tidy
  fi
  end_stages
}

stage_named() {
  configure debug || { stage_lost "the configuration"; return 0; }
  local targets
  mapfile -t targets < <(ctest --test-dir "$(build_folder debug)" -N -R "$1" | sed -n 's/^ *Test *#[0-9]*: //p')
  ((${#targets[@]} > 0)) || die "no test's name matches '$1'" "names: ctest --test-dir $(build_folder debug) -N"
  local buildable=() target
  for target in "${targets[@]}"; do
    ! has_target debug "$target" || buildable+=("$target")
  done
  ((${#buildable[@]} == 0)) || compile debug "${buildable[@]}" || { stage_lost "the build"; return 0; }
  run_ctest debug "tests matching $1" --tests-regex "$1"
}
