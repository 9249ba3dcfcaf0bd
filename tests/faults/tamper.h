// Histories that no correct store can have, made of one that is right: the proof that the checkers check.
#pragma once

#include <span>
#include <string_view>
#include <utility>

#include "sim/history.h"

namespace lockstep::faults {

// False: this history has nothing to change.
using Tamper = bool (*)(sim::History& history);

//   lost-write  the newest revision, and all that is known of it, is gone from every member
//   stale-read  a linearizable read answers what was true before
//   lost-event  a watch is not told of one event
//   two-causes  an acknowledged write says the revision of another one
std::span<const std::pair<std::string_view, Tamper>> all_tampers();

}  // namespace lockstep::faults
