#include "platform/system.h"

#include <cerrno>
#include <ctime>

#include <sys/random.h>

#include "base/assert.h"

namespace lockstep::platform {
namespace {

Duration read_clock(clockid_t clock) {
  timespec value{};
  LS_MUST(::clock_gettime(clock, &value) == 0);
  return std::chrono::seconds(value.tv_sec) + std::chrono::nanoseconds(value.tv_nsec);
}

}  // namespace

// Not CLOCK_MONOTONIC, which stands still while the machine is suspended: a leader that wakes up has to find
// what the others confirmed too old, and a lease its time over.
TimePoint RealClock::now() {
  return TimePoint(read_clock(CLOCK_BOOTTIME));
}

Duration RealClock::wall_now() {
  return read_clock(CLOCK_REALTIME);
}

std::uint64_t RealRandom::next() {
  std::uint64_t value = 0;
  ssize_t got = 0;
  do {
    got = ::getrandom(&value, sizeof value, 0);
  } while (got < 0 && errno == EINTR);
  LS_MUST(got == sizeof value, "getrandom gives eight bytes at once, always");
  return value;
}

}  // namespace lockstep::platform
