// CRC-32C (Castagnoli, RFC 3720 appendix B.4), by the CPU's instruction where there is one.
#pragma once

#include <cstdint>
#include <string_view>

namespace lockstep {

// The checksum of what `crc` covered, followed by `bytes`. Start with 0.
std::uint32_t crc32c_extend(std::uint32_t crc, std::string_view bytes);

inline std::uint32_t crc32c(std::string_view bytes) {
  return crc32c_extend(0, bytes);
}

}  // namespace lockstep
