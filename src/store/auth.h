// Users, roles and their permissions: replicated state, changed by commands only (I12). Rules and texts are
// etcd's (docs/decisions/0019-authentication.md says where ours are stricter).
//
// Invariants:
//   1. A change that fails has no effect; one that changes something moves the revision by one. Switching on
//   and
//      a repeated grant of a role leave the revision alone.
//   2. While switched on, user root exists and has role root.
//   3. A user's id and credential are revisions: unique, and never used again (principal.h).
//   4. A role that a user has exists, or is root.
//   5. Memory: every row is at most limits::auth_row_bytes_max, all together limits::auth_bytes_max.
//
// Strand: the core strand only. Passwords are hashed before they come here; nothing here draws random
// numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/status.h"
#include "store/key_range_set.h"
#include "store/principal.h"
#include "store/rows.h"

namespace lockstep::store {

// The user without whom authentication cannot be switched on, and the role that may everything.
inline constexpr std::string_view root_name = "root";

enum class PermissionKind : std::uint8_t { read, write, read_write };
struct Permission {
  PermissionKind kind = PermissionKind::read;
  std::string key;
  std::string range_end;  // as in requests
  friend bool operator==(const Permission&, const Permission&) = default;
};

struct AuthEnable {
  std::string token_key;  // limits::auth_token_key_bytes random ones, drawn by whoever proposes
};
struct AuthDisable {};
struct UserAdd {
  std::string name;
  std::string password_hash;  // empty if and only if no_password
  bool no_password = false;   // proves itself by a certificate only
};
struct UserDelete {
  std::string name;
};
struct UserChangePassword {
  std::string name;
  std::string password_hash;
};
struct UserGrantRole {
  std::string user;
  std::string role;
};
struct UserRevokeRole {
  std::string user;
  std::string role;
};
struct RoleAdd {
  std::string name;
};
struct RoleDelete {
  std::string name;
};
// Replaces the kind of a permission for the same range.
struct RoleGrantPermission {
  std::string role;
  Permission permission;
};
struct RoleRevokePermission {
  std::string role;
  std::string key;
  std::string range_end;
};
using AuthChange =
    std::variant<AuthEnable, AuthDisable, UserAdd, UserDelete, UserChangePassword, UserGrantRole,
                 UserRevokeRole, RoleAdd, RoleDelete, RoleGrantPermission, RoleRevokePermission>;

enum class Access : std::uint8_t { read, write };

struct User {
  UserId id;
  CredentialId credential;
  bool no_password = false;
  std::string password_hash;
  std::vector<std::string> roles;  // sorted

  [[nodiscard]] bool has_role(std::string_view role) const;
  friend bool operator==(const User&, const User&) = default;
};

struct Role {
  std::vector<Permission> permissions;  // sorted by (key, range_end)
  KeyRangeSet readable;
  KeyRangeSet writable;

  void merge();
};

class AuthState {
 public:
  using Users = std::map<std::string, User, std::less<>>;
  using Roles = std::map<std::string, Role, std::less<>>;

  [[nodiscard]] bool enabled() const { return enabled_; }
  [[nodiscard]] AuthRevision revision() const { return revision_; }
  // Two states with the same one give the same verdicts.
  [[nodiscard]] std::pair<AuthRevision, bool> version() const { return {revision_, enabled_}; }
  // Empty before the first time it was switched on.
  [[nodiscard]] const std::string& token_key() const { return token_key_; }
  [[nodiscard]] const Users& users() const { return users_; }
  [[nodiscard]] const Roles& roles() const { return roles_; }
  [[nodiscard]] const User* find_user(std::string_view name) const;
  // Null for nobody, the cluster, and credentials that are no longer good.
  [[nodiscard]] const Users::value_type* find_user(Principal principal) const;
  // Whether the user's roles together allow the access to every key of the range. An empty range counts as
  // its key.
  [[nodiscard]] bool covers(const User& user, Access access, std::string_view key,
                            std::string_view range_end) const;

  // Requires what validate() lets pass. Changed rows go to *meta.
  Status apply(const AuthChange& change, std::vector<MetaChange>* meta);

  void for_each_row(const std::function<void(std::string_view, std::string_view)>& visit) const;
  // Errors: corruption.
  Status restore_row(std::string_view key, std::string_view row);
  Status finish_restore();

 private:
  Status change(const AuthEnable& enable, std::vector<MetaChange>* meta);
  Status change(const AuthDisable& disable, std::vector<MetaChange>* meta);
  Status change(const UserAdd& add, std::vector<MetaChange>* meta);
  Status change(const UserDelete& removal, std::vector<MetaChange>* meta);
  Status change(const UserChangePassword& change, std::vector<MetaChange>* meta);
  Status change(const UserGrantRole& grant, std::vector<MetaChange>* meta);
  Status change(const UserRevokeRole& revoke, std::vector<MetaChange>* meta);
  Status change(const RoleAdd& add, std::vector<MetaChange>* meta);
  Status change(const RoleDelete& removal, std::vector<MetaChange>* meta);
  Status change(const RoleGrantPermission& grant, std::vector<MetaChange>* meta);
  Status change(const RoleRevokePermission& revoke, std::vector<MetaChange>* meta);

  // A row of `bytes_before` becomes one of `bytes_after`: whether there is room.
  [[nodiscard]] Status check_room(std::size_t bytes_before, std::size_t bytes_after) const;
  void next_revision(std::vector<MetaChange>* meta);
  void write_head(std::vector<MetaChange>* meta) const;
  Status replace(const std::string& name, User user, std::vector<MetaChange>* meta);
  Status replace(const std::string& name, Role role, std::vector<MetaChange>* meta);

  bool enabled_ = false;
  AuthRevision revision_{1};
  std::string token_key_;
  Users users_;
  Roles roles_;
  std::map<CredentialId, const Users::value_type*> credentials_;
  std::size_t bytes_ = 0;  // of all rows of users and roles
};

// Lengths and forms; what depends on the state is apply()'s.
Status validate(const AuthChange& change);

}  // namespace lockstep::store
