// Ids: unique numbers of 64 bits in the order of time, made in the process without asking anybody for each.
//
//   std::uint64_t order = client.ids("orders").next().wait().value();
//
// Guarantee: no number is given twice for one name, whatever crashes, freezes or jumps; those of one client
// grow. Those of different processes are ordered as well as their clocks agree (some seconds). Bit 63 is 0.
//
// Cost: one transaction for some seconds of numbers. At most 1024 processes use one name at a time.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lockstep/abi.h"
#include "lockstep/call_options.h"
#include "lockstep/operation.h"

namespace lockstep::LOCKSTEP_INLINE v1 {

namespace detail {
class Runtime;
}

class Ids {
 public:
  Ids(std::shared_ptr<detail::Runtime> runtime, std::string name)
      : runtime_(std::move(runtime)), name_(std::move(name)) {}

  Operation<std::uint64_t> next(CallOptions options = {}) const;
  // 1 to 10,000, growing.
  Operation<std::vector<std::uint64_t>> next_many(std::size_t count, CallOptions options = {}) const;
  // When a number was made, by the clock of whoever made it.
  static std::chrono::system_clock::time_point time_of(std::uint64_t id);

 private:
  std::shared_ptr<detail::Runtime> runtime_;
  std::string name_;
};

}  // namespace lockstep::LOCKSTEP_INLINEv1
