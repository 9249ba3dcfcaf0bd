// A copy of the store being read for a client.
#pragma once

#include <memory>

#include "gateway/etcd/cluster_face.h"
#include "replica/replica.h"

namespace lockstep::server {

// Strand: the core's. The replica outlives the reader.
std::unique_ptr<gateway::SnapshotReader> make_snapshot_reader(replica::Replica& replica,
                                                              std::shared_ptr<store::SnapshotSource> source);

}  // namespace lockstep::server
