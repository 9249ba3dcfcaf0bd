#include "replica/authenticator.h"

#include <utility>

#include "base/assert.h"
#include "base/limits.h"
#include "replica/token.h"
#include "store/errors.h"

namespace lockstep::replica {
namespace {

// Of clients that log in once and stay. When it is full it starts over.
constexpr std::size_t checked_tokens_max = 4096;

Status no_secrets() {
  return Status(Code::unimplemented, "lockstep: this member cannot hash passwords");
}
Status too_many_requests() {
  return Status(Code::resource_exhausted, "etcdserver: too many requests");
}

// Best effort: copies made on the way here are not known.
void wipe(std::string* secret) {
  volatile char* bytes = secret->data();
  for (std::size_t i = 0; i < secret->size(); ++i) bytes[i] = 0;
  secret->clear();
}

}  // namespace

// One attempt, from the call to the answer.
struct Authenticator::Login {
  std::string name;
  std::string password;
  store::CredentialId credential;  // zero: there is nobody to log in as
  std::string password_hash;
  store::Callback<store::AuthenticateResponse> done;
};

Authenticator::Authenticator(Host& host, const env::Secrets* secrets, env::Worker& worker,
                             env::Random& random, AuthenticatorOptions options)
    : host_(host), secrets_(secrets), worker_(worker), random_(random), options_(options) {
  LS_MUST(options_.token_lifetime > Duration{});
}

Authenticator::~Authenticator() {
  *alive_ = false;
}

std::string Authenticator::random_bytes(std::size_t count) {
  std::string bytes;
  while (bytes.size() < count) {
    const std::uint64_t drawn = random_.next();
    for (std::size_t i = 0; i < sizeof drawn; ++i) bytes.push_back(static_cast<char>(drawn >> (8 * i)));
  }
  bytes.resize(count);
  return bytes;
}

template <class Value>
void Authenticator::hash(std::move_only_function<Value()> work, std::move_only_function<void(Value)> done) {
  LS_MUST(!too_many());
  ++hashing_;
  auto result = std::make_shared<Value>();
  worker_.submit([work = std::move(work), result]() mutable { *result = work(); },
                 [this, alive = alive_, result, done = std::move(done)]() mutable {
                   if (!*alive) return;
                   LS_MUST(hashing_ > 0);
                   --hashing_;
                   done(std::move(*result));
                 });
}

void Authenticator::authenticate(std::string name, std::string password, store::CallOptions options,
                                 store::Callback<store::AuthenticateResponse> done) {
  if (secrets_ == nullptr) return done(no_secrets());
  if (too_many()) return done(too_many_requests());
  if (password.size() > limits::auth_password_bytes_max) return done(store::errors::authentication_failed());
  auto login = std::make_shared<Login>();
  login->name = std::move(name);
  login->password = std::move(password);
  login->done = std::move(done);
  // A user who was just made on another member is known here, too.
  host_.when_current(std::move(options), [this, alive = alive_, login](const Status& status) {
    if (!*alive) return;
    if (!status.ok()) return login->done(status);
    if (!auth().enabled()) return login->done(store::errors::authentication_not_enabled());
    if (too_many()) return login->done(too_many_requests());
    verify(login);
  });
}

// Somebody unknown, or without a password, costs the same work: the time tells nothing.
void Authenticator::verify(const std::shared_ptr<Login>& login) {
  const store::User* user = auth().find_user(login->name);
  if (user != nullptr && !user->no_password) {
    login->credential = user->credential;
    login->password_hash = user->password_hash;
  }
  const std::string salt(env::Secrets::salt_bytes, '\0');
  hash<bool>(
      [secrets = secrets_, login, salt] {
        if (login->credential != store::CredentialId{}) {
          return secrets->verify_password(login->password, login->password_hash);
        }
        static_cast<void>(secrets->hash_password(login->password, salt));
        return false;
      },
      [this, login](bool good) {
        wipe(&login->password);
        finish_login(*login, good);
      });
}

void Authenticator::finish_login(Login& login, bool good) {
  if (!good) return login.done(store::errors::authentication_failed());
  const auto* user = auth().find_user(store::Principal::of(login.credential));
  // The password changed meanwhile, or the user is gone.
  if (user == nullptr) return login.done(store::errors::authentication_failed());
  if (!auth().enabled()) return login.done(store::errors::authentication_not_enabled());
  store::AuthenticateResponse response;
  response.header = host_.auth_header();
  response.token = encode_token({login.credential, host_.auth_now_ms()}, auth().token_key(), *secrets_);
  login.done(std::move(response));
}

Result<store::Principal> Authenticator::check_token(std::string_view token) {
  if (!auth().enabled()) return store::Principal();
  if (secrets_ == nullptr) return store::errors::invalid_auth_token();
  if (checked_revision_ != auth().revision() || checked_key_ != auth().token_key() ||
      checked_.size() >= checked_tokens_max) {
    checked_.clear();
    checked_revision_ = auth().revision();
    checked_key_ = auth().token_key();
  }
  const std::int64_t now_ms = host_.auth_now_ms();
  const auto known = checked_.find(std::string(token));
  if (known != checked_.end()) {
    if (now_ms < known->second.good_until_ms) return known->second.principal;
    checked_.erase(known);
    return store::errors::invalid_auth_token();
  }
  const std::optional<Token> decoded = decode_token(token, auth().token_key(), *secrets_);
  if (!decoded.has_value()) return store::errors::invalid_auth_token();
  const std::int64_t lifetime_ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(options_.token_lifetime).count();
  const Checked checked{store::Principal::of(decoded->credential), decoded->issued_ms + lifetime_ms};
  // Issued later than any clock of ours may be ahead of another's: not by us.
  const bool too_early = decoded->issued_ms > now_ms + lifetime_ms;
  if (too_early || now_ms >= checked.good_until_ms || auth().find_user(checked.principal) == nullptr) {
    return store::errors::invalid_auth_token();
  }
  checked_.emplace(token, checked);
  return checked.principal;
}

Result<store::Principal> Authenticator::check_name(std::string_view name) const {
  if (!auth().enabled()) return store::Principal();
  const store::User* user = auth().find_user(name);
  if (user == nullptr) return store::errors::user_not_found();
  return store::Principal::of(user->credential);
}

Status Authenticator::check_known(store::Principal principal) const {
  return host_.auth_machine().authoriser(principal).check_known();
}

Status Authenticator::check_root(store::Principal principal) const {
  return host_.auth_machine().authoriser(principal).check_root();
}

std::string Authenticator::name_of(store::Principal principal) const {
  const auto* user = auth().find_user(principal);
  return user == nullptr ? std::string() : user->first;
}

// The key is new each time: what was issued before authentication was switched off stays bad.
void Authenticator::enable(store::CallOptions options, store::Callback<store::AuthResponse> done) {
  if (secrets_ == nullptr) return done(no_secrets());
  host_.propose_auth(store::AuthEnable{random_bytes(limits::auth_token_key_bytes)}, std::move(options),
                     std::move(done));
}

void Authenticator::hash_and_propose(std::string password, store::CallOptions options,
                                     store::Callback<store::AuthResponse> done,
                                     std::move_only_function<store::AuthChange(std::string hash)> make) {
  if (secrets_ == nullptr) return done(no_secrets());
  if (password.size() > limits::auth_password_bytes_max) return done(store::errors::password_too_large());
  // Nobody gets work done that he may not ask for.
  host_.when_current(options, [this, alive = alive_, options, password = std::move(password),
                               done = std::move(done), make = std::move(make)](const Status& status) mutable {
    if (!*alive) return;
    if (!status.ok()) return done(status);
    if (const Status denied = check_root(options.principal); !denied.ok()) return done(denied);
    if (too_many()) return done(too_many_requests());
    hash<std::string>(
        [secrets = secrets_, password = std::move(password),
         salt = random_bytes(env::Secrets::salt_bytes)]() mutable {
          std::string hash = secrets->hash_password(password, salt);
          wipe(&password);
          return hash;
        },
        [this, options = std::move(options), done = std::move(done),
         make = std::move(make)](std::string hash) mutable {
          host_.propose_auth(make(std::move(hash)), std::move(options), std::move(done));
        });
  });
}

void Authenticator::add_user(std::string name, std::optional<std::string> password,
                             store::CallOptions options, store::Callback<store::AuthResponse> done) {
  if (!password.has_value()) {
    return host_.propose_auth(store::UserAdd{std::move(name), {}, true}, std::move(options), std::move(done));
  }
  hash_and_propose(*std::move(password), std::move(options), std::move(done),
                   [name = std::move(name)](std::string hash) mutable -> store::AuthChange {
                     return store::UserAdd{std::move(name), std::move(hash), false};
                   });
}

void Authenticator::change_password(std::string name, std::string password, store::CallOptions options,
                                    store::Callback<store::AuthResponse> done) {
  hash_and_propose(std::move(password), std::move(options), std::move(done),
                   [name = std::move(name)](std::string hash) mutable -> store::AuthChange {
                     return store::UserChangePassword{std::move(name), std::move(hash)};
                   });
}

void Authenticator::change(store::AuthChange change, store::CallOptions options,
                           store::Callback<store::AuthResponse> done) {
  LS_MUST(!std::holds_alternative<store::AuthEnable>(change));
  LS_MUST(!std::holds_alternative<store::UserAdd>(change));
  LS_MUST(!std::holds_alternative<store::UserChangePassword>(change));
  host_.propose_auth(std::move(change), std::move(options), std::move(done));
}

template <class Response, class Serve>
void Authenticator::read(const store::CallOptions& options, store::Callback<Response> done, Serve serve) {
  const store::Principal principal = options.principal;
  host_.when_current(options, [this, alive = alive_, principal, done = std::move(done),
                               serve = std::move(serve)](const Status& status) mutable {
    if (!*alive) return;
    if (!status.ok()) return done(status);
    Response response;
    response.header = host_.auth_header();
    if (const Status refused = serve(principal, &response); !refused.ok()) return done(refused);
    done(std::move(response));
  });
}

void Authenticator::auth_status(store::CallOptions options, store::Callback<store::AuthStatusResponse> done) {
  read(options, std::move(done), [this](store::Principal who, store::AuthStatusResponse* response) {
    LS_RETURN_IF_ERROR(check_root(who));
    response->enabled = auth().enabled();
    response->revision = auth().revision();
    return Status();
  });
}

void Authenticator::users(store::CallOptions options, store::Callback<store::NamesResponse> done) {
  read(options, std::move(done), [this](store::Principal who, store::NamesResponse* response) {
    LS_RETURN_IF_ERROR(check_root(who));
    for (const auto& [name, user] : auth().users()) response->names.push_back(name);
    return Status();
  });
}

void Authenticator::roles(store::CallOptions options, store::Callback<store::NamesResponse> done) {
  read(options, std::move(done), [this](store::Principal who, store::NamesResponse* response) {
    LS_RETURN_IF_ERROR(check_root(who));
    for (const auto& [name, role] : auth().roles()) response->names.push_back(name);
    return Status();
  });
}

void Authenticator::roles_of_user(std::string user, store::CallOptions options,
                                  store::Callback<store::NamesResponse> done) {
  read(options, std::move(done),
       [this, user = std::move(user)](store::Principal who, store::NamesResponse* response) {
         const auto* self = auth().find_user(who);
         if (self == nullptr || self->first != user) LS_RETURN_IF_ERROR(check_root(who));
         const store::User* found = auth().find_user(user);
         if (found == nullptr) return store::errors::user_not_found();
         response->names = found->roles;
         return Status();
       });
}

void Authenticator::permissions_of_role(std::string role, store::CallOptions options,
                                        store::Callback<store::PermissionsResponse> done) {
  read(options, std::move(done),
       [this, role = std::move(role)](store::Principal who, store::PermissionsResponse* response) {
         const auto* self = auth().find_user(who);
         if (self == nullptr || !self->second.has_role(role)) LS_RETURN_IF_ERROR(check_root(who));
         const auto found = auth().roles().find(role);
         if (found == auth().roles().end()) return store::errors::role_not_found();
         response->permissions = found->second.permissions;
         if (role == store::root_name)
           response->permissions = {{store::PermissionKind::read_write, "", std::string(1, '\0')}};
         return Status();
       });
}

}  // namespace lockstep::replica
