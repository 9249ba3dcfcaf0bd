// Raft as a value machine: inputs in, one Output out. No I/O, thread, clock, callback or coroutine; time
// comes with every input and randomness from the seed, so the same inputs always give the same outputs.
//
// How to drive it, in one loop on one strand:
//   1. Call input methods (receive, propose, tick, persisted …), any number of them.
//   2. Output output = raft.take_output();
//   3. Send output.messages at once: a leader's appends go out while its own disk still writes.
//   4. If output.must_persist(): write reset, then entries, then hard_state, as one batch; when it AND all
//      earlier batches are durable, call persisted(output.persist_id).
//   5. Send output.messages_after_persist when everything handed out so far (this output and the earlier
//   ones)
//      is durable: they promise something about it. Never reorder batches; sending may be lost, not swapped
//      with persisting.
//   6. Apply output.committed in order; call applied(index) when done. Serve output.reads once applied.
//   7. Sleep until next_deadline() or an input; then tick(now).
//   8. As an answer to a leader leaves (answers_leader()), say in `eager` whether anybody here waits for what
//   is
//      committed.
//
// What it promises (the fault model: crashes, lost, delayed, doubled and reordered messages, wiped members):
//   R1  At most one leader a term (I3). R2 Leaders only append. R3 Log matching. R4 Leader completeness.
//   R5  State machine safety: Output::committed is the same sequence at every member, each entry once a
//   start. R6  What is in `committed` is durable here as well, so no state built from it is ahead of the log.
//   R7  A read's index is at least every index committed before the read was asked for (dissertation 6.4).
//   R8  A member in doubt about its past counts in no quorum (decisions/0016-members-in-doubt.md).
// What would break them in this process stops it (LS_MUST): two leaders in one term, a committed entry
// overwritten.
//
// Bounded: pending reads, proposals not yet committed, appends in flight; received messages are validated and
// dropped with a count if no correct member sends them. The driver bounds the log by compact().
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/limits.h"
#include "base/prng.h"
#include "base/status.h"
#include "base/time.h"
#include "raft/configuration.h"
#include "raft/message.h"
#include "raft/progress.h"
#include "raft/raft_log.h"
#include "raft/types.h"

namespace lockstep::raft {

// Reads waiting for a round, at a leader or forwarded by a follower.
inline constexpr std::size_t pending_reads_max = 64 * 1024;

struct Options {
  NodeId id;
  // A follower campaigns after a random time in [election_timeout, 2 * election_timeout) without a leader; a
  // leader without a quorum for election_timeout steps down.
  Duration election_timeout = 1s;
  Duration heartbeat_interval = 100ms;
  // A commit that no append carries is told to a peer this much later, unless somebody there waits for it
  // (decisions/0027-late-word-of-a-commit.md). Zero: at once.
  Duration commit_notice_delay = 1ms;
  std::size_t inflight_messages_max = limits::inflight_messages_max;
  std::size_t inflight_bytes_max = limits::inflight_bytes_max;
  std::size_t message_entries_bytes_max = limits::message_entries_bytes_max;
  std::size_t entry_bytes_max = limits::entry_bytes_max;
  std::size_t uncommitted_bytes_max = limits::uncommitted_bytes_max;
  bool pre_vote = true;
  bool check_quorum = true;
  bool trace = false;
};

// What the log and the newest snapshot held at the start. A new cluster's founders start with the same
// snapshot_configuration at index 0; a member that joins starts with nothing at all.
struct Restored {
  HardState hard_state;
  Configuration snapshot_configuration;  // as of snapshot_index
  LogIndex snapshot_index;
  Term snapshot_term;
  std::vector<Entry> entries;  // from snapshot_index + 1 on, without a gap
  LogIndex applied;            // by the state machine; at least snapshot_index
  // False for a member that may have forgotten a vote or an acknowledgement: one that joins with an empty
  // directory, was wiped, or lost part of its log. It does not vote, campaign or count until the leader
  // restores it; then Output::vote_restored is set. A lone founder must say true or will wait for ever.
  // A commit index beyond the log proves a loss and has the same effect.
  bool may_vote = true;
};

struct ReadResult {
  ReadId id;
  bool ok = false;  // false: not confirmed (no leader, or it changed); ask again under a fresh attempt
  LogIndex index;   // ok: serve the read once this index is applied
};

struct RoleChange {
  Role role = Role::follower;
  Term term;
  NodeId leader;  // zero: unknown
};

// A peer needs entries that are compacted. Answer with send_snapshot_chunk() from offset 0, of a snapshot
// that reaches at least index_min, or with report_snapshot_failed(). A repeated request means: start again.
struct SnapshotRequest {
  NodeId peer;
  LogIndex index_min;
};

// How far a peer stored the snapshot being sent to it. rewind: send again from `offset`.
struct SnapshotProgress {
  NodeId peer;
  SnapshotId id;
  std::uint64_t offset = 0;
  bool rewind = false;
};

struct LogReset {
  LogIndex index;
  Term term;
};

struct Output {
  std::optional<LogReset> reset;        // the log is replaced by the installed snapshot: drop all entries
  std::vector<Entry> entries;           // append; what the log holds from entries.front().index on is cut
  std::optional<HardState> hard_state;  // changed
  bool hard_state_must_sync = false;    // term or vote changed (else only commit: may be written later)
  PersistId persist_id;                 // the newest one handed out; see steps 4 and 5

