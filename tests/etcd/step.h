// One step of a generated sequence: a request, as etcd and the state machine both get it.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/prng.h"
#include "base/status.h"
#include "store/types.h"

namespace lockstep::etcd_test {

using Step =
    std::variant<store::RangeRequest, store::PutRequest, store::DeleteRangeRequest, store::TxnRequest,
                 store::CompactRequest, store::LeaseGrantRequest, store::LeaseRevokeRequest,
                 store::LeaseKeepAliveRequest, store::LeaseTimeToLiveRequest,
                 store::LeaseLeasesResponse,  // lease_leases has no request of its own
                 store::AlarmRequest>;

// What the generator must know to hit interesting revisions and leases.
struct Known {
  std::int64_t revision = 1;
  std::int64_t compacted = 0;
  std::vector<LeaseId> leases;
  bool no_space = false;
};

Step generate(Prng& prng, const Known& known);

// The rules of validate.h that are stricter than etcd 3.4: refused here, accepted there.
bool is_stricter_here(const store::TxnRequest& txn, const Known& known);

// One line for a report.
std::string describe(const Step& step);

}  // namespace lockstep::etcd_test
