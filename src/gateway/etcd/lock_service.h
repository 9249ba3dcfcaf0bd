// v3lockpb.Lock and v3electionpb.Election: locks held and elections run in the server for a client
// (service/).
//
// What is wrong with a request, or has become of a session, is answered with code UNKNOWN and etcd's text:
// its own server does that, and its clients compare the text. A call that ends (cancelled, deadline) gives up
// its place.
//
// Strand and lifetime: as the edge's (edge.h).
#pragma once

#include "gateway/etcd/edge.h"
#include "service/election/election.h"
#include "service/lease_line.h"

namespace lockstep::gateway {

void register_lock(Edge& edge, service::LeaseLine& locks, rpc::ServiceRegistry& registry);
void register_election(Edge& edge, service::Election& election, rpc::ServiceRegistry& registry);

// The status of a failed recipe.
rpc::GrpcStatus to_recipe_status(const Status& status);

}  // namespace lockstep::gateway
