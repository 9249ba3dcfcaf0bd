// Requests and answers of the store: the etcd v3 data model as plain values.
//
// Field meanings are etcd's; a doubtful case is decided by asking a real etcd (tests/etcd). Revisions and
// limits of 0 mean "not given", as there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "base/time.h"

namespace lockstep::store {

struct KeyValue {
  std::string key;
  std::string value;
  Revision create_revision;  // revision of the put that made this key (since its last deletion)
  Revision mod_revision;     // revision of its last put
  std::int64_t version = 0;  // 1 at creation, one more with each put
  LeaseId lease;             // zero: none

  friend bool operator==(const KeyValue&, const KeyValue&) = default;
};

struct Header {
  ClusterId cluster;
  NodeId member;
  Revision revision;  // of the store when the answer was made
  Term term;

  friend bool operator==(const Header&, const Header&) = default;
};

// Ranges, here and below: an empty range_end means the one key; "\0" means every key from `key` on; otherwise
// the half-open interval [key, range_end).

enum class SortOrder : std::uint8_t { none, ascend, descend };
enum class SortTarget : std::uint8_t { key, version, create_revision, mod_revision, value };

struct RangeRequest {
  std::string key;
  std::string range_end;
  std::int64_t limit = 0;
  Revision revision;  // 0: the newest
  SortOrder sort_order = SortOrder::none;
  SortTarget sort_target = SortTarget::key;
  bool serializable = false;  // may be answered from this member's applied state, without asking the others
  bool keys_only = false;
  bool count_only = false;
  Revision min_mod_revision;
  Revision max_mod_revision;
  Revision min_create_revision;
  Revision max_create_revision;

  friend bool operator==(const RangeRequest&, const RangeRequest&) = default;
};

struct RangeResponse {
  Header header;
  std::vector<KeyValue> kvs;
  bool more = false;
  std::int64_t count = 0;  // keys in the range, whatever limit and filters say

  friend bool operator==(const RangeResponse&, const RangeResponse&) = default;
};

struct PutRequest {
  std::string key;
  std::string value;
  LeaseId lease;
  bool prev_kv = false;
  bool ignore_value = false;
  bool ignore_lease = false;

  friend bool operator==(const PutRequest&, const PutRequest&) = default;
};

struct PutResponse {
  Header header;
  std::optional<KeyValue> prev_kv;

  friend bool operator==(const PutResponse&, const PutResponse&) = default;
};

struct DeleteRangeRequest {
  std::string key;
  std::string range_end;
  bool prev_kv = false;

  friend bool operator==(const DeleteRangeRequest&, const DeleteRangeRequest&) = default;
};

struct DeleteRangeResponse {
  Header header;
  std::int64_t deleted = 0;
  std::vector<KeyValue> prev_kvs;

  friend bool operator==(const DeleteRangeResponse&, const DeleteRangeResponse&) = default;
};

enum class CompareResult : std::uint8_t { equal, greater, less, not_equal };
enum class CompareTarget : std::uint8_t { version, create_revision, mod_revision, value, lease };

struct Compare {
  std::string key;
  std::string range_end;
  CompareResult result = CompareResult::equal;
  CompareTarget target = CompareTarget::version;
  std::int64_t number = 0;  // version, revision or lease
  std::string value;        // for CompareTarget::value

  friend bool operator==(const Compare&, const Compare&) = default;
};

struct RequestOperation;
struct ResponseOperation;

struct TxnRequest {
  std::vector<Compare> compare;
  std::vector<RequestOperation> success;
  std::vector<RequestOperation> failure;

  friend bool operator==(const TxnRequest&, const TxnRequest&);
};

struct TxnResponse {
  Header header;
  bool succeeded = false;
  std::vector<ResponseOperation> responses;

  friend bool operator==(const TxnResponse&, const TxnResponse&);
};

// An empty operation (monostate) is legal on the wire and refused with "key not found", as etcd does.
struct RequestOperation {
  std::variant<std::monostate, RangeRequest, PutRequest, DeleteRangeRequest, TxnRequest> request;

  friend bool operator==(const RequestOperation&, const RequestOperation&) = default;
};

struct ResponseOperation {
  std::variant<std::monostate, RangeResponse, PutResponse, DeleteRangeResponse, TxnResponse> response;

  friend bool operator==(const ResponseOperation&, const ResponseOperation&) = default;
};

inline bool operator==(const TxnRequest& a, const TxnRequest& b) {
  return a.compare == b.compare && a.success == b.success && a.failure == b.failure;
}
inline bool operator==(const TxnResponse& a, const TxnResponse& b) {
  return a.header == b.header && a.succeeded == b.succeeded && a.responses == b.responses;
}

struct CompactRequest {
  Revision revision;
  bool physical = false;  // answer only when the space is given back

