// etcdserverpb.Lease: LeaseGrant, LeaseKeepAlive and LeaseLeases; the others are in kv_service.h.
//
// Seconds on the wire, milliseconds in the store: a grant is raised to whole seconds and to the edge's
// smallest TTL, so that a lease never ends before the TTL its client was told (I6).
//
// KeepAlive answers in the order of the requests, each with the header of the moment before the renewal, as
// etcd does. Renewals under way and unread answers of one stream are bounded; beyond that it ends (I11).
#pragma once

#include "gateway/etcd/edge.h"
#include "gateway/etcd/leader_monitor.h"

namespace lockstep::gateway {

void register_lease_calls(Edge& edge, LeaderMonitor& monitor, rpc::ServiceRegistry& registry);

}  // namespace lockstep::gateway
