// Latch: closed until so many different parties have counted down, then open for good.
//
//   client.latch("migrated").make(3).wait();                 // by whoever comes first
//   client.latch("migrated").count_down("db-1").wait();      // by each of three
//   client.latch("migrated").wait_open().wait();             // by whoever needs all three
//
// Guarantee: a party counts once, however often it says so; an open latch stays open until it is removed. It
// belongs to nobody and outlives all sessions.
//
// Cost: counting is one read and one write; each count is a notice to each who waits.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "lockstep/abi.h"
#include "lockstep/call_options.h"
#include "lockstep/operation.h"

namespace lockstep::LOCKSTEP_INLINE v1 {

namespace detail {
class Runtime;
}

class Latch {
 public:
  Latch(std::shared_ptr<detail::Runtime> runtime, std::string name)
      : runtime_(std::move(runtime)), name_(std::move(name)) {}

  // Done also if it is there and waits for as many; failed_precondition if for another number.
  Operation<void> make(std::int64_t parties, CallOptions options = {}) const;
  // How many are still to come. Saying it again, after an unknown outcome for instance, counts once.
  Operation<std::int64_t> count_down(std::string party, CallOptions options = {}) const;
  Operation<void> wait_open(CallOptions options = {}) const;
  // How many are still to come; 0: it is open.
  Operation<std::int64_t> remaining(CallOptions options = {}) const;
  Operation<void> remove(CallOptions options = {}) const;

 private:
  std::shared_ptr<detail::Runtime> runtime_;
  std::string name_;
};

}  // namespace lockstep::LOCKSTEP_INLINEv1