  friend bool operator==(const CompactRequest&, const CompactRequest&) = default;
};
struct CompactResponse {
  Header header;
  friend bool operator==(const CompactResponse&, const CompactResponse&) = default;
};

struct LeaseGrantRequest {
  Duration ttl{};  // whole milliseconds; below the store's smallest it is raised
  LeaseId id;      // zero: the store chooses

  friend bool operator==(const LeaseGrantRequest&, const LeaseGrantRequest&) = default;
};
struct LeaseGrantResponse {
  Header header;
  LeaseId id;
  Duration ttl{};  // what was given

  friend bool operator==(const LeaseGrantResponse&, const LeaseGrantResponse&) = default;
};
struct LeaseRevokeRequest {
  LeaseId id;
  friend bool operator==(const LeaseRevokeRequest&, const LeaseRevokeRequest&) = default;
};
struct LeaseRevokeResponse {
  Header header;
  friend bool operator==(const LeaseRevokeResponse&, const LeaseRevokeResponse&) = default;
};
struct LeaseKeepAliveRequest {
  LeaseId id;
  friend bool operator==(const LeaseKeepAliveRequest&, const LeaseKeepAliveRequest&) = default;
};
struct LeaseKeepAliveResponse {
  Header header;
  LeaseId id;
  Duration ttl{};  // zero: the lease is gone (not an error)

  friend bool operator==(const LeaseKeepAliveResponse&, const LeaseKeepAliveResponse&) = default;
};
struct LeaseTimeToLiveRequest {
  LeaseId id;
  bool keys = false;
  friend bool operator==(const LeaseTimeToLiveRequest&, const LeaseTimeToLiveRequest&) = default;
};
struct LeaseTimeToLiveResponse {
  Header header;
  LeaseId id;
  bool found = false;  // etcd's wire says TTL -1
  Duration remaining{};
  Duration granted_ttl{};
  std::vector<std::string> keys;

  friend bool operator==(const LeaseTimeToLiveResponse&, const LeaseTimeToLiveResponse&) = default;
};
struct LeaseLeasesResponse {
  Header header;
  std::vector<LeaseId> leases;
  friend bool operator==(const LeaseLeasesResponse&, const LeaseLeasesResponse&) = default;
};

enum class AlarmKind : std::uint8_t { none, no_space, corrupt };
enum class AlarmAction : std::uint8_t { get, activate, deactivate };
struct Alarm {
  NodeId member;
  AlarmKind kind = AlarmKind::none;
  friend auto operator<=>(const Alarm&, const Alarm&) = default;
};
struct AlarmRequest {
  AlarmAction action = AlarmAction::get;
  Alarm alarm;
  friend bool operator==(const AlarmRequest&, const AlarmRequest&) = default;
};
struct AlarmResponse {
  Header header;
  std::vector<Alarm> alarms;
  friend bool operator==(const AlarmResponse&, const AlarmResponse&) = default;
};

// A client that wants its mutations to take effect once across retries registers first (I7).
struct RegisterClientResponse {
  Header header;
  ClientId client;
  friend bool operator==(const RegisterClientResponse&, const RegisterClientResponse&) = default;
};

enum class EventKind : std::uint8_t { put, remove };
struct Event {
  EventKind kind = EventKind::put;
  KeyValue kv;  // of a removal: key and mod_revision only
  std::optional<KeyValue> prev_kv;

  friend bool operator==(const Event&, const Event&) = default;
};

struct WatchRequest {
  std::string key;
  std::string range_end;
  Revision start_revision;  // 0: from the next one on; may lie in the future
  bool prev_kv = false;
  bool progress_notify = false;
  bool no_put = false;
  bool no_delete = false;
  bool fragment = false;  // a revision too large for one answer may be split
  bool patient = false;   // some milliseconds later will do; not known to other stores

  friend bool operator==(const WatchRequest&, const WatchRequest&) = default;
};

struct WatchResponse {
  Header header;              // header.revision: every event up to it has been delivered
  std::vector<Event> events;  // of one or more whole revisions, in order, unless `fragment`
  bool fragment = false;      // more of the last event's revision follows
  bool canceled = false;      // the last answer of this subscription
  Revision compact_revision;  // set when it was cancelled because its start is compacted
  std::string cancel_reason;

  friend bool operator==(const WatchResponse&, const WatchResponse&) = default;
};

}  // namespace lockstep::store
