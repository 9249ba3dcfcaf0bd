#include "gateway/etcd/etcd_services.h"

#include <google/protobuf/stubs/logging.h>

#include "gateway/etcd/auth_service.h"
#include "gateway/etcd/cluster_service.h"
#include "gateway/etcd/kv_service.h"
#include "gateway/etcd/lease_service.h"
#include "gateway/etcd/lock_service.h"
#include "gateway/etcd/maintenance_service.h"
#include "gateway/etcd/watch_service.h"

namespace lockstep::gateway {

EtcdServices::EtcdServices(store::Store& store, store::Security& security, ClusterFace& cluster,
                           env::Executor& executor, env::Clock& clock, env::Random& random,
                           EtcdOptions options)
    : edge_(store, security, cluster, executor, clock, std::move(options)),
      monitor_(edge_),
      locks_(service::Context{store, executor, clock, random}),
      election_(service::Context{store, executor, clock, random}) {
  // It would write a line to standard error for every malformed string of a client, who is told anyway.
  google::protobuf::SetLogHandler(nullptr);
}

void EtcdServices::register_with(rpc::ServiceRegistry& registry) {
  register_store_with(registry);
  register_cluster(edge_, registry);
  register_maintenance(edge_, registry);
  register_auth(edge_, registry);
}

void EtcdServices::register_store_with(rpc::ServiceRegistry& registry) {
  register_store_calls(edge_, registry);
  register_lease_calls(edge_, monitor_, registry);
  register_watch(edge_, monitor_, registry);
  register_lock(edge_, locks_, registry);
  register_election(edge_, election_, registry);
}

void EtcdServices::stop_waiting() {
  locks_.close();
  election_.close();
}

}  // namespace lockstep::gateway
