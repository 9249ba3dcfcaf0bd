# What the CI machine runs: .ci/run, which is ./do test on a fresh clone without a terminal.
#
# usage: ./do ci
#
#   ./do ci

command_main() {
  exec bash .ci/run
}
