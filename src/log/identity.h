// Whose directory this is: written when it is made, never changed.
//
// Two checksummed copies, each made durable under a temporary name and then renamed; one damaged copy is
// replaced from the other. The files appear last when a directory is made, so that their presence says the
// rest was there. Errors: corruption if no copy can be read.
#pragma once

#include <string>

#include "base/ids.h"
#include "base/status.h"
#include "env/disk.h"

namespace lockstep::log {

struct Identity {
  ClusterId cluster;
  NodeId node;
  IncarnationId incarnation;
  friend bool operator==(const Identity&, const Identity&) = default;
};

std::string encode_identity(const Identity& identity);
// failed_precondition if written by a newer format; corruption if malformed.
Result<Identity> decode_identity(std::string_view bytes);

// not_found if neither copy exists. Restores a missing or damaged copy from the other.
Result<Identity> load_identity(env::Disk& disk, const std::string& directory);
Status store_identity(env::Disk& disk, const std::string& directory, const Identity& identity);

}  // namespace lockstep::log
