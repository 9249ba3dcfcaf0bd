// Counter: a whole number of 64 bits that many add to at once.
//
//   std::int64_t number = client.counter("visits").add().wait().value();
//
// Guarantee: every add takes effect once and answers the value that it made: of n adds of one, no two answer
// the same; also after unknown outcomes. What would leave the 64 bits is refused (out_of_range). Cost: adds
// of one client that come together are one transaction.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "lockstep/abi.h"
#include "lockstep/call_options.h"
#include "lockstep/operation.h"

namespace lockstep::LOCKSTEP_INLINE v1 {

namespace detail {
class Runtime;
}

class Counter {
 public:
  Counter(std::shared_ptr<detail::Runtime> runtime, std::string name)
      : runtime_(std::move(runtime)), name_(std::move(name)) {}

  // From now on, what is added or set moves the counter's end: the store removes it then, and counting begins
  // at zero.
  Counter& expires_at(std::chrono::system_clock::time_point when) {
    expires_at_ = when.time_since_epoch();
    return *this;
  }

  // The new value.
  Operation<std::int64_t> add(std::int64_t delta = 1, CallOptions options = {}) const;
  // Zero for one that does not exist.
  Operation<std::int64_t> get(CallOptions options = {}) const;
  Operation<void> set(std::int64_t value, CallOptions options = {}) const;
  // Only if it has this value now (zero: or does not exist); failed_precondition otherwise.
  Operation<void> set_if(std::int64_t expected, std::int64_t value, CallOptions options = {}) const;
  // What it was.
  Operation<std::int64_t> remove(CallOptions options = {}) const;

 private:
  std::shared_ptr<detail::Runtime> runtime_;
  std::string name_;
  std::optional<std::chrono::nanoseconds> expires_at_;
};

}  // namespace lockstep::LOCKSTEP_INLINEv1
