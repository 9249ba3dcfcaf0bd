// The lock that small scripts know from SET NX: a key, a value that only its holder knows, a time at which it
// ends by itself.
//
//   1. At most one of all take() for a key succeeds until the key ends: by release(), or by its lease, never
//   before `ttl` has passed since take() was called: whoever holds it counts from there.
//   2. release() ends it only for the value it was taken with.
//   3. The token (create_revision) only grows from holder to holder (I5).
//
// Nobody renews it and nobody waits: who needs that takes a real lock (service/lock). What can go wrong: a
// holder that is slower than `ttl` is not told. What take() cannot answer is given back before it ends, which
// may take half a minute longer than the options say; if that fails, too, the lock ends with `ttl`. Cost: a
// read where it is held, else a read and two writes.
//
// Key: "lockstep/simple/locks/<key>", its value the holder's, on a lease of its own. Strand: the store's.
// Destroying it is safe at any time: its calls go on.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "base/task.h"
#include "base/time.h"
#include "service/context.h"
#include "store/store.h"

namespace lockstep::service {

inline constexpr std::string_view simple_locks_prefix = "lockstep/simple/locks/";
inline constexpr std::size_t simple_lock_value_bytes_max = 4096;

namespace errors {
Status simple_lock_held();      // failed_precondition
Status simple_lock_not_held();  // failed_precondition: not with this value
}  // namespace errors

class SimpleLock {
 public:
  explicit SimpleLock(Context context) : context_(context) {}

  // The token.
  Task<Result<Revision>> take(std::string key, std::string value, Duration ttl, store::CallOptions options);
  Task<Status> release(std::string key, std::string value, store::CallOptions options);

 private:
  Context context_;
};

}  // namespace lockstep::service
