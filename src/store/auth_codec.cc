#include "store/auth_codec.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/limits.h"

namespace lockstep::store {
namespace {

constexpr std::uint8_t head_version = 1;

Status malformed(std::string_view what) {
  return {Code::corruption, "malformed row of " + std::string(what)};
}

std::string decode_name(Decoder& decoder) {
  const std::string_view name = decoder.bytes();
  if (name.size() > limits::auth_name_bytes_max) decoder.fail();
  return decoder.ok() ? std::string(name) : std::string();
}

std::string decode_key(Decoder& decoder) {
  const std::string_view key = decoder.bytes();
  if (key.size() > limits::key_bytes_max) decoder.fail();
  return decoder.ok() ? std::string(key) : std::string();
}

std::string decode_hash(Decoder& decoder, bool no_password) {
  const std::string_view hash = decoder.bytes();
  if (hash.size() > limits::auth_password_hash_bytes_max || hash.empty() != no_password) decoder.fail();
  return decoder.ok() ? std::string(hash) : std::string();
}

void encode(Encoder& encoder, const Permission& permission) {
  encoder.u8(static_cast<std::uint8_t>(permission.kind));
  encoder.bytes(permission.key);
  encoder.bytes(permission.range_end);
}

Permission decode_permission(Decoder& decoder) {
  Permission permission;
  const std::uint8_t kind = decoder.u8();
  if (kind > static_cast<std::uint8_t>(PermissionKind::read_write)) decoder.fail();
  permission.kind = static_cast<PermissionKind>(kind);
  permission.key = decode_key(decoder);
  permission.range_end = decode_key(decoder);
  return permission;
}

struct Fields {
  Encoder& encoder;

