// The words about users and roles.
#include <algorithm>
#include <array>
#include <optional>

#include "base/assert.h"
#include "base/limits.h"
#include "store/testing/script.h"
#include "store/testing/script_words.h"

namespace lockstep::store::testing {
namespace {

using Words = std::vector<std::string>;

constexpr std::array<std::string_view, 3> kinds = {"read", "write", "both"};

std::string end_of(const Words& words, std::size_t position) {
  if (words.size() <= position) return {};
  return words[position] == "*" ? std::string(1, '\0') : words[position];
}

std::string shown(const Permission& permission) {
  std::string out(kinds.at(static_cast<std::size_t>(permission.kind)));
  out += " " + permission.key;
  if (permission.range_end == std::string(1, '\0')) return out + "..*";
  return permission.range_end.empty() ? out : out + ".." + permission.range_end;
}

AuthChange parse_user(const Words& words) {
  const std::string& name = words.at(2);
  const std::string& what = words.at(1);
  if (what == "add") {
    const bool no_password = words.size() > 3;
    return UserAdd{name, no_password ? "" : "hash of " + name, no_password};
  }
  if (what == "delete") return UserDelete{name};
  if (what == "password") return UserChangePassword{name, "other hash of " + name};
  if (what == "grant") return UserGrantRole{name, words.at(3)};
  LS_MUST(what == "revoke");
  return UserRevokeRole{name, words.at(3)};
}

AuthChange parse_role(const Words& words) {
  const std::string& name = words.at(2);
  const std::string& what = words.at(1);
  if (what == "add") return RoleAdd{name};
  if (what == "delete") return RoleDelete{name};
  if (what == "forbid") return RoleRevokePermission{name, words.at(3), end_of(words, 4)};
  LS_MUST(what == "permit");
  const auto kind = std::ranges::find(kinds, words.at(3)) - kinds.begin();
  return RoleGrantPermission{name, {static_cast<PermissionKind>(kind), words.at(4), end_of(words, 5)}};
}

std::optional<AuthChange> parse_change(const Words& words) {
  if (words[0] == "user") return parse_user(words);
  if (words[0] == "role") return parse_role(words);
  if (words[0] != "auth" || words.size() == 1) return std::nullopt;
  if (words[1] == "off") return AuthDisable{};
  LS_MUST(words[1] == "on");
  return AuthEnable{std::string(limits::auth_token_key_bytes, 'k')};
}

}  // namespace

bool Script::auth_command(const Words& words) {
  if (words[0] == "as") {
    const std::string& name = words.at(1);
    if (name.starts_with('#')) {
      principal_ = Principal::of(CredentialId(std::stoull(name.substr(1))));
      return true;
    }
    const User* user = machine_->auth().find_user(name);
    if (user == nullptr && name != "nobody" && name != "cluster") {
      output_ += "no such user\n";
      return true;
    }
    principal_ = name == "cluster" ? Principal::cluster() : Principal();
    if (user != nullptr) principal_ = Principal::of(user->credential);
    return true;
  }
  const std::optional<AuthChange> change = parse_change(words);
  if (change.has_value()) {
    propose(validate(*change), [&](BatchBuilder& batch) { return batch.auth(*change, {}, principal_); });
    return true;
  }
  if (words[0] != "auth") return false;
  print_auth();
  return true;
}

void Script::print_auth() {
  const AuthState& auth = machine_->auth();
  output_ += std::string(auth.enabled() ? "on" : "off") + ", revision " +
             std::to_string(auth.revision().value()) + "\n";
  for (const auto& [name, role] : auth.roles()) {
    output_ += "role " + name;
    for (const Permission& permission : role.permissions) output_ += ", " + testing::shown(permission);
    output_ += "\n";
  }
  for (const auto& [name, user] : auth.users()) {
    output_ += "user " + name + " " + std::to_string(user.id.value()) + " credential " +
               std::to_string(user.credential.value());
    if (user.no_password) output_ += " no password";
    for (const std::string& role : user.roles) output_ += ", " + role;
    output_ += "\n";
  }
}

}  // namespace lockstep::store::testing