  std::vector<Message> messages;
  std::vector<Message> messages_after_persist;

  std::vector<Entry> committed;
  std::vector<ReadResult> reads;
  std::optional<RoleChange> role_change;

  std::vector<SnapshotRequest> snapshot_requests;   // leader
  std::vector<SnapshotProgress> snapshot_progress;  // leader
  // Follower: store in this order; one with offset 0 starts afresh. Answer each with snapshot_stored(); after
  // the last one also with snapshot_installed() or snapshot_refused().
  std::vector<SnapshotChunk> snapshot_chunks;
  // Forget what was received of this snapshot: it is not needed any more. Never one whose last chunk was
  // handed out, and never one with chunks in this output.
  std::optional<SnapshotId> snapshot_abandoned;

  bool vote_restored = false;  // make durable that may_vote is true again
  std::vector<std::string> trace;

  [[nodiscard]] bool must_persist() const {
    return reset.has_value() || !entries.empty() || hard_state_must_sync;
  }
  [[nodiscard]] bool empty() const;
};

class Raft {
 public:
  // The seed must differ between starts and members (jitter, and the BootId is drawn from it).
  Raft(const Options& options, Restored restored, std::uint64_t seed, TimePoint now);

  // ---- time
  void tick(TimePoint now);
  // When tick() has something to do next; no_deadline if never.
  [[nodiscard]] TimePoint next_deadline() const;

  // ---- peers
  // Invalid messages, and those to or from nobody, are dropped and counted. `from` is the authenticated
  // sender.
  void receive(TimePoint now, NodeId from, Message message);
  // The connection to a peer closed. If it is the leader, this member ends the leader's lease for itself and
  // may campaign (with pre-vote) after a short random time.
  void report_peer_lost(TimePoint now, NodeId peer);

  // ---- the driver's own
  // One entry for each payload, in order; the result is the first one's index. They are committed when they
  // come out of Output::committed with the present term. Errors: unavailable (not the leader, or
  // transferring: nothing happened), resource_exhausted (too much uncommitted), invalid_argument (no payload,
  // or one over entry_bytes_max).
  Result<LogIndex> propose(TimePoint now, std::span<const SharedBytes> payloads);
  // Errors: unavailable (not the leader, transferring, or no entry of its own term committed yet),
  // failed_precondition (another change is not finished, a learner to promote lags, or no majority of the new
  // voters is heard of), and apply_change()'s.
  Result<LogIndex> propose_configuration(TimePoint now, const ConfigurationChange& change);
  // Leader: tells every peer what is committed without waiting for an append that says it.
  void hurry_commit(TimePoint now);
  // Answered in Output::reads, exactly once. Never repeat an id that is pending.
  void read_index(TimePoint now, ReadId id);
  // Errors: unavailable (not the leader), failed_precondition (not a voter that may lead; a transfer runs).
  // Gives up by itself after an election timeout.
  Status transfer_leadership(TimePoint now, NodeId to);
  // Campaign without waiting, if this member may. With pre-vote as usual.
  void campaign(TimePoint now);

  // ---- storage
  // Everything handed out up to this output is durable.
  void persisted(TimePoint now, PersistId id);
  // The state machine has everything up to `index`. Never goes back.
  void applied(TimePoint now, LogIndex index);
  // Drops entries up to `index` from memory. Requires index <= applied. Lagging peers will need a snapshot
  // that reaches at least here.
  void compact(LogIndex index);

  // ---- snapshots to peers (leader). Errors: failed_precondition (that peer awaits no snapshot),
  // invalid_argument (the snapshot does not reach far enough).
  Status send_snapshot_chunk(TimePoint now, NodeId peer, SnapshotChunk chunk);
  // Gives up; it is asked for again when the peer answers again.
  void report_snapshot_failed(TimePoint now, NodeId peer);

  // ---- snapshots from the leader
  // The chunk that ends at `end_offset` was stored (not necessarily durably).
  void snapshot_stored(TimePoint now, SnapshotId id, std::uint64_t end_offset);
  // The whole content failed its check, or there is no room: the leader may begin again.
  void snapshot_refused(TimePoint now, SnapshotId id);
  // The whole snapshot is durable and the state machine stands at its index. Between the last chunk and this
  // call nothing is committed or appended here.
  void snapshot_installed(TimePoint now, SnapshotId id);

