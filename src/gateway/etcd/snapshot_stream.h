// Maintenance.Snapshot: a copy of the store, streamed as fast as the client reads (maintenance_service.h
// tells the format). Bounded: one piece is read at a time, and none while the client lags.
//
// Strand and lifetime: as the edge's (edge.h).
#pragma once

#include "gateway/etcd/edge.h"

namespace lockstep::gateway {

void register_snapshot(Edge& edge, rpc::ServiceRegistry& registry);

}  // namespace lockstep::gateway
