// When everything has come to rest, every member of the newest configuration has applied the same, to the
// same state.
#pragma once

#include <string>

#include "sim/cluster.h"

namespace lockstep::sim {

// False: `why` says who is missing.
bool converged(Cluster& cluster, std::string* why);

}  // namespace lockstep::sim