  Output take_output();

  // ---- looking in
  [[nodiscard]] NodeId id() const { return options_.id; }
  [[nodiscard]] Term term() const { return term_; }
  [[nodiscard]] NodeId vote() const { return vote_; }
  [[nodiscard]] Role role() const { return role_; }
  [[nodiscard]] bool is_leader() const { return role_ == Role::leader; }
  [[nodiscard]] NodeId leader() const { return leader_; }
  [[nodiscard]] LogIndex commit_index() const { return commit_; }
  [[nodiscard]] LogIndex applied_index() const { return applied_; }
  [[nodiscard]] LogIndex durable_index() const { return durable_; }
  [[nodiscard]] const RaftLog& log() const { return log_; }
  [[nodiscard]] bool may_vote() const { return !in_doubt_; }
  // This member was removed, and knows: the committed configuration of that entry does not have it. Zero: not
  // that it knew. It does not campaign until a leader speaks to it again.
  [[nodiscard]] LogIndex removed_by() const { return removed_by_; }
  [[nodiscard]] BootId boot() const { return boot_; }
  // The newest in the log: effective, maybe not committed.
  [[nodiscard]] const Configuration& configuration() const { return configurations_.rbegin()->second; }
  [[nodiscard]] LogIndex configuration_index() const { return configurations_.rbegin()->first; }
  // As of `index`, for a snapshot of that state. Requires log().base_index() <= index <= log().last_index().
  [[nodiscard]] const Configuration& configuration_at(LogIndex index) const;
  // Leader only: what is known of the peers, by id.
  [[nodiscard]] const std::map<NodeId, Progress>& peers() const { return peers_; }
  [[nodiscard]] NodeId transferee() const { return transferee_; }
  // Leader only: whoever leads a later term did not begin it before this moment, and at it this leader knew
  // what was committed. TimePoint::min() until a majority confirmed both in this term.
  [[nodiscard]] TimePoint confirmed_at(TimePoint now) const;
  [[nodiscard]] std::size_t uncommitted_bytes() const { return uncommitted_bytes_; }
  // Messages dropped because no correct member sends them.
  [[nodiscard]] std::uint64_t invalid_messages() const { return invalid_messages_; }

 private:
  // One output's promise: when `id` is durable, the log is durable up to `end`, as long as it is not cut.
  struct PendingPersist {
    PersistId id;
    LogIndex end;
    Term end_term;
  };
  struct PendingRead {
    ReadId id;    // a read of this member, or
    NodeId from;  // a batch forwarded by this follower,
    Round batch;  // under this name
  };
  struct ReadBatch {
    Round round;
    LogIndex index;
    std::vector<PendingRead> reads;
  };
  struct RoundStart {
    Round round;
    TimePoint at;
  };
  struct ForwardedReads {
    std::vector<ReadId> reads;
    TimePoint deadline;
  };
  struct Receiving {
    SnapshotDescription snapshot;
    Term leader_term;
    std::uint64_t next_offset = 0;
    std::uint64_t stored_offset = 0;
    bool installing = false;  // the last chunk was handed to the driver
  };

  // raft.cc
  void observe(TimePoint now);
  void note_role();
  void become_follower(Term term, NodeId leader);
  void leave_role(Term term, NodeId leader);
  void accept_leader(const Message& message);
  bool handle_term(const Message& message);
  void dispatch(Message& message);
  void send(Message message);
  void send_after_persist(Message message);
  Message respond(const Message& to, MessageKind kind) const;
  void clip_pending_persists(LogIndex end);
  void emit_hard_state();
  void emit_committed();
  template <class... Parts>
  void trace(const Parts&... parts);

  // election.cc
  void reset_election_deadline();
  void campaign_soon();
  [[nodiscard]] bool may_campaign() const;
  [[nodiscard]] bool was_removed(NodeId node) const;
  void learn_removal(const Message& message);
  void ask_whether_removed();
  [[nodiscard]] bool lease_holds() const;
  void start_campaign(bool transfer);
  void become_pre_candidate();
  void become_candidate(bool transfer);
  void become_leader();
  void count_votes();
  void ask_for_votes(MessageKind kind, Term term, bool transfer);
  void on_vote_request(const Message& message);
  void on_vote_response(const Message& message);
  void on_timeout_now(const Message& message);
  void check_quorum();
  void continue_transfer();
  void end_transfer();

