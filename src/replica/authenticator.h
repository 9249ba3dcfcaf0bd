// The Security face of a member: logins, tokens, and changes to users and roles.
//
// Passwords are hashed on a worker, one after the other, so that a login costs the strand nothing. What waits
// for it is bounded (I11). The verdicts are the state machine's (store/authorise.h).
//
// Tokens: a login's time is that of the store clock, as far as this member knows it. A member whose clock
// stands lower takes a token longer, never less; while no leader is, store time stands still for leases and
// tokens alike.
//
// Strand: the member's, which owns this and answers to the Host while this lives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "base/time.h"
#include "env/environment.h"
#include "store/security.h"
#include "store/state_machine.h"

namespace lockstep::replica {

struct AuthenticatorOptions {
  Duration token_lifetime = 300s;  // etcd's
  // Passwords being hashed or waiting for it: half a minute's work.
  std::size_t hashing_max = 512;
};

class Authenticator final : public store::Security {
 public:
  // The member, as this needs it.
  class Host {
   public:
    virtual ~Host() = default;
    [[nodiscard]] virtual const store::StateMachine& auth_machine() const = 0;
    // The store clock, going on from the newest entry.
    [[nodiscard]] virtual std::int64_t auth_now_ms() = 0;
    [[nodiscard]] virtual store::Header auth_header() const = 0;
    virtual void propose_auth(store::AuthChange change, store::CallOptions options,
                              store::Callback<store::AuthResponse> done) = 0;
    // Ok once the state is at least as new as everything that was answered before the call.
    virtual void when_current(store::CallOptions options,
                              std::move_only_function<void(const Status&)> done) = 0;
  };

  // `secrets` null: every operation with a password or a token is refused.
  Authenticator(Host& host, const env::Secrets* secrets, env::Worker& worker, env::Random& random,
                AuthenticatorOptions options = {});
  ~Authenticator() override;
  Authenticator(const Authenticator&) = delete;
  Authenticator& operator=(const Authenticator&) = delete;

  void authenticate(std::string name, std::string password, store::CallOptions options,
                    store::Callback<store::AuthenticateResponse> done) override;
  Result<store::Principal> check_token(std::string_view token) override;
  [[nodiscard]] Result<store::Principal> check_name(std::string_view name) const override;
  [[nodiscard]] Status check_known(store::Principal principal) const override;
  [[nodiscard]] Status check_root(store::Principal principal) const override;
  [[nodiscard]] std::string name_of(store::Principal principal) const override;

  void enable(store::CallOptions options, store::Callback<store::AuthResponse> done) override;
  void add_user(std::string name, std::optional<std::string> password, store::CallOptions options,
                store::Callback<store::AuthResponse> done) override;
  void change_password(std::string name, std::string password, store::CallOptions options,
                       store::Callback<store::AuthResponse> done) override;
  void change(store::AuthChange change, store::CallOptions options,
              store::Callback<store::AuthResponse> done) override;

  void auth_status(store::CallOptions options, store::Callback<store::AuthStatusResponse> done) override;
  void users(store::CallOptions options, store::Callback<store::NamesResponse> done) override;
  void roles(store::CallOptions options, store::Callback<store::NamesResponse> done) override;
  void roles_of_user(std::string user, store::CallOptions options,
                     store::Callback<store::NamesResponse> done) override;
  void permissions_of_role(std::string role, store::CallOptions options,
                           store::Callback<store::PermissionsResponse> done) override;

 private:
  // A token that was good: looking it up again is cheaper than computing its code.
  struct Checked {
    store::Principal principal;
    std::int64_t good_until_ms = 0;
  };
  struct Login;

  [[nodiscard]] const store::AuthState& auth() const { return host_.auth_machine().auth(); }
  [[nodiscard]] std::string random_bytes(std::size_t count);
  [[nodiscard]] bool too_many() const { return hashing_ >= options_.hashing_max; }
  // Runs `work` on the worker, then done(result) here.
  template <class Value>
  void hash(std::move_only_function<Value()> work, std::move_only_function<void(Value)> done);
  void verify(const std::shared_ptr<Login>& login);
  void finish_login(Login& login, bool good);
  // Hashes for somebody who may do that, then proposes what `make` makes of the hash.
  void hash_and_propose(std::string password, store::CallOptions options,
                        store::Callback<store::AuthResponse> done,
                        std::move_only_function<store::AuthChange(std::string hash)> make);
  template <class Response, class Serve>
  void read(const store::CallOptions& options, store::Callback<Response> done, Serve serve);

  Host& host_;
  const env::Secrets* secrets_;
  env::Worker& worker_;
  env::Random& random_;
  AuthenticatorOptions options_;
  std::size_t hashing_ = 0;
  std::unordered_map<std::string, Checked> checked_;  // never walked
  store::AuthRevision checked_revision_;              // of users and roles, for which checked_ holds
  std::string checked_key_;                           // likewise
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace lockstep::replica
