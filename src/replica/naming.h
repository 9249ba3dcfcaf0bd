// The ids of a cluster and its members follow from what every member is told alike, so that nobody has to
// hand numbers out: a member is named by the token of its cluster and the address at which the others reach
// it when it is added. Pure functions; never zero, which means "none".
#pragma once

#include <string_view>

#include "base/ids.h"

namespace lockstep::replica {

ClusterId cluster_id_of(std::string_view token);
NodeId node_id_of(std::string_view token, std::string_view peer_address);

}  // namespace lockstep::replica
