#include "sim/run_options.h"

#include <algorithm>
#include <chrono>

#include "base/assert.h"
#include "base/prng.h"

namespace lockstep::sim {

namespace {

constexpr std::int64_t ms = 1'000'000;
static_assert(static_cast<unsigned>(Fault::count) <= 32, "the fault set is 32 bits");

LinkOptions draw_links(Prng& prng) {
  LinkOptions links;
  links.delay_min_ns = static_cast<std::int64_t>(prng.between(20, 1000)) * 1000;
  links.jitter_ns = static_cast<std::int64_t>(prng.between(10, 3000)) * 1000;
  links.spike_ppm = prng.chance(1, 2) ? static_cast<std::uint32_t>(prng.below(5000)) : 0;
  links.spike_ns = static_cast<std::int64_t>(prng.between(1, 200)) * ms;
  links.loss_ppm = prng.chance(1, 2) ? static_cast<std::uint32_t>(prng.below(20'000)) : 0;
  links.duplicate_ppm = prng.chance(1, 2) ? static_cast<std::uint32_t>(prng.below(20'000)) : 0;
  links.reorder_ppm = prng.chance(1, 2) ? static_cast<std::uint32_t>(prng.below(50'000)) : 0;
  if (prng.chance(1, 5)) {
    links.bandwidth_bytes_per_s = prng.between(1'000'000, 10'000'000);
    links.queue_bytes_max = prng.between(100'000, 2'000'000);
  }
  return links;
}

}  // namespace

std::string_view to_string(Fault fault) {
  constexpr std::string_view names[] = {
      "kill",         "power_cut",         "kill_all",   "power_cut_all",     "crash_at_step", "pause",
      "partition",    "one_way",           "bridge",     "isolate_leader",    "swizzle_clog",  "loss",
      "slow_link",    "false_peer_lost",   "client_cut", "disk_slow",         "disk_full",     "disk_frozen",
      "sync_error",   "bit_flip",          "lost_write", "misdirected_write", "wiped",         "rolled_back",
      "clock_rate",   "wall_clock",        "transfer",   "add_member",        "remove_member", "read_error",
      "engine_error", "contested_election"};
  static_assert(std::size(names) == static_cast<std::size_t>(Fault::count));
  return names[static_cast<std::size_t>(fault)];
}

RunOptions draw_options(std::uint64_t seed) {
  Prng prng(seed ^ 0x6f7074696f6e73);  // not the world's own stream
  RunOptions options;
  options.seed = seed;
  const std::uint64_t size = prng.below(20);
  options.members = size < 1 ? 1 : size < 12 ? 3 : size < 14 ? 4 : 5;
  options.clients = prng.between(4, 8);
  options.lease_clients = prng.between(1, 3);
  options.watchers = prng.between(1, 3);
  options.safety_ns = static_cast<std::int64_t>(prng.between(45, 60)) * 1000 * ms;
  options.election_timeout = std::chrono::milliseconds(prng.between(300, 1500));
  options.heartbeat_interval = options.election_timeout / static_cast<int>(prng.between(4, 10));
  options.client_timeout = std::chrono::milliseconds(prng.between(500, 4000));
  options.think_ns_max = static_cast<std::int64_t>(prng.between(40, 160)) * ms;
  options.request_ids = prng.chance(2, 3);
  options.keys = prng.between(5, 60);
  options.value_bytes_max = prng.chance(1, 10) ? 4000 : prng.between(10, 200);
  options.log_inline_bytes_max = prng.chance(1, 2) ? 0 : 4096;
  options.log_segment_bytes = std::size_t{1} << prng.between(18, 21);
  options.log_memory_bytes_max = std::size_t{1} << prng.between(13, 22);
  options.window_bytes = std::size_t{1} << prng.between(10, 18);
  options.fold_bytes = std::size_t{1} << prng.between(12, 20);
  options.flush_bytes = std::size_t{1} << prng.between(12, 20);
  options.snapshot_slice_bytes = std::size_t{1} << prng.between(10, 18);
  options.disk_delay_ns_max = static_cast<std::int64_t>(prng.between(50, 5000)) * 1000;
  options.clock_rate_ppm_max = prng.chance(1, 2) ? static_cast<std::int32_t>(prng.between(100, 50'000)) : 0;
  options.links = draw_links(prng);
  options.peer_lost_ppm = static_cast<std::uint32_t>(prng.below(1'000'001));
  // Few kinds at a time, each often: that makes combinations deep. A third of the seeds gets everything.
  const std::uint64_t share = prng.chance(1, 3) ? 100 : prng.between(15, 50);
  for (unsigned fault = 0; fault < static_cast<unsigned>(Fault::read_error); ++fault) {
    if (prng.chance(share, 100)) options.faults |= 1u << fault;
  }
  // Some kinds need a state that may never come; killing a process always works.
  options.faults |= 1u << static_cast<unsigned>(Fault::kill);
  options.fault_interval_ns = static_cast<std::int64_t>(prng.between(300, 4000)) * ms;
  // Drawn last, so that what came later did not change the older draws of a seed.
  for (const Fault fault : {Fault::read_error, Fault::engine_error, Fault::contested_election}) {
    if (prng.chance(share, 100)) options.faults |= 1u << static_cast<unsigned>(fault);
  }
  options.leave_minority_out = prng.chance(1, 4);
  options.commit_notice_delay = std::chrono::milliseconds(prng.chance(1, 3) ? 0 : prng.between(1, 40));
  return options;
}

std::string RunOptions::to_string() const {
  const auto milliseconds = [](auto duration) {
    return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
  };
  std::string text =
      "seed=" + std::to_string(seed) + " members=" + std::to_string(members) +
      " clients=" + std::to_string(clients) + " lease_clients=" + std::to_string(lease_clients) +
      " watchers=" + std::to_string(watchers) + " safety_s=" + std::to_string(safety_ns / 1'000'000'000) +
      " liveness_s=" + std::to_string(liveness_ns / 1'000'000'000) +
      " election_timeout_ms=" + milliseconds(election_timeout) +
      " heartbeat_ms=" + milliseconds(heartbeat_interval) +
      " commit_notice_ms=" + milliseconds(commit_notice_delay) +
      " client_timeout_ms=" + milliseconds(client_timeout) +
      " think_ms_max=" + std::to_string(think_ns_max / ms) + " request_ids=" + (request_ids ? "yes" : "no") +
      " keys=" + std::to_string(keys) + " value_bytes_max=" + std::to_string(value_bytes_max) +
      " log_inline_bytes_max=" + std::to_string(log_inline_bytes_max) +
      " log_segment_bytes=" + std::to_string(log_segment_bytes) +
      " disk_delay_us_max=" + std::to_string(disk_delay_ns_max / 1000) +
      " clock_rate_ppm_max=" + std::to_string(clock_rate_ppm_max) + " links{" + links.to_string() +
      "} peer_lost_ppm=" + std::to_string(peer_lost_ppm) +
      " leave_minority_out=" + (leave_minority_out ? "yes" : "no") +
      " fault_interval_ms=" + std::to_string(fault_interval_ns / ms) + " faults{";
  for (unsigned fault = 0; fault < static_cast<unsigned>(Fault::count); ++fault) {
    if (!has(static_cast<Fault>(fault))) continue;
    if (text.back() != '{') text += " ";
    text += sim::to_string(static_cast<Fault>(fault));
  }
  return text + "}";
}

}  // namespace lockstep::sim
