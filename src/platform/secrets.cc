#include "platform/secrets.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/assert.h"
#include "base/limits.h"

namespace lockstep::platform {
namespace {

// A hash: version, cost, salt, what scrypt made of it.
constexpr char version = 1;
constexpr std::size_t derived_bytes = 32;
constexpr std::size_t hash_bytes = 2 + env::Secrets::salt_bytes + derived_bytes;
static_assert(hash_bytes <= limits::auth_password_hash_bytes_max);

constexpr std::uint64_t block_size = 8;
constexpr std::uint64_t parallelism = 1;
// A stored hash must not make a member take more than this: it came from a proposer, but nobody is trusted.
constexpr std::uint8_t cost_max = 17;
constexpr std::uint64_t memory_bytes_max = 160 * limits::mebibyte;
static_assert(128 * block_size * (std::uint64_t{1} << cost_max) < memory_bytes_max);

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

std::string derive(std::string_view password, std::string_view salt, std::uint8_t cost) {
  LS_MUST(cost >= 1);
  LS_MUST(cost <= cost_max);
  std::string out(derived_bytes, '\0');
  const int done = EVP_PBE_scrypt(password.data(), password.size(), bytes_of(salt), salt.size(),
                                  std::uint64_t{1} << cost, block_size, parallelism, memory_bytes_max,
                                  reinterpret_cast<unsigned char*>(out.data()), out.size());
  LS_MUST(done == 1, "the parameters are good and the memory is there");
  return out;
}

}  // namespace

std::string OpenSslSecrets::hash_password(std::string_view password, std::string_view salt) const {
  LS_MUST(salt.size() == salt_bytes);
  std::string hash = {version, static_cast<char>(cost_)};
  hash.append(salt);
  hash.append(derive(password, salt, cost_));
  LS_MUST(hash.size() == hash_bytes);
  return hash;
}

bool OpenSslSecrets::verify_password(std::string_view password, std::string_view hash) const {
  if (hash.size() != hash_bytes || hash[0] != version) return false;
  const auto cost = static_cast<std::uint8_t>(hash[1]);
  if (cost < 1 || cost > cost_max) return false;
  return equal(derive(password, hash.substr(2, salt_bytes), cost), hash.substr(2 + salt_bytes));
}

std::string OpenSslSecrets::message_code(std::string_view key, std::string_view message) const {
  std::string code(code_bytes, '\0');
  unsigned int length = 0;
  const unsigned char* done = HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), bytes_of(message),
                                   message.size(), reinterpret_cast<unsigned char*>(code.data()), &length);
  LS_MUST(done != nullptr);
  LS_MUST(length == code_bytes);
  return code;
}

}  // namespace lockstep::platform
