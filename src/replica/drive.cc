// The loop: what raft decided is persisted, then promised, then applied, in this order and nowhere else.
#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "replica/replica.h"

namespace lockstep::replica {
namespace {

// How often calls are looked at for a deadline that passed.
constexpr Duration sweep_interval = 10ms;
// A read that no leader confirmed is tried again this much later.
constexpr Duration read_retry_interval = 20ms;
// After the last append the log's proof of it is made durable too (log.h, flush_idle).
constexpr Duration log_idle_interval = 5ms;
// A full disk is looked at this often: each look may fill what is left with zeros.
constexpr Duration disk_full_interval = 500ms;
// A leader whose disk stalls tries to hand over so many election timeouts after the last attempt: proposals
// are refused meanwhile.
constexpr int handover_timeouts = 4;

// An entry of nothing takes room as well.
std::size_t memory_bytes(const raft::Entry& entry) {
  return sizeof(raft::Entry) + entry.payload.size();
}

}  // namespace

void Replica::drive() {
  if (driving_) return;  // the outer loop goes on until raft has nothing more to say
  driving_ = true;
  while (!halted_) {
    raft::Output output = raft_->take_output();
    if (!output.empty()) {
      process(std::move(output));
    } else if (!release_held()) {
      break;
    }
  }
  driving_ = false;
  if (halted_) return;
  reads_.serve(machine_->applied_index());
  proposals_.run_completions();
  watch_guard_.check();
  send_answers();
  finish_member_changes();
  arm_timer();
}

void Replica::process(raft::Output output) {
  if (options_.on_trace) {
    for (const std::string& line : output.trace) options_.on_trace(line);
  }
  if (output.role_change) on_role_change(*output.role_change);
  if (output.vote_restored) restore_vote();
  if (raft_->configuration_index() != peers_as_of_) update_peers();
  // A leader's appends go out while its own disk still writes; what promises durability waits for the disk.
  send_messages(std::move(output.messages), std::move(output.messages_after_persist), output.persist_id);
  persist(output);
  if (output.snapshot_abandoned) {
    receiving_snapshot_ = {};
    if (persistence_) persistence_->abandon_install();
  }
  for (const raft::SnapshotChunk& chunk : output.snapshot_chunks) store_snapshot_chunk(chunk);
  for (const raft::SnapshotRequest& request : output.snapshot_requests) start_snapshot(request);
  for (const raft::SnapshotProgress& progress : output.snapshot_progress) continue_snapshot(progress);
  queue_committed(std::move(output.committed));
  apply_queued();
  finish_reads(output.reads);
}

// Does anybody here wait for what is committed? Then the leader is to tell this member at once.
bool Replica::wants_commits() const {
  return proposals_.waiting() || reads_.waiting() || reads_.building() || watch_hub_->any_in_a_hurry();
}

void Replica::send_messages(std::vector<raft::Message> messages, std::vector<raft::Message> after_persist,
                            raft::PersistId after) {
  for (raft::Message& message : messages) send(message);
  if (after_persist.empty()) return;
  if (after <= persisted_) {
    for (raft::Message& message : after_persist) send(message);
  } else {
    waiting_messages_.push_back({after, std::move(after_persist)});
  }
}

void Replica::persist(raft::Output& output) {
  if (output.hard_state) lazy_hard_state_ = output.hard_state;
  if (!output.must_persist()) return;
  log::AppendBatch batch;
  if (output.reset) batch.reset = log::LogPosition{output.reset->index, output.reset->term};
  batch.entries = std::move(output.entries);
  batch.hard_state = std::exchange(lazy_hard_state_, std::nullopt);
  // What was sent leaves at the turn's end, together, and a small group is written on this strand only after
  // that: the appends to the followers are on their way then.
  persisting_.push_back({output.persist_id, now()});
  log_->append(std::move(batch), [this, alive = alive_, id = output.persist_id] {
    if (*alive) on_durable(id);
  });
}

void Replica::on_durable(raft::PersistId id) {
  if (halted_) return;
  LS_MUST(id > persisted_, "the log finishes appends in order");
  persisted_ = id;
  while (!persisting_.empty() && persisting_.front().id <= id) persisting_.pop_front();
  const bool promised = !waiting_messages_.empty() && waiting_messages_.front().after <= persisted_;
  while (!waiting_messages_.empty() && waiting_messages_.front().after <= persisted_) {
    for (raft::Message& message : waiting_messages_.front().messages) send(message);
    waiting_messages_.pop_front();
  }
  raft_->persisted(now(), id);
  // The leader waits for what was promised: it leaves at the end of this turn, and what can be applied or
  // read now, much perhaps, comes in the next.
  if (promised) return schedule_flush();
  drive();
}

void Replica::restore_vote() {
  if (std::exchange(log_damaged_, false)) log_->mark_repaired([] {});
  if (const Status stored = birth_->restore_vote(); !stored.ok()) halt(stored);
}

void Replica::on_role_change(const raft::RoleChange& change) {
  const NodeId known_before = std::exchange(leader_seen_, change.leader);
  if (change.leader != NodeId{} && change.leader != known_before) {
    ++metrics_.leader_changes;
    proposals_.leader_changed(change.leader, now() + options_.election_timeout);
  }
  unlogged_renewals_.clear();
  if (change.role == raft::Role::leader) {
    store_clock_.restart(now(), machine_->store_time_ms());
    store_clock_term_ = change.term;
    seen_forwards_.begin(change.term);
    digest_check_due_.reset();
    quota_alarm_proposed_ = false;
  } else {
    snapshots_.clear();
  }
}

void Replica::queue_committed(std::vector<raft::Entry> committed) {
  for (raft::Entry& entry : committed) {
    committed_bytes_ += memory_bytes(entry);
    committed_.push_back(std::move(entry));
  }
}

// More than this member may hold waits for its engine or its disk (I11).
bool Replica::overloaded() const {
  return committed_bytes_ > options_.unapplied_bytes_max ||
         log_->queued_bytes() > options_.unapplied_bytes_max;
}

// The engine may be slower than the log: then applying waits, and with it the answers.
void Replica::apply_queued() {
  if (installing_) return;
  const LogIndex before = machine_->applied_index();
  while (!committed_.empty() && !halted_) {
    if (persistence_ && persistence_->backlog_bytes() > options_.backlog_bytes_max) break;
    const raft::Entry entry = std::move(committed_.front());
    committed_.pop_front();
    committed_bytes_ -= memory_bytes(entry);
    apply(entry);
  }
  if (halted_ || machine_->applied_index() == before) return;
  applied_clock_.restart(now(), machine_->store_time_ms());
  if (raft_->is_leader()) store_clock_.set(now(), machine_->store_time_ms());
  unlogged_renewals_.applied(machine_->applied_index());
  raft_->applied(now(), machine_->applied_index());
  tell_new_rules();
  raise_quota_alarm();
  pump_persistence(false);
  release_log();
}

// Every member refuses callers by what it has applied. Who was told that a user was made, or an alarm
// disarmed, may come to another one next: before the answer leaves here, the commit does.
void Replica::tell_new_rules() {
  Rules rules{machine_->auth().version(), machine_->alarms(store::AlarmKind::none),
              machine_->compacted_revision()};
  if (rules == rules_) return;
  rules_ = std::move(rules);
  if (raft_->is_leader()) raft_->hurry_commit(now());
}

void Replica::apply(const raft::Entry& entry) {
  LS_MUST(entry.index == machine_->applied_index().next(), "entries are applied in order, each once");
  if (entry.kind == raft::EntryKind::normal) {
    apply_normal(entry);
    if (halted_) return;
  } else {
    machine_->skip(entry.index, entry.term);
    const std::optional<PendingBatch> ours = proposals_.committed(entry.index, entry.term);
    LS_MUST(!ours.has_value(), "only normal entries are proposed with callers");
    if (entry.kind == raft::EntryKind::configuration && persistence_) {
      persistence_->set_configuration(std::string(entry.payload.view()));
    }
  }
  if (raft_->is_leader() && entry.index.value() % limits::digest_interval_entries == 0) {
    digest_check_due_ = store::DigestCheck{entry.index, machine_->digest()};
  }
}

// Entries already proposed still apply, so the store may end a little above its quota.
void Replica::raise_quota_alarm() {
  if (options_.quota_bytes == 0 || !raft_->is_leader()) return;
  if (machine_->bytes_in_use() <= options_.quota_bytes) {
    quota_alarm_proposed_ = false;
    return;
  }
  if (quota_alarm_proposed_ || !machine_->alarms(store::AlarmKind::no_space).empty()) return;
  store::AlarmRequest request;
  request.action = store::AlarmAction::activate;
  request.alarm = {options_.node, store::AlarmKind::no_space};
  start_batch();
  // Not if the batch is full: the next entry tries again.
  if (!builder_.alarm(request, {}, store::Principal::cluster())) return;
  quota_alarm_proposed_ = true;
  // Refused or lost: the next entry tries again.
  const auto done = [this](const Result<store::AlarmResponse>& result) {
    if (!result.ok()) quota_alarm_proposed_ = false;
  };
  building_.add(pending(store::Callback<store::AlarmResponse>(done), {}));
}

void Replica::apply_normal(const raft::Entry& entry) {
  std::optional<PendingBatch> ours = proposals_.committed(entry.index, entry.term);
  results_.clear();
  if (ours) results_.reserve(ours->commands.size());
  store::Applied applied =
      machine_->apply(entry.index, entry.term, entry.payload.view(), ours ? this : nullptr);
  if (!applied.fatal.ok()) return halt(applied.fatal);
  ++metrics_.entries_applied;
  if (applied.effects) watch_hub_->on_block(*applied.effects);
  if (persistence_) persistence_->add(std::move(applied));
  if (ours) proposals_.complete(std::move(*ours), std::exchange(results_, {}), header());
}

void Replica::on_result(std::size_t position, store::CommandResult result) {
  LS_MUST(position == results_.size(), "results come in the order of the commands");
  results_.push_back(std::move(result));
}

void Replica::finish_reads(const std::vector<raft::ReadResult>& reads) {
  for (const raft::ReadResult& read : reads) {
    if (read.ok) {
      reads_.confirmed(read.id, read.index);
    } else {
      reads_.failed(read.id);
    }
  }
}

void Replica::finish_member_changes() {
  while (!member_changes_.empty()) {
    MemberChangeWaiter& waiter = member_changes_.front();
    if (raft_->term() != waiter.term) {
      // Another leader may still finish what this one began.
      auto done = std::move(waiter.done);
      member_changes_.pop_front();
      done(unknown_lost());
      continue;
    }
    // The way out of the joint state is an entry, too: only once it is committed does a linearizable look at
    // the members, through any of them, show the new ones alone.
    const bool finished = machine_->applied_index() >= std::max(waiter.index, raft_->configuration_index()) &&
                          !raft_->configuration().joint();
    if (!finished && now() < waiter.deadline) return;
    auto done = std::move(waiter.done);
    member_changes_.pop_front();
    done(finished ? Status() : unknown_timeout());
  }
}

void Replica::arm_timer() {
  TimePoint wanted = raft_->next_deadline();
  const TimePoint present = now();
  if (raft_->is_leader()) {
    if (const auto due_ms = machine_->next_deadline_ms()) {
      // Not before a tick that was proposed had time to commit: one at a time.
      const TimePoint due = store_clock_.when(*due_ms);
      wanted = std::min(wanted, std::max(due, lease_tick_after_));
    }
    wanted = std::min(wanted, std::max(unlogged_renewals_.due(store_clock_), log_renewals_after_));
  }
  if (!held_.empty() || proposals_.waiting() || reads_.waiting() || reads_.building()) {
    wanted = std::min(wanted, present + sweep_interval);
  }
  if (reads_.wants_retry()) wanted = std::min(wanted, present + read_retry_interval);
  if (log_->flush_idle_wanted()) wanted = std::min(wanted, present + log_idle_interval);
  if (!member_changes_.empty()) wanted = std::min(wanted, member_changes_.front().deadline);
  if (log_->disk_full()) wanted = std::min(wanted, std::max(present, log_try_after_));
  wanted = std::min({wanted, persistence_idle_at_, persistence_settle_at_, peer_calls_.next_deadline()});
  if (timer_ != env::TimerId{} && timer_at_ <= wanted) return;  // fires early enough; looks again then
  if (timer_ != env::TimerId{}) environment_.executor.cancel(timer_);
  timer_ = env::TimerId{};
  timer_at_ = wanted;
  if (wanted == no_deadline) return;
  timer_ = environment_.executor.schedule(wanted, [this, alive = alive_] {
    if (*alive) on_timer();
  });
}

// After the last append the log's proof of it is made durable too (log.h, flush_idle). While more come, their
// writes take it along: a sync of its own would delay them.
void Replica::prove_log_end() {
  if (!log_->flush_idle_wanted()) return;
  const std::uint64_t groups = log_->stats().groups;
  if (std::exchange(log_groups_seen_, groups) != groups) {
    log_->prove_with_next_group();
  } else {
    log_->flush_idle();
  }
}

void Replica::on_timer() {
  timer_ = env::TimerId{};
  timer_at_ = no_deadline;
  if (halted_) return;
  const TimePoint present = now();
  raft_->tick(present);
  proposals_.expire(present);
  held_.expire(present, proposals_);
  peer_calls_.expire(present);
  reads_.expire(present);
  reads_.retry();
  if (reads_.building()) schedule_flush();
  prove_log_end();
  if (log_->disk_full() && present >= log_try_after_) {
    log_try_after_ = present + disk_full_interval;
    log_->try_again();
  }
  if (present >= unlogged_renewals_.due(store_clock_)) log_renewals();
  tick_leases(present);
  leave_to_faster_disk(present);
  resend_snapshots(present);
  tell_silent_members(present);
  const bool settles = present >= persistence_settle_at_;
  if (settles) {
    persistence_settle_at_ = no_deadline;
    persistence_->request_flush();
  }
  if (settles || present >= persistence_idle_at_) pump_persistence(true);
  drive();
}

bool Replica::has_waiting() const {
  return proposals_.waiting() || !held_.empty() || reads_.building() || reads_.waiting() ||
         builder_.started() || !renewals_.empty() || !forwarded_renewals_.empty();
}

void Replica::refuse_waiting() {
  refuses_ = true;
  if (halted_) return;
  flush_renewals();
  flush_batch();
  proposals_.expire(no_deadline);
  held_.expire(no_deadline, proposals_);
  peer_calls_.expire(no_deadline);
  reads_.expire(no_deadline);
  drive();
}

void Replica::tick_leases(TimePoint present) {
  if (!raft_->is_leader() || present < lease_tick_after_) return;
  const auto due_ms = machine_->next_deadline_ms();
  if (!due_ms || store_clock_.when(*due_ms) > present) return;
  lease_tick_after_ = present + sweep_interval;
  if (leader_time_ms() < *due_ms) return;  // held back for renewals that are to be logged
  // Any entry moves the store clock; only if none is on its way does the tick need one of its own.
  start_batch();
  if (builder_.count() == 0) {
    const bool added = builder_.nothing();
    LS_MUST(added);
    building_.add({std::monostate{}, no_deadline, {}});
  }
}

// The others commit without this member's disk, but nothing is applied or answered here before it is durable
// here as well (P1): a voter that keeps up serves better.
void Replica::leave_to_faster_disk(TimePoint present) {
  if (!raft_->is_leader() || persisting_.empty() || present < handover_after_) return;
  if (present - persisting_.front().since <= options_.election_timeout) return;
  if (raft_->commit_index() <= raft_->durable_index()) return;
  NodeId best;
  LogIndex best_match = raft_->durable_index();
  for (const auto& [node, peer] : raft_->peers()) {
    const bool alive = peer.last_heard >= present - options_.election_timeout;
    if (!alive || peer.in_doubt || peer.match <= best_match) continue;
    if (!raft_->configuration().is_voter(node)) continue;
    best = node;
    best_match = peer.match;
  }
  if (best == NodeId{}) return;
  handover_after_ = present + handover_timeouts * options_.election_timeout;
  // Refused only if another transfer runs: the next attempt sees.
  if (raft_->transfer_leadership(present, best).ok()) ++handovers_;
}

void Replica::halt(const Status& why) {
  if (halted_) return;
  halted_ = true;
  environment_.network.set_receiver(nullptr);
  if (options_.on_fatal) options_.on_fatal(why);
}

}  // namespace lockstep::replica
