// Behind the log: the engine gets what was applied, and then the log may forget it.
#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "raft/configuration.h"
#include "replica/replica.h"

namespace lockstep::replica {
namespace {

// What was applied last is written after this time without anything new.
constexpr Duration persistence_idle_interval = 20ms;
// So long with hardly a write, and the engine flushes what it has gathered: a restart is quicker, and its
// memory and the log's space are given back. Small amounts wait, or many small files would come of them.
constexpr Duration persistence_settle_interval = 3s;
constexpr std::size_t settle_bytes_min = 1 * limits::mebibyte;
constexpr std::size_t settle_trickle_bytes_max = 64 * limits::kibibyte;
// Small groups fill the log's segments long before the engine would flush by itself. Not more of them than
// are kept for reuse: what is released then is what the log goes on in, and nothing new is filled with zeros.
constexpr std::size_t log_segments_max = 3;

}  // namespace

Status Replica::recover_state(store::Recovered* recovered) {
  if (options_.engine != nullptr) cold_history_ = std::make_unique<store::EngineHistory>(*options_.engine);
  machine_ = std::make_shared<store::StateMachine>(options_.machine, cold_history_.get());
  if (options_.engine != nullptr) {
    LS_ASSIGN_OR_RETURN(*recovered, store::recover(*options_.engine, *machine_));
  }
  watch::WatchHubOptions watch_options;
  watch_options.header = [this] { return header(); };
  watch_guard_.set_state(*machine_);
  watch_hub_ = std::make_unique<watch::WatchHub>(machine_->history(), environment_.executor,
                                                 environment_.clock, std::move(watch_options));
  return Status();
}

void Replica::start_persistence(store::Recovered recovered) {
  if (options_.engine == nullptr) return;
  if (!persistence_) {
    store::Persistence::Callbacks callbacks;
    callbacks.on_progress = [this] { on_persistence_progress(); };
    callbacks.on_fatal = [this](const Status& why) { halt(why); };
    persistence_ = std::make_unique<store::Persistence>(options_.persistence, *options_.engine,
                                                        environment_.worker, std::move(callbacks));
  }
  const bool unknown = recovered.configuration.empty();
  persistence_->start(std::move(recovered));
  const raft::Configuration& founding = raft_->configuration_at(machine_->applied_index());
  // A member that joins hears who the others are from its first entries or snapshot.
  if (unknown && !founding.empty()) persistence_->set_configuration(raft::encode_configuration(founding));
}

void Replica::on_persistence_progress() {
  if (halted_) return;
  machine_->history().set_durable_revision(persistence_->durable_revision());
  pump_persistence(false);
  apply_queued();
  release_log();
  drive();
}

void Replica::pump_persistence(bool idle) {
  if (!persistence_) return;
  if (log_->disk_at_work()) return pump_when_durable(idle);
  // Once for as many segments: an engine that lags gets no small flushes on top.
  const std::size_t segments = log_->segments();
  if (segments <= log_segments_max) log_segments_flushed_ = 0;
  if (segments > log_segments_flushed_ + log_segments_max &&
      persistence_->unflushed_bytes() >= settle_bytes_min) {
    log_segments_flushed_ = segments;
    persistence_->request_flush();
  }
  persistence_->pump(*machine_, idle);
  const bool waiting = !persistence_->busy() && persistence_->backlog_bytes() > 0;
  persistence_idle_at_ = waiting ? now() + persistence_idle_interval : no_deadline;
  const std::size_t unflushed = persistence_->unflushed_bytes();
  if (unflushed < settle_bytes_min) {
    persistence_settle_at_ = no_deadline;
  } else if (persistence_settle_at_ == no_deadline || unflushed < settle_bytes_seen_ ||
             unflushed > settle_bytes_seen_ + settle_trickle_bytes_max) {
    settle_bytes_seen_ = unflushed;
    persistence_settle_at_ = now() + persistence_settle_interval;
  }
}

// The engine's worker starts on what it is given at once, and is never to be ahead of the log's disk.
void Replica::pump_when_durable(bool idle) {
  pump_idle_ |= idle;
  if (std::exchange(pump_waits_, true)) return;
  environment_.executor.post([this, alive = alive_] {
    if (!*alive) return;
    pump_waits_ = false;
    if (halted_) return;
    pump_persistence(std::exchange(pump_idle_, false));
    release_log();
    arm_timer();
  });
}

// The log on disk forgets what survives a crash in the engine; the log in memory, only when it has grown,
// what a snapshot could give a follower instead.
void Replica::release_log() {
  if (!persistence_) return;
  log_->release(persistence_->durable_index());
  // Alone, nobody needs any of it; who joins gets a snapshot.
  const bool alone_for_sure = alone() && raft_->configuration().learners.empty();
  const std::size_t settled_bytes_max =
      std::min({options_.log_memory_settled_bytes_max, options_.log_memory_bytes_max,
                alone_for_sure ? limits::log_memory_alone_bytes_max : SIZE_MAX});
  if (raft_->log().bytes() <= settled_bytes_max) return;
  // Half of it: followers that lag a little are common, snapshots are dear.
  const LogIndex base = raft_->log().base_index();
  const LogIndex middle = base + (raft_->log().last_index() - base) / 2;
  LogIndex index = std::min({middle, persistence_->engine_index(), raft_->applied_index()});
  if (raft_->log().bytes() <= options_.log_memory_bytes_max && raft_->is_leader()) {
    for (const auto& [id, peer] : raft_->peers()) index = std::min(index, peer.match);
  }
  if (raft_->log().bytes() <= snapshot_log_factor * options_.log_memory_bytes_max) {
    for (const auto& [peer, transfer] : snapshots_) index = std::min(index, transfer.reaches);
  }
  if (index > base) raft_->compact(index);
}

}  // namespace lockstep::replica
