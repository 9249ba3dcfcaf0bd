// Encodings of changes to users and roles inside commands (docs/formats/command.md) and of their rows
// (docs/formats/keys.md). One value has one encoding; decoders refuse everything else.
#pragma once

#include <string>
#include <string_view>

#include "base/codec.h"
#include "base/status.h"
#include "store/auth.h"

namespace lockstep::store {

// Requires what validate() lets pass.
void encode_auth_change(Encoder& encoder, const AuthChange& change);
AuthChange decode_auth_change(Decoder& decoder);

// The row of AuthState itself.
struct AuthHead {
  bool enabled = false;
  AuthRevision revision{1};
  std::string token_key;
  friend bool operator==(const AuthHead&, const AuthHead&) = default;
};
std::string encode_auth_head(const AuthHead& head);
Result<AuthHead> decode_auth_head(std::string_view encoded);

std::string encode_user(const User& user);
Result<User> decode_user(std::string_view encoded);
// The permissions; what follows from them is made by Role::merge().
std::string encode_role(const Role& role);
Result<Role> decode_role(std::string_view encoded);

}  // namespace lockstep::store
