// Who the members are and where they are reached: carried in the context of the raft configuration, so that
// it changes with it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "replica/options.h"

namespace lockstep::replica {

// Sorted by id; an id given twice keeps its last address.
std::string encode_addresses(std::vector<Member> members);
// Errors: corruption.
Result<std::vector<Member>> decode_addresses(std::string_view context);
// Whether it may be listed: its texts are not too long.
bool listable(const Member& member);
// The configuration's context with `added` put in; without those that left, once there is no room for them. A
// context that does not decode is replaced.
std::string merge_addresses(const raft::Configuration& configuration, const std::vector<Member>& added);

}  // namespace lockstep::replica
