// What the operating system says about this process. Reads /proc; for a page that is asked now and then.
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

// What cannot be read is zero.
ProcessMetrics read_process_metrics();

}  // namespace lockstep::platform
