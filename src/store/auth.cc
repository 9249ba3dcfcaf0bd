#include "store/auth.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/limits.h"
#include "store/auth_codec.h"
#include "store/errors.h"

namespace lockstep::store {
namespace {

auto order_of(const Permission& permission) {
  return std::pair<std::string_view, std::string_view>(permission.key, permission.range_end);
}

std::size_t size_of(const std::string& name, const User& user) {
  return name.size() + encode_user(user).size();
}
std::size_t size_of(const std::string& name, const Role& role) {
  return name.size() + encode_role(role).size();
}

bool is_range(std::string_view key, std::string_view range_end) {
  return range_end.empty() || range_end == std::string_view("\0", 1) || key < range_end;
}

bool fits(std::string_view name) {
  return name.size() <= limits::auth_name_bytes_max;
}

}  // namespace

bool User::has_role(std::string_view role) const {
  return std::ranges::binary_search(roles, role, {},
                                    [](const std::string& name) { return std::string_view(name); });
}

void Role::merge() {
  readable = {};
  writable = {};
  for (const Permission& permission : permissions) {
    if (permission.kind != PermissionKind::write) readable.add(permission.key, permission.range_end);
    if (permission.kind != PermissionKind::read) writable.add(permission.key, permission.range_end);
  }
  readable.merge();
  writable.merge();
}

const User* AuthState::find_user(std::string_view name) const {
  const auto position = users_.find(name);
  return position == users_.end() ? nullptr : &position->second;
}

const AuthState::Users::value_type* AuthState::find_user(Principal principal) const {
  if (principal.is_nobody() || principal.is_cluster()) return nullptr;
  const auto position = credentials_.find(principal.credential());
  return position == credentials_.end() ? nullptr : position->second;
}

// Goes from interval to interval, each time along the role that reaches furthest.
bool AuthState::covers(const User& user, Access access, std::string_view key,
                       std::string_view range_end) const {
  const bool point = range_end.empty() || (range_end <= key && range_end != std::string_view("\0", 1));
  const bool unbounded = range_end == std::string_view("\0", 1);
  std::string_view covered_to = key;
  while (true) {
    const KeyRangeSet::Interval* furthest = nullptr;
    for (const std::string& name : user.roles) {
      const auto role = roles_.find(name);
      if (role == roles_.end()) continue;  // root, which needs no row
      const KeyRangeSet& ranges = access == Access::read ? role->second.readable : role->second.writable;
      const KeyRangeSet::Interval* found = ranges.find(covered_to);
      if (found == nullptr) continue;
      if (point || found->unbounded) return true;
      if (furthest == nullptr || found->end > furthest->end) furthest = found;
    }
    if (furthest == nullptr) return false;
    LS_MUST(covered_to < furthest->end);
    covered_to = furthest->end;
    if (!unbounded && covered_to >= range_end) return true;
  }
}

Status AuthState::apply(const AuthChange& change, std::vector<MetaChange>* meta) {
  LS_MUST(validate(change).ok());
  Status status = std::visit([&](const auto& what) { return this->change(what, meta); }, change);
  LS_MUST(bytes_ <= limits::auth_bytes_max);
  return status;
}

Status AuthState::check_room(std::size_t bytes_before, std::size_t bytes_after) const {
  LS_MUST(bytes_ >= bytes_before);
  if (bytes_after <= bytes_before) return {};
  const bool full = bytes_ - bytes_before + bytes_after > limits::auth_bytes_max;
  return full || bytes_after > limits::auth_row_bytes_max ? errors::too_many_users_and_roles() : Status();
}

void AuthState::write_head(std::vector<MetaChange>* meta) const {
  meta->push_back({std::string(auth_row_key()), encode_auth_head({enabled_, revision_, token_key_})});
}

void AuthState::next_revision(std::vector<MetaChange>* meta) {
  revision_ = revision_.next();
  write_head(meta);
}

// The user's new row under the next revision; a new credential is that revision.
Status AuthState::replace(const std::string& name, User user, std::vector<MetaChange>* meta) {
  const auto position = users_.find(name);
  const std::size_t before = position == users_.end() ? 0 : size_of(name, position->second);
  const std::size_t after = size_of(name, user);
  LS_RETURN_IF_ERROR(check_room(before, after));
  bytes_ = bytes_ - before + after;
  if (position != users_.end()) credentials_.erase(position->second.credential);
  meta->push_back({user_row_key(name), encode_user(user)});
  const CredentialId credential = user.credential;
  const auto stored = users_.insert_or_assign(name, std::move(user)).first;
  const bool inserted = credentials_.emplace(credential, &*stored).second;
  LS_MUST(inserted, "a credential is used once");
  next_revision(meta);
  LS_MUST(credential.value() <= revision_.value());
  return {};
}

Status AuthState::replace(const std::string& name, Role role, std::vector<MetaChange>* meta) {
  const auto position = roles_.find(name);
  const std::size_t before = position == roles_.end() ? 0 : size_of(name, position->second);
  const std::size_t after = size_of(name, role);
  LS_RETURN_IF_ERROR(check_room(before, after));
  bytes_ = bytes_ - before + after;
  role.merge();
  meta->push_back({role_row_key(name), encode_role(role)});
  roles_.insert_or_assign(name, std::move(role));
  next_revision(meta);
  return {};
}

Status AuthState::change(const AuthEnable& enable, std::vector<MetaChange>* meta) {
  if (enabled_) return {};
  const User* root = find_user(root_name);
  if (root == nullptr) return errors::root_user_missing();
  if (!root->has_role(root_name)) return errors::root_role_missing();
  enabled_ = true;
  token_key_ = enable.token_key;
  write_head(meta);
  return {};
}

Status AuthState::change(const AuthDisable&, std::vector<MetaChange>* meta) {
  if (!enabled_) return {};
  enabled_ = false;
  next_revision(meta);
  return {};
}

Status AuthState::change(const UserAdd& add, std::vector<MetaChange>* meta) {
  if (add.name.empty()) return errors::user_name_empty();
  if (find_user(add.name) != nullptr) return errors::user_exists();
  User user;
  user.id = UserId(revision_.next().value());
  user.credential = CredentialId(revision_.next().value());
  user.no_password = add.no_password;
  user.password_hash = add.password_hash;
  return replace(add.name, std::move(user), meta);
}

Status AuthState::change(const UserDelete& removal, std::vector<MetaChange>* meta) {
  if (enabled_ && removal.name == root_name) return errors::invalid_auth_management();
  const auto position = users_.find(removal.name);
  if (position == users_.end()) return errors::user_not_found();
  bytes_ -= size_of(removal.name, position->second);
  credentials_.erase(position->second.credential);
  users_.erase(position);
  meta->push_back({user_row_key(removal.name), std::nullopt});
  next_revision(meta);
  return {};
}

// One without a password stays so, as in etcd.
Status AuthState::change(const UserChangePassword& change, std::vector<MetaChange>* meta) {
  const User* found = find_user(change.name);
  if (found == nullptr) return errors::user_not_found();
  User user = *found;
  user.credential = CredentialId(revision_.next().value());
  if (!user.no_password) user.password_hash = change.password_hash;
  return replace(change.name, std::move(user), meta);
}

Status AuthState::change(const UserGrantRole& grant, std::vector<MetaChange>* meta) {
  const User* found = find_user(grant.user);
  if (found == nullptr) return errors::user_not_found();
  if (grant.role != root_name && !roles_.contains(grant.role)) return errors::role_not_found();
  if (found->has_role(grant.role)) return {};
  if (found->roles.size() >= limits::auth_roles_per_user_max) return errors::too_many_roles();
  User user = *found;
  user.roles.insert(std::ranges::lower_bound(user.roles, grant.role), grant.role);
  return replace(grant.user, std::move(user), meta);
}

Status AuthState::change(const UserRevokeRole& revoke, std::vector<MetaChange>* meta) {
  if (enabled_ && revoke.user == root_name && revoke.role == root_name)
    return errors::invalid_auth_management();
  const User* found = find_user(revoke.user);
  if (found == nullptr) return errors::user_not_found();
  if (!found->has_role(revoke.role)) return errors::role_not_granted();
  User user = *found;
  std::erase(user.roles, revoke.role);
  return replace(revoke.user, std::move(user), meta);
}

Status AuthState::change(const RoleAdd& add, std::vector<MetaChange>* meta) {
  if (add.name.empty()) return errors::role_name_empty();
  if (roles_.contains(add.name)) return errors::role_exists();
  return replace(add.name, Role(), meta);
}

// It goes from all its users in the same revision.
Status AuthState::change(const RoleDelete& removal, std::vector<MetaChange>* meta) {
  if (enabled_ && removal.name == root_name) return errors::invalid_auth_management();
  const auto position = roles_.find(removal.name);
  if (position == roles_.end()) return errors::role_not_found();
  bytes_ -= size_of(removal.name, position->second);
  roles_.erase(position);
  meta->push_back({role_row_key(removal.name), std::nullopt});
  for (auto& [name, user] : users_) {
    if (!user.has_role(removal.name)) continue;
    bytes_ -= size_of(name, user);
    std::erase(user.roles, removal.name);
    bytes_ += size_of(name, user);
    meta->push_back({user_row_key(name), encode_user(user)});
  }
  next_revision(meta);
  return {};
}

Status AuthState::change(const RoleGrantPermission& grant, std::vector<MetaChange>* meta) {
  const Permission& permission = grant.permission;
  if (permission.key.empty() || !is_range(permission.key, permission.range_end)) {
    return errors::invalid_auth_management();
  }
  const auto position = roles_.find(grant.role);
  if (position == roles_.end()) return errors::role_not_found();
  Role role;
  role.permissions = position->second.permissions;
  const auto place = std::ranges::lower_bound(role.permissions, order_of(permission), {}, order_of);
  if (place != role.permissions.end() && order_of(*place) == order_of(permission)) {
    place->kind = permission.kind;
  } else {
    role.permissions.insert(place, permission);
  }
  return replace(grant.role, std::move(role), meta);
}

Status AuthState::change(const RoleRevokePermission& revoke, std::vector<MetaChange>* meta) {
  const auto position = roles_.find(revoke.role);
  if (position == roles_.end()) return errors::role_not_found();
  Role role;
  role.permissions = position->second.permissions;
  const std::size_t erased = std::erase_if(role.permissions, [&](const Permission& permission) {
    return permission.key == revoke.key && permission.range_end == revoke.range_end;
  });
  if (erased == 0) return errors::permission_not_granted();
  return replace(revoke.role, std::move(role), meta);
}

void AuthState::for_each_row(const std::function<void(std::string_view, std::string_view)>& visit) const {
  if (revision_ == AuthRevision(1)) return;  // as born
  visit(auth_row_key(), encode_auth_head({enabled_, revision_, token_key_}));
  for (const auto& [name, role] : roles_) visit(role_row_key(name), encode_role(role));
  for (const auto& [name, user] : users_) visit(user_row_key(name), encode_user(user));
}

Status AuthState::restore_row(std::string_view key, std::string_view row) {
  const std::string name(key.substr(std::min(auth_row_key().size(), key.size())));
  if (key == auth_row_key()) {
    LS_ASSIGN_OR_RETURN(AuthHead head, decode_auth_head(row));
    enabled_ = head.enabled;
    revision_ = head.revision;
    token_key_ = std::move(head.token_key);
    return {};
  }
  if (name.empty() || !fits(name)) return {Code::corruption, "malformed key of a user or role"};
  bytes_ += name.size() + row.size();
  if (key == user_row_key(name)) {
    LS_ASSIGN_OR_RETURN(User user, decode_user(row));
    const auto [stored, inserted] = users_.emplace(name, std::move(user));
    if (!inserted) return {Code::corruption, "user row twice"};
    if (!credentials_.emplace(stored->second.credential, &*stored).second) {
      return {Code::corruption, "two users with one credential"};
    }
    return {};
  }
  LS_MUST(key == role_row_key(name), "decode_meta_key admits no other kind");
  LS_ASSIGN_OR_RETURN(Role role, decode_role(row));
  role.merge();
  if (!roles_.emplace(name, std::move(role)).second) return {Code::corruption, "role row twice"};
  return {};
}

Status AuthState::finish_restore() {
  for (const auto& [name, user] : users_) {
    if (user.id.value() > user.credential.value() || user.credential.value() > revision_.value()) {
      return {Code::corruption, "user from the future"};
    }
    for (const std::string& role : user.roles) {
      if (role != root_name && !roles_.contains(role)) return {Code::corruption, "user with an unknown role"};
    }
  }
  if (!roles_.empty() && revision_ == AuthRevision(1)) return {Code::corruption, "role from the future"};
  if (bytes_ > limits::auth_bytes_max) return {Code::corruption, "too many users and roles"};
  if (!enabled_) return {};
  const User* root = find_user(root_name);
  if (root == nullptr || !root->has_role(root_name) || token_key_.empty()) {
    return {Code::corruption, "authentication is on without a root user"};
  }
  return {};
}

Status validate(const AuthChange& change) {
  struct Check {
    Status operator()(const AuthEnable& enable) const {
      LS_MUST(enable.token_key.size() == limits::auth_token_key_bytes, "made here, not by a client");
      return {};
    }
    Status operator()(const AuthDisable&) const { return {}; }
    Status operator()(const UserAdd& add) const {
      LS_MUST(add.password_hash.size() <= limits::auth_password_hash_bytes_max);
      LS_MUST(add.no_password == add.password_hash.empty());
      return names(add.name);
    }
    Status operator()(const UserDelete& removal) const { return names(removal.name); }
    Status operator()(const UserChangePassword& change) const {
      LS_MUST(change.password_hash.size() <= limits::auth_password_hash_bytes_max);
      LS_MUST(!change.password_hash.empty());
      return names(change.name);
    }
    Status operator()(const UserGrantRole& grant) const { return names(grant.user, grant.role); }
    Status operator()(const UserRevokeRole& revoke) const { return names(revoke.user, revoke.role); }
    Status operator()(const RoleAdd& add) const { return names(add.name); }
    Status operator()(const RoleDelete& removal) const { return names(removal.name); }
    Status operator()(const RoleGrantPermission& grant) const {
      if (grant.permission.kind > PermissionKind::read_write) return errors::invalid_auth_management();
      LS_RETURN_IF_ERROR(keys(grant.permission.key, grant.permission.range_end));
      return names(grant.role);
    }
    Status operator()(const RoleRevokePermission& revoke) const {
      LS_RETURN_IF_ERROR(keys(revoke.key, revoke.range_end));
      return names(revoke.role);
    }
    static Status names(std::string_view first, std::string_view second = {}) {
      return fits(first) && fits(second) ? Status() : errors::auth_name_too_large();
    }
    static Status keys(std::string_view key, std::string_view range_end) {
      const bool fit = key.size() <= limits::key_bytes_max && range_end.size() <= limits::key_bytes_max;
      return fit ? Status() : errors::key_too_large();
    }
  };
  return std::visit(Check(), change);
}

}  // namespace lockstep::store
