// The machine's clocks and randomness.
#pragma once

#include "env/clock.h"
#include "env/random.h"

namespace lockstep::platform {

// CLOCK_MONOTONIC and CLOCK_REALTIME. Callable from any thread.
class RealClock final : public env::Clock {
 public:
  TimePoint now() override;
  Duration wall_now() override;
};

// getrandom(2). Callable from any thread; ends the process if the kernel has no randomness to give.
class RealRandom final : public env::Random {
 public:
  std::uint64_t next() override;
};

}  // namespace lockstep::platform
