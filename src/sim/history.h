// What a run leaves behind for the checkers: each client operation, each effect, each observation of a
// member.
//
// All times are nanoseconds of true time, which no member knows. Values written by workloads begin with the
// number of their operation and a colon, so that an effect names its cause (see tag_of()).
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "store/types.h"

namespace lockstep::sim {

// The answer never came, or says "unknown".
inline constexpr std::int64_t never_ns = std::numeric_limits<std::int64_t>::max();

using AnyRequest =
    std::variant<std::monostate, store::RangeRequest, store::PutRequest, store::DeleteRangeRequest,
                 store::TxnRequest, store::CompactRequest, store::LeaseGrantRequest,
                 store::LeaseRevokeRequest, store::LeaseKeepAliveRequest>;
using AnyResponse =
    std::variant<std::monostate, store::RangeResponse, store::PutResponse, store::DeleteRangeResponse,
                 store::TxnResponse, store::CompactResponse, store::LeaseGrantResponse,
                 store::LeaseRevokeResponse, store::LeaseKeepAliveResponse, store::RegisterClientResponse>;

enum class Outcome : std::uint8_t { ok, failed, unknown };

struct Operation {
  std::uint64_t number = 0;  // unique in the run, from 1
  std::uint32_t client = 0;
  NodeId member;  // the one that was asked last
  std::uint64_t member_life = 0;
  std::int64_t invoked_ns = 0;
  std::int64_t returned_ns = never_ns;  // never for unknown outcomes
  Outcome outcome = Outcome::unknown;
  Code code = Code::ok;
  RequestId request_id;
  std::uint32_t attempts = 1;  // with a RequestId, an unknown outcome is tried again
  AnyRequest request;
  AnyResponse response;
};

// What one revision changed, as the replicas applied it.
struct RevisionEffects {
  Revision revision;
  std::vector<store::Event> events;
  std::int64_t first_seen_ns = 0;
};

// One subscription of a watcher; a logical watch is a chain of them.
struct WatchRecord {
  std::uint64_t watcher = 0;  // segments of one logical watch share it, in order
  NodeId member;
  store::WatchRequest request;
  // Effects of operations begun after this revision was known must be delivered. Equals start_revision - 1
  // when that is given.
  Revision opened_at;
  std::vector<store::WatchResponse> responses;
};

struct LeaderObservation {
  Term term;
  NodeId leader;
  std::int64_t seen_ns = 0;
};
struct CommitObservation {
  NodeId member;
  LogIndex index;
  Term term;
  std::uint32_t checksum = 0;  // of the entry's bytes
};
struct DigestObservation {
  NodeId member;
  LogIndex applied;
  std::uint64_t digest = 0;
};
// All keys of one member when everything had come to rest.
struct FinalState {
  NodeId member;
  Revision revision;
  std::uint64_t digest = 0;
  std::vector<store::KeyValue> kvs;
};

struct History {
  std::vector<Operation> operations;
  std::vector<RevisionEffects> effects;  // ascending, without holes, from revision 2
  std::vector<WatchRecord> watches;
  std::vector<LeaderObservation> leaders;
  std::vector<CommitObservation> commits;
  std::vector<DigestObservation> digests;
  std::vector<FinalState> final_states;
  std::int64_t healed_ns = 0;  // when the last fault ended
  std::int64_t ended_ns = 0;
};

// What a checker has to say. No violations: the history keeps its rule.
struct Violation {
  std::string checker;
  std::string text;
};
using Violations = std::vector<Violation>;

// "17:rest" -> 17; 0 if there is no tag.
inline std::uint64_t tag_of(std::string_view value) {
  std::uint64_t tag = 0;
  for (const char c : value) {
    if (c == ':') return tag;
    if (c < '0' || c > '9' || tag > 1'000'000'000'000) return 0;
    tag = tag * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return 0;
}

// For messages: short and readable.
std::string describe(const store::KeyValue& kv);
std::string describe(const AnyRequest& request);
std::string describe(const AnyResponse& response);
std::string describe(const Operation& operation);

}  // namespace lockstep::sim
