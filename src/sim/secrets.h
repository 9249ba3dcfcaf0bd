// Secrets for tests: cheap, the same in every run, and no secrets at all.
#pragma once

#include <cstdint>

#include "env/secrets.h"

namespace lockstep::sim {

class SimSecrets final : public env::Secrets {
 public:
  [[nodiscard]] std::string hash_password(std::string_view password, std::string_view salt) const override {
    return std::string(salt) + digest(std::string(salt) + std::string(password));
  }
  [[nodiscard]] bool verify_password(std::string_view password, std::string_view hash) const override {
    return hash.size() == salt_bytes + code_bytes &&
           hash_password(password, hash.substr(0, salt_bytes)) == hash;
  }
  [[nodiscard]] std::string message_code(std::string_view key, std::string_view message) const override {
    return digest(std::string(key) + std::string(message));
  }

 private:
  // FNV-1a, four times from different beginnings.
  static std::string digest(std::string_view text) {
    std::string out;
    for (std::uint64_t lane = 0; lane < code_bytes / sizeof(std::uint64_t); ++lane) {
      std::uint64_t hash = 0xcbf29ce484222325 ^ (lane * 0x9e3779b97f4a7c15);
      for (const char byte : text) hash = (hash ^ static_cast<std::uint8_t>(byte)) * 0x100000001b3;
      for (std::size_t i = 0; i < sizeof hash; ++i) out.push_back(static_cast<char>(hash >> (8 * i)));
    }
    return out;
  }
};

}  // namespace lockstep::sim
