// The port to cryptography for users: hashes of passwords, and codes that prove where a message comes from.
//
// Pure functions: equal arguments give equal results, also on other members. Any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace lockstep::env {

class Secrets {
 public:
  static constexpr std::size_t salt_bytes = 16;
  static constexpr std::size_t code_bytes = 32;

  virtual ~Secrets() = default;
  // Slow by intent, tens of milliseconds and some MiB: on a Worker, never on the strand. The salt is random,
  // of salt_bytes; the result carries it, at most limits::auth_password_hash_bytes_max.
  [[nodiscard]] virtual std::string hash_password(std::string_view password, std::string_view salt) const = 0;
  // As slow. False for anything that is not such a hash.
  [[nodiscard]] virtual bool verify_password(std::string_view password, std::string_view hash) const = 0;
  // HMAC-SHA256: code_bytes that nobody can make without the key.
  [[nodiscard]] virtual std::string message_code(std::string_view key, std::string_view message) const = 0;
  // Takes as long for any two strings of one length.
  [[nodiscard]] static bool equal(std::string_view a, std::string_view b) {
    if (a.size() != b.size()) return false;
    volatile unsigned char difference = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      difference = static_cast<unsigned char>(difference | (a[i] ^ b[i]));
    }
    return difference == 0;
  }
};

}  // namespace lockstep::env
