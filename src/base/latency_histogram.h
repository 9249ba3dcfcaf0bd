// How long something took, counted by size: a fixed array, so that counting costs no allocation and no lock.
// Not for several threads.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/time.h"

namespace lockstep {

struct LatencyHistogram {
  // Upper bounds of the slots; one more slot has what is longer. From a local sync to a stall that ends
  // requests.
  static constexpr std::array<Duration, 17> bounds = {50us, 100us, 200us, 500us, 1ms, 2ms, 5ms, 10ms, 20ms,
                                                      50ms, 100ms, 200ms, 500ms, 1s,  2s,  5s,  10s};

  std::array<std::uint64_t, bounds.size() + 1> slots{};
  std::uint64_t count = 0;
  Duration sum{};

  void add(Duration duration) {
    std::size_t slot = 0;
    while (slot < bounds.size() && duration > bounds[slot]) ++slot;
    ++slots[slot];
    ++count;
    sum += duration;
  }
};

}  // namespace lockstep
