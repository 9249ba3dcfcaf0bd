#include "service/simple/simple_lock.h"

#include <utility>

#include "base/assert.h"
#include "service/names.h"
#include "service/repeating.h"
#include "store/awaitable.h"
#include "store/errors.h"

namespace lockstep::service {
namespace {

store::Compare compare_number(const std::string& key, store::CompareTarget target, std::int64_t number) {
  store::Compare compare;
  compare.key = key;
  compare.target = target;
  compare.number = number;
  return compare;
}

store::TxnRequest take_request(const std::string& key, std::string value, LeaseId lease) {
  store::TxnRequest txn;
  txn.compare = {compare_number(key, store::CompareTarget::create_revision, 0)};
  store::PutRequest put;
  put.key = key;
  put.value = std::move(value);
  put.lease = lease;
  txn.success = {{std::move(put)}};
  return txn;
}

store::TxnRequest release_request(const std::string& key, std::string value) {
  store::TxnRequest txn;
  store::Compare same;
  same.key = key;
  same.target = store::CompareTarget::value;
  same.value = std::move(value);
  // A key that does not exist compares as an empty value would.
  store::Compare exists = compare_number(key, store::CompareTarget::version, 0);
  exists.result = store::CompareResult::greater;
  txn.compare = {std::move(same), std::move(exists)};
  store::DeleteRangeRequest remove;
  remove.key = key;
  remove.prev_kv = true;
  txn.success = {{std::move(remove)}};
  return txn;
}

}  // namespace

namespace errors {
Status simple_lock_held() {
  return {Code::failed_precondition, "the lock is held"};
}
Status simple_lock_not_held() {
  return {Code::failed_precondition, "the lock is not held with this value"};
}
}  // namespace errors

namespace {

// Until it is certain: a lease that stays is a lock that nobody has.
Task<Status> revoke(Context context, LeaseId lease, store::CallOptions options) {
  options.cancellation = {};
  options.deadline = no_deadline;
  Repeating repeating(context, std::move(options));
  while (true) {
    store::LeaseRevokeRequest request;
    request.id = lease;
    const Result<store::LeaseRevokeResponse> revoked =
        co_await store::awaitable::lease_revoke(context.store, request, repeating.call());
    if (revoked.ok() || revoked.status() == store::errors::lease_not_found()) co_return Status();
    if (Status end = co_await repeating.after(revoked.status()); !end.ok()) co_return end;
  }
}

Task<Result<Revision>> take_lock(Context context, std::string key, std::string value, Duration ttl,
                                 store::CallOptions options) {
  options.request_id = {};  // names one mutation; here are several
  if (Status wrong = check_name(key); !wrong.ok()) co_return wrong;
  if (value.empty() || value.size() > simple_lock_value_bytes_max)
    co_return Status(Code::invalid_argument, "a lock's value has 1 to 4096 bytes");
  key.insert(0, simple_locks_prefix);
  store::RangeRequest look;
  look.key = key;
  look.keys_only = true;
  // What is held is refused without a write.
  Result<store::RangeResponse> seen =
      co_await store::awaitable::range(context.store, std::move(look), options);
  if (!seen.ok()) co_return seen.status();
  if (!seen->kvs.empty()) co_return errors::simple_lock_held();
  store::LeaseGrantRequest grant;
  grant.ttl = ttl;
  const Result<store::LeaseGrantResponse> lease =
      co_await store::awaitable::lease_grant(context.store, grant, options);
  if (!lease.ok()) co_return lease.status();
  store::TxnRequest request = take_request(key, std::move(value), lease->id);
  Result<store::TxnResponse> taken =
      co_await store::awaitable::txn(context.store, std::move(request), options);
  if (taken.ok() && taken->succeeded) co_return taken->header.revision;
  // Also where the outcome is unknown: the caller hears that it has no lock, so it must have none.
  const Status revoked = co_await revoke(context, lease->id, options);
  if (taken.ok()) co_return errors::simple_lock_held();
  if (revoked.ok() && is_unknown(taken.status()))
    co_return Status(Code::unavailable, "lockstep: nobody knows whether it was taken; it was given back");
  co_return taken.status();
}

Task<Status> release_lock(Context context, std::string key, std::string value, store::CallOptions options) {
  if (Status wrong = check_name(key); !wrong.ok()) co_return wrong;
  key.insert(0, simple_locks_prefix);
  store::TxnRequest request = release_request(key, std::move(value));
  Result<store::TxnResponse> done =
      co_await store::awaitable::txn(context.store, std::move(request), options);
  if (!done.ok()) co_return done.status();
  if (!done->succeeded) co_return errors::simple_lock_not_held();
  const auto* removed = std::get_if<store::DeleteRangeResponse>(&done->responses.at(0).response);
  LS_MUST(removed != nullptr);
  for (const store::KeyValue& kv : removed->prev_kvs) {
    // It would end by itself.
    if (kv.lease == LeaseId()) continue;
    store::LeaseRevokeRequest revoke;
    revoke.id = kv.lease;
    store::CallOptions unhurried;
    unhurried.principal = options.principal;
    context.store.lease_revoke(revoke, std::move(unhurried),
                               [](const Result<store::LeaseRevokeResponse>&) {});
  }
  co_return Status();
}

}  // namespace

Task<Result<Revision>> SimpleLock::take(std::string key, std::string value, Duration ttl,
                                        store::CallOptions options) {
  return take_lock(context_, std::move(key), std::move(value), ttl, std::move(options));
}

Task<Status> SimpleLock::release(std::string key, std::string value, store::CallOptions options) {
  return release_lock(context_, std::move(key), std::move(value), std::move(options));
}

}  // namespace lockstep::service
