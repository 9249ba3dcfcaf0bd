// Planted bugs: each breaks one rule, so that the tests can be shown to notice. The switches exist in the
// twin library of the tests only.
#pragma once

#include "lockstep/abi.h"

namespace lockstep::LOCKSTEP_INLINE v1::detail {

struct PlantedBugs {
  bool cancel_not_remembered = false;    // a cancel before its try leaves no trace
  bool refusal_not_remembered = false;   // a refused try runs again when it is repeated
  bool marked_before_published = false;  // the outbox forgets a row before it is acknowledged
  bool high_water_mark = false;          // the relay never looks back behind the last id it saw
};

#ifdef LOCKSTEP_PLANTED_BUGS
inline PlantedBugs planted;
#else
inline constexpr PlantedBugs planted;
#endif

}  // namespace lockstep::LOCKSTEP_INLINE
