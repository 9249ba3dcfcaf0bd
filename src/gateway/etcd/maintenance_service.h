// etcdserverpb.Maintenance: Status, Defragment, Hash, HashKV, Snapshot, MoveLeader, Downgrade (Alarm:
// kv_service.h).
//
//   - Defragment has nothing to do and says so by succeeding: the engine gives space back as it goes.
//   - HashKV is over the keys at one revision; two members that answer the same compact_revision and revision
//   agree.
//     It reads a few keys a turn, so that a large store keeps answering. Hash is the same at the newest
//     revision.
//   - Snapshot streams our own format (docs/formats/snapshot.md), zeros up to a multiple of 512 bytes, and
//   the
//     SHA-256 of all that: etcd's clients check that the size is 32 beyond such a multiple.
//   - Downgrade is not served.
//
// Strand and lifetime: as the edge's (edge.h).
#pragma once

#include "gateway/etcd/edge.h"

namespace lockstep::gateway {

void register_maintenance(Edge& edge, rpc::ServiceRegistry& registry);

}  // namespace lockstep::gateway
