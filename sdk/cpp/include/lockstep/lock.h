// Lock: one holder at a time, or many who share; fair; with a fencing token.
//
//   auto guard = client.lock("locks/orders").acquire(CallOptions().timeout(5s)).wait();
//   if (!guard) …                                  // deadline_exceeded: not held, and not in line any more
//   guard->commit(Txn().put("orders/last", "42"))  // refused in the store if the lock is not ours any more
//
// Guarantee: at most one session holds it; tokens only grow from holder to holder. `etcdctl lock
// locks/orders` contends with it. Every key that begins with the name and "/" stands in its line, as in etcd:
// keep data elsewhere.
//
// What can go wrong: a holder that is stopped for longer than its session lasts goes on believing that it
// holds. So give the token to whatever the lock protects, and let it refuse smaller ones; commit() does that
// for keys.
//
// Cost: acquiring a free lock is one write, releasing it another; a session, shared by what a client holds,
// is renewed every third of its ttl.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lockstep/abi.h"
#include "lockstep/call_options.h"
#include "lockstep/guard.h"
#include "lockstep/operation.h"
#include "lockstep/session.h"

namespace lockstep::LOCKSTEP_INLINE v1 {

namespace detail {
class Runtime;
}

using LockGuard = Guard;

// What to acquire, and how. Nothing is asked before acquire().
class Lock {
 public:
  Lock(std::shared_ptr<detail::Runtime> runtime, std::string name)
      : runtime_(std::move(runtime)), name_(std::move(name)) {}

  // With others who share it.
  Lock& shared() {
    shared_ = true;
    return *this;
  }
  // Held by this session instead of one of the client's own. The same session may acquire it again: the same
  // holding, with the same token, until it was released as often.
  Lock& in(const Session& session) {
    session_ = session.holder();
    return *this;
  }
  // For people who look who holds it.
  Lock& reason(std::string reason) {
    reason_ = std::move(reason);
    return *this;
  }

  // In the order of arrival. deadline_exceeded and cancelled: not held, not in line.
  Operation<LockGuard> acquire(CallOptions options = {}) const;
  // At once, or failed_precondition.
  Operation<LockGuard> try_acquire(CallOptions options = {}) const;

  // Holders first, then those who wait in the order of service; at most 1000.
  Operation<std::vector<Contender>> contenders(CallOptions options = {}) const;
  // Takes it away from the holder of that token, on the record under lockstep/audit/. What the holder
  // believes does not change until it asks: only the token protects.
  Operation<void> force_release(std::int64_t token, std::string reason, CallOptions options = {}) const;

 private:
  std::shared_ptr<detail::Runtime> runtime_;
  std::string name_;
  bool shared_ = false;
  std::shared_ptr<detail::SessionHolder> session_;
  std::string reason_;
};

}  // namespace lockstep::LOCKSTEP_INLINEv1
