// The Store face over etcd v3 gRPC: a real etcd, or lockstepd, as seen by its clients.
//
// What is weaker than the native store says capabilities(): leases count in whole seconds, and RequestIds are
// honoured only by a server that is known to keep them; over several endpoints a serializable read may come
// from a member that lags. Over etcd before 3.5.8 an answer to request_progress() may overtake events that
// are on their way (etcd issue 15220).
//
// Outcomes: unknown_outcome for a mutation that was sent and got no answer; everything else is certain
// (connections.h, invariants 2 and 3). Strand only; the connections outlive this, subscriptions need not.
#pragma once

#include <memory>

#include "remote/connections.h"
#include "remote/keep_alives.h"
#include "remote/watches.h"
#include "store/store.h"

namespace lockstep::remote {

struct StoreOptions {
  // The shortest lease the servers give. etcd's follows from its election timeout: 2 s by default.
  Duration lease_ttl_min = 2s;
  WatchesOptions watches;
};

class Store final : public store::Store {
 public:
  explicit Store(Connections& connections, const StoreOptions& options = {});

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
  using store::Store::watch;
  Result<std::unique_ptr<store::Subscription>> watch(store::WatchRequest request,
                                                     store::CallOptions options) override;

 private:
  void read(Call call, Connections::Done done);
  void mutate(Call call, Connections::Done done);

  Connections& connections_;
  StoreOptions options_;
  KeepAlives keep_alives_;
  Watches watches_;
  std::shared_ptr<Revision> acknowledged_ = std::make_shared<Revision>();  // the newest that any answer named
};

}  // namespace lockstep::remote
