// etcd's semantics once more, as simply as possible: a map for every revision, O(keys) everywhere. Shares no
// code with the state machine but the plain requests and answers.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "store/result.h"
#include "store/types.h"

namespace lockstep::store::testing {

class Model {
 public:
  using Keys = std::map<std::string, KeyValue>;

  // Every lease lasts its whole time from now. Those whose whole time is over when they are
  // due end in the order in which they would have ended without.
  void begin_term();
  // The clock moves, and leases end.
  void set_time(std::int64_t time_ms);

  Result<RangeResponse> range(const RangeRequest& request) const;
  CommandResult put(const PutRequest& request);
  CommandResult delete_range(const DeleteRangeRequest& request);
  CommandResult txn(const TxnRequest& request);
  CommandResult compact(const CompactRequest& request);
  // The TTL is final and the id given.
  CommandResult lease_grant(const LeaseGrantRequest& request);
  CommandResult lease_revoke(const LeaseRevokeRequest& request);
  CommandResult lease_renew(LeaseId id);
  CommandResult alarm(const AlarmRequest& request);

  [[nodiscard]] std::int64_t revision() const { return static_cast<std::int64_t>(states_.size()) - 1; }
  [[nodiscard]] std::int64_t compacted() const { return compacted_; }
  [[nodiscard]] const Keys& at(std::int64_t revision) const {
    return states_[static_cast<std::size_t>(revision)];
  }
  [[nodiscard]] bool has_lease(LeaseId id) const { return leases_.contains(id); }
  [[nodiscard]] std::set<std::string> keys_of(LeaseId id) const;
  [[nodiscard]] std::vector<LeaseId> leases() const;

 private:
  struct Lease {
    std::int64_t ttl_ms;
    std::int64_t deadline_ms;
  };
  // The state while a command runs: the newest one, and whether it was changed.
  struct Draft {
    Keys keys;
    bool changed = false;
  };
  [[nodiscard]] std::int64_t visible(const Draft& draft) const {
    return revision() + (draft.changed ? 1 : 0);
  }
  void commit(Draft draft);
  RangeResponse read(const RangeRequest& request, const Keys& keys, std::int64_t visible) const;
  PutResponse write(const PutRequest& request, Draft* draft) const;
  DeleteRangeResponse erase(const DeleteRangeRequest& request, Draft* draft) const;
  Status check_put(const PutRequest& request, const Keys& keys) const;
  Status check_txn(const TxnRequest& request, bool puts) const;
  TxnResponse run(const TxnRequest& request, Draft* draft) const;
  bool holds(const Compare& compare) const;
  bool succeeds(const TxnRequest& request) const;
  void end_lease(LeaseId id);

  std::vector<Keys> states_{{}, {}};  // by revision; 0 is not used, 1 is empty
  std::int64_t compacted_ = -1;
  std::int64_t time_ms_ = 0;
  std::int64_t term_began_ms_ = 0;
  std::map<LeaseId, Lease> leases_;
  std::set<Alarm> alarms_;
};

}  // namespace lockstep::store::testing
