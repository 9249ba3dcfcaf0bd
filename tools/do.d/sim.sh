# Run the simulator: five members, simulated faults, checkers; replay any seed.
#
# usage: ./do sim [option...]          (options go to the simulator; ./do sim -- --help lists them)
#
#   ./do sim --seeds 300               seeds 1 to 300
#   ./do sim --seeds 300 --from 1000   seeds 1000 to 1299
#   ./do sim --seed 1234 --trace       one seed, every step printed
#   ./do sim --planted                 break one rule at a time; each must be caught

command_needs=src/sim/runner.cmake

command_main() {
  ensure_setup
  configure release
  has_target release lockstep-sim || die "this tree has no simulator binary yet" "see the status table in README.md"
  compile release lockstep-sim
  [[ ${1:-} != -- ]] || shift
  exec "$(binary release lockstep-sim)" "$@"
}
