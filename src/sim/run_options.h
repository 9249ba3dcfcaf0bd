// Everything a seed decides before its run begins. Printed first, so that a reader of a failure knows the
// weather.
#pragma once

#include <cstdint>
#include <string>

#include "base/time.h"
#include "sim/actor.h"
#include "sim/links.h"

namespace lockstep::sim {

enum class Fault : std::uint8_t {
  kill,
  power_cut,
  kill_all,
  power_cut_all,
  crash_at_step,
  pause,
  partition,
  one_way,
  bridge,
  isolate_leader,
  swizzle_clog,
  loss,
  slow_link,
  false_peer_lost,
  client_cut,
  disk_slow,
  disk_full,
  disk_frozen,
  sync_error,
  bit_flip,
  lost_write,
  misdirected_write,
  wiped,
  rolled_back,
  clock_rate,
  wall_clock,
  transfer,
  add_member,
  remove_member,
  read_error,
  engine_error,
  contested_election,
  count,
};
std::string_view to_string(Fault fault);

struct RunOptions : WorkloadOptions {
  std::uint64_t seed = 0;
  std::uint64_t members = 3;
  std::uint64_t clients = 6;
  std::uint64_t lease_clients = 2;
  std::uint64_t watchers = 2;
  std::int64_t safety_ns = 45'000'000'000;    // faults
  std::int64_t liveness_ns = 20'000'000'000;  // none
  Duration election_timeout = 1s;
  Duration heartbeat_interval = 100ms;
  Duration commit_notice_delay = 1ms;
  Duration client_timeout = 2s;
  std::size_t log_inline_bytes_max = 4096;
  std::size_t log_segment_bytes = 1 << 20;
  std::size_t log_memory_bytes_max = 1 << 20;  // small: followers that lag get snapshots
  std::size_t window_bytes = 1 << 16;          // written to the engine at once
  std::size_t fold_bytes = 1 << 18;
  std::size_t flush_bytes = 1 << 17;
  std::size_t snapshot_slice_bytes = 1 << 16;
  std::int64_t disk_delay_ns_max = 300'000;
  std::int32_t clock_rate_ppm_max = 0;
  LinkOptions links;
  std::uint32_t peer_lost_ppm = 700'000;
  // Faults of these kinds happen, `fault_interval_ns` apart on average.
  std::uint32_t faults = 0;  // bit set
  std::int64_t fault_interval_ns = 2'000'000'000;

  // In the liveness phase a minority of the voters stays down.
  bool leave_minority_out = false;

  [[nodiscard]] bool has(Fault fault) const { return ((faults >> static_cast<unsigned>(fault)) & 1) != 0; }
  [[nodiscard]] std::string to_string() const;
};

RunOptions draw_options(std::uint64_t seed);

}  // namespace lockstep::sim
