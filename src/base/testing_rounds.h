// How often tests with random input run.
#pragma once

#include <cstdint>
#include <cstdlib>

namespace lockstep {

// `usual`; under ./do test --long twenty times as many.
inline std::uint64_t rounds(std::uint64_t usual) {
  constexpr std::uint64_t longer = 20;
  return std::getenv("LOCKSTEP_LONG") != nullptr ? usual * longer : usual;
}

}  // namespace lockstep
