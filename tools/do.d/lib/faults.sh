# The fault suite (tests/faults/README.md): real processes, real faults. Sourced by ./do test.

# stage_faults <title> [option...]: release binaries; each scenario counts as one check.
stage_faults() {
  local title=$1 began=$SECONDS
  shift
  configure release || { stage_lost "the release configuration"; return 0; }
  compile release lockstepd lockstep fault-workload fault-holder || { stage_lost "the fault suite's build"; return 0; }
  local scratch=$build_root/faults
  mkdir -p "$scratch"
  run_logged faults "$title" python3 tests/faults/faults.py --lockstepd "$(realpath "$(binary release lockstepd)")" \
    --workload "$(realpath "$(binary release fault-workload)")" --client "$(realpath "$(binary release lockstep)")" \
    --holder "$(realpath "$(binary release fault-holder)")" --folder "$scratch" "$@" || true
  local passed failed
  if read -r passed failed < <(sed -nE '$s/^([0-9]+) passed, ([0-9]+) failed$/\1 \2/p' "$log_folder/faults.log"); then
    grep -E '^(ok|FAILED|gap|skipped)' "$log_folder/faults.log" >&2 || true
    add_result "$title" "$passed" "$failed" $((SECONDS - began))
  else
    stage_lost "$title"
  fi
}
