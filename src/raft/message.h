// What members say to each other. One flat struct: a message is built and read in one place each, and most
// fields are shared by several kinds.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/limits.h"
#include "base/status.h"
#include "raft/configuration.h"
#include "raft/types.h"

namespace lockstep::raft {

enum class MessageKind : std::uint8_t {
  pre_vote = 1,
  pre_vote_response = 2,
  vote = 3,
  vote_response = 4,
  append = 5,
  append_response = 6,
  heartbeat = 7,
  heartbeat_response = 8,
  snapshot_chunk = 9,
  snapshot_chunk_response = 10,
  timeout_now = 11,
  read_index = 12,
  read_index_response = 13,
};
inline constexpr std::uint8_t message_kind_max = 13;

// One snapshot, as its sender describes it. Raft compares index and term; the rest is carried.
struct SnapshotDescription {
  SnapshotId id;  // fresh for every transfer
  LogIndex index;
  Term term;
  Configuration configuration;  // as of `index`
  std::uint64_t total_bytes = 0;
  std::uint64_t digest = 0;  // of the whole content; computed and checked by the drivers

  friend bool operator==(const SnapshotDescription&, const SnapshotDescription&) = default;
};

struct SnapshotChunk {
  SnapshotDescription snapshot;
  std::uint64_t offset = 0;
  SharedBytes bytes;

  [[nodiscard]] std::uint64_t end_offset() const { return offset + bytes.size(); }
  [[nodiscard]] bool last() const { return end_offset() == snapshot.total_bytes; }
  friend bool operator==(const SnapshotChunk&, const SnapshotChunk&) = default;
};

struct Message {
  MessageKind kind = MessageKind::heartbeat;
  NodeId from;
  NodeId to;
  Term term;    // the sender's; pre_vote and its grant: the term that would be campaigned in
  BootId boot;  // the sender's

  // append, heartbeat: the leader's present round; their responses repeat it.
  // read_index: the follower's name for the batch; the response repeats it.
  Round round;

  // pre_vote, vote: the last entry. append: the entry before `entries`.
  // append_response: the end of what matches the leader's log, or (reject) the refused previous entry.
  // pre_vote_response with reject, not zero: the committed configuration that no longer has the receiver.
  // read_index_response: the index to wait for. snapshot_chunk_response: the snapshot's.
  LogIndex index;
  Term log_term;

  LogIndex commit;             // append, heartbeat
  std::vector<Entry> entries;  // append

  bool reject = false;    // every response
  bool transfer = false;  // vote: the leader asked for it, so leases do not count

  // append_response with reject: the last entry that may match (replication.cc, conflict back-off).
  LogIndex hint_index;
  Term hint_term;

  // A member in doubt (decisions/0016-members-in-doubt.md). Responses: the sender must not vote.
  // append, heartbeat: the receiver, if it is still boot `doubt_boot`, has lost what it once acknowledged.
  bool in_doubt = false;
  BootId doubt_boot;
  // append, heartbeat: boot `doubt_boot` of the receiver may vote again once its log reaches here. Zero: no.
  LogIndex restored_index;

  // Answers to a leader (answers_leader()): somebody at the sender waits for what is committed, so that it is
  // to be told of a commit at once. Stamped by the driver as it sends, not by Raft.
  bool eager = false;

  std::optional<SnapshotChunk> chunk;  // snapshot_chunk
  SnapshotId snapshot;                 // snapshot_chunk_response
  std::uint64_t offset = 0;            // snapshot_chunk_response: everything before is stored

  friend bool operator==(const Message&, const Message&) = default;
};

// append_response, heartbeat_response, snapshot_chunk_response.
[[nodiscard]] bool answers_leader(MessageKind kind);

std::string_view to_string(MessageKind kind);
// One line for traces and golden scripts.
std::string to_string(const Message& message);

// What no correct member sends: zero ids, terms of zero or beyond term_max, entries that are not consecutive,
// of falling terms or above the message's term, too large; malformed snapshots. The error names the field.
// Errors: invalid_argument.
Status validate(const Message& message);

// A term grows by elections only: one near 2^64 is an attack or a flipped bit, and would end the cluster
// (there is no term after the last).
inline constexpr Term term_max{std::uint64_t{1} << 48};
inline constexpr LogIndex index_max{std::uint64_t{1} << 56};
static_assert(term_max.value() < UINT64_MAX / 2, "a term can always be followed by another");

// A leader counts each entry with this overhead, so small entries are bounded in number as well.
inline constexpr std::size_t entry_overhead_bytes = 16;
inline constexpr std::size_t message_entries_max =
    limits::message_entries_bytes_max / entry_overhead_bytes + 1;

}  // namespace lockstep::raft
