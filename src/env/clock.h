// The port to time.
#pragma once

#include "base/time.h"

namespace lockstep::env {

// One member's clocks. Called on its strand only.
class Clock {
 public:
  virtual ~Clock() = default;
  // Never goes back; not comparable between members, may drift.
  virtual TimePoint now() = 0;
  // Since the Unix epoch; may jump either way. For display and cron, never for expiry.
  virtual Duration wall_now() = 0;
};

}  // namespace lockstep::env
