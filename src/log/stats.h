// What the log counts since it was opened. Plain numbers; read on the strand.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace lockstep::log {

struct Stats {
  std::uint64_t appends = 0;
  std::uint64_t entries = 0;
  std::uint64_t groups = 0;         // written, each by one sync
  std::uint64_t groups_inline = 0;  // of these, inside append()
  std::uint64_t bytes = 0;          // written, frames and padding included
  std::uint64_t payload_bytes = 0;  // of entries
  std::uint64_t idle_flushes = 0;
  std::uint64_t segments_made = 0;
  std::uint64_t segments_reused = 0;
  std::uint64_t segments_released = 0;
  std::uint64_t waits_for_segment = 0;  // a group had to wait until the next segment was prepared
  // Groups by the number of appends in them: slot i counts 2^i .. 2^(i+1)-1.
  std::array<std::uint64_t, 16> group_appends{};

  void count_group(std::size_t appends_in_group) {
    const auto slot = static_cast<std::size_t>(std::bit_width(appends_in_group | 1) - 1);
    ++group_appends[slot < group_appends.size() ? slot : group_appends.size() - 1];
  }
};

}  // namespace lockstep::log
