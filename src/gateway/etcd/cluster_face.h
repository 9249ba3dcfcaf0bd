// What the protocol edges need of the server beside the Store: who the members are, how this one is, and
// changing them.
//
// Strand: the core's. Callbacks come exactly once, there, possibly before the call returns. Errors carry
// etcd's texts where etcd has one (etcd_status.h); the methods that change members may be called on any
// member.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "store/store.h"
#include "store/types.h"

namespace lockstep::gateway {

struct MemberInfo {
  NodeId id;
  std::string name;                      // empty: it was added and has not spoken yet
  std::vector<std::string> peer_urls;    // "http://host:port"
  std::vector<std::string> client_urls;  // empty like the name
  bool learner = false;

  friend bool operator==(const MemberInfo&, const MemberInfo&) = default;
};

struct ClusterStatus {
  NodeId leader;  // zero: none known
  Term term;
  LogIndex commit;
  LogIndex applied;
  Revision compacted;
  bool learner = false;
  std::uint64_t disk_bytes = 0;
  std::uint64_t used_bytes = 0;
  std::uint64_t quota_bytes = 0;  // 0: no quota
  std::vector<store::Alarm> alarms;
  std::vector<std::string> errors;  // what else is wrong, beside a missing leader
};

// A snapshot being read, from its begin to its end.
class SnapshotReader {
 public:
  virtual ~SnapshotReader() = default;  // gives up; an outstanding callback is not called any more
  [[nodiscard]] virtual std::uint64_t total_bytes() const = 0;
  // The next piece, at most `bytes_max`, empty only at the end. One read at a time.
  virtual void read(std::size_t bytes_max, std::move_only_function<void(Result<std::string>)> done) = 0;
};

class ClusterFace {
 public:
  template <class T>
  using Done = std::move_only_function<void(Result<T>)>;

  virtual ~ClusterFace() = default;

  // The header of an answer made now. Asked for by many calls: cheap.
  [[nodiscard]] virtual store::Header header() const = 0;
  [[nodiscard]] virtual bool has_leader() const = 0;
  [[nodiscard]] virtual bool is_learner() const = 0;
  [[nodiscard]] virtual ClusterStatus status() const = 0;
  // As this member knows them, sorted by id.
  [[nodiscard]] virtual std::vector<MemberInfo> members() const = 0;

  // The new member's id is chosen here. Errors: failed_precondition (an address that is taken, too many).
  virtual void add_member(std::vector<std::string> peer_urls, bool learner, store::CallOptions options,
                          Done<MemberInfo> done) = 0;
  // Errors of these three: not_found; failed_precondition where the change would be wrong now.
  virtual void remove_member(NodeId member, store::CallOptions options,
                             std::move_only_function<void(Status)> done) = 0;
  virtual void update_member(NodeId member, std::vector<std::string> peer_urls, store::CallOptions options,
                             std::move_only_function<void(Status)> done) = 0;
  virtual void promote_member(NodeId member, store::CallOptions options,
                              std::move_only_function<void(Status)> done) = 0;
  // Ok once `to` leads. Errors: failed_precondition (this member does not lead, or `to` cannot).
  virtual void transfer_leadership(NodeId to, store::CallOptions options,
                                   std::move_only_function<void(Status)> done) = 0;

  // A consistent copy of the store as this member has it.
  virtual void open_snapshot(Done<std::unique_ptr<SnapshotReader>> done) = 0;
};

}  // namespace lockstep::gateway
