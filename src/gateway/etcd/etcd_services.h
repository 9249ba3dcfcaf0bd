// The etcd v3 protocol on a Store: everything a ServiceRegistry needs, in one object.
//
//   EtcdServices services(store, security, cluster, executor, clock, random, options);
//   services.register_with(server);
//
// Strand: the core's. The store, the cluster face, executor and clock outlive the calls. Destroy the listener
// first, then the store (its pending callbacks die with it), then this.
#pragma once

#include "gateway/etcd/edge.h"
#include "gateway/etcd/leader_monitor.h"
#include "service/election/election.h"
#include "service/lease_line.h"

namespace lockstep::gateway {

class EtcdServices {
 public:
  EtcdServices(store::Store& store, store::Security& security, ClusterFace& cluster, env::Executor& executor,
               env::Clock& clock, env::Random& random, EtcdOptions options = {});
  EtcdServices(const EtcdServices&) = delete;
  EtcdServices& operator=(const EtcdServices&) = delete;

  // May be called for several registries (gRPC, the JSON gateway).
  void register_with(rpc::ServiceRegistry& registry);
  // Only what needs nothing but the store: keys, watches, leases, locks, elections.
  void register_store_with(rpc::ServiceRegistry& registry);

  // The server stops: whoever waits for a lock or to be elected is told so, and leaves no place behind.
  void stop_waiting();

  [[nodiscard]] const EtcdOptions& options() const { return edge_.options(); }

 private:
  Edge edge_;
  LeaderMonitor monitor_;
  service::LeaseLine locks_;
  service::Election election_;
};

}  // namespace lockstep::gateway
