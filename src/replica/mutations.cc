// Mutations: from the call to the entry. Everything that arrives in one loop turn goes into one batch (P4).
#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/planted.h"
#include "replica/replica.h"
#include "store/errors.h"
#include "store/validate.h"

namespace lockstep::replica {
namespace {

// Mutations wait so long for a leader: an election that meets a split vote or two is over by then.
constexpr int hold_timeouts = 8;
// Room is made for as many commands as the last batch had.
constexpr std::size_t commands_expected_max = 1024;

Status not_leader() {
  return Status(Code::unavailable, "etcdserver: not leader");
}

}  // namespace

PendingCommand Replica::pending(CommandCallback done, const store::CallOptions& options) const {
  return {std::move(done), std::min(options.deadline, environment_.clock.now() + options_.request_timeout),
          options.cancellation};
}

void Replica::start_batch() {
  if (builder_.started()) return;
  store::BatchHeader header;
  if (raft_->is_leader()) {
    header.store_time_ms = leader_time_ms();
    if (digest_check_due_) {
      header.digest_check = digest_check_due_;
      digest_check_due_.reset();
    }
  }
  builder_.start(header);
  building_.commands.reserve(commands_expected_);
  schedule_flush();
}

template <class Response, class Request, class Add>
void Replica::mutate(Request& request, const store::CallOptions& options, store::Callback<Response> done,
                     Add add) {
  Status why;
  if (refuse_call(options, &why)) return done(why);
  if (const Status invalid = store::validate(options.request_id); !invalid.ok()) return done(invalid);
  // With a request id only the log knows whether it took effect before.
  const bool judged_here = !options.request_id.present() || options.principal.is_nobody();
  if (machine_->auth().enabled() && judged_here &&
      !machine_->authoriser(options.principal).check(request).ok()) {
    return confirm_denial(std::move(request), options, std::move(done), add);
  }
  start_batch();
  if (!add(builder_, request, options)) {
    flush_batch();
    if (halted_) return done(Status(Code::unavailable, "etcdserver: server stopped"));
    start_batch();
    const bool added = add(builder_, request, options);
    LS_MUST(added, "the first command of a batch fits");
  }
  building_.add(pending(std::move(done), options));
}

// What this member knows may be old: a denial counts once a current state says it, too. It never costs the
// log an entry, whoever asks and however often (I11).
template <class Response, class Request, class Add>
void Replica::confirm_denial(Request request, const store::CallOptions& options,
                             store::Callback<Response> done, Add add) {
  when_current(options, [this, request = std::move(request), options, done = std::move(done),
                         add](const Status& status) mutable {
    if (!status.ok()) return done(status);
    const Status denied = machine_->authoriser(options.principal).check(request);
    if (!denied.ok()) return done(denied);
    mutate(request, options, std::move(done), add);
  });
}

// admit() validates as well.
void Replica::put(store::PutRequest request, store::CallOptions options,
                  store::Callback<store::PutResponse> done) {
  if (const Status refused = machine_->admit(request); !refused.ok()) return done(refused);
  mutate(request, options, std::move(done),
         [](store::BatchBuilder& builder, const store::PutRequest& put, const store::CallOptions& call) {
           return builder.put(put, call.request_id, call.principal);
         });
}

void Replica::delete_range(store::DeleteRangeRequest request, store::CallOptions options,
                           store::Callback<store::DeleteRangeResponse> done) {
  if (const Status invalid = store::validate(request); !invalid.ok()) return done(invalid);
  mutate(request, options, std::move(done),
         [](store::BatchBuilder& builder, const store::DeleteRangeRequest& remove,
            const store::CallOptions& call) {
           return builder.delete_range(remove, call.request_id, call.principal);
         });
}

void Replica::txn(store::TxnRequest request, store::CallOptions options,
                  store::Callback<store::TxnResponse> done) {
  if (const Status refused = machine_->admit(request); !refused.ok()) return done(refused);
  if (store::is_read_only(request)) return read_txn(std::move(request), options, std::move(done));
  mutate(request, options, std::move(done),
         [](store::BatchBuilder& builder, const store::TxnRequest& txn, const store::CallOptions& call) {
           return builder.txn(txn, call.request_id, call.principal);
         });
}

void Replica::compact(store::CompactRequest request, store::CallOptions options,
                      store::Callback<store::CompactResponse> done) {
  mutate(
      request, options, std::move(done),
      [](store::BatchBuilder& builder, const store::CompactRequest& compact, const store::CallOptions& call) {
        return builder.compact(compact, call.request_id, call.principal);
      });
}

void Replica::lease_grant(store::LeaseGrantRequest request, store::CallOptions options,
                          store::Callback<store::LeaseGrantResponse> done) {
  if (const Status refused = machine_->admit(request); !refused.ok()) return done(refused);
  request.ttl = store::granted_ttl(request.ttl, options_.lease_ttl_min);
  mutate(request, options, std::move(done),
         [](store::BatchBuilder& builder, const store::LeaseGrantRequest& grant,
            const store::CallOptions& call) {
           return builder.lease_grant(grant, call.request_id, call.principal);
         });
}

void Replica::lease_revoke(store::LeaseRevokeRequest request, store::CallOptions options,
                           store::Callback<store::LeaseRevokeResponse> done) {
  mutate(request, options, std::move(done),
         [](store::BatchBuilder& builder, const store::LeaseRevokeRequest& revoke,
            const store::CallOptions& call) {
           return builder.lease_revoke(revoke, call.request_id, call.principal);
         });
}

void Replica::alarm(store::AlarmRequest request, store::CallOptions options,
                    store::Callback<store::AlarmResponse> done) {
  mutate(request, options, std::move(done),
         [](store::BatchBuilder& builder, const store::AlarmRequest& alarm, const store::CallOptions& call) {
           return builder.alarm(alarm, call.request_id, call.principal);
         });
}

void Replica::register_client(store::CallOptions options,
                              store::Callback<store::RegisterClientResponse> done) {
  store::RegisterClientCommand request;
  mutate(request, options, std::move(done),
         [](store::BatchBuilder& builder, const store::RegisterClientCommand&,
            const store::CallOptions& call) { return builder.register_client(call.principal); });
}

void Replica::propose_auth(store::AuthChange change, store::CallOptions options,
                           store::Callback<store::AuthResponse> done) {
  if (const Status invalid = store::validate(change); !invalid.ok()) return done(invalid);
  mutate(change, options, std::move(done),
         [](store::BatchBuilder& builder, const store::AuthChange& auth, const store::CallOptions& call) {
           return builder.auth(auth, call.request_id, call.principal);
         });
}

void Replica::schedule_flush() {
  if (flush_scheduled_ || halted_) return;
  flush_scheduled_ = true;
  environment_.executor.post([this, alive = alive_] {
    if (*alive) flush();
  });
}

void Replica::flush() {
  flush_scheduled_ = false;
  if (halted_) return;
  // Renewals wait for what this turn committed to be applied: else a majority would have to be asked.
  const bool behind = raft_->is_leader() && machine_->applied_index() < raft_->commit_index();
  if (!behind) flush_renewals();
  if (reads_.building()) raft_->read_index(now(), reads_.start_attempt());
  flush_batch();
  drive();
  if (!behind || halted_ || (renewals_.empty() && forwarded_renewals_.empty())) return;
  flush_renewals();
  schedule_flush();
}

void Replica::flush_batch() {
  if (!builder_.started()) return;
  PendingBatch batch = std::exchange(building_, {});
  commands_expected_ = std::min(batch.commands.size(), commands_expected_max);
  // Stamped when it is complete: what came last may be a lease, whose time does not begin before it was asked
  // for. A disk may have been waited for since the first.
  const bool stamps = raft_->is_leader() && !LS_PLANTED(entry_stamped_when_begun);
  std::string payload = stamps ? builder_.take_at(leader_time_ms()) : builder_.take();
  release_held();
  submit_batch(std::move(payload), std::move(batch));
}

bool Replica::knows_leader() const {
  return raft_->is_leader() || (raft_->leader() != NodeId{} && raft_->leader() != options_.node);
}

void Replica::submit_batch(std::string payload, PendingBatch batch) {
  if (raft_->is_leader()) return propose_batch(std::move(payload), std::move(batch));
  if (knows_leader()) return forward_batch(std::move(payload), std::move(batch));
  if (!held_.fits(payload.size())) return proposals_.fail(std::move(batch), no_leader());
  held_.hold(std::move(payload), std::move(batch), now() + hold_timeouts * options_.election_timeout);
}

// In the order of arrival. True if there was anything.
bool Replica::release_held() {
  if (held_.empty() || !knows_leader()) return false;
  while (!held_.empty()) {
    HeldBatches::Held held = held_.take();
    if (!raft_->is_leader()) {
      forward_batch(std::move(held.payload), std::move(held.batch));
      continue;
    }
    store::BatchHeader header;
    header.store_time_ms = leader_time_ms();
    Result<std::string> payload = store::restamp_batch(held.payload, header);
    LS_MUST(payload.ok(), "this member built it");
    propose_batch(*std::move(payload), std::move(held.batch));
  }
  return true;
}

void Replica::propose_batch(std::string payload, PendingBatch batch) {
  // Committed by the others: raft no longer counts it, memory does.
  ++metrics_.proposals;
  if (overloaded()) {
    ++metrics_.proposals_refused;
    return proposals_.fail(std::move(batch), too_many_requests());
  }
  // Renewals first: as long as raft has no room for them the store clock would stand still, and no lease end.
  if (may_renew_in_memory(raft_->term()) && now() >= unlogged_renewals_.due(store_clock_)) {
    log_renewals();
    if (now() >= unlogged_renewals_.due(store_clock_)) {
      ++metrics_.proposals_refused;
      return proposals_.fail(std::move(batch), too_many_requests());
    }
  }
  const SharedBytes shared(std::move(payload));
  const Result<LogIndex> index = raft_->propose(now(), std::span(&shared, 1));
  if (index.ok()) {
    proposals_.proposed(*index, raft_->term(), std::move(batch));
  } else if (index.status().code() == Code::resource_exhausted) {
    ++metrics_.proposals_refused;
    proposals_.fail(std::move(batch), too_many_requests());
  } else {
    proposals_.fail(std::move(batch), not_leader());
  }
}

void Replica::forward_batch(std::string payload, PendingBatch batch) {
  ++metrics_.proposals;
  ++last_forward_;
  const NodeId leader = raft_->leader();
  environment_.network.send(leader,
                            encode(Forward{last_forward_, raft_->term(), SharedBytes(std::move(payload))}));
  proposals_.forwarded(last_forward_, leader, std::move(batch));
}

}  // namespace lockstep::replica
