# A shop on a real node: services, databases and the node are killed while 2,000 orders are placed; then the account.
#
# usage: ./do demo [--cluster] [-- option...]       (options go to the demo; ./do demo -- --help lists them)
#
#   ./do demo
#   ./do demo --cluster                  on three nodes, killing the leader
#   ./do demo -- --database postgres     the shop's databases in a PostgreSQL of the demo's own; or mariadb, or postgres://…
#   ./do demo -- --stop                  end what it left running
#   ./do demo -- --only writes           other parts, on three members: writes, locks or counter (--stay: until Ctrl-C)
#
# Builds lockstepd, lockstep and the shop first (optimised), and installs what is missing before that; then takes
# one to two minutes. The node and the shop stay, for a look around; the next run ends them.

command_main() {
  ensure_setup
  configure release
  local programs=(lockstepd lockstep shop-order shop-stock shop-payment shop-mail) options=()
  if [[ ${1:-} == --cluster ]]; then
    options+=(--cluster)
    shift
  fi
  [[ ${1:-} != -- ]] || shift
  [[ " $* " != *" --only "* || " $* " == *" --only shop "* ]] || programs=(lockstepd lockstep)
  compile release "${programs[@]}"
  exec python3 -B tools/demo/demo.py --programs "$(dirname "$(binary release lockstepd)")" --folder "$build_root/demo" \
    "${options[@]}" "$@"
}
