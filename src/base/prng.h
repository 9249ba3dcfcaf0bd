// A seeded generator as a value (xoshiro256**, seeded by splitmix64; Blackman and Vigna). The same seed gives
// the same numbers on every machine, which the standard library's distributions do not promise.
#pragma once

#include <bit>
#include <cstdint>

#include "base/assert.h"

namespace lockstep {

class Prng {
 public:
  explicit Prng(std::uint64_t seed) {
    for (std::uint64_t& word : state_) {
      seed += 0x9e3779b97f4a7c15;
      std::uint64_t mixed = seed;
      mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
      mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
      word = mixed ^ (mixed >> 31);
    }
  }

  std::uint64_t next() {
    const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    const std::uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }
  // Uniform in [0, bound). Requires bound > 0.
  std::uint64_t below(std::uint64_t bound) {
    LS_MUST(bound > 0);
    return static_cast<std::uint64_t>((static_cast<unsigned __int128>(next()) * bound) >> 64);
  }
  // Uniform in [low, high], both included.
  std::uint64_t between(std::uint64_t low, std::uint64_t high) {
    LS_MUST(low <= high);
    return low + below(high - low + 1);
  }
  // True in `numerator` of `denominator` cases.
  bool chance(std::uint64_t numerator, std::uint64_t denominator) { return below(denominator) < numerator; }
  // An independent generator, for a part of the work that must not disturb the others' numbers.
  Prng fork() { return Prng(next()); }

 private:
  std::uint64_t state_[4];
};

}  // namespace lockstep
