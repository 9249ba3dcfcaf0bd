#include "store/errors.h"

namespace lockstep::store::errors {

Status key_not_provided() {
  return {Code::invalid_argument, "etcdserver: key is not provided"};
}
Status key_not_found() {
  return {Code::invalid_argument, "etcdserver: key not found"};
}
Status value_provided() {
  return {Code::invalid_argument, "etcdserver: value is provided"};
}
Status lease_provided() {
  return {Code::invalid_argument, "etcdserver: lease is provided"};
}
Status too_many_operations() {
  return {Code::invalid_argument, "etcdserver: too many operations in txn request"};
}
Status duplicate_key() {
  return {Code::invalid_argument, "etcdserver: duplicate key given in txn request"};
}
Status compacted() {
  return {Code::out_of_range, "etcdserver: mvcc: required revision has been compacted"};
}
Status future_revision() {
  return {Code::out_of_range, "etcdserver: mvcc: required revision is a future revision"};
}
Status no_space() {
  return {Code::resource_exhausted, "etcdserver: mvcc: database space exceeded"};
}
Status lease_not_found() {
  return {Code::not_found, "etcdserver: requested lease not found"};
}
Status lease_exists() {
  return {Code::failed_precondition, "etcdserver: lease already exists"};
}
Status lease_ttl_too_large() {
  return {Code::out_of_range, "etcdserver: too large lease TTL"};
}
Status request_too_large() {
  return {Code::invalid_argument, "etcdserver: request is too large"};
}
Status root_user_missing() {
  return {Code::failed_precondition, "etcdserver: root user does not exist"};
}
Status root_role_missing() {
  return {Code::failed_precondition, "etcdserver: root user does not have root role"};
}
Status user_exists() {
  return {Code::failed_precondition, "etcdserver: user name already exists"};
}
Status user_name_empty() {
  return {Code::invalid_argument, "etcdserver: user name is empty"};
}
Status user_not_found() {
  return {Code::failed_precondition, "etcdserver: user name not found"};
}
Status role_exists() {
  return {Code::failed_precondition, "etcdserver: role name already exists"};
}
Status role_name_empty() {
  return {Code::invalid_argument, "etcdserver: role name is empty"};
}
Status role_not_found() {
  return {Code::failed_precondition, "etcdserver: role name not found"};
}
Status role_not_granted() {
  return {Code::failed_precondition, "etcdserver: role is not granted to the user"};
}
Status permission_not_granted() {
  return {Code::failed_precondition, "etcdserver: permission is not granted to the role"};
}
Status permission_denied() {
  return {Code::permission_denied, "etcdserver: permission denied"};
}
Status authentication_failed() {
  return {Code::invalid_argument, "etcdserver: authentication failed, invalid user ID or password"};
}
Status authentication_not_enabled() {
  return {Code::failed_precondition, "etcdserver: authentication is not enabled"};
}
Status invalid_auth_token() {
  return {Code::unauthenticated, "etcdserver: invalid auth token"};
}
Status invalid_auth_management() {
  return {Code::invalid_argument, "etcdserver: invalid auth management"};
}
Status auth_revision_old() {
  return {Code::invalid_argument, "etcdserver: revision of auth store is old"};
}

Status key_too_large() {
  return {Code::invalid_argument, "lockstep: key is longer than 64 KiB"};
}
Status txn_too_deep() {
  return {Code::invalid_argument, "lockstep: transactions nest deeper than 16"};
}
Status answer_too_large() {
  return {Code::resource_exhausted,
          "lockstep: the answer would be larger than 256 MiB: use limit, keys_only or count_only"};
}
Status too_many_keys_looked_at() {
  return {
      Code::resource_exhausted,
      "lockstep: the ranges and compares of the transaction would look at more than 4000000 keys beside the "
      "largest of them: use several transactions"};
}
Status too_many_alarms() {
  return {Code::resource_exhausted, "lockstep: too many alarms"};
}
Status request_id_invalid() {
  return {Code::invalid_argument, "lockstep: request id needs 1 <= unanswered_first <= sequence"};
}
Status client_unknown() {
  return {Code::failed_precondition, "lockstep: client is not registered or was evicted"};
}
Status request_already_answered() {
  return {Code::failed_precondition, "lockstep: request was answered before and its answer was given up"};
}
Status request_window_exceeded() {
  return {Code::resource_exhausted, "lockstep: client has too many unanswered requests"};
}
Status answer_not_kept() {
  return {Code::unknown_outcome, "lockstep: request took effect once; its answer was too large to keep"};
}
Status answer_withheld() {
  return {Code::unknown_outcome, "lockstep: request took effect once; its answer is no longer for this user"};
}
Status auth_name_too_large() {
  return {Code::invalid_argument, "lockstep: name of a user or role is longer than 1 KiB"};
}
Status password_too_large() {
  return {Code::invalid_argument, "lockstep: password is longer than 1 KiB"};
}
Status too_many_users_and_roles() {
  return {Code::resource_exhausted, "lockstep: users and roles take too much space"};
}
Status too_many_roles() {
  return {Code::resource_exhausted, "lockstep: user has too many roles"};
}

}  // namespace lockstep::store::errors
