#include "replica/replica.h"

#include <utility>

#include "base/assert.h"
#include "replica/addresses.h"
#include "store/errors.h"
#include "store/validate.h"

namespace lockstep::replica {

Result<std::unique_ptr<Replica>> Replica::open(env::Environment environment, Options options) {
  LS_MUST(options.node != NodeId{});
  LS_MUST(options.cluster != ClusterId{});
  std::unique_ptr<Replica> replica(new Replica(environment, std::move(options)));
  LS_RETURN_IF_ERROR(replica->recover());
  return replica;
}

Replica::Replica(env::Environment environment, Options options)
    : environment_(environment),
      options_(std::move(options)),
      peer_calls_(environment_.network, environment_.random.next()),
      last_forward_(first_forward_id(environment.random.next())) {}

Replica::~Replica() {
  *alive_ = false;
  environment_.network.set_receiver(nullptr);
  if (timer_ != env::TimerId{}) environment_.executor.cancel(timer_);
}

Status Replica::recover() {
  store::Recovered state;
  LS_RETURN_IF_ERROR(recover_state(&state));
  LS_ASSIGN_OR_RETURN(log::Recovered recovered, open_log(state));

  std::vector<NodeId> founders;
  for (const Member& founder : options_.founders) founders.push_back(founder.id);
  std::ranges::sort(founders);
  LS_ASSIGN_OR_RETURN(
      Birth birth, Birth::load(environment_.disk, options_.node, recovered.identity.incarnation, founders));
  birth_.emplace(std::move(birth));

  raft::Restored restored;
  restored.hard_state = recovered.hard_state;
  restored.entries = std::move(recovered.entries);
  restored.snapshot_index = state.applied;
  restored.snapshot_term = state.term;
  restored.applied = state.applied;
  restored.snapshot_configuration.voters = founders;
  restored.snapshot_configuration.context = encode_addresses(options_.founders);
  if (!state.configuration.empty()) {
    LS_ASSIGN_OR_RETURN(restored.snapshot_configuration, raft::decode_configuration(state.configuration));
  }
  restored.may_vote = !recovered.damage && birth_->state() == BirthState::born;
  make_raft(std::move(restored));
  LS_RETURN_IF_ERROR(repair_log(state, recovered.damage, recovered.hard_state));
  start_persistence(std::move(state));
  applied_clock_.restart(now(), machine_->store_time_ms());
  env::Worker* hasher = environment_.secrets_worker;
  authenticator_ = std::make_unique<Authenticator>(static_cast<Host&>(*this), environment_.secrets,
                                                   hasher != nullptr ? *hasher : environment_.worker,
                                                   environment_.random, options_.security);
  environment_.network.set_receiver(this);
  for (const Member& contact : options_.contacts) environment_.network.set_peer(contact.id, contact.address);
  update_peers();
  drive();
  ask_for_birth();
  // A lone voter need not wait for silence: nobody else can lead.
  if (alone()) campaign();
  return Status();
}

// The log behind the recovered state.
Result<log::Recovered> Replica::open_log(const store::Recovered& state) {
  log::Options log_options = options_.log;
  log_options.cluster = options_.cluster;
  log_options.node = options_.node;
  log_options.new_incarnation = IncarnationId(environment_.random.next());
  log_options.entries_after = state.applied;
  LS_ASSIGN_OR_RETURN(log::Log::Opened opened,
                      log::Log::open(environment_.disk, environment_.worker, log_options,
                                     [this, alive = alive_](const Status& why) {
                                       if (*alive) halt(why);
                                     }));
  log_ = std::move(opened.log);
  log::Recovered& recovered = opened.recovered;
  log_damaged_ = recovered.damage.has_value();
  if (log_damaged_ && options_.trace) options_.on_trace("finds its log damaged: " + recovered.damage->reason);
  if (recovered.base.index > state.applied) {
    return Status(
        Code::corruption,
        "the log begins after entry " + std::to_string(recovered.base.index.value()) +
            ", but the engine's state ends at entry " + std::to_string(state.applied.value()) +
            ": the engine's directory was lost or is an older copy. Put log and engine of one backup "
            "back together, or, if other members live, start this one with an empty directory: they "
            "restore it");
  }
  // A snapshot was installed and the process ended before the log was told: what the log holds is another
  // past. (If its entry behind the snapshot has the snapshot's term or a later one, it is the same past: log
  // matching.)
  const bool behind = recovered.last.index < state.applied;
  const bool other_past = !recovered.entries.empty() && recovered.entries.front().term < state.term;
  const bool other_end = recovered.last.index == state.applied && recovered.last.term != state.term;
  log_reset_due_ = behind || other_past || other_end;
  // The term it was installed in may not have become durable before it. In that term no vote was given: a
  // vote is durable first.
  raft::HardState& hard_state = recovered.hard_state;
  if (hard_state.term < state.term) hard_state = {state.term, NodeId{}, hard_state.commit};
  if (log_reset_due_) recovered.entries.clear();
  return std::move(opened.recovered);
}

// What stands on disk is brought in line with what raft starts from.
Status Replica::repair_log(const store::Recovered& state, const std::optional<log::Damage>& damage,
                           const raft::HardState& hard_state) {
  if (log_->needs_discard()) {
    if (alone()) return Status(Code::corruption, damage->reason + "; no other member has a copy");
    LS_RETURN_IF_ERROR(log_->discard_damaged_tail());
  }
  if (std::exchange(log_reset_due_, false)) {
    log::AppendBatch batch;
    batch.reset = log::LogPosition{state.applied, state.term};
    batch.hard_state = hard_state;
    log_->append(std::move(batch), [] {});
  }
  return Status();
}

bool Replica::alone() const {
  const raft::Configuration& configuration = raft_->configuration();
  return configuration.voters.size() == 1 && !configuration.joint() && configuration.is_voter(options_.node);
}

void Replica::make_raft(raft::Restored restored) {
  raft::Options raft_options;
  raft_options.id = options_.node;
  raft_options.election_timeout = options_.election_timeout;
  raft_options.heartbeat_interval = options_.heartbeat_interval;
  raft_options.commit_notice_delay = options_.commit_notice_delay;
  raft_options.uncommitted_bytes_max = options_.uncommitted_bytes_max;
  raft_options.trace = options_.trace;
  raft_ = std::make_unique<raft::Raft>(raft_options, std::move(restored), environment_.random.next(), now());
}

store::Capabilities Replica::capabilities() const {
  store::Capabilities capabilities;
  capabilities.lease_ttl_min = options_.lease_ttl_min;
  capabilities.lease_renewals_survive_failover = true;
  capabilities.deduplicates_requests = true;
  capabilities.serializable_reads_see_own_writes = raft_->configuration().members().size() == 1;
  return capabilities;
}

store::Header Replica::header() const {
  store::Header header;
  header.cluster = options_.cluster;
  header.member = options_.node;
  header.term = raft_->term();
  header.revision = machine_->revision();
  return header;
}

bool Replica::refuse_call(const store::CallOptions& options, Status* why) const {
  if (refuses_) {
    // Not worth a repetition.
    *why = Status(Code::cancelled, "etcdserver: server stopped");
  } else if (halted_) {
    *why = Status(Code::unavailable, "etcdserver: server stopped");
  } else if (options.cancellation.stop_requested()) {
    *why = Status(Code::cancelled, "the caller gave up before the call began");
  } else if (options.deadline <= environment_.clock.now()) {
    *why = Status(Code::deadline_exceeded, "the deadline passed before the call began");
  } else {
    return false;
  }
  return true;
}

template <class Response, class Serve>
void Replica::read(const store::CallOptions& options, bool linearizable, store::Callback<Response> done,
                   Serve serve) {
  Status why;
  if (refuse_call(options, &why)) return done(why);
  if (!linearizable) return done(serve());
  reads_.add({[done = std::move(done), serve = std::move(serve)](const Status& status) mutable {
                if (!status.ok()) return done(status);
                done(serve());
              },
              std::min(options.deadline, now() + options_.request_timeout)});
  schedule_flush();
}

void Replica::range(store::RangeRequest request, store::CallOptions options,
                    store::Callback<store::RangeResponse> done) {
  if (const Status invalid = store::validate(request); !invalid.ok()) return done(invalid);
  const bool linearizable = !request.serializable;
  if (linearizable && request.range_end.empty()) machine_->prefetch(request.key);
  read(options, linearizable, std::move(done),
       [this, request = std::move(request), who = options.principal]() -> Result<store::RangeResponse> {
         LS_RETURN_IF_ERROR(machine_->authoriser(who).check(request));
         Result<store::RangeResponse> response = machine_->range(request);
         if (!response.ok()) return response;
         const Revision revision = response->header.revision;
         response->header = header();
         response->header.revision = revision;
         return response;
       });
}

// What writes nothing needs no entry.
void Replica::read_txn(store::TxnRequest request, const store::CallOptions& options,
                       store::Callback<store::TxnResponse> done) {
  const bool linearizable = !store::is_serializable(request);
  read(options, linearizable, std::move(done),
       [this, request = std::move(request), who = options.principal]() -> Result<store::TxnResponse> {
         LS_RETURN_IF_ERROR(machine_->authoriser(who).check(request));
         Result<store::TxnResponse> response = machine_->read_txn(request);
         if (!response.ok()) return response;
         const Revision revision = response->header.revision;
         response->header = header();
         response->header.revision = revision;
         return response;
       });
}

void Replica::lease_leases(store::CallOptions options, store::Callback<store::LeaseLeasesResponse> done) {
  read(options, true, std::move(done),
       [this, who = options.principal]() -> Result<store::LeaseLeasesResponse> {
         LS_RETURN_IF_ERROR(machine_->authoriser(who).check_known());
         store::LeaseLeasesResponse response = machine_->lease_leases();
         response.header = header();
         return response;
       });
}

// A login is judged by how old it is on this clock; leases are not.
std::int64_t Replica::auth_now_ms() {
  if (raft_->is_leader()) return leader_time_ms();
  return std::max(applied_clock_.read_ms(now()), machine_->store_time_ms());
}

void Replica::when_current(store::CallOptions options, std::move_only_function<void(const Status&)> done) {
  Status why;
  if (refuse_call(options, &why)) return done(why);
  reads_.add({std::move(done), std::min(options.deadline, now() + options_.request_timeout)});
  schedule_flush();
}

Result<std::unique_ptr<store::Subscription>> Replica::watch(store::WatchRequest request,
                                                            store::CallOptions options) {
  if (halted_) return Status(Code::unavailable, "etcdserver: server stopped");
  LS_RETURN_IF_ERROR(machine_->authoriser(options.principal).check(request));
  LS_ASSIGN_OR_RETURN(auto subscription, watch_hub_->watch(request));
  return watch_guard_.wrap(std::move(subscription), request, options.principal);
}

Status Replica::transfer_leadership(NodeId to) {
  if (halted_) return Status(Code::unavailable, "etcdserver: server stopped");
  const Status status = raft_->transfer_leadership(now(), to);
  drive();
  return status;
}

void Replica::campaign() {
  if (halted_) return;
  raft_->campaign(now());
  drive();
}

void Replica::change_members(const std::vector<raft::MemberChange>& changes,
                             const std::vector<Member>& addresses,
                             std::move_only_function<void(Status)> done) {
  if (halted_) return done(Status(Code::unavailable, "etcdserver: server stopped"));
  for (const Member& member : addresses) {
    if (!listable(member))
      return done(Status(Code::invalid_argument, "a member's address, name or URL is too long"));
  }
  raft::ConfigurationChange change;
  change.changes = changes;
  change.context = merge_addresses(raft_->configuration(), addresses);
  const Result<LogIndex> index = raft_->propose_configuration(now(), change);
  if (!index.ok()) return done(index.status());
  member_changes_.push_back({*index, raft_->term(), now() + options_.request_timeout, std::move(done)});
  drive();
}

ReplicaMetrics Replica::metrics() const {
  ReplicaMetrics metrics = metrics_;
  metrics.proposals_failed = proposals_.commands_failed();
  metrics.proposals_pending = proposals_.pending();
  metrics.bad_messages = bad_messages_;
  metrics.watch = watch_hub_->metrics();
  return metrics;
}

ReplicaStatus Replica::status() const {
  ReplicaStatus status;
  status.role = raft_->role();
  status.term = raft_->term();
  status.leader = raft_->leader();
  status.commit = raft_->commit_index();
  status.applied = machine_->applied_index();
  status.durable = raft_->durable_index();
  status.revision = machine_->revision();
  status.digest = machine_->digest();
  status.configuration = raft_->configuration();
  status.may_vote = raft_->may_vote();
  status.removed_by = raft_->removed_by();
  status.handovers = handovers_;
  status.appends_dropped = appends_dropped_;
  status.snapshots_refused = snapshots_refused_;
  return status;
}

}  // namespace lockstep::replica
