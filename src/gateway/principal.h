// Who asks, by what a client shows: the token of an Authorization (or token) field, else its certificate's
// name.
#pragma once

#include <optional>
#include <string_view>

#include "store/principal.h"
#include "store/security.h"

namespace lockstep::gateway {

// A certificate's name that is no user's is nobody, who may still log in. Errors: of a token that is not
// good.
inline Result<store::Principal> principal_of(store::Security& security, std::optional<std::string_view> token,
                                             std::string_view certificate_name) {
  if (token.has_value()) return security.check_token(*token);
  if (certificate_name.empty()) return store::Principal();
  const Result<store::Principal> user = security.check_name(certificate_name);
  return user.ok() ? *user : store::Principal();
}

}  // namespace lockstep::gateway
