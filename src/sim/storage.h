// A machine's disk in a world: SimDisk with the world's time and the machine's life and death.
#pragma once

#include <cstdint>

#include "sim/disk.h"
#include "sim/world.h"

namespace lockstep::sim {

class SimDiskStorage final : public Storage {
 public:
  // For the node with `id`, which need not exist yet.
  SimDiskStorage(World& world, NodeId id)
      : prng_(world.fork_prng()),
        disk_(prng_.next(), [&world, id](std::int64_t delay_ns, env::Closure closure) {
          world.schedule_for(id, delay_ns, EventKind::disk, std::move(closure));
        }) {}

  env::Disk& disk() override { return disk_; }
  void crash(DeathKind kind) override {
    disk_.crash(kind == DeathKind::power_cut ? Loss::power : Loss::process, prng_);
  }
  [[nodiscard]] SimDisk& sim() { return disk_; }
  [[nodiscard]] Prng& prng() { return prng_; }

 private:
  Prng prng_;
  SimDisk disk_;
};

}  // namespace lockstep::sim
