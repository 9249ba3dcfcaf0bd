// Locks: exclusive and read-write, reentrant on demand, one or many at once.
//
//   1. At most one session holds a lock exclusively, and then nobody shares it: decided in the store, at the
//   revision
//      in the answer's header. Served in the order of arrival (line.h), readers together.
//   2. The token of a holding only grows, from holder to holder. What a lock protects refuses older ones:
//   guard.h.
//   3. The owner is the session. A session that asks for what it holds is answered at once, with the same
//   token: the
//      same holding, unless both ask for `reentrant`; then it is held until it was released as often.
//   4. acquire_all() holds all or none; names are taken in one order, so two of them never wait for each
//   other. What was taken is given back before the error comes; if the store is away longer than half a
//   minute, that goes on behind the scenes as long as the session lives.
//   5. A call that ends with an error holds nothing and leaves no key (line.h 3).
//   6. `etcdctl lock` and etcd's clients contend with it: exclusive holders stand at NAME/<lease hex>,
//   readers at
//      NAME/r/<lease hex>.
//
// What can go wrong: a holder that is stopped longer than its session lasts still believes what it believed:
// only the token, checked at the resource, protects. Names contain each other as etcd's do: a lock "a" waits
// for holders of "a/b" (its readers for those that sort before "a/r"). Two processes that wait with one
// session share its place: if the one that came second gives up, the other is told errors::place_lost.
// Whoever may write the keys can remove them.
//
// Costs: free lock: one write. Contended: one write and one watch; a hand-over is the write that releases,
// one notice, and one read. release(): one write.
//
// Strand only. Destroying it cancels who waits; what is held stays held.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "service/context.h"
#include "service/line.h"
#include "service/lock/description.h"
#include "service/session/session.h"

namespace lockstep::service {

enum class LockMode : std::uint8_t { exclusive, shared };

struct LockRequest {
  std::string name;
  LockMode mode = LockMode::exclusive;
  bool wait = true;        // until the deadline of the options; false: errors::lock_held at once
  bool reentrant = false;  // count; otherwise asking again is the same holding
  Description description;
};

// Every name that acquire_all() is given; nobody means more.
inline constexpr std::size_t locks_at_once_max = 64;

struct MultiLockRequest {
  std::vector<std::string> names;  // in any order; one named twice is held once
  LockMode mode = LockMode::exclusive;
  bool wait = true;
  Description description;
};

struct HeldLock {
  std::string name;
  LockMode mode = LockMode::exclusive;
  Revision token;
  LeaseId session;
  std::string key;  // exists, created at `token`, as long as it is held
  std::int64_t count = 1;
  store::Header header;
  bool was_held = false;  // by the session, before; this call took nothing and counted nothing
};

// Names what is to be released; from HeldLock, or from what a client was told.
struct LockRelease {
  std::string name;
  LockMode mode = LockMode::exclusive;
  LeaseId session;
  Revision token;
  // How often it is held, as the caller believes: then releasing one time of several may be repeated. Zero:
  // not said.
  std::int64_t count = 0;
  // Shared with calls that repeat this one, in this process: nothing is given back twice, also without a
  // count.
  std::shared_ptr<LeaveMemory> memory = nullptr;
};

struct Released {
  store::Header header;
  std::int64_t count = 0;  // still held so many times; 0: released
};

namespace errors {
Status lock_held();           // failed_precondition: by somebody else, and we do not wait
Status lock_mode_conflict();  // failed_precondition: the session would wait for itself: it holds or awaits it
                              // in the other mode, or holds a lock whose name this one contains
Status lock_name_reserved();  // invalid_argument: names that end with "/r" are readers' keys
Status lock_count_differs();  // failed_precondition: it is held more or less often than the caller believes
Status locks_at_once();       // invalid_argument: acquire_all() wants 1 to 64 names
}  // namespace errors

class Locks {
 public:
  explicit Locks(const Context& context) : context_(context), line_(std::make_shared<Line>(context)) {}
  ~Locks() { line_->close(); }
  Locks(const Locks&) = delete;
  Locks& operator=(const Locks&) = delete;

  // Waits until the deadline of the options: deadline_exceeded. session_lost at once if that happens
  // meanwhile.
  [[nodiscard]] Task<Result<HeldLock>> acquire(SessionPtr session, LockRequest request,
                                               store::CallOptions options);
  // In the order of the names' bytes. An error comes when what was taken is given back.
  [[nodiscard]] Task<Result<std::vector<HeldLock>>> acquire_all(SessionPtr session, MultiLockRequest request,
                                                                store::CallOptions options);
  // errors::not_holder, errors::stale_token, errors::lock_count_differs. After unknown_outcome it may be
  // repeated if it was held once (not_holder says that it had been released), or if both name the same
  // `count` or share their `memory`. Else a repetition, of what is held more than once, may take effect
  // twice.
  [[nodiscard]] Task<Result<Released>> release(const LockRelease& release, store::CallOptions options);
  // Each of them; the first error, after all were tried.
  [[nodiscard]] Task<Status> release_all(std::vector<HeldLock> held, store::CallOptions options);

  [[nodiscard]] std::size_t waiters() const { return line_->waiters(); }

 private:
  Context context_;
  std::shared_ptr<Line> line_;  // also of calls that run
};

}  // namespace lockstep::service
