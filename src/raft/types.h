// The vocabulary of consensus: what is stored, and the names of things.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/bytes.h"
#include "base/ids.h"

namespace lockstep::raft {

enum class EntryKind : std::uint8_t {
  normal = 0,         // the payload is the proposer's; raft never looks inside
  configuration = 1,  // the payload is an encoded Configuration (configuration.h)
  empty = 2,          // no payload: a new leader's first entry, and what a vote is restored by
};

struct Entry {
  Term term;
  LogIndex index;
  EntryKind kind = EntryKind::normal;
  SharedBytes payload;

  friend bool operator==(const Entry&, const Entry&) = default;
};

// Durable beside the log. `commit` never exceeds the durable log; it may lag, and writing it needs no sync.
struct HardState {
  Term term;
  NodeId vote;  // in `term`; zero: none
  LogIndex commit;

  friend bool operator==(const HardState&, const HardState&) = default;
};

enum class Role : std::uint8_t { follower, pre_candidate, candidate, leader };

using ReadId = StrongInteger<struct ReadIdTag, std::uint64_t>;          // the driver's name for one read
using PersistId = StrongInteger<struct PersistIdTag, std::uint64_t>;    // counts outputs with durable parts
using SnapshotId = StrongInteger<struct SnapshotIdTag, std::uint64_t>;  // one transfer of one snapshot
// One start of one member's process, drawn from its seed: how a leader knows that a peer restarted.
using BootId = StrongInteger<struct BootIdTag, std::uint64_t>;
// Counts a leader's rounds within its term; what answers a message of round r proves that the peer still
// followed at some time after round r began.
using Round = StrongInteger<struct RoundTag, std::uint64_t>;

std::string_view to_string(EntryKind kind);
std::string_view to_string(Role role);

}  // namespace lockstep::raft
