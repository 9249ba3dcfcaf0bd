// Sessions of a fleet's workers, made so that two holders' beliefs cannot overlap.
#pragma once

#include "service/session/session.h"
#include "sim/recipes/fleet.h"

namespace lockstep::sim {

// The lock delay that covers clocks of which one runs fast by `rate_ppm` and the other one slow.
inline Duration covering_delay(Duration ttl, std::int64_t rate_ppm) {
  if (rate_ppm == 0) return {};
  const std::int64_t drift_ns = ttl.count() / 1'000'000 * 2 * rate_ppm * 1'000'000 / (1'000'000 - rate_ppm);
  return std::chrono::ceil<std::chrono::milliseconds>(Duration(drift_ns)) + 1ms;
}

inline Task<Result<service::SessionPtr>> open_covering_session(FleetWorker& worker) {
  service::SessionOptions options;
  options.ttl = std::chrono::milliseconds(worker.prng().between(1000, 4000));
  options.lock_delay = covering_delay(options.ttl, worker.machine().fleet().options().clock_rate_ppm_max);
  return service::open_session(worker.context(), options, worker.within(1000, 4000));
}

}  // namespace lockstep::sim
