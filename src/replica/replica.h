// One member: the only driver of raft, log, state machine and watch, and the native Store.
//
// Persist, then promise, then apply: all of it is visible in drive.cc, in one function.
//
// What it promises beyond its parts:
//   P1  A mutation is answered ok only after its entry is committed and applied at the member that proposed
//       it, which raft allows only when it is durable on a majority and on that member (I1). A forwarded one
//       was proposed by the leader: a serializable read here may not show it yet.
//   P2  A linearizable read is served from a state at least as new as the commit index when it was asked,
//   confirmed
//       by a majority under a fresh attempt (I2). Serializable reads are served from the applied state at
//       once.
//   P3  Each callback is called once; an error other than unknown_outcome means "not done, never will be".
//   P4  One turn of the loop makes one entry of all mutations that arrived in it: batching needs no timer.
//
// Strand: everything, construction and destruction included, happens on the environment's executor. After
// on_fatal nothing is answered. Destroying a Replica drops its pending callbacks without calling them;
// whoever still waits hears of the end by refuse_waiting().
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "env/environment.h"
#include "log/log.h"
#include "raft/raft.h"
#include "replica/authenticator.h"
#include "replica/birth.h"
#include "replica/held_batches.h"
#include "replica/options.h"
#include "replica/peer_calls.h"
#include "replica/proposals.h"
#include "replica/reads.h"
#include "replica/seen_forwards.h"
#include "replica/snapshot_transfer.h"
#include "replica/store_clock.h"
#include "replica/unlogged_renewals.h"
#include "replica/watch_guard.h"
#include "store/command.h"
#include "store/engine_history.h"
#include "store/persistence.h"
#include "store/state_machine.h"
#include "store/store.h"
#include "watch/watch_hub.h"

