// How much processor time this process is given: what containers and services limit.
#pragma once

#include <optional>
#include <string>

#include "base/time.h"

namespace lockstep::platform {

// How many processors' worth of time the control groups of this process allow it, as far as it can see them;
// nothing: no quota is set, or none can be read. `root` is where /proc and /sys are looked for.
std::optional<double> processor_quota(const std::string& root = "");

// How long a strand looks around before it sleeps (executor.h) if nobody said. Nothing where a quota below
// two processors would be used up by it: who has used it up stands still for the rest of its period, often
// 100 ms.
Duration default_look_time(std::optional<double> quota);

}  // namespace lockstep::platform
