// The Security face, beside the Store's: who may log in, and who may do what.
//
// A protocol edge turns what a client shows (a token, a certificate's name) into a Principal with
// check_token() or check_name() and puts it into CallOptions of every call; the store judges each request by
// it. Nothing here or there trusts a client further than that (I12).
//
// Strand, callbacks and outcomes: as Store's. Passwords are hashed off the strand, never logged, and never
// leave this member; what is proposed carries hashes.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "store/auth.h"
#include "store/principal.h"
#include "store/result.h"
#include "store/store.h"

namespace lockstep::store {

struct AuthenticateResponse {
  Header header;
  std::string token;  // opaque, printable
};
struct AuthStatusResponse {
  Header header;
  bool enabled = false;
  AuthRevision revision;
};
struct NamesResponse {
  Header header;
  std::vector<std::string> names;  // sorted
};
struct PermissionsResponse {
  Header header;
  std::vector<Permission> permissions;
};

class Security {
 public:
  virtual ~Security() = default;

  // ---- who asks
  // Errors: authentication is not enabled; authentication failed (an unknown user takes as long as a wrong
  // password); too many requests (logins are queued, within bounds).
  virtual void authenticate(std::string name, std::string password, CallOptions options,
                            Callback<AuthenticateResponse> done) = 0;
  // Good on every member until it is too old, the user or its password goes, or authentication is switched on
  // anew. Errors: invalid auth token. While authentication is off any token is nobody.
  virtual Result<Principal> check_token(std::string_view token) = 0;
  // For a name that was proven otherwise (a client certificate's). Errors: user name not found.
  [[nodiscard]] virtual Result<Principal> check_name(std::string_view name) const = 0;
  // For calls that are not the store's (members, maintenance): any user, or role root.
  [[nodiscard]] virtual Status check_known(Principal principal) const = 0;
  [[nodiscard]] virtual Status check_root(Principal principal) const = 0;
  // For log lines; empty for nobody and for credentials that are no longer good.
  [[nodiscard]] virtual std::string name_of(Principal principal) const = 0;

  // ---- administration, for role root once authentication is on
  virtual void enable(CallOptions options, Callback<AuthResponse> done) = 0;
  // Nothing: the user proves itself by a certificate only.
  virtual void add_user(std::string name, std::optional<std::string> password, CallOptions options,
                        Callback<AuthResponse> done) = 0;
  virtual void change_password(std::string name, std::string password, CallOptions options,
                               Callback<AuthResponse> done) = 0;
  // The changes that carry no secret: not AuthEnable, UserAdd, UserChangePassword.
  virtual void change(AuthChange change, CallOptions options, Callback<AuthResponse> done) = 0;

  // Linearizable. Users may look at themselves and their own roles.
  virtual void auth_status(CallOptions options, Callback<AuthStatusResponse> done) = 0;
  virtual void users(CallOptions options, Callback<NamesResponse> done) = 0;
  virtual void roles(CallOptions options, Callback<NamesResponse> done) = 0;
  virtual void roles_of_user(std::string user, CallOptions options, Callback<NamesResponse> done) = 0;
  virtual void permissions_of_role(std::string role, CallOptions options,
                                   Callback<PermissionsResponse> done) = 0;
};

}  // namespace lockstep::store
