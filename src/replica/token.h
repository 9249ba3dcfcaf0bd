// The bytes of a login token: which credential, when it was issued on the store clock, and a code over both
// that only members can make. So any member can check it without asking anybody.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "env/secrets.h"
#include "store/principal.h"

namespace lockstep::replica {

struct Token {
  store::CredentialId credential;
  std::int64_t issued_ms = 0;
  friend bool operator==(const Token&, const Token&) = default;
};

// Printable: letters, digits, '-' and '_'.
std::string encode_token(const Token& token, std::string_view key, const env::Secrets& secrets);
// Nothing for what was not made with the key.
std::optional<Token> decode_token(std::string_view text, std::string_view key, const env::Secrets& secrets);

}  // namespace lockstep::replica