namespace lockstep::replica {

// What this member knows of itself and the cluster, for people and tests.
struct ReplicaStatus {
  raft::Role role = raft::Role::follower;
  Term term;
  NodeId leader;
  LogIndex commit;
  LogIndex applied;
  LogIndex durable;
  Revision revision;
  std::uint64_t digest = 0;
  raft::Configuration configuration;
  bool may_vote = true;
  LogIndex removed_by;                // not zero: the configuration of this entry no longer has this member
  std::uint64_t handovers = 0;        // since the start: this leader's disk stalled, another voter was asked
  std::uint64_t appends_dropped = 0;  // since the start: the engine or the disk could not follow
  std::uint64_t snapshots_refused = 0;  // since the start: a leader's, damaged or larger than the disk
};

// Counted since the start.
struct ReplicaMetrics {
  std::uint64_t leader_changes = 0;     // how often a leader became known
  std::uint64_t proposals = 0;          // batches of mutations, proposed here or sent to the leader
  std::uint64_t proposals_refused = 0;  // more than this member may hold: "too many requests"
  std::uint64_t proposals_failed = 0;   // commands answered with an error before or instead of taking effect
  std::uint64_t proposals_pending = 0;  // at present
  std::uint64_t bad_messages = 0;       // from peers, undecodable
  std::uint64_t entries_applied = 0;
  watch::WatchMetrics watch;
};

class Replica final : public store::Store,
                      private env::Receiver,
                      private store::ResultSink,
                      private Authenticator::Host {
 public:
  // Recovers the directory (or makes it) and joins the others. Blocks while reading. The environment outlives
  // it.
  static Result<std::unique_ptr<Replica>> open(env::Environment environment, Options options);
  ~Replica() override;
  Replica(const Replica&) = delete;
  Replica& operator=(const Replica&) = delete;

  // ---- store::Store
  [[nodiscard]] store::Capabilities capabilities() const override;
  void range(store::RangeRequest request, store::CallOptions options,
             store::Callback<store::RangeResponse> done) override;
  void put(store::PutRequest request, store::CallOptions options,
           store::Callback<store::PutResponse> done) override;
  void delete_range(store::DeleteRangeRequest request, store::CallOptions options,
                    store::Callback<store::DeleteRangeResponse> done) override;
  void txn(store::TxnRequest request, store::CallOptions options,
           store::Callback<store::TxnResponse> done) override;
  void compact(store::CompactRequest request, store::CallOptions options,
               store::Callback<store::CompactResponse> done) override;
  void lease_grant(store::LeaseGrantRequest request, store::CallOptions options,
                   store::Callback<store::LeaseGrantResponse> done) override;
  void lease_revoke(store::LeaseRevokeRequest request, store::CallOptions options,
                    store::Callback<store::LeaseRevokeResponse> done) override;
  void lease_keep_alive(store::LeaseKeepAliveRequest request, store::CallOptions options,
                        store::Callback<store::LeaseKeepAliveResponse> done) override;
  void lease_time_to_live(store::LeaseTimeToLiveRequest request, store::CallOptions options,
                          store::Callback<store::LeaseTimeToLiveResponse> done) override;
  void lease_leases(store::CallOptions options, store::Callback<store::LeaseLeasesResponse> done) override;
  void alarm(store::AlarmRequest request, store::CallOptions options,
             store::Callback<store::AlarmResponse> done) override;
  void register_client(store::CallOptions options,
                       store::Callback<store::RegisterClientResponse> done) override;
  using Store::watch;
  Result<std::unique_ptr<store::Subscription>> watch(store::WatchRequest request,
                                                     store::CallOptions options) override;

  // ---- users, roles, logins
  [[nodiscard]] store::Security& security() { return *authenticator_; }

  // ---- membership, on the leader. The callback comes when the change is committed and the joint state left,
  // or with an error: unknown_outcome after Options::request_timeout, or when another leader has taken over,
  // which may still finish it. Members named by `addresses` become known to every member with the change.
  void change_members(const std::vector<raft::MemberChange>& changes, const std::vector<Member>& addresses,
                      std::move_only_function<void(Status)> done);
  Status transfer_leadership(NodeId to);
  // Asks the others for their votes now, without waiting for silence. They may refuse.
  void campaign();

  // Questions of members to each other beside the store's (peer_calls.h).
  PeerCalls& peer_calls() { return peer_calls_; }

  // ---- backups. Everything acknowledged when it was asked for is in the copy; if no quorum answers for some
  // election timeouts, everything that this member has applied. Errors: failed_precondition (no engine).
  void open_snapshot(store::Callback<std::shared_ptr<store::SnapshotSource>> done);
  // At most `bytes_max` bytes from `offset`, fewer only at the end.
  void read_snapshot(std::shared_ptr<store::SnapshotSource> source, std::uint64_t offset,
                     std::size_t bytes_max, store::Callback<SharedBytes> done);

  // The server ends: every call that waits is answered now as if its deadline had passed, and more are
  // refused (cancelled). Calls of coroutines need it, for a coroutine that is never answered is never
  // destroyed.
  void refuse_waiting();
  // Calls that are not answered yet.
  [[nodiscard]] bool has_waiting() const;

  // ---- looking in
  [[nodiscard]] store::Header header() const;
  [[nodiscard]] ReplicaStatus status() const;
  [[nodiscard]] ReplicaMetrics metrics() const;
  [[nodiscard]] const raft::Raft& raft() const { return *raft_; }
  [[nodiscard]] store::StateMachine& machine() { return *machine_; }
  [[nodiscard]] const log::Stats& log_stats() const { return log_->stats(); }
  [[nodiscard]] bool halted() const { return halted_; }

 private:
  struct WaitingMessages {
    raft::PersistId after;
    std::vector<raft::Message> messages;
  };
  struct Persisting {
    raft::PersistId id;
    TimePoint since;
  };
  struct MemberChangeWaiter {
    LogIndex index;
    Term term;
    TimePoint deadline;
    std::move_only_function<void(Status)> done;
  };

  Replica(env::Environment environment, Options options);
  Status recover();
  Result<log::Recovered> open_log(const store::Recovered& state);
  Status repair_log(const store::Recovered& state, const std::optional<log::Damage>& damage,
                    const raft::HardState& hard_state);
  void make_raft(raft::Restored restored);
  // The only voter.
  [[nodiscard]] bool alone() const;

  // ---- env::Receiver (peers.cc)
  void on_message(NodeId from, SharedBytes message) override;
  void on_peer_lost(NodeId peer) override;
  void on_forward(NodeId from, const SharedBytes& message);
  void propose_forwarded(const SharedBytes& commands, PendingBatch batch);
  void on_forward_answer(NodeId from, const SharedBytes& message);
  void on_raft_message(NodeId from, const SharedBytes& message);
  void on_birth(NodeId from, const SharedBytes& message);
  void ask_for_birth();
  void tell_members(NodeId to);
  void tell_silent_members(TimePoint present);
  void on_members(NodeId from, const SharedBytes& message);
  void tell_birth(NodeId to);
  void send(raft::Message& message);
  void send_answers();
  void update_peers();
  void know_former_member(NodeId node);

  // ---- store::ResultSink
  void on_result(std::size_t position, store::CommandResult result) override;

  // ---- mutations (mutations.cc)
  template <class Response, class Request, class Add>
  void mutate(Request& request, const store::CallOptions& options, store::Callback<Response> done, Add add);
  template <class Response, class Request, class Add>
  void confirm_denial(Request request, const store::CallOptions& options, store::Callback<Response> done,
                      Add add);
  template <class Response, class Serve>
  void read(const store::CallOptions& options, bool linearizable, store::Callback<Response> done,
            Serve serve);
  void read_txn(store::TxnRequest request, const store::CallOptions& options,
                store::Callback<store::TxnResponse> done);
  [[nodiscard]] bool refuse_call(const store::CallOptions& options, Status* why) const;
  PendingCommand pending(CommandCallback done, const store::CallOptions& options) const;
  void start_batch();
  void schedule_flush();
  void flush();
  void flush_batch();
  // What entries proposed now are stamped with.
  [[nodiscard]] std::int64_t leader_time_ms();
  [[nodiscard]] bool knows_leader() const;
  void submit_batch(std::string payload, PendingBatch batch);
  bool release_held();
  void propose_batch(std::string payload, PendingBatch batch);
  void forward_batch(std::string payload, PendingBatch batch);

  // ---- renewals of leases (renewals.cc)
  struct ForwardedRenewal {
    store::Principal principal;
    std::vector<LeaseId> ids;
  };
  using ForwardedRenewals = std::vector<ForwardedRenewal>;
  struct ForwardedBatch {
    SharedBytes commands;
    ForwardedRenewals renewals;  // what they say
    PendingBatch batch;
  };
  void flush_renewals();
  void flush_own_renewals(std::vector<RenewalWaiter> all);
  void renew_in_log(std::vector<RenewalWaiter> waiters);
  std::vector<RenewalWaiter> answer_renewals(std::vector<RenewalWaiter> waiters);
  void answer_confirmed_renewals(std::vector<RenewalWaiter> waiters, Term term);
  [[nodiscard]] bool may_renew_in_memory(Term term) const;
  [[nodiscard]] bool may_renew_at_once(Term term);
  [[nodiscard]] bool renew_in_memory(LeaseId id, std::int64_t store_now_ms,
                                     store::LeaseKeepAliveResponse* response);
  void hold_clock();
  void log_renewals();
  // Only if the batch consists of renewals.
  [[nodiscard]] static std::optional<ForwardedRenewals> renewals_of(std::string_view batch);
  void take_forwarded_renewals(ForwardedBatch forwarded);
  void answer_forwarded_renewals(ForwardedBatch forwarded, Term term);
  [[nodiscard]] bool can_renew_all(const ForwardedRenewals& renewals);
  [[nodiscard]] store::CommandResult renew_forwarded(const ForwardedRenewal& renewal,
                                                     std::int64_t store_now_ms);
  // With the leader's store time; zero: the newest entry says it.
  void when_renewals_logged(const store::CallOptions& options,
                            std::move_only_function<void(const Result<std::int64_t>&)> done);
  // In this term everything that its leader had renewed was asked into the log, at this store time.
  struct LeadersWord {
    Term term;
    std::int64_t store_time_ms;
  };
  void read_time_to_live(const store::LeaseTimeToLiveRequest& request, const store::CallOptions& options,
                         std::optional<LeadersWord> word,
                         store::Callback<store::LeaseTimeToLiveResponse> done);
  [[nodiscard]] store::LeaseTimeToLiveResponse time_to_live(const store::LeaseTimeToLiveRequest& request,
                                                            std::int64_t store_now_ms);

  // ---- Authenticator::Host
  [[nodiscard]] const store::StateMachine& auth_machine() const override { return *machine_; }
  [[nodiscard]] std::int64_t auth_now_ms() override;
  [[nodiscard]] store::Header auth_header() const override { return header(); }
  void propose_auth(store::AuthChange change, store::CallOptions options,
                    store::Callback<store::AuthResponse> done) override;
  void when_current(store::CallOptions options, std::move_only_function<void(const Status&)> done) override;

  // ---- the loop (drive.cc)
  void drive();
  void process(raft::Output output);
  void send_messages(std::vector<raft::Message> messages, std::vector<raft::Message> after_persist,
                     raft::PersistId after);
  [[nodiscard]] bool wants_commits() const;
  void persist(raft::Output& output);
  void on_durable(raft::PersistId id);
  void restore_vote();
  void on_role_change(const raft::RoleChange& change);
  void queue_committed(std::vector<raft::Entry> committed);
  [[nodiscard]] bool overloaded() const;
  void apply_queued();
  void apply(const raft::Entry& entry);
  void raise_quota_alarm();
  void tell_new_rules();
  void apply_normal(const raft::Entry& entry);
  void finish_reads(const std::vector<raft::ReadResult>& reads);
  void finish_member_changes();
  void arm_timer();
  void on_timer();
  void tick_leases(TimePoint present);
  void prove_log_end();
  void leave_to_faster_disk(TimePoint present);
  void halt(const Status& why);
  [[nodiscard]] TimePoint now() { return environment_.clock.now(); }

  // ---- what is written behind the log (persistence.cc)
  Status recover_state(store::Recovered* recovered);
  void start_persistence(store::Recovered recovered);
  void on_persistence_progress();
  void pump_persistence(bool idle);
  void pump_when_durable(bool idle);
  void release_log();

  // ---- snapshots (snapshots.cc)
  void wait_for_engine(LogIndex index, store::Callback<std::shared_ptr<store::SnapshotSource>> done);
  void start_snapshot(const raft::SnapshotRequest& request);
  void on_snapshot_made(NodeId peer, raft::SnapshotId id,
                        Result<std::shared_ptr<store::SnapshotSource>> source);
  void continue_snapshot(const raft::SnapshotProgress& progress);
  void send_snapshot_chunks(NodeId peer);
  void on_snapshot_read(NodeId peer, raft::SnapshotId id, std::uint64_t offset, Result<SharedBytes> bytes);
  void drop_snapshot(NodeId peer);
  void resend_snapshots(TimePoint present);
  void store_snapshot_chunk(const raft::SnapshotChunk& chunk);
  void on_snapshot_stored(const raft::SnapshotDescription& snapshot, std::uint64_t end_offset,
                          const Status& status);
  void finish_snapshot(const raft::SnapshotDescription& snapshot);
  void on_snapshot_installed(const raft::SnapshotDescription& snapshot,
                             std::shared_ptr<store::StateMachine> machine,
                             Result<store::Recovered> recovered);

  env::Environment environment_;
  Options options_;
  std::unique_ptr<log::Log> log_;
  std::unique_ptr<store::EngineHistory> cold_history_;
  std::shared_ptr<store::StateMachine> machine_;
  std::unique_ptr<store::Persistence> persistence_;
  std::unique_ptr<watch::WatchHub> watch_hub_;  // after the machine, whose history it reads
  WatchGuard watch_guard_;
  std::unique_ptr<Authenticator> authenticator_;
  std::unique_ptr<raft::Raft> raft_;
  std::optional<Birth> birth_;

  // The batch of this turn, and its callers in the same order.
  store::BatchBuilder builder_;
  PendingBatch building_;
  std::size_t commands_expected_ = 0;               // of the next batch
  std::vector<RenewalWaiter> renewals_;             // of this turn
  std::vector<ForwardedBatch> forwarded_renewals_;  // of this turn
  UnloggedRenewals unlogged_renewals_;              // a leader's
  TimePoint log_renewals_after_ = TimePoint::min();
  bool flush_scheduled_ = false;

  Proposals proposals_;
  HeldBatches held_{limits::held_bytes_max};
  Reads reads_;
  StoreClock store_clock_;    // a leader's
  Term store_clock_term_;     // whose leader's
  StoreClock applied_clock_;  // goes on from the newest applied entry; for tokens only
  PeerCalls peer_calls_;
  ForwardId last_forward_;
  SeenForwards seen_forwards_;                 // of others
  std::vector<store::CommandResult> results_;  // of the entry being applied

  std::deque<raft::Entry> committed_;  // not yet applied: persistence is behind
  std::size_t committed_bytes_ = 0;
  std::map<NodeId, SnapshotTransfer> snapshots_;  // being sent
  raft::SnapshotId receiving_snapshot_;
  std::uint64_t receiving_attempt_ = 0;
  bool installing_ = false;  // its content is taking the place of ours: nothing is applied
  TimePoint persistence_idle_at_ = no_deadline;
  TimePoint persistence_settle_at_ = no_deadline;
  std::size_t settle_bytes_seen_ = 0;     // unflushed, when that deadline was set
  std::size_t log_segments_flushed_ = 0;  // there were, when a flush was asked for because of them
  TimePoint tell_members_after_ = TimePoint::min();

  std::deque<WaitingMessages> waiting_messages_;
  raft::PersistId persisted_;
  std::deque<Persisting> persisting_;            // handed to the log, not yet durable
  TimePoint handover_after_ = TimePoint::min();  // a slow disk: not sooner
  std::uint64_t handovers_ = 0;
  std::optional<raft::HardState> lazy_hard_state_;  // commit moved; goes out with the next batch
  std::deque<MemberChangeWaiter> member_changes_;
  LogIndex peers_as_of_;  // configuration whose addresses the network knows
  std::optional<store::DigestCheck> digest_check_due_;
  TimePoint lease_tick_after_ = TimePoint::min();
  TimePoint log_try_after_ = TimePoint::min();  // the disk is full
  std::uint64_t log_groups_seen_ = 0;           // by prove_log_end()
  std::uint64_t bad_messages_ = 0;              // from peers, undecodable
  ReplicaMetrics metrics_;                      // what is counted in it directly
  NodeId leader_seen_;
  std::uint64_t appends_dropped_ = 0;  // overloaded
  std::uint64_t snapshots_refused_ = 0;

  env::TimerId timer_;
  TimePoint timer_at_ = no_deadline;
  bool driving_ = false;
  bool pump_waits_ = false;  // for the log's disk
  bool pump_idle_ = false;
  bool halted_ = false;
  bool refuses_ = false;  // since refuse_waiting()
  bool quota_alarm_proposed_ = false;
  // By what callers are refused before anything is done.
  struct Rules {
    std::pair<store::AuthRevision, bool> auth;
    std::vector<store::Alarm> alarms;
    Revision compacted;
    friend bool operator==(const Rules&, const Rules&) = default;
  } rules_;
  bool log_reset_due_ = false;                                  // while recovering
  bool log_damaged_ = false;                                    // until the leader restored the vote
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // false for closures that outlive this
};

}  // namespace lockstep::replica
