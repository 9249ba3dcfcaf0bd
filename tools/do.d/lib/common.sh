# What the commands of ./do share: messages, quiet runs with a log, builds. Sourced with `set -euo pipefail`
# in force and the repository's root as working directory.
#
# Results go to stdout, progress and errors to stderr. A step is quiet while it succeeds and shows its whole
# log when it fails.

# Build folders and logs lie here; another place can be named for a second checkout or a faster disk.
build_root=${LOCKSTEP_BUILD_ROOT:-build}
log_folder=$build_root/logs

if [[ -t 2 && -z ${NO_COLOR:-} ]]; then
  bold=$'\e[1m' red=$'\e[31m' green=$'\e[32m' plain=$'\e[0m'
else
  bold='' red='' green='' plain=''
fi

say() {
  printf '%s\n' "$*" >&2
}

# die <what is wrong> [<what to do>]
die() {
  printf '%serror:%s %s\n' "$red" "$plain" "$1" >&2
  [[ $# -lt 2 ]] || printf '       %s\n' "$2" >&2
  exit 1
}

# As many compilers as processors, but not more than memory carries (about 1.5 GiB for the largest file).
job_count() {
  local processors gibibytes jobs
  processors=$(nproc)
  gibibytes=$(awk '/^MemAvailable:/ { print int($2 / 1024 / 1024) }' /proc/meminfo)
  jobs=$((gibibytes * 2 / 3))
  ((jobs >= 1)) || jobs=1
  ((jobs <= processors)) || jobs=$processors
  echo "$jobs"
}

# Prints the last line of a log every minute, so that a long step is seen to be alive where nobody watches a
# terminal. Waits on a pipe that never speaks instead of in sleep(1), so that ending it leaves no child behind
# that would hold our output open.
heartbeat() {
  local log=$1 never
  exec {never}<> <(:)
  while ! read -r -t 60 -u "$never" _; do
    printf '    ... %s\n' "$(tail -n 1 "$log" 2>/dev/null | tr -d '\r' | cut -c 1-150)" >&2
  done
}

# run_logged <log name> <title> <command...>: runs quietly; on failure shows the log and returns the status.
run_logged() {
  local log=$log_folder/$1.log title=$2 status=0 heartbeat_pid began=$SECONDS
  shift 2
  mkdir -p "$log_folder"
  printf '%s==>%s %s\n' "$bold" "$plain" "$title" >&2
  heartbeat "$log" &
  heartbeat_pid=$!
  "$@" >"$log" 2>&1 </dev/null || status=$?
  kill "$heartbeat_pid" 2>/dev/null || true
  wait "$heartbeat_pid" 2>/dev/null || true
  local seconds=$((SECONDS - began))
  if ((status == 0)); then
    printf '    %sok%s (%d s)\n' "$green" "$plain" "$seconds" >&2
  else
    cat "$log" >&2
    printf '    %sFAILED%s with status %d after %d s; this log is %s\n' "$red" "$plain" "$status" "$seconds" "$log" >&2
  fi
  return "$status"
}

presets=(debug tsan release fuzz)

build_folder() {
  echo "$build_root/$1"
}

is_preset() {
  [[ " ${presets[*]} " == *" $1 "* ]]
}

# configure <preset>
configure() {
  is_preset "$1" || die "there is no preset '$1'" "presets: ${presets[*]}"
  run_logged "configure-$1" "configure $1" cmake --preset "$1" -B "$(build_folder "$1")"
}

# compile <preset> [target...]: needs configure first.
compile() {
  local preset=$1
  shift
  run_logged "build-$preset" "build $preset ${*:-(everything)}" \
    ninja -C "$(build_folder "$preset")" -j "$(job_count)" "$@"
}

# has_target <preset> <target>
has_target() {
  ninja -C "$(build_folder "$1")" -t query "$2" >/dev/null 2>&1
}

# Built once by a preset and found where CMake put it: binary <preset> <name>
binary() {
  local found
  found=$(find "$(build_folder "$1")" -type f -name "$2" -perm -u+x -print -quit)
  [[ -n $found ]] || die "the build has no binary '$2'" "see ./do build $1"
  echo "$found"
}

# Where the sanitizers find a symbolizer, and how loud they are.
sanitizer_environment() {
  export ASAN_SYMBOLIZER_PATH=/usr/bin/llvm-symbolizer-19
  export TSAN_SYMBOLIZER_PATH=$ASAN_SYMBOLIZER_PATH
  export ASAN_OPTIONS=${ASAN_OPTIONS:-strict_string_checks=1:detect_stack_use_after_return=1}
  export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
  export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1:second_deadlock_stack=1:external_symbolizer_path=$ASAN_SYMBOLIZER_PATH}
}

# What a bare machine lacks. Quick when nothing does.
ensure_setup() {
  # shellcheck source=/dev/null
  source tools/do.d/setup.sh
  setup_packages
}
