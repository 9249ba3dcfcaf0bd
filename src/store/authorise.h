// Who may do what: the one place where requests are judged, whichever way they came. Applying asks it for
// every command; the replica asks it for reads and watches, so that the verdict is the same in every protocol
// (I12).
//
// The rules are etcd's, and stricter where etcd lets things through:
//   nobody may do nothing while authentication is on: "user name is empty"
//   a credential that is no longer good: "revision of auth store is old"
//   role root and the cluster's own machinery may everything
//   reading a range: read on all of it; a watch and a compare are reads
//   put: write on the key, and on every key of the lease it names; prev_kv: read as well
//   delete_range: write on all of the range; prev_kv: read as well
//   txn: all its compares and the operations of both branches, at every depth
//   ending a lease: write on all its keys; being told its keys: read on all of them
//   granting, renewing and listing leases, compacting, registering a client, listing alarms: any user
//   setting alarms, and every change to users and roles: role root
#pragma once

#include <string_view>

#include "base/status.h"
#include "store/auth.h"
#include "store/command.h"
#include "store/leases.h"
#include "store/principal.h"
#include "store/types.h"

namespace lockstep::store {

// One look at who asks; a value on the stack, gone before anything changes.
class Authoriser {
 public:
  Authoriser(const AuthState& auth, const LeaseTable& leases, Principal principal);

  // By kind of command.
  [[nodiscard]] Status check(const Command& command) const;

  // By request, as it came from outside.
  [[nodiscard]] Status check(const RangeRequest& request) const {
    return check_read(request.key, request.range_end);
  }
  [[nodiscard]] Status check(const WatchRequest& request) const {
    return check_read(request.key, request.range_end);
  }
  [[nodiscard]] Status check(const PutRequest& request) const {
    return check_put(request.key, request.lease, request.prev_kv);
  }
  [[nodiscard]] Status check(const DeleteRangeRequest& request) const {
    return check_delete(request.key, request.range_end, request.prev_kv);
  }
  [[nodiscard]] Status check(const TxnRequest& request) const { return check_txn(request); }
  [[nodiscard]] Status check(const CompactRequest&) const { return check_known(); }
  [[nodiscard]] Status check(const LeaseGrantRequest&) const { return check_known(); }
  [[nodiscard]] Status check(const LeaseRevokeRequest& request) const {
    return check_lease_revoke(request.id);
  }
  [[nodiscard]] Status check(const LeaseKeepAliveRequest&) const { return check_known(); }
  [[nodiscard]] Status check(const LeaseTimeToLiveRequest& request) const {
    return request.keys ? check_lease_keys(request.id, Access::read) : check_known();
  }
  [[nodiscard]] Status check(const AlarmRequest& request) const { return check_alarm(request); }
  [[nodiscard]] Status check(const RegisterClientCommand&) const { return check_known(); }
  [[nodiscard]] Status check(const AuthChange&) const { return check_root(); }

  [[nodiscard]] Status check_read(std::string_view key, std::string_view range_end) const;
  [[nodiscard]] Status check_put(std::string_view key, LeaseId lease, bool prev_kv) const;
  [[nodiscard]] Status check_delete(std::string_view key, std::string_view range_end, bool prev_kv) const;
  [[nodiscard]] Status check_txn(const TxnRequest& txn) const;
  [[nodiscard]] Status check_lease_revoke(LeaseId lease) const {
    return check_lease_keys(lease, Access::write);
  }
  [[nodiscard]] Status check_lease_keys(LeaseId lease, Access access) const;
  [[nodiscard]] Status check_alarm(const AlarmRequest& request) const;
  // Any user / role root.
  [[nodiscard]] Status check_known() const;
  [[nodiscard]] Status check_root() const;

 private:
  enum class Standing : std::uint8_t { all, some, nobody, outdated };

  [[nodiscard]] Status check_access(Access access, std::string_view key, std::string_view range_end) const;
  [[nodiscard]] Status check_operation(const RequestOperation& operation) const;

  const AuthState& auth_;
  const LeaseTable& leases_;
  const User* user_ = nullptr;  // where standing is `some`
  Standing standing_;
};

}  // namespace lockstep::store
