// Generated requests for tests: few keys, many errors, and revisions and leases near the interesting ones.
#pragma once

#include <cstdint>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "base/prng.h"
#include "store/types.h"

namespace lockstep::store::testing {

// One step of a sequence. (lease_leases has no request of its own.)
using Step = std::variant<RangeRequest, PutRequest, DeleteRangeRequest, TxnRequest, CompactRequest,
                          LeaseGrantRequest, LeaseRevokeRequest, LeaseKeepAliveRequest,
                          LeaseTimeToLiveRequest, LeaseLeasesResponse, AlarmRequest>;

// What the generator must know to hit interesting revisions and leases.
struct Known {
  std::int64_t revision = 1;
  std::int64_t compacted = 0;
  std::vector<LeaseId> leases;
  bool no_space = false;
  bool short_leases = false;  // TTLs of some seconds instead of days
};

Step generate(Prng& prng, const Known& known);

}  // namespace lockstep::store::testing
