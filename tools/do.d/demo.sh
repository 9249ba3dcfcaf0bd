# Start three members, kill the leader under writes a few times, account for every acknowledged write.
#
# usage: ./do demo [option...]          (options go to the demo; ./do demo -- --help lists them)
#
#   ./do demo
#
# Builds it first (optimised), and installs what is missing before that. Everything it writes lies in a
# temporary folder that it removes.

command_main() {
  ensure_setup
  configure release
  compile release lockstep-demo
  [[ ${1:-} != -- ]] || shift
  exec "$(binary release lockstep-demo)" "$@"
}
