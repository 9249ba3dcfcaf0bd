// The Store face: the narrow waist of the house. Recipes, gateways and SDKs know only this.
//
// Three implementations: native (replica/), memory (store/memory_store.h), remote (remote/, over etcd v3
// gRPC); one contract suite runs against all of them.
//
// Strand: every call is made on the implementation's executor and every callback is called there exactly
// once, possibly before the call returns. Requests are taken by value: nothing of the caller's must stay
// alive.
//
// Outcomes of a mutation: ok = done; Code::unknown_outcome = may be done, now or later; any other code = not
// done, never will be. Repeating after "unknown" is safe only with the same RequestId.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <utility>

#include "base/ids.h"
#include "base/status.h"
#include "base/time.h"
#include "store/principal.h"
#include "store/types.h"

namespace lockstep::store {

struct CallOptions {
  TimePoint deadline = no_deadline;
  std::stop_token cancellation;
  RequestId request_id;  // absent (client zero) by default; mutations only
  Principal principal;   // who asks; from store/security.h
};

template <class Response>
using Callback = std::move_only_function<void(Result<Response>)>;

// What an implementation can promise. A recipe adapts or refuses; it never guesses.
struct Capabilities {
  Duration lease_ttl_min{};
  bool lease_renewals_survive_failover = false;  // an acknowledged keep-alive counts after the leader died
  bool deduplicates_requests = false;            // RequestId is honoured
  // A serializable read sees what this store acknowledged, and the progress of a watch has come as far. Not
  // where a follower forwards, or calls go to several members: one that lags answers from before, or calls
  // the revision a future one.
  bool serializable_reads_see_own_writes = false;
};

// A pull subscription. The implementation buffers a bounded amount; what the subscriber does not take stays
// in the store's history and is read again later, so a slow subscriber costs neither memory nor others' time
// (I4, I11).
class Subscription {
 public:
  virtual ~Subscription() = default;  // cancels
  // The next answer, at most about `bytes_max` of events (always whole revisions unless asked to fragment),
  // or nothing yet. After an answer with `canceled` there is nothing more.
  virtual std::optional<WatchResponse> next(std::size_t bytes_max) = 0;
  // Called once, on the strand, when next() may have something again; set anew after next() returned nothing.
  virtual void notify_when_ready(std::move_only_function<void()> ready) = 0;
  // Asks for an answer without events once everything up to the store's present revision was delivered.
  virtual void request_progress() = 0;
};

class Store {
 public:
  virtual ~Store() = default;

  [[nodiscard]] virtual Capabilities capabilities() const = 0;

  virtual void range(RangeRequest request, CallOptions options, Callback<RangeResponse> done) = 0;
  virtual void put(PutRequest request, CallOptions options, Callback<PutResponse> done) = 0;
  virtual void delete_range(DeleteRangeRequest request, CallOptions options,
                            Callback<DeleteRangeResponse> done) = 0;
  virtual void txn(TxnRequest request, CallOptions options, Callback<TxnResponse> done) = 0;
  virtual void compact(CompactRequest request, CallOptions options, Callback<CompactResponse> done) = 0;

  virtual void lease_grant(LeaseGrantRequest request, CallOptions options,
                           Callback<LeaseGrantResponse> done) = 0;
  virtual void lease_revoke(LeaseRevokeRequest request, CallOptions options,
                            Callback<LeaseRevokeResponse> done) = 0;
  virtual void lease_keep_alive(LeaseKeepAliveRequest request, CallOptions options,
                                Callback<LeaseKeepAliveResponse> done) = 0;
  virtual void lease_time_to_live(LeaseTimeToLiveRequest request, CallOptions options,
                                  Callback<LeaseTimeToLiveResponse> done) = 0;
  virtual void lease_leases(CallOptions options, Callback<LeaseLeasesResponse> done) = 0;

  virtual void alarm(AlarmRequest request, CallOptions options, Callback<AlarmResponse> done) = 0;
  // unimplemented where capabilities().deduplicates_requests is false.
  virtual void register_client(CallOptions options, Callback<RegisterClientResponse> done) = 0;

  // Errors known at once come as Result; later ones as an answer with `canceled`: also when whoever asked
  // loses the permission to read what is watched. Of the options, the principal counts.
  virtual Result<std::unique_ptr<Subscription>> watch(WatchRequest request, CallOptions options) = 0;
  Result<std::unique_ptr<Subscription>> watch(WatchRequest request) { return watch(std::move(request), {}); }
};

}  // namespace lockstep::store
