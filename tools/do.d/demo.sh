# Three real members; the leader is killed under load a few times; every acknowledged write is accounted for.
#
# usage: ./do demo [-- option...]       (options go to the demo; ./do demo -- --help lists them)
#
#   ./do demo
#   ./do demo -- --kills 20       more of them
#   ./do demo -- --stay           leave the cluster running until Ctrl-C
#
# Builds lockstepd and lockstep first (optimised), and installs what is missing before that; then takes about half a
# minute. Everything it writes lies in a temporary folder that it removes.

command_main() {
  ensure_setup
  configure release
  compile release lockstepd lockstep
  [[ ${1:-} != -- ]] || shift
  exec python3 tools/demo/demo.py --programs "$(dirname "$(binary release lockstepd)")" "$@"
}
