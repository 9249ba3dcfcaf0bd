// The Store's calls as tasks: co_await awaitable::put(store, request).
//
// The store outlives the task. Strand: as the store's.
#pragma once

#include <utility>

#include "base/task.h"
#include "store/store.h"

namespace lockstep::store::awaitable {

namespace internal {

template <class Response, class Request>
Task<Result<Response>> call(Store& store, void (Store::*method)(Request, CallOptions, Callback<Response>),
                            Request request, CallOptions options) {
  auto start = [&](auto done) { (store.*method)(std::move(request), std::move(options), std::move(done)); };
  co_return co_await from_callback<Result<Response>>(std::move(start));
}

template <class Response>
Task<Result<Response>> call(Store& store, void (Store::*method)(CallOptions, Callback<Response>),
                            CallOptions options) {
  auto start = [&](auto done) { (store.*method)(std::move(options), std::move(done)); };
  co_return co_await from_callback<Result<Response>>(std::move(start));
}

}  // namespace internal

inline Task<Result<RangeResponse>> range(Store& store, RangeRequest request, CallOptions options = {}) {
  return internal::call(store, &Store::range, std::move(request), std::move(options));
}
inline Task<Result<PutResponse>> put(Store& store, PutRequest request, CallOptions options = {}) {
  return internal::call(store, &Store::put, std::move(request), std::move(options));
}
inline Task<Result<DeleteRangeResponse>> delete_range(Store& store, DeleteRangeRequest request,
                                                      CallOptions options = {}) {
  return internal::call(store, &Store::delete_range, std::move(request), std::move(options));
}
inline Task<Result<TxnResponse>> txn(Store& store, TxnRequest request, CallOptions options = {}) {
  return internal::call(store, &Store::txn, std::move(request), std::move(options));
}
inline Task<Result<CompactResponse>> compact(Store& store, CompactRequest request, CallOptions options = {}) {
  return internal::call(store, &Store::compact, std::move(request), std::move(options));
}
inline Task<Result<LeaseGrantResponse>> lease_grant(Store& store, LeaseGrantRequest request,
                                                    CallOptions options = {}) {
  return internal::call(store, &Store::lease_grant, std::move(request), std::move(options));
}
inline Task<Result<LeaseRevokeResponse>> lease_revoke(Store& store, LeaseRevokeRequest request,
                                                      CallOptions options = {}) {
  return internal::call(store, &Store::lease_revoke, std::move(request), std::move(options));
}
inline Task<Result<LeaseKeepAliveResponse>> lease_keep_alive(Store& store, LeaseKeepAliveRequest request,
                                                             CallOptions options = {}) {
  return internal::call(store, &Store::lease_keep_alive, std::move(request), std::move(options));
}
inline Task<Result<LeaseTimeToLiveResponse>> lease_time_to_live(Store& store, LeaseTimeToLiveRequest request,
                                                                CallOptions options = {}) {
  return internal::call(store, &Store::lease_time_to_live, std::move(request), std::move(options));
}
inline Task<Result<LeaseLeasesResponse>> lease_leases(Store& store, CallOptions options = {}) {
  return internal::call(store, &Store::lease_leases, std::move(options));
}
inline Task<Result<AlarmResponse>> alarm(Store& store, AlarmRequest request, CallOptions options = {}) {
  return internal::call(store, &Store::alarm, std::move(request), std::move(options));
}
inline Task<Result<RegisterClientResponse>> register_client(Store& store, CallOptions options = {}) {
  return internal::call(store, &Store::register_client, std::move(options));
}

// The next answer of a subscription, at most about `bytes_max` of events. After one with `canceled` there is
// nothing more: do not ask again.
inline Task<WatchResponse> next(Subscription& subscription, std::size_t bytes_max = 64 * 1024) {
  struct Woken {};
  while (true) {
    if (std::optional<WatchResponse> response = subscription.next(bytes_max)) co_return *std::move(response);
    auto start = [&](auto done) {
      subscription.notify_when_ready([done = std::move(done)]() mutable { done(Woken{}); });
    };
    co_await from_callback<Woken>(std::move(start));
  }
}

}  // namespace lockstep::store::awaitable
