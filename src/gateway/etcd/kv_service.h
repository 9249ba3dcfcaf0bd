// etcdserverpb.KV, and the calls of other services that go to the store as they are.
//
// Strand and lifetime: as the edge's (edge.h).
#pragma once

#include "gateway/etcd/edge.h"

namespace lockstep::gateway {

// Registers KV, and of Lease and Maintenance: LeaseRevoke, LeaseTimeToLive, LeaseLeases, Alarm.
void register_store_calls(Edge& edge, rpc::ServiceRegistry& registry);

}  // namespace lockstep::gateway