  // replication.cc and append.cc
  LogIndex append_as_leader(EntryKind kind, SharedBytes payload);
  void on_append(Message& message);
  void append_entries(std::span<const Entry> entries);
  void on_append_response(const Message& message);
  void on_append_rejected(const Message& message, Progress& peer);
  void on_heartbeat(const Message& message);
  void on_heartbeat_response(const Message& message);
  void acknowledge(const Message& message, Progress& peer);
  bool observe_response(const Message& message, Progress& peer);
  bool observe_boot(const Message& message, Progress& peer);
  void observe_doubt(const Message& message, Progress& peer);
  void put_in_doubt(NodeId node, Progress& peer);
  void end_doubt(NodeId node, Progress& peer);
  void learn_from_leader(const Message& message);
  void reject_append(const Message& message);
  void acknowledge_append(const Message& message, LogIndex index);
  void replicate();
  void replicate_to(NodeId node, Progress& peer);
  void send_append(NodeId node, Progress& peer);
  void ask_for_snapshot(NodeId node, Progress& peer);
  void send_heartbeat(NodeId node, Progress& peer);
  void tell_commit(NodeId node, Progress& peer);
  [[nodiscard]] bool waits_for_commit(const Progress& peer) const;
  void broadcast_heartbeat();
  void address(Message& message, NodeId node, Progress& peer);
  void advance_commit();
  void commit_to(LogIndex index);
  void update_catch_up(Progress& peer);
  [[nodiscard]] LogIndex counted_match(NodeId node) const;

  // reads.cc
  void start_reads();
  void finish_reads();
  Round begin_round();
  [[nodiscard]] Round confirmed_round() const;
  void note_confirmation(Round answered);
  void answer_reads(const ReadBatch& batch);
  void fail_reads();
  void forward_reads();
  void expire_forwarded_reads();
  void on_read_index(const Message& message);
  void on_read_index_response(const Message& message);
  [[nodiscard]] bool committed_in_own_term() const;

  // membership.cc
  void adopt_configuration(LogIndex index, Configuration configuration);
  void forget_configurations_from(LogIndex index);
  void refresh_peers();
  void leave_joint_if_due();
  void step_down_if_removed();
  [[nodiscard]] Status check_promotions(const ConfigurationChange& change) const;

  // snapshot.cc
  void on_snapshot_chunk(Message& message);
  void take_snapshot_chunk(const Message& message);
  void respond_snapshot(const Message& message, std::uint64_t offset, bool rewind);
  void on_snapshot_chunk_response(const Message& message);
  void abandon_snapshot();

  Options options_;
  Prng prng_;
  BootId boot_;
  TimePoint now_;

  Term term_;
  NodeId vote_;
  Role role_ = Role::follower;
  NodeId leader_;
  LogIndex commit_;
  LogIndex applied_;
  LogIndex emitted_;  // the last entry put into Output::committed
  bool in_doubt_ = false;
  LogIndex removed_by_;

  RaftLog log_;
  LogIndex durable_;  // our log up to here is durable
  std::deque<PendingPersist> pending_persists_;
  PersistId last_persist_;  // handed out
  PersistId persisted_;     // reported durable
  HardState emitted_hard_state_;
  bool durable_hard_state_changed_ = false;  // term or vote, since the last output

  // By the index of their entry; the first is the base's. Never empty.
  std::map<LogIndex, Configuration> configurations_;

  TimePoint election_deadline_ = no_deadline;
  TimePoint lease_until_ = TimePoint::min();  // follower: the leader was heard of recently enough
  Round restored_round_;                      // in this term, when the leader ended a doubt
  LogIndex matched_;                          // follower: our log equals the leader's up to here (this term)

  // Candidate.
  std::map<NodeId, bool> votes_;
  PersistId own_vote_persist_;  // our vote for ourselves counts once this is durable
  bool campaign_transfer_ = false;

  // Leader.
  std::map<NodeId, Progress> peers_;
  LogIndex term_start_;  // our first entry of this term
  TimePoint heartbeat_deadline_ = no_deadline;
  TimePoint quorum_deadline_ = no_deadline;
  TimePoint commit_notice_deadline_ = no_deadline;  // whoever was told less is told the commit index
  Round round_;
  std::deque<RoundStart> round_starts_;        // of those no majority answered yet; bounded
  TimePoint confirmed_at_ = TimePoint::min();  // when the newest round began that a majority answered
  NodeId transferee_;
  TimePoint transfer_deadline_ = no_deadline;
  std::size_t uncommitted_bytes_ = 0;

  // Reads.
  std::vector<PendingRead> new_reads_;
  std::deque<ReadBatch> read_batches_;
  std::vector<ReadId> reads_to_forward_;
  std::map<Round, ForwardedReads> forwarded_reads_;
  Round forward_round_;
  std::size_t pending_reads_ = 0;

  std::optional<Receiving> receiving_;

  std::uint64_t invalid_messages_ = 0;
  RoleChange noted_role_;
  Output output_;
};

}  // namespace lockstep::raft
