// etcdserverpb.Auth: logins, users, roles, permissions. Rules and texts come from store::Security.
//
// Authenticate takes no token: whoever asks has none yet, or an old one.
//
// Strand and lifetime: as the edge's (edge.h).
#pragma once

#include "gateway/etcd/edge.h"

namespace lockstep::gateway {

void register_auth(Edge& edge, rpc::ServiceRegistry& registry);

}  // namespace lockstep::gateway
