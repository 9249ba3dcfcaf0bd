# Install what a bare Debian 12 lacks (packages in tools/packages.txt); does nothing when all is there.
#
# usage: ./do setup [--list]
#
#   ./do setup            install what is missing; needs root or sudo only then
#   ./do setup --list     show what is missing, change nothing
#
# Never asks a question. No service is started or enabled: Debian would start an etcd or a Redis with its package.
# What only a comparison needs is in tools/packages-bench.txt, and installed by ./do bench locks.

package_names() {
  sed 's/#.*//' "$1" | awk 'NF { print $1 }'
}

# Installed packages, and what they provide: a nodejs from elsewhere brings npm along and refuses Debian's.
missing_packages() {
  local list=$1 installed
  installed=$(dpkg-query -W -f '${db:Status-Status}, ${Package}, ${Provides}\n' 2>/dev/null |
    awk -F ', *' '$1 == "installed" { for (i = 2; i <= NF; ++i) { sub(/ .*/, "", $i); if ($i != "") print $i } }')
  comm -23 <(package_names "$list" | sort -u) <(sort -u <<<"$installed")
}

as_root() {
  if ((EUID == 0)); then "$@"; else sudo -n "$@"; fi
}

apt_get() {
  as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l APT_LISTCHANGES_FRONTEND=none \
    apt-get -q -y -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 \
    -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@"
}

# Mirrors and mobile networks fail now and then: three tries, each from a fresh package list.
install_with_retries() {
  local attempt
  for attempt in 1 2 3; do
    if apt_get update && apt_get install --no-install-recommends "$@"; then return 0; fi
    ((attempt < 3)) || return 1
    echo "attempt $attempt failed; again in $((attempt * 10)) s"
    sleep $((attempt * 10))
  done
}

# Installs while a policy forbids packages to start services (Debian's own mechanism). A policy that the
# machine already has is respected and left alone.
install_without_services() {
  local policy=/usr/sbin/policy-rc.d made=0 status=0
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
    made=1
  fi
  install_with_retries "$@" || status=$?
  ((made == 0)) || as_root rm -f "$policy"
  # Only a server that came with this run is switched off; one that was here before is somebody's.
  local server
  for server in etcd-server:etcd redis-server:redis-server postgresql-15:postgresql; do
    if [[ -d /run/systemd/system && " $* " == *" ${server%:*} "* ]]; then
      as_root systemctl disable --now "${server#*:}.service" || true
    fi
  done
  return "$status"
}

setup_packages() {
  local list=${1:-tools/packages.txt} missing
  command -v dpkg-query >/dev/null ||
    die "./do setup knows Debian 12 only" "install the equivalents of $list by hand, then call ./do build"
  mapfile -t missing < <(missing_packages "$list")
  ((${#missing[@]} > 0)) || return 0
  if ((EUID != 0)) && ! sudo -n true 2>/dev/null; then
    die "these packages are missing: ${missing[*]}" \
      "run as root, or: sudo apt-get install --no-install-recommends ${missing[*]}"
  fi
  say "installing: ${missing[*]}"
  run_logged setup "install ${#missing[@]} packages with apt-get" install_without_services "${missing[@]}" ||
    die "apt-get could not install everything" "the log above says why; is the network there, is this Debian 12?"
}

command_main() {
  case ${1:-} in
    '')
      setup_packages
      say 'everything that tools/packages.txt names is installed'
      ;;
    --list) missing_packages tools/packages.txt ;;
    *) die "unknown option '$1'" "./do setup --help" ;;
  esac
}
