// The deterministic MVCC state machine: apply(entry) -> effects and answers. No clock, no thread, no I/O.
//
// Invariants (checked by always-on assertions and by the digest):
//   1. State after entry i is a function of entries 1..i alone: not of options, pacing, restarts or answers.
//   2. An operation that fails has no effect at all: no revision, no row, no lease (I8).
//   3. A revision is used once; each above 1 has at least one effect; at most one per key (effect.h).
//   4. The store clock is the largest store_time_ms of the applied entries. A lease ends in the first applied
//      entry with store clock >= deadline, never before (I6); a renewal or grant sets the deadline to the
//      store clock of its own entry plus the TTL. The first entry of a term gives every lease at least its
//      TTL from then on: the leader before may have answered renewals that did not reach the log
//      (docs/decisions/0026).
//      Lateness: the leader proposes a tick as soon as its store clock passes next_deadline(), so a lease
//      ends at most (one commit) + (time without a leader: the clock stands still) + (time in which the
//      leader's renewals did not get into the log: it stands still as well) + (leases due together, and those
//      that are due by what is stored but were given more time by the term, divided by
//      limits::lease_expiries_per_entry_max entries) + clock drift over the TTL after its deadline; and one
//      TTL more for each term that began meanwhile. A new leader goes on from the last entry's clock, so
//      nobody's lease ends early by an election.
//   5. A mutation with RequestId takes effect at most once (I7): clients.h.
//   6. After begin_restore .. finish_restore with the rows of entry i, the digest equals the original's at i
//      and stays equal for every later entry.
//
// Strand: the core strand only. Blocks handed out may go anywhere.
// Errors: Applied::fatal is set when this member must halt (malformed entry, digest mismatch, cold history
// unreadable); nothing may be answered or applied afterwards.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/limits.h"
#include "base/status.h"
#include "store/auth.h"
#include "store/authorise.h"
#include "store/effect.h"
#include "store/history.h"
#include "store/result.h"
#include "store/rows.h"
#include "store/types.h"

namespace lockstep::store {

struct StateMachineOptions {
  HistoryOptions history;
  // Tombstones dropped from the index, and effects looked at by the compaction pass, per applied entry.
  std::size_t compaction_steps_per_entry = 256;
};

// What one applied entry changed. Write-back stores it in this order: reclaimed, effects, meta.
struct Applied {
  // Keys whose compacted tombstones left the index before this entry's effects: their current rows may go.
  // Paced by options, so not part of the digest.
  std::vector<std::string> reclaimed_keys;
  std::shared_ptr<const EffectBlock> effects;  // null if none
  std::vector<MetaChange> meta;                // without the state row: take state_row() at the cut
  Status fatal;
};

class StateMachine {
 public:
  // `cold` may be null (memory only) and must outlive this.
  explicit StateMachine(StateMachineOptions options = {}, ColdHistory* cold = nullptr);
  ~StateMachine();
  StateMachine(const StateMachine&) = delete;
  StateMachine& operator=(const StateMachine&) = delete;

  // Applies the next entry. `sink` takes the answers; null builds none. An empty payload (a new leader's
  // first entry) changes nothing but index and term, and when the term began. Requires index ==
  // applied_index() + 1. Calls must not nest: the sink must not call back into this.
  Applied apply(LogIndex index, Term term, std::string_view payload, ResultSink* sink);
  // An entry that is not the store's (membership): moves the index.
  void skip(LogIndex index, Term term);

  // Reads. Header: revision only.
  [[nodiscard]] Result<RangeResponse> range(const RangeRequest& request) const;
  // Of a transaction that is_read_only().
  [[nodiscard]] Result<TxnResponse> read_txn(const TxnRequest& txn) const;
  [[nodiscard]] std::optional<RowView> get(std::string_view key) const;  // until the next apply()
  // The key will be read soon, among many others: starts loading its place in the index.
  void prefetch(std::string_view key) const;
  // With the deadline that counts. Nothing if there is none.
  [[nodiscard]] std::optional<LeaseTerms> lease(LeaseId id) const;
  // `store_now_ms` is the caller's store clock (at least store_time_ms()).
  [[nodiscard]] LeaseTimeToLiveResponse lease_time_to_live(const LeaseTimeToLiveRequest& request,
                                                           std::int64_t store_now_ms) const;
  [[nodiscard]] LeaseLeasesResponse lease_leases() const;
  [[nodiscard]] std::vector<Alarm> alarms(AlarmKind kind) const;  // none: all

  // Whether the API takes a request now: validate(), and "database space exceeded" while a no_space alarm is
  // on, in etcd's order. What was proposed before the alarm still applies.
  [[nodiscard]] Status admit(const PutRequest& request) const;
  [[nodiscard]] Status admit(const TxnRequest& request) const;
  [[nodiscard]] Status admit(const LeaseGrantRequest& request) const;

  // Users, roles and permissions as of now, and how they judge who asks.
  [[nodiscard]] const AuthState& auth() const;
  [[nodiscard]] Authoriser authoriser(Principal principal) const;

  [[nodiscard]] Revision revision() const;
  [[nodiscard]] Revision compacted_revision() const;
  [[nodiscard]] LogIndex applied_index() const;
  [[nodiscard]] Term applied_term() const;
  [[nodiscard]] std::int64_t store_time_ms() const;
  // When a tick must be proposed: the smallest deadline stored of any lease. May already have passed (more
  // leases end together than one entry takes): then at once. It may also end none (invariant 4).
  [[nodiscard]] std::optional<std::int64_t> next_deadline_ms() const;
  // Logical size: keys, values and history above the compacted revision. The same on every member.
  [[nodiscard]] std::uint64_t bytes_in_use() const;
  [[nodiscard]] std::size_t key_count() const;
  [[nodiscard]] std::size_t lease_count() const;

  [[nodiscard]] std::uint64_t digest() const;
  [[nodiscard]] std::optional<std::uint64_t> digest_at(LogIndex index) const;
  // Of all keys at `revision`, computed anew from the rows (like HashKV). For tests and tools: O(keys).
  [[nodiscard]] Result<std::uint64_t> content_hash(Revision revision) const;

  [[nodiscard]] History& history();

  // Goes on with background work beyond what apply() does; false: nothing left. Never changes an answer.
  bool compaction_step(std::size_t steps_max, std::vector<std::string>* reclaimed_keys);

  // Snapshots. The state row is one meta row (rows.h: state_row_key) that changes with every entry, so it is
  // asked for instead of being part of Applied::meta.
  [[nodiscard]] MetaChange state_row() const;
  // Calls visit(key, row) for every current row in key order, every meta row, in key order.
  void for_each_current_row(const std::function<void(std::string_view, std::string_view)>& visit) const;
  void for_each_meta_row(const std::function<void(std::string_view, std::string_view)>& visit) const;

  // Recovery, into a newly made object: rows in any order, then history if there is no cold one (blocks in
  // order). Errors: corruption, naming the row.
  // `keys_expected`: a hint; memory is taken for it.
  void begin_restore(std::size_t keys_expected = 0);
  Status restore_meta_row(std::string_view key, std::string_view row);
  Status restore_current_row(std::string_view key, std::string_view row);
  Status restore_history_block(std::string encoded);
  Status restore_history_block(std::shared_ptr<const EffectBlock> block);
  void restore_pinned_row(std::string key, std::string encoded);
  Status finish_restore();

 private:
  friend class Applier;
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace lockstep::store
