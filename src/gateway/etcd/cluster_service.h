// etcdserverpb.Cluster: the members, live: list, add (learners too), remove, move, promote.
//
// Strand and lifetime: as the edge's (edge.h).
#pragma once

#include "gateway/etcd/edge.h"

namespace lockstep::gateway {

void register_cluster(Edge& edge, rpc::ServiceRegistry& registry);

// "http://host:port" or "https://host:port", nothing behind it; each once, at least one.
bool are_member_urls(const std::vector<std::string>& urls);

}  // namespace lockstep::gateway
