// The port to randomness: seeds for everything that draws numbers (base/prng.h).
#pragma once

#include <cstdint>

namespace lockstep::env {

class Random {
 public:
  virtual ~Random() = default;
  // 64 unpredictable bits outside the simulator, the seed's next ones inside it.
  virtual std::uint64_t next() = 0;
};

}  // namespace lockstep::env
