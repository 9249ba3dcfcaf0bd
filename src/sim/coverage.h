// What happened in a run, counted by name. A run of many seeds in which one of these never happened tests
// less than it claims, and fails.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace lockstep::sim {

// X(name): one counter. Faults count when they changed something, not when they were tried.
#define LOCKSTEP_COVERAGE_TABLE(X) \
  X(fault_kill)                    \
  X(fault_power_cut)               \
  X(fault_kill_all)                \
  X(fault_power_cut_all)           \
  X(fault_crash_at_step)           \
  X(fault_pause)                   \
  X(fault_partition)               \
  X(fault_one_way)                 \
  X(fault_bridge)                  \
  X(fault_isolate_leader)          \
  X(fault_swizzle_clog)            \
  X(fault_loss)                    \
  X(fault_slow_link)               \
  X(fault_false_peer_lost)         \
  X(fault_client_cut)              \
  X(fault_disk_slow)               \
  X(fault_disk_full)               \
  X(fault_disk_frozen)             \
  X(fault_sync_error)              \
  X(fault_contested_election)      \
  X(fault_read_error)              \
  X(fault_engine_error)            \
  X(fault_bit_flip)                \
  X(fault_lost_write)              \
  X(fault_misdirected_write)       \
  X(fault_wiped)                   \
  X(fault_rolled_back)             \
  X(fault_clock_rate)              \
  X(fault_wall_clock)              \
  X(fault_transfer)                \
  X(minority_left_out)             \
  X(member_added)                  \
  X(member_promoted)               \
  X(member_replaced)               \
  X(member_removed)                \
  X(joint_split)                   \
  X(message_lost)                  \
  X(message_duplicated)            \
  X(message_reordered)             \
  X(op_put)                        \
  X(op_get)                        \
  X(op_range)                      \
  X(op_range_serializable)         \
  X(op_range_historical)           \
  X(op_delete)                     \
  X(op_txn)                        \
  X(op_swap)                       \
  X(op_transfer)                   \
  X(op_compact)                    \
  X(op_lease_grant)                \
  X(op_lease_keep_alive)           \
  X(op_lease_revoke)               \
  X(op_watch)                      \
  X(leader_change)                 \
  X(snapshot_installed)            \
  X(watch_resumed)                 \
  X(watch_event)                   \
  X(lease_expired)                 \
  X(unknown_outcome)               \
  X(unknown_pinned)                \
  X(retried_by_request_id)         \
  X(read_out_of_range)

enum class Covered : std::size_t {
#define LOCKSTEP_COVERAGE_ENUMERATOR(name) name,
  LOCKSTEP_COVERAGE_TABLE(LOCKSTEP_COVERAGE_ENUMERATOR)
#undef LOCKSTEP_COVERAGE_ENUMERATOR
};

inline constexpr std::string_view covered_names[] = {
#define LOCKSTEP_COVERAGE_NAME(name) #name,
    LOCKSTEP_COVERAGE_TABLE(LOCKSTEP_COVERAGE_NAME)
#undef LOCKSTEP_COVERAGE_NAME
};
inline constexpr std::size_t covered_count = std::size(covered_names);

class Coverage {
 public:
  void add(Covered what, std::uint64_t count = 1) { counts_[static_cast<std::size_t>(what)] += count; }
  [[nodiscard]] std::uint64_t of(Covered what) const { return counts_[static_cast<std::size_t>(what)]; }
  [[nodiscard]] std::uint64_t at(std::size_t index) const { return counts_[index]; }
  void merge(const Coverage& other) {
    for (std::size_t i = 0; i < covered_count; ++i) counts_[i] += other.counts_[i];
  }
  friend bool operator==(const Coverage&, const Coverage&) = default;

 private:
  std::array<std::uint64_t, covered_count> counts_{};
};

}  // namespace lockstep::sim
