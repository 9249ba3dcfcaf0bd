// This process as the operating system sees it.
#pragma once

#include <cstdint>

#include "base/time.h"

namespace lockstep::platform {

struct ProcessMetrics {
  Duration cpu{};  // user and system, of all threads
  std::uint64_t resident_bytes = 0;
  std::uint64_t virtual_bytes = 0;
  std::uint64_t descriptors_open = 0;
  std::uint64_t descriptors_max = 0;
  std::uint64_t threads = 0;
};

// Reads /proc: for a page that is asked now and then. What cannot be read is zero.
ProcessMetrics read_process_metrics();

// Gives back pages of code and constants that are mapped from files. What is still needed comes back from the
// page cache at its next use, in microseconds; the rest, most of what start-up ran through, stays away.
// Call once, when start-up is over. Any thread.
void release_start_up_pages();

}  // namespace lockstep::platform
