# Run the simulator: whole clusters under simulated faults, checked afterwards; replay any seed.
#
# usage: ./do sim [option...]          (options go to the simulator; ./do sim -- --help lists them)
#
#   ./do sim --seeds 300               seeds 1 to 300
#   ./do sim --seeds 300 --from 1000   seeds 1000 to 1299
#   ./do sim --seed 1234 --trace       one seed, every step printed
#   ./do sim --recipes --seeds 100     locks and what else stands on the store, used by a fleet of machines
#   ./do sim --planted                 break one rule at a time; each must be caught

command_main() {
  ensure_setup
  configure release
  compile release lockstep-sim lockstep-sim-planted
  [[ ${1:-} != -- ]] || shift
  exec "$(binary release lockstep-sim)" "$@"
}
