// Secrets of OpenSSL: scrypt for passwords (RFC 7914), HMAC-SHA256 for codes.
#pragma once

#include <cstdint>

#include "env/secrets.h"

namespace lockstep::platform {

class OpenSslSecrets final : public env::Secrets {
 public:
  // What new hashes cost: 128 * 8 * 2^cost bytes of memory, and time in proportion. Those that exist keep
  // theirs.
  static constexpr std::uint8_t cost_default = 14;  // 16 MiB, some tens of milliseconds
  explicit OpenSslSecrets(std::uint8_t cost = cost_default) : cost_(cost) {}

  [[nodiscard]] std::string hash_password(std::string_view password, std::string_view salt) const override;
  [[nodiscard]] bool verify_password(std::string_view password, std::string_view hash) const override;
  [[nodiscard]] std::string message_code(std::string_view key, std::string_view message) const override;

 private:
  std::uint8_t cost_;
};

}  // namespace lockstep::platform
