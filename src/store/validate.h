// What is refused before it is proposed: rules that do not depend on the state. Order and texts are etcd's.
//
// Two rules are stricter than etcd 3.4, which accepts them by oversight (its protocol forbids them): a delete
// with range_end "\0" beside a put it covers, and a put in one nested transaction beside a delete that covers
// it in a later one. Both would give a key two effects in one revision (effect.h, invariant 2).
//
// A third, in may_put(): etcd 3.4 overlooks puts in nested transactions when space is exhausted.
//
// Pure functions. Cost: O(bytes + operations * log(operations)) of a request that the edge has bounded
// already.
#pragma once

#include "base/ids.h"
#include "base/status.h"
#include "base/time.h"
#include "store/types.h"

namespace lockstep::store {

Status validate(const RangeRequest& request);
Status validate(const PutRequest& request);
Status validate(const DeleteRangeRequest& request);
Status validate(const TxnRequest& request);
Status validate(const LeaseGrantRequest& request);
Status validate(const RequestId& request_id);

// The TTL a grant gives: whole milliseconds, at least `ttl_min`. It is fixed before proposing, so members
// need not agree on ttl_min. Requires a valid request.
Duration granted_ttl(Duration requested, Duration ttl_min);

// True if no branch at any depth writes: may be answered without the log.
bool is_read_only(const TxnRequest& request);
// True if it reads, and every range at any depth is serializable.
bool is_serializable(const TxnRequest& request);
// True if a branch at any depth puts: refused while space is exhausted.
bool may_put(const TxnRequest& request);

}  // namespace lockstep::store
