#include "replica/memory_store.h"

#include "base/assert.h"
#include "store/validate.h"

namespace lockstep::replica {
namespace {

// Of one posted slice of compaction.
constexpr std::size_t compaction_steps = 1024;

}  // namespace

MemoryStore::MemoryStore(env::Executor& executor, env::Clock& clock, MemoryStoreOptions options)
    : executor_(executor),
      clock_(clock),
      options_(options),
      machine_(options.machine),
      hub_(machine_.history(), executor, clock) {
  store_clock_.restart(clock_.now(), 0);
  watch_guard_.set_state(machine_);
}

MemoryStore::~MemoryStore() {
  *alive_ = false;
  executor_.cancel(expiry_timer_);
}

store::Capabilities MemoryStore::capabilities() const {
  return {.lease_ttl_min = options_.lease_ttl_min,
          .lease_renewals_survive_failover = true,
          .deduplicates_requests = true,
          .serializable_reads_see_own_writes = true};
}

Status MemoryStore::refuse(const store::CallOptions& options) const {
  if (options.cancellation.stop_requested()) return {Code::cancelled, "cancelled before it began"};
  if (options.deadline <= clock_.now()) return {Code::deadline_exceeded, "deadline passed before it began"};
  return store::validate(options.request_id);
}

void MemoryStore::on_result(std::size_t position, store::CommandResult result) {
  LS_MUST(position == results_.size());
  results_.push_back(std::move(result));
}

store::CommandResult MemoryStore::apply(const std::function<bool(store::BatchBuilder&)>& add) {
  store::BatchBuilder batch;
  batch.start({.store_time_ms = store_clock_.read_ms(clock_.now())});
  const bool added = add(batch);
  LS_MUST(added, "one command fits a batch");
  results_.clear();
  const store::Applied applied = machine_.apply(machine_.applied_index().next(), Term(1), batch.take(), this);
  LS_MUST(applied.fatal.ok());
  LS_MUST(results_.size() == 1);
  if (applied.effects != nullptr) hub_.on_block(*applied.effects);
  schedule_expiry();
  return std::move(results_[0]);
}

void MemoryStore::schedule_expiry() {
  executor_.cancel(expiry_timer_);
  expiry_timer_ = env::TimerId{};
  const std::optional<std::int64_t> deadline_ms = machine_.next_deadline_ms();
  if (!deadline_ms.has_value()) return;
  expiry_timer_ = executor_.schedule(store_clock_.when(*deadline_ms), [this] {
    const auto ticked = apply([](store::BatchBuilder& batch) { return batch.nothing(); });
    LS_MUST(ticked.ok());
  });
}

void MemoryStore::schedule_compaction() {
  executor_.post([this, alive = alive_] {
    if (*alive && machine_.compaction_step(compaction_steps, nullptr)) schedule_compaction();
  });
}

template <class Response, class Add>
void MemoryStore::mutate(const Status& refused, const store::CallOptions& options,
                         store::Callback<Response> done, Add add) {
  if (!refused.ok()) return done(refused);
  if (const Status late = refuse(options); !late.ok()) return done(late);
  store::CommandResult result =
      apply([&](store::BatchBuilder& batch) { return add(batch, options.request_id); });
  watch_guard_.check();
  if (!result.ok()) return done(result.status());
  auto* response = std::get_if<Response>(&*result);
  // A RequestId used again for a request of another kind has another kind of answer.
  if (response == nullptr)
    return done(Status(Code::invalid_argument, "request id belongs to another request"));
  done(std::move(*response));
}

void MemoryStore::range(store::RangeRequest request, store::CallOptions options,
                        store::Callback<store::RangeResponse> done) {
  if (const Status invalid = store::validate(request); !invalid.ok()) return done(invalid);
  if (const Status late = refuse(options); !late.ok()) return done(late);
  if (const Status denied = machine_.authoriser(options.principal).check(request); !denied.ok())
    return done(denied);
  done(machine_.range(request));
}

void MemoryStore::put(store::PutRequest request, store::CallOptions options,
                      store::Callback<store::PutResponse> done) {
  mutate(machine_.admit(request), options, std::move(done),
         [&](store::BatchBuilder& batch, const RequestId& id) {
           return batch.put(request, id, options.principal);
         });
}

void MemoryStore::delete_range(store::DeleteRangeRequest request, store::CallOptions options,
                               store::Callback<store::DeleteRangeResponse> done) {
  mutate(store::validate(request), options, std::move(done),
         [&](store::BatchBuilder& batch, const RequestId& id) {
           return batch.delete_range(request, id, options.principal);
         });
}

void MemoryStore::txn(store::TxnRequest request, store::CallOptions options,
                      store::Callback<store::TxnResponse> done) {
  mutate(machine_.admit(request), options, std::move(done),
         [&](store::BatchBuilder& batch, const RequestId& id) {
           return batch.txn(request, id, options.principal);
         });
}

void MemoryStore::compact(store::CompactRequest request, store::CallOptions options,
                          store::Callback<store::CompactResponse> done) {
  mutate(Status(), options, std::move(done), [&](store::BatchBuilder& batch, const RequestId& id) {
    schedule_compaction();
    return batch.compact(request, id, options.principal);
  });
}

void MemoryStore::lease_grant(store::LeaseGrantRequest request, store::CallOptions options,
                              store::Callback<store::LeaseGrantResponse> done) {
  const Status refused = machine_.admit(request);
  if (refused.ok()) request.ttl = store::granted_ttl(request.ttl, options_.lease_ttl_min);
  mutate(refused, options, std::move(done), [&](store::BatchBuilder& batch, const RequestId& id) {
    return batch.lease_grant(request, id, options.principal);
  });
}

void MemoryStore::lease_revoke(store::LeaseRevokeRequest request, store::CallOptions options,
                               store::Callback<store::LeaseRevokeResponse> done) {
  mutate(Status(), options, std::move(done), [&](store::BatchBuilder& batch, const RequestId& id) {
    return batch.lease_revoke(request, id, options.principal);
  });
}

void MemoryStore::lease_keep_alive(store::LeaseKeepAliveRequest request, store::CallOptions options,
                                   store::Callback<store::LeaseKeepAliveResponse> done) {
  if (const Status late = refuse(options); !late.ok()) return done(late);
  const std::vector<LeaseId> ids{request.id};
  store::CommandResult result =
      apply([&](store::BatchBuilder& batch) { return batch.lease_renew(ids, options.principal); });
  if (!result.ok()) return done(result.status());
  auto& renewed = std::get<store::LeaseRenewResponse>(*result);
  store::LeaseKeepAliveResponse response = std::move(renewed.renewals.at(0));
  response.header = renewed.header;
  done(std::move(response));
}

void MemoryStore::lease_time_to_live(store::LeaseTimeToLiveRequest request, store::CallOptions options,
                                     store::Callback<store::LeaseTimeToLiveResponse> done) {
  if (const Status late = refuse(options); !late.ok()) return done(late);
  if (const Status denied = machine_.authoriser(options.principal).check(request); !denied.ok())
    return done(denied);
  done(machine_.lease_time_to_live(request, store_clock_.read_ms(clock_.now())));
}

void MemoryStore::lease_leases(store::CallOptions options, store::Callback<store::LeaseLeasesResponse> done) {
  if (const Status late = refuse(options); !late.ok()) return done(late);
  if (const Status denied = machine_.authoriser(options.principal).check_known(); !denied.ok())
    return done(denied);
  done(machine_.lease_leases());
}

void MemoryStore::alarm(store::AlarmRequest request, store::CallOptions options,
                        store::Callback<store::AlarmResponse> done) {
  mutate(Status(), options, std::move(done), [&](store::BatchBuilder& batch, const RequestId& id) {
    return batch.alarm(request, id, options.principal);
  });
}

void MemoryStore::register_client(store::CallOptions options,
                                  store::Callback<store::RegisterClientResponse> done) {
  mutate(Status(), options, std::move(done), [&](store::BatchBuilder& batch, const RequestId&) {
    return batch.register_client(options.principal);
  });
}

Result<std::unique_ptr<store::Subscription>> MemoryStore::watch(store::WatchRequest request,
                                                                store::CallOptions options) {
  LS_RETURN_IF_ERROR(machine_.authoriser(options.principal).check(request));
  LS_ASSIGN_OR_RETURN(auto subscription, hub_.watch(request));
  return watch_guard_.wrap(std::move(subscription), request, options.principal);
}

store::Security& MemoryStore::enable_security(const env::Secrets& secrets, env::Worker& worker,
                                              env::Random& random, AuthenticatorOptions options) {
  Host& host = *this;
  authenticator_ = std::make_unique<Authenticator>(host, &secrets, worker, random, options);
  return *authenticator_;
}

void MemoryStore::propose_auth(store::AuthChange change, store::CallOptions options,
                               store::Callback<store::AuthResponse> done) {
  mutate(store::validate(change), options, std::move(done),
         [&](store::BatchBuilder& batch, const RequestId& id) {
           return batch.auth(change, id, options.principal);
         });
}

}  // namespace lockstep::replica
