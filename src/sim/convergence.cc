#include "sim/convergence.h"

namespace lockstep::sim {

bool converged(Cluster& cluster, std::string* why) {
  const NodeId leader = cluster.leader();
  replica::Replica* first = leader == NodeId{} ? nullptr : cluster.replica(leader);
  if (first == nullptr) {
    *why = "nobody leads";
    return false;
  }
  for (const NodeId id : cluster.configuration().members()) {
    replica::Replica* replica = cluster.replica(id);
    if (replica == nullptr || replica->machine().applied_index() != first->machine().applied_index()) {
      *why = "member " + std::to_string(id.value()) + (replica == nullptr ? " is down" : " lags");
      return false;
    }
    if (replica->machine().digest() != first->machine().digest()) {
      *why = "member " + std::to_string(id.value()) + " has another digest";
      return false;
    }
  }
  return true;
}

}  // namespace lockstep::sim
