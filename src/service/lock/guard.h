// What a lock protects must itself refuse whoever only believes that he holds it. Two ways, both decided in
// the store:
//
//   1. guarded(): the write happens only if the holder's key is there, created at its token: nobody writes
//   under a
//      lock that he has lost, even if nobody has taken it since.
//   A fence is a holding that its owner was told of: whoever still waits has a key and a token, too, and the
//   store
//      does not tell the two apart.
//   2. fenced(): the resource remembers the highest token it has seen, at lockstep/fences/RESOURCE, and
//   refuses lower
//      ones. For tokens that come from far away: the lock need not be held any more, nor be in reach.
//
// Either way the transaction is carried out as it is, nested in one that asks; its operations count one less
// than the store's limit. Errors: errors::stale_token, and then nothing was done; the store's.
// unknown_outcome is repeated by the caller, if at all, with a RequestId.
#pragma once

#include <string>

#include "base/ids.h"
#include "base/status.h"
#include "base/task.h"
#include "service/context.h"
#include "service/line.h"
#include "service/session/session.h"
#include "store/store.h"

namespace lockstep::service {

// A holding, as its key and its token: of a lock, a permit, a leadership.
struct Fence {
  std::string key;
  Revision token;
};

Task<Result<store::TxnResponse>> guarded(Context context, store::TxnRequest request, Fence fence,
                                         store::CallOptions options);
// For whoever builds his own transactions: they fail once the fence is over. Its token is above zero.
void add_guard(store::TxnRequest& request, const Fence& fence);

Task<Result<store::TxnResponse>> fenced(Context context, store::TxnRequest request, std::string resource,
                                        Revision token, store::CallOptions options);
// The highest token that the resource has seen, zero if none.
Task<Result<Revision>> highest_token(Context context, std::string resource, store::CallOptions options);

namespace errors {
Status fence_damaged();    // corruption: what stands at lockstep/fences/RESOURCE is no token
Status holding_removed();  // failed_precondition: somebody removed the key of the holding
}  // namespace errors

// Waits until the holding is over, however that comes: the session's end (its state()), or
// errors::holding_removed as soon as the store says so (a forced release, the holder's own). Costs a watch of
// one key.
Task<Status> until_over(Context context, SessionPtr session, Fence fence, store::CallOptions options);

}  // namespace lockstep::service
