// etcdserverpb.Watch: many watches on one stream.
//
//   1. The answer that a watch was created comes before any event of it.
//   2. Watches of a stream take turns: each round one answer of each that has something, so none starves.
//   3. Memory of a stream is bounded (I11): events are taken from the store's history only while the client
//   reads;
//      a client that makes the server answer (creates, cancels, asks for progress) without reading loses its
//      stream.
//   4. The answer to a progress request has id -1 and comes when every watch of the stream has delivered
//   everything
//      up to the revision in its header.
//
// A refused watch is answered created and canceled with id -1 and the reason; the stream goes on.
//
// Strand and lifetime: as the edge's (edge.h).
#pragma once

#include "gateway/etcd/edge.h"
#include "gateway/etcd/leader_monitor.h"

namespace lockstep::gateway {

void register_watch(Edge& edge, LeaderMonitor& monitor, rpc::ServiceRegistry& registry);

}  // namespace lockstep::gateway
