// Lock: one holder at a time, fair, with a fencing token.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "lockstep/abi.h"
#include "lockstep/call_options.h"
#include "lockstep/kv.h"
#include "lockstep/operation.h"

namespace lockstep::LOCKSTEP_INLINE v1 {

namespace detail {
class HeldLock;
class Runtime;
}  // namespace detail

// A held lock; gives it back when it is destroyed (without waiting for the server's answer).
class LockGuard {
 public:
  explicit LockGuard(std::shared_ptr<detail::HeldLock> held) : held_(std::move(held)) {}
  LockGuard(LockGuard&&) noexcept = default;
  LockGuard& operator=(LockGuard&& other) noexcept;
  ~LockGuard();

  // Larger for each later holder: pass it to whatever the lock protects, which refuses smaller ones.
  [[nodiscard]] std::int64_t token() const;
  // The key that exists as long as the lock is held.
  [[nodiscard]] const std::string& key() const;
  // Gives it back and waits for the answer.
  Operation<void> release(CallOptions options = {});

 private:
  std::shared_ptr<detail::HeldLock> held_;
};

class Lock {
 public:
  Lock(std::shared_ptr<detail::Runtime> runtime, std::string name)
      : runtime_(std::move(runtime)), name_(std::move(name)) {}

  // Waits its turn.
  Operation<LockGuard> acquire(CallOptions options = {});

 private:
  std::shared_ptr<detail::Runtime> runtime_;
  std::string name_;
};

}  // namespace lockstep::LOCKSTEP_INLINEv1
