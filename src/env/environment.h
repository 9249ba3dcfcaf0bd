// Everything a member may ask of the world, in one place.
#pragma once

#include "env/clock.h"
#include "env/disk.h"
#include "env/executor.h"
#include "env/network.h"
#include "env/random.h"
#include "env/secrets.h"

namespace lockstep::env {

// References only; the owner (platform or simulator) outlives the member.
struct Environment {
  Clock& clock;
  Random& random;
  Executor& executor;
  Disk& disk;
  Network& network;
  Worker& worker;
  // For users and their passwords; null: this member cannot have any. Hashing has a worker of its own, so
  // that no write-back waits for it; null: the other one.
  const Secrets* secrets = nullptr;
  Worker* secrets_worker = nullptr;
};

}  // namespace lockstep::env
