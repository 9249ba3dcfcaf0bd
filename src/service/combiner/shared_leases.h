// Leases that many keys of one user share, so that a key with an end costs no write of its own for it.
//
//   1. What lasting() gives lives for `ttl` at least from the call, and a quarter of that longer at most
//      (and two seconds).
//   2. What until() gives ends when this process's wall clock shows that moment, within a second, if the
//      clock does not jump.
//   3. Only calls of one principal share a lease: the store asks whoever writes a key with a lease for the
//      permission to write all others it has. At most shared_lease_keys_max of them share one, which bounds
//      what that costs, and what one expiry removes.
//
// Errors are certain: no lease, nothing written that matters. An answer that got lost leaves a lease without
// keys, which ends by itself.
//
// Ownership: a value that copies share. Strand only.
#pragma once

#include <cstddef>
#include <memory>

#include "base/ids.h"
#include "base/status.h"
#include "base/task.h"
#include "base/time.h"
#include "service/context.h"
#include "store/store.h"

namespace lockstep::service {

inline constexpr std::size_t shared_lease_keys_max = 256;
// Kept for further use; the oldest makes room.
inline constexpr std::size_t shared_leases_max = 1024;

class SharedLeases {
 public:
  explicit SharedLeases(const Context& context);

  // Of the options, the principal and the deadline count. Requires a positive ttl.
  [[nodiscard]] Task<Result<LeaseId>> lasting(Duration ttl, store::CallOptions options) const;
  // `wall` since the Unix epoch; errors::end_has_passed() unless it lies ahead.
  [[nodiscard]] Task<Result<LeaseId>> until(Duration wall, store::CallOptions options) const;
  // The store does not know it (any more): never given again.
  void forget(LeaseId lease) const;

 private:
  class State;
  std::shared_ptr<State> state_;
};

namespace errors {
Status end_has_passed();       // invalid_argument
Status lease_not_available();  // unavailable: it could not be granted in time
}  // namespace errors

}  // namespace lockstep::service