  void operator()(const AuthEnable& enable) { encoder.raw(enable.token_key); }
  void operator()(const AuthDisable&) {}
  void operator()(const UserAdd& add) {
    encoder.boolean(add.no_password);
    encoder.bytes(add.name);
    encoder.bytes(add.password_hash);
  }
  void operator()(const UserDelete& removal) { encoder.bytes(removal.name); }
  void operator()(const UserChangePassword& change) {
    encoder.bytes(change.name);
    encoder.bytes(change.password_hash);
  }
  void operator()(const UserGrantRole& grant) {
    encoder.bytes(grant.user);
    encoder.bytes(grant.role);
  }
  void operator()(const UserRevokeRole& revoke) {
    encoder.bytes(revoke.user);
    encoder.bytes(revoke.role);
  }
  void operator()(const RoleAdd& add) { encoder.bytes(add.name); }
  void operator()(const RoleDelete& removal) { encoder.bytes(removal.name); }
  void operator()(const RoleGrantPermission& grant) {
    encoder.bytes(grant.role);
    encode(encoder, grant.permission);
  }
  void operator()(const RoleRevokePermission& revoke) {
    encoder.bytes(revoke.role);
    encoder.bytes(revoke.key);
    encoder.bytes(revoke.range_end);
  }
};

UserAdd decode_user_add(Decoder& decoder) {
  UserAdd add;
  add.no_password = decoder.boolean();
  add.name = decode_name(decoder);
  add.password_hash = decode_hash(decoder, add.no_password);
  return add;
}

UserChangePassword decode_change_password(Decoder& decoder) {
  UserChangePassword change;
  change.name = decode_name(decoder);
  change.password_hash = decode_hash(decoder, false);
  return change;
}

RoleRevokePermission decode_revoke_permission(Decoder& decoder) {
  RoleRevokePermission revoke;
  revoke.role = decode_name(decoder);
  revoke.key = decode_key(decoder);
  revoke.range_end = decode_key(decoder);
  return revoke;
}

template <class Two>
Two decode_two_names(Decoder& decoder) {
  Two two;
  two.user = decode_name(decoder);
  two.role = decode_name(decoder);
  return two;
}

}  // namespace

void encode_auth_change(Encoder& encoder, const AuthChange& change) {
  LS_MUST(validate(change).ok());
  encoder.u8(static_cast<std::uint8_t>(change.index()));
  std::visit(Fields{encoder}, change);
}

AuthChange decode_auth_change(Decoder& decoder) {
  static_assert(std::is_same_v<std::variant_alternative_t<4, AuthChange>, UserChangePassword>);
  static_assert(std::is_same_v<std::variant_alternative_t<10, AuthChange>, RoleRevokePermission>);
  switch (decoder.u8()) {
    case 0:
      return AuthEnable{std::string(decoder.raw(limits::auth_token_key_bytes))};
    case 1:
      return AuthDisable{};
    case 2:
      return decode_user_add(decoder);
    case 3:
      return UserDelete{decode_name(decoder)};
    case 4:
      return decode_change_password(decoder);
    case 5:
      return decode_two_names<UserGrantRole>(decoder);
    case 6:
      return decode_two_names<UserRevokeRole>(decoder);
    case 7:
      return RoleAdd{decode_name(decoder)};
    case 8:
      return RoleDelete{decode_name(decoder)};
    case 9: {
      RoleGrantPermission grant;
      grant.role = decode_name(decoder);
      grant.permission = decode_permission(decoder);
      return grant;
    }
    case 10:
      return decode_revoke_permission(decoder);
    default:
      decoder.fail();
      return AuthDisable{};
  }
}

std::string encode_auth_head(const AuthHead& head) {
  std::string out;
  Encoder encoder(&out);
  encoder.u8(head_version);
  encoder.boolean(head.enabled);
  encoder.id(head.revision);
  encoder.bytes(head.token_key);
  return out;
}

Result<AuthHead> decode_auth_head(std::string_view encoded) {
  Decoder decoder(encoded);
  AuthHead head;
  if (decoder.u8() != head_version) decoder.fail();
  head.enabled = decoder.boolean();
  head.revision = decoder.id<AuthRevision>();
  const std::string_view key = decoder.bytes();
  if (!key.empty() && key.size() != limits::auth_token_key_bytes) decoder.fail();
  if (head.revision < AuthRevision(1) || !decoder.done()) return malformed("authentication");
  head.token_key = key;
  return head;
}

std::string encode_user(const User& user) {
  LS_MUST(user.no_password == user.password_hash.empty());
  std::string out;
  Encoder encoder(&out);
  encoder.id(user.id);
  encoder.id(user.credential);
  encoder.boolean(user.no_password);
  encoder.bytes(user.password_hash);
  encoder.varint(user.roles.size());
  for (const std::string& role : user.roles) encoder.bytes(role);
  return out;
}

Result<User> decode_user(std::string_view encoded) {
  if (encoded.size() > limits::auth_row_bytes_max) return malformed("a user");
  Decoder decoder(encoded);
  User user;
  user.id = decoder.id<UserId>();
  user.credential = decoder.id<CredentialId>();
  user.no_password = decoder.boolean();
  user.password_hash = decode_hash(decoder, user.no_password);
  const std::uint64_t count = decoder.varint();
  if (count > limits::auth_roles_per_user_max || user.id.value() < 2 || user.credential.value() < 2)
    decoder.fail();
  for (std::uint64_t i = 0; decoder.ok() && i < count; ++i) user.roles.push_back(decode_name(decoder));
  const bool ascending = std::ranges::adjacent_find(user.roles, std::greater_equal()) == user.roles.end();
  if (!decoder.done() || !ascending) return malformed("a user");
  return user;
}

std::string encode_role(const Role& role) {
  std::string out;
  Encoder encoder(&out);
  encoder.varint(role.permissions.size());
  for (const Permission& permission : role.permissions) encode(encoder, permission);
  return out;
}

Result<Role> decode_role(std::string_view encoded) {
  if (encoded.size() > limits::auth_row_bytes_max) return malformed("a role");
  Decoder decoder(encoded);
  Role role;
  const std::uint64_t count = decoder.varint();
  for (std::uint64_t i = 0; decoder.ok() && i < count; ++i)
    role.permissions.push_back(decode_permission(decoder));
  const auto unordered = [](const Permission& a, const Permission& b) {
    return std::tie(a.key, a.range_end) >= std::tie(b.key, b.range_end);
  };
  const bool ascending = std::ranges::adjacent_find(role.permissions, unordered) == role.permissions.end();
  if (!decoder.done() || !ascending) return malformed("a role");
  return role;
}

}  // namespace lockstep::store
