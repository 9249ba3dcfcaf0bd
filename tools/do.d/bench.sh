# Measure: the store by itself, or lockstepd beside etcd; every figure of PERFORMANCE.md.
#
# usage: ./do bench core [-- option...]
#        ./do bench etcd [option...]      (./do bench etcd --help lists them)
#        ./do bench locks [option...]     (./do bench locks --help lists them)
#        ./do bench tx [option...]        (./do bench tx --help lists them)
#
#   ./do bench core                       durable puts, reads, restarts, three processes; 3 minutes
#   ./do bench etcd                       all of etcd's table: etcd and lockstepd in turn; half an hour
#   ./do bench etcd --only put --seconds 2
#   ./do bench etcd --only kill --events 5
#   ./do bench locks                      locks beside etcd's, Redis's and ZooKeeper's; five minutes
#   ./do bench tx                         sagas and tcc beside DTM, which is built from its Go module; five minutes
#   ./do bench tx --recovery 100000       so many unfinished transactions, kill -9: when do they all go on?
#
# Optimised build, real disk. Run it on a quiet machine. Beside Debian's etcd it measures a newer one if Go is there to
# build it from its module (bench/etcd/newest); LOCKSTEP_ETCD=label=program names another one.

etcd_newest_go_min=1.24

# Prints label=program of the newer etcd; without Go it says so and prints nothing.
newest_etcd() {
  local version folder=build/bench-etcd found
  found=$(go env GOVERSION 2>/dev/null | sed 's/^go//') || true
  if [[ -z $found || $(printf '%s\n' "$etcd_newest_go_min" "$found" | sort -V | head -1) != "$etcd_newest_go_min" ]]; then
    echo "a newer etcd than Debian's is not measured: that needs Go $etcd_newest_go_min (found: ${found:-none})" >&2
    return 0
  fi
  version=$(sed -n 's,.*go.etcd.io/etcd/server/v3 v,,p' bench/etcd/newest/go.mod | head -1)
  mkdir -p "$folder"
  if [[ ! -x $folder/etcd-$version ]]; then
    echo "building etcd $version" >&2
    if ! (cd bench/etcd/newest && go build -o "../../../$folder/etcd-$version" .) >&2; then
      echo "a newer etcd than Debian's is not measured: it did not build" >&2
      return 0
    fi
  fi
  echo "etcd-$version=$PWD/$folder/etcd-$version"
}

bench_core() {
  configure release
  compile release lockstep-bench
  [[ ${1:-} != -- ]] || shift
  exec "$(binary release lockstep-bench)" "$@"
}

# Fills `peers` with --etcd label=program, the newest included where it can be had.
etcd_peers() {
  local newest debian
  debian=$(etcd --version | sed -n 's/^etcd Version: //p')
  peers+=(--etcd "etcd-$debian=$(command -v etcd)")
  newest=$(newest_etcd)
  [[ -z $newest ]] || peers+=(--etcd "$newest")
  [[ -z ${LOCKSTEP_ETCD:-} ]] || peers+=(--etcd "$LOCKSTEP_ETCD")
}

bench_etcd() {
  local peers=()
  configure release
  compile release lockstepd lockstep
  etcd_peers
  mkdir -p build/bench
  exec python3 bench/etcd/compare.py --lockstepd "$(binary release lockstepd)" --lockstep "$(binary release lockstep)" \
    --folder build/bench "${peers[@]}" "$@"
}

bench_locks() {
  ulimit -n "$(ulimit -Hn)"  # a thousand connections
  local peers=()
  setup_packages tools/packages-bench.txt
  configure release
  compile release lockstepd lockstep locks-redis-client locks-zookeeper-client
  etcd_peers
  mkdir -p build/bench
  exec python3 bench/locks/locks.py --lockstepd "$(binary release lockstepd)" --lockstep "$(binary release lockstep)" \
    --redis-client build/release/bench/locks-redis-client --zookeeper-client build/release/bench/locks-zookeeper-client \
    --folder build/bench "${peers[@]}" "$@"
}

dtm_version=v1.19.0

# Prints the program; without Go, or if it does not build, says so and prints nothing.
dtm_program() {
  local program=build/bench-dtm/dtm-$dtm_version source
  if [[ ! -x $program ]]; then
    if ! command -v go >/dev/null; then
      echo "DTM is not measured: that needs Go" >&2
      return 0
    fi
    mkdir -p build/bench-dtm/source
    echo "building DTM $dtm_version; the first time it takes minutes" >&2
    source=$(cd build/bench-dtm && go mod download -json "github.com/dtm-labs/dtm@$dtm_version" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p') || true
    if [[ -z $source ]] || ! { cp -r "$source"/. build/bench-dtm/source && chmod -R u+w build/bench-dtm/source &&
      (cd build/bench-dtm/source && go build -mod=mod -o "../dtm-$dtm_version" .) >&2; }; then
      echo "DTM is not measured: it did not build" >&2
      return 0
    fi
  fi
  echo "$PWD/$program"
}

bench_tx() {
  local peers=() dtm
  configure release
  compile release lockstepd lockstep tx-load tx-recovery
  if [[ " $* " != *" --recovery "* ]]; then  # which has no peer
    dtm=$(dtm_program)
    [[ -z $dtm ]] || peers+=(--dtm "$dtm")
  fi
  mkdir -p build/bench
  exec python3 bench/tx/tx.py --lockstepd "$(binary release lockstepd)" --lockstep "$(binary release lockstep)" \
    --tx-load build/release/bench/tx-load --tx-recovery build/release/bench/tx-recovery --folder build/bench "${peers[@]}" "$@"
}

command_main() {
  local what=${1:-}
  [[ $what == core || $what == etcd || $what == locks || $what == tx ]] ||
    die "name what to measure" "./do bench core, ./do bench etcd, ./do bench locks, or ./do bench tx"
  shift
  ensure_setup
  "bench_$what" "$@"
}
