#include "store/authorise.h"

#include "base/assert.h"
#include "base/planted.h"
#include "store/errors.h"

namespace lockstep::store {

Authoriser::Authoriser(const AuthState& auth, const LeaseTable& leases, Principal principal)
    : auth_(auth), leases_(leases), standing_(Standing::all) {
  if (!auth.enabled() || principal.is_cluster()) return;
  if (principal.is_nobody()) {
    standing_ = Standing::nobody;
    return;
  }
  const auto* found = auth.find_user(principal);
  if (found == nullptr) {
    standing_ = Standing::outdated;
  } else if (!found->second.has_role(root_name)) {
    standing_ = Standing::some;
    user_ = &found->second;
  }
}

Status Authoriser::check_known() const {
  switch (standing_) {
    case Standing::all:
    case Standing::some:
      return {};
    case Standing::nobody:
      return errors::user_name_empty();
    case Standing::outdated:
      return errors::auth_revision_old();
  }
  LS_UNREACHABLE("not a standing");
}

Status Authoriser::check_root() const {
  LS_RETURN_IF_ERROR(check_known());
  return standing_ == Standing::all ? Status() : errors::permission_denied();
}

Status Authoriser::check_access(Access access, std::string_view key, std::string_view range_end) const {
  if (standing_ == Standing::all) return {};
  LS_RETURN_IF_ERROR(check_known());
  LS_MUST(user_ != nullptr);
  return auth_.covers(*user_, access, key, range_end) ? Status() : errors::permission_denied();
}

Status Authoriser::check_read(std::string_view key, std::string_view range_end) const {
  return check_access(Access::read, key, range_end);
}

Status Authoriser::check_lease_keys(LeaseId lease, Access access) const {
  if (standing_ == Standing::all) return {};
  LS_RETURN_IF_ERROR(check_known());
  const bool all =
      leases_.all_keys(lease, [&](std::string_view key) { return auth_.covers(*user_, access, key, {}); });
  return all ? Status() : errors::permission_denied();
}

Status Authoriser::check_put(std::string_view key, LeaseId lease, bool prev_kv) const {
  LS_RETURN_IF_ERROR(check_access(Access::write, key, {}));
  if (lease != LeaseId{}) LS_RETURN_IF_ERROR(check_lease_keys(lease, Access::write));
  return prev_kv ? check_access(Access::read, key, {}) : Status();
}

Status Authoriser::check_delete(std::string_view key, std::string_view range_end, bool prev_kv) const {
  LS_RETURN_IF_ERROR(check_access(Access::write, key, range_end));
  return prev_kv ? check_access(Access::read, key, range_end) : Status();
}

Status Authoriser::check_operation(const RequestOperation& operation) const {
  if (const auto* range = std::get_if<RangeRequest>(&operation.request)) {
    return check_read(range->key, range->range_end);
  }
  if (const auto* put = std::get_if<PutRequest>(&operation.request)) {
    return check_put(put->key, put->lease, put->prev_kv);
  }
  if (const auto* removal = std::get_if<DeleteRangeRequest>(&operation.request)) {
    return check_delete(removal->key, removal->range_end, removal->prev_kv);
  }
  const auto* nested = std::get_if<TxnRequest>(&operation.request);
  LS_MUST(nested != nullptr, "an empty operation was refused before");
  return LS_PLANTED(txn_nested_permission_skipped) ? Status() : check_txn(*nested);
}

// Both branches: which of them is taken must not tell what could not be read.
Status Authoriser::check_txn(const TxnRequest& txn) const {
  LS_RETURN_IF_ERROR(check_known());
  if (standing_ == Standing::all) return {};
  for (const Compare& compare : txn.compare) LS_RETURN_IF_ERROR(check_read(compare.key, compare.range_end));
  for (const auto* branch : {&txn.success, &txn.failure}) {
    for (const RequestOperation& operation : *branch) LS_RETURN_IF_ERROR(check_operation(operation));
  }
  return {};
}

Status Authoriser::check_alarm(const AlarmRequest& request) const {
  return request.action == AlarmAction::get ? check_known() : check_root();
}

Status Authoriser::check(const Command& command) const {
  switch (command.kind()) {
    case CommandKind::put: {
      const auto& put = std::get<PutCommand>(command.body);
      return check_put(put.key, put.lease, put.prev_kv);
    }
    case CommandKind::delete_range: {
      const auto& removal = std::get<DeleteRangeCommand>(command.body);
      return check_delete(removal.key, removal.range_end, removal.prev_kv);
    }
    case CommandKind::txn:
      return check_txn(std::get<TxnRequest>(command.body));
    case CommandKind::lease_revoke:
      return check_lease_revoke(std::get<LeaseRevokeCommand>(command.body).id);
    case CommandKind::alarm:
      return check_alarm(std::get<AlarmRequest>(command.body));
    case CommandKind::auth:
      return check_root();
    case CommandKind::compact:
    case CommandKind::lease_grant:
    case CommandKind::lease_renew:
    case CommandKind::register_client:
      return check_known();
    case CommandKind::nothing:
      return {};
  }
  LS_UNREACHABLE("the reader admits no other kind");
}

}  // namespace lockstep::store
