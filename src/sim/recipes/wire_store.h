// The Store face of a process on a simulated machine that is no member: every call goes over the wires to
// some member and comes back, or does not.
//
//   1. A mutation without an answer is unknown_outcome; it is never repeated.
//   2. A subscription survives broken streams and dead members: it goes on elsewhere, behind what it
//   delivered.
//   3. What arrives after the process died reaches nobody.
//
// Strand: the machine's. The wires outlive the store; subscriptions do not outlive it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "base/prng.h"
#include "sim/client.h"
#include "store/store.h"

namespace lockstep::sim {

// What stores share in one run: who must hear of a death.
class Wires {
 public:
  explicit Wires(Clients& clients) : clients_(clients) {}
  [[nodiscard]] Clients& clients() { return clients_; }
  [[nodiscard]] Cluster& cluster() { return clients_.cluster(); }
  [[nodiscard]] World& world() { return clients_.world(); }
  void on_death(Node& node);
  // Called for each event that a subscription delivers to a process.
  void on_notice(std::function<void(const store::Event&)> observer) { notice_ = std::move(observer); }

 private:
  friend class WireStore;
  friend class WireSubscription;
  Clients& clients_;
  std::function<void(const store::Event&)> notice_;
  std::vector<class WireStore*> stores_;  // by age
};

class WireStore final : public store::Store {
 public:
  // `client` is the machine's place among the clients' endpoints.
  WireStore(Wires& wires, Node& machine, std::size_t client, Prng prng);
  ~WireStore() override;
  WireStore(const WireStore&) = delete;
  WireStore& operator=(const WireStore&) = delete;

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
  friend class Wires;
  friend class WireSubscription;
  class Call;

  template <class Request, class Response>
  void call(void (store::Store::*method)(Request, store::CallOptions, store::Callback<Response>),
            Request request, bool mutation, const store::CallOptions& options,
            store::Callback<Response> done);
  void on_death(NodeId member);
  [[nodiscard]] NodeId pick_member();
  [[nodiscard]] Endpoint endpoint() { return wires_.world().client_endpoint(client_); }
  [[nodiscard]] env::Environment& environment() { return machine_.environment(); }

  Wires& wires_;
  Node& machine_;
  std::size_t client_;
  Prng prng_;
  NodeId favourite_;
  std::map<std::uint64_t, std::shared_ptr<Call>> calls_;
  std::uint64_t calls_made_ = 0;
  std::shared_ptr<WireStore*> self_;  // points nowhere once this is gone
};

}  // namespace lockstep::sim
