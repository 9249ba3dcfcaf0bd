// The numbers that name things. Zero means "none" in each of them.
#pragma once

#include "base/strong_integer.h"

namespace lockstep {

using Term = StrongInteger<struct TermTag, std::uint64_t>;          // Raft term; the first is 1
using LogIndex = StrongInteger<struct LogIndexTag, std::uint64_t>;  // place in the Raft log; the first is 1
using NodeId = StrongInteger<struct NodeIdTag, std::uint64_t>;  // a member, as Raft knows it; never reused
using ClusterId = StrongInteger<struct ClusterIdTag, std::uint64_t>;
// One life of one data directory: drawn when the directory is made, so that a wiped or rolled-back member is
// known.
using IncarnationId = StrongInteger<struct IncarnationIdTag, std::uint64_t>;
using Revision = StrongInteger<struct RevisionTag, std::int64_t>;  // of the store; an empty store stands at 1
using LeaseId = StrongInteger<struct LeaseIdTag, std::int64_t>;
using ClientId =
    StrongInteger<struct ClientIdTag, std::uint64_t>;  // a registered client of the RequestId table
using Sequence =
    StrongInteger<struct SequenceTag, std::uint64_t>;  // of one client's mutations; the first is 1

// Names one mutation of one client, so that repeating it after an unknown outcome takes effect once (I7).
struct RequestId {
  ClientId client;
  Sequence sequence;
  // Every sequence below this one has been answered; their kept answers may be dropped.
  Sequence unanswered_first{1};

  [[nodiscard]] bool present() const { return client != ClientId{}; }
  friend bool operator==(const RequestId&, const RequestId&) = default;
};

}  // namespace lockstep
