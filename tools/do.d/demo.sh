# Three real members: leaders killed under load, lock holders paused (beside a real Redis), a hot counter; then the account.
#
# usage: ./do demo [-- option...]       (options go to the demo; ./do demo -- --help lists them)
#
#   ./do demo
#   ./do demo -- --kills 20       more of them
#   ./do demo -- --only locks     one part: writes, locks or counter
#   ./do demo -- --stay           leave the cluster running until Ctrl-C
#
# Builds lockstepd and lockstep first (optimised), and installs what is missing before that; then takes about a
# minute. Everything it writes lies in a temporary folder that it removes.

command_main() {
  ensure_setup
  configure release
  compile release lockstepd lockstep
  [[ ${1:-} != -- ]] || shift
  exec python3 tools/demo/demo.py --programs "$(dirname "$(binary release lockstepd)")" "$@"
}
