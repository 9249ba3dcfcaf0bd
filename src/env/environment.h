// Everything a member may ask of the world, in one place.
#pragma once

#include "env/clock.h"
#include "env/disk.h"
#include "env/executor.h"
#include "env/network.h"
#include "env/random.h"

namespace lockstep::env {

// References only; the owner (platform or simulator) outlives the member.
struct Environment {
  Clock& clock;
  Random& random;
  Executor& executor;
  Disk& disk;
  Network& network;
  Worker& worker;
};

}  // namespace lockstep::env
