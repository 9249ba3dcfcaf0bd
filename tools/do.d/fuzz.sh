# Fuzz every decoder with libFuzzer under ASan and UBSan, from the inputs in fuzz/corpus.
#
# usage: ./do fuzz [--seconds N] [target...]
#
#   ./do fuzz                             30 seconds each
#   ./do fuzz --seconds 600 log_record    one target, ten minutes
#
# Inputs that reach new code, and those that crash, are left under the build folder; a crash prints how to replay it.

# fuzz_all <seconds> [target...]: all targets when none is named. Fails if any fails, after trying each.
fuzz_all() {
  local seconds=$1 status=0 target
  shift
  local folder=$PWD/$(build_folder fuzz)
  [[ $build_root != /* ]] || folder=$(build_folder fuzz)
  configure fuzz && compile fuzz fuzz/all || return 1
  local targets=("$@")
  if ((${#targets[@]} == 0)); then
    mapfile -t targets < <(find "$folder/fuzz" -maxdepth 1 -type f -name 'fuzz_*' -perm -u+x -printf '%f\n' | sort)
  fi
  ((${#targets[@]} > 0)) || die "there are no fuzz targets" "they are fuzz/fuzz_*.cc"
  sanitizer_environment
  for target in "${targets[@]}"; do
    fuzz_one "${target#fuzz_}" "$seconds" "$folder" || status=1
  done
  return "$status"
}

fuzz_one() {
  local name=$1 seconds=$2 folder=$3
  local program=$folder/fuzz/fuzz_$name corpus=fuzz/corpus/$name found=$folder/found-$name
  [[ -x $program ]] || die "there is no fuzz target '$name'" "they are fuzz/fuzz_*.cc"
  mkdir -p "$corpus" "$found"
  run_logged "fuzz-$name" "fuzz $name for $seconds s" \
    "$program" -max_total_time="$seconds" -rss_limit_mb=2048 -timeout=10 -print_final_stats=1 \
    -artifact_prefix="$found/" "$found" "$corpus" && return 0
  say "    replay: $program $found/<crash-...>"
  return 1
}

command_main() {
  local seconds=30
  if [[ ${1:-} == --seconds ]]; then
    [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || die "--seconds needs a number of seconds" "./do fuzz --help"
    seconds=$2
    shift 2
  fi
  [[ ${1:-} != -* ]] || die "unknown option '$1'" "./do fuzz --help"
  ensure_setup
  fuzz_all "$seconds" "$@"
}
