// Every limit, by name, with its reason and its relation to the others. Units last.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lockstep::limits {

inline constexpr std::size_t kibibyte = 1024;
inline constexpr std::size_t mebibyte = 1024 * kibibyte;

// What etcd accepts by default; clients that split their work by this number exist.
inline constexpr std::size_t request_bytes_max = 1536 * kibibyte;
// etcd has no separate limit for a key; ours keeps a row of the index and a scan bound small.
inline constexpr std::size_t key_bytes_max = 64 * kibibyte;
inline constexpr std::size_t value_bytes_max = request_bytes_max;
static_assert(key_bytes_max < request_bytes_max, "a key with a value must fit one request");

// Operations in each list of a transaction; a nested transaction gets what its parents left.
inline constexpr std::size_t txn_operations_max = 128;
// How deep transactions nest; bounds the recursion of every walker and decoder.
inline constexpr std::size_t txn_depth_max = 16;

// One Raft entry carries the commands of one loop turn. Bounded so that one entry never stalls a member.
inline constexpr std::size_t entry_commands_max = 4096;
inline constexpr std::size_t entry_bytes_max = 4 * mebibyte;
static_assert(entry_bytes_max >= 2 * request_bytes_max, "the largest request and its frame fit one entry");

// One peer message: some entries, or a snapshot chunk.
inline constexpr std::size_t message_entries_bytes_max = 1 * mebibyte;  // at least one entry is always sent
inline constexpr std::size_t snapshot_chunk_bytes_max = 1 * mebibyte;
inline constexpr std::size_t frame_bytes_max = entry_bytes_max + message_entries_bytes_max + 64 * kibibyte;
static_assert(frame_bytes_max > entry_bytes_max + message_entries_bytes_max);

// Replication to one follower: what may be on its way without an answer.
inline constexpr std::size_t inflight_messages_max = 64;
inline constexpr std::size_t inflight_bytes_max = 16 * mebibyte;

// Proposed by this leader and not yet committed; above it, proposals are refused (never queued without
// bound).
inline constexpr std::size_t uncommitted_bytes_max = 64 * mebibyte;
// Committed here and not yet applied (the engine is behind), or waiting for this member's disk: above it a
// leader refuses proposals and a follower takes no entries, until it has drained.
inline constexpr std::size_t unapplied_bytes_max = 64 * mebibyte;
static_assert(unapplied_bytes_max > inflight_bytes_max,
              "what is on its way never stops a follower by itself");
// Entries kept in memory for followers that lag; one that lags further gets a snapshot.
inline constexpr std::size_t log_memory_bytes_max = 128 * mebibyte;
static_assert(log_memory_bytes_max > uncommitted_bytes_max, "uncommitted entries stay in memory");
// Of those, what is kept although no follower is known to need it: one may lag by as much when the leader
// changes, without a snapshot.
inline constexpr std::size_t log_memory_settled_bytes_max = 32 * mebibyte;
static_assert(log_memory_settled_bytes_max > inflight_bytes_max, "what is on its way can be sent again");
// And without any follower.
inline constexpr std::size_t log_memory_alone_bytes_max = 1 * mebibyte;
static_assert(log_memory_alone_bytes_max < log_memory_settled_bytes_max);

// Mutations kept by a member that knows no leader just now; above it they are refused at once.
inline constexpr std::size_t held_bytes_max = 16 * mebibyte;
static_assert(held_bytes_max > 2 * entry_bytes_max, "more than the batches of one turn");

inline constexpr std::size_t members_max = 16;  // voters and learners together

// etcd's limit on a TTL, in seconds.
inline constexpr std::int64_t lease_ttl_s_max = 9'000'000'000;
// A leader that was confirmed so long ago at most renews leases without asking again, and every term adds it
// to what each lease has left when the term begins (docs/decisions/0026): more than a heartbeat's interval.
inline constexpr std::int64_t lease_confirmation_age_ms_max = 250;
// Expiries taken by one entry: a million leases ending together must not stall apply.
inline constexpr std::size_t lease_expiries_per_entry_max = 1000;
// Renewals in one command: far below what an entry holds, so that one turn's renewals rarely need a second.
inline constexpr std::size_t lease_renewals_per_command_max = 65'536;
static_assert(lease_renewals_per_command_max * 10 < entry_bytes_max, "an id takes at most ten bytes");

// Active alarms: some kinds for each member that is or was.
inline constexpr std::size_t alarms_max = 1024;
static_assert(alarms_max > 3 * members_max);

// The RequestId table.
inline constexpr std::size_t clients_max = 100'000;
inline constexpr std::size_t client_window_max = 256;  // unanswered mutations of one client
// A larger answer is not kept: a repetition learns only that the request took effect.
inline constexpr std::size_t client_answer_bytes_max = 64 * kibibyte;
// Of all kept answers; above it the least recently used clients are evicted.
inline constexpr std::size_t client_answers_bytes_max = 256 * mebibyte;
static_assert(client_answers_bytes_max > 2 * client_window_max * client_answer_bytes_max,
              "one client alone never evicts itself");

// Users and roles. Names and passwords stand in rows and commands; nobody needs longer ones.
inline constexpr std::size_t auth_name_bytes_max = 1 * kibibyte;
inline constexpr std::size_t auth_password_bytes_max = 1 * kibibyte;
inline constexpr std::size_t auth_password_hash_bytes_max = 256;
inline constexpr std::size_t auth_token_key_bytes = 32;  // as long as what it makes (HMAC-SHA256)
// A changed user or role is written as one row; an entry may change one of them with each command.
inline constexpr std::size_t auth_row_bytes_max = 192 * kibibyte;
static_assert(auth_row_bytes_max > 2 * key_bytes_max + kibibyte, "a permission with the longest keys fits");
// All users and roles together: held in memory, and part of every snapshot.
inline constexpr std::size_t auth_bytes_max = 16 * mebibyte;
// Every check of a key asks each role of its user.
inline constexpr std::size_t auth_roles_per_user_max = 64;
static_assert(auth_roles_per_user_max * (auth_name_bytes_max + 2) + kibibyte < auth_row_bytes_max);

// State digests are compared every so many entries.
inline constexpr std::uint64_t digest_interval_entries = 64;

}  // namespace lockstep::limits
