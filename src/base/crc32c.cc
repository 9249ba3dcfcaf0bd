#include "base/crc32c.h"

#include <array>
#include <cstring>

namespace lockstep {
namespace {

constexpr std::uint32_t polynomial_reflected = 0x82f63b78;

constexpr std::array<std::uint32_t, 256> make_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? polynomial_reflected : 0);
    table[byte] = crc;
  }
  return table;
}

std::uint32_t extend_by_table(std::uint32_t crc, std::string_view bytes) {
  static constexpr std::array<std::uint32_t, 256> table = make_table();
  for (const char byte : bytes) crc = (crc >> 8) ^ table[(crc ^ static_cast<std::uint8_t>(byte)) & 0xff];
  return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) std::uint32_t extend_by_instruction(std::uint32_t crc,
                                                                      std::string_view bytes) {
  std::uint64_t wide = crc;
  while (bytes.size() >= 8) {
    std::uint64_t word;
    std::memcpy(&word, bytes.data(), 8);
    wide = __builtin_ia32_crc32di(wide, word);
    bytes.remove_prefix(8);
  }
  auto narrow = static_cast<std::uint32_t>(wide);
  for (const char byte : bytes) narrow = __builtin_ia32_crc32qi(narrow, static_cast<std::uint8_t>(byte));
  return narrow;
}
#endif

}  // namespace

std::uint32_t crc32c_extend(std::uint32_t crc, std::string_view bytes) {
#if defined(__x86_64__)
  static const bool has_instruction = __builtin_cpu_supports("sse4.2");
  if (has_instruction) return ~extend_by_instruction(~crc, bytes);
#endif
  return ~extend_by_table(~crc, bytes);
}

}  // namespace lockstep
