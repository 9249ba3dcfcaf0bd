# Run a server: one member on 127.0.0.1:2379 that speaks etcd v3, or whatever options say.
#
# usage: ./do run [option...]     (options go to lockstepd; ./do run -- --help lists them)
#
#   ./do run                              one member, data in ./lockstep-data; then: etcdctl put greeting hello
#   ./do run --listen 127.0.0.1:12379     the same, on another port
#
# Builds lockstepd and the client lockstep first (optimised), and installs what is missing before that.

command_main() {
  ensure_setup
  configure release
  compile release lockstepd lockstep
  [[ ${1:-} != -- ]] || shift
  say "the client is $(binary release lockstep)"
  [[ $# -gt 0 ]] || set -- --dev
  exec "$(binary release lockstepd)" "$@"
}
