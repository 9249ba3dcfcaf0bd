# Measure: durable puts, reads, restarts, three processes; every figure of PERFORMANCE.md.
#
# usage: ./do bench core [option...]    (options go to the program; ./do bench core -- --help lists them)
#
#   ./do bench core
#
# Optimised build, real disk. CPU figures are of the whole process, clients included. Run it on a quiet machine.

command_main() {
  [[ ${1:-} == core ]] || die "name what to measure" "./do bench core"
  shift
  ensure_setup
  configure release
  compile release lockstep-bench
  [[ ${1:-} != -- ]] || shift
  exec "$(binary release lockstep-bench)" "$@"
}
