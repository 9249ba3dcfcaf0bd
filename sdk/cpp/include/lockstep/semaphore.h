// Semaphore: at most so many at once, in the order of arrival.
//
//   auto permit = client.semaphore("exports", 3).acquire().wait();
//
// Guarantee: at most that many sessions hold a permit, decided in the store. The permit of a holder that dies
// is free when its session ends.
//
// What can go wrong: as for locks, a holder that is stopped for longer than its session lasts is one too
// many.
//
// Cost: a free permit is one write; a hand-over wakes one waiter.
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

namespace lockstep::LOCKSTEP_INLINE v1 {

namespace detail {
class Runtime;
}

class Semaphore {
 public:
  Semaphore(std::shared_ptr<detail::Runtime> runtime, std::string name, std::int64_t permits)
      : runtime_(std::move(runtime)), name_(std::move(name)), permits_(permits) {}

  // Held by this session instead of one of the client's own; it has one permit at most.
  Semaphore& in(const Session& session) {
    session_ = session.holder();
    return *this;
  }
  // For people who look who holds one.
  Semaphore& reason(std::string reason) {
    reason_ = std::move(reason);
    return *this;
  }

  // deadline_exceeded and cancelled: none held, not in line. failed_precondition: it has another number of
  // permits.
  Operation<Guard> acquire(CallOptions options = {}) const;
  // At once, or failed_precondition.
  Operation<Guard> try_acquire(CallOptions options = {}) const;
  // Those who hold, then those who wait.
  Operation<std::vector<Contender>> contenders(CallOptions options = {}) const;
  // While nobody holds or awaits a permit; the next to come may say another number of them.
  Operation<void> remove(CallOptions options = {}) const;

 private:
  std::shared_ptr<detail::Runtime> runtime_;
  std::string name_;
  std::int64_t permits_;
  std::shared_ptr<detail::SessionHolder> session_;
  std::string reason_;
};

}  // namespace lockstep::LOCKSTEP_INLINEv1
