// Unique numbers of 64 bits in the order of time, made in the process, without asking anybody for each.
//
//   bit 63: 0 | 41 bits: milliseconds since 2025 | 10 bits: worker | 12 bits: number within the millisecond
//
//   1. No number is ever given twice for one name, whatever crashes, freezes or jumps. A generator holds a
//      worker number by a lease, and gives only milliseconds below what it has reserved for that worker in
//      the store; whoever holds the worker number next begins above all that was ever reserved for it. So one
//      that lost its lease unnoticed may use up what it reserved.
//   2. The numbers of one generator grow, also when its wall clock jumps back. Those of different processes
//      are ordered as well as their wall clocks agree, and reservations overlap (some seconds).
//   3. A wall clock that jumps forward takes its worker along, if numbers are made meanwhile: they stay that
//      far ahead. A worker number whose end of time has come so, or whose floor is damaged, is passed over.
//
// Cost: one transaction for some seconds of numbers (4096 a millisecond), however many; a claim of the worker
// number at first, and again after a minute without use. At most ids_workers_max generators of one name at a
// time.
//
// Permissions: reading and writing the keys under "lockstep/ids/NAME/". Each principal has a generator of its
// own.
//
// Ownership: destroying it is safe at any time; calls that wait end with errors::ids_closed(). Strand only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/task.h"
#include "base/time.h"
#include "service/context.h"
#include "store/store.h"

namespace lockstep::service {

inline constexpr int ids_worker_bits = 10;
inline constexpr int ids_sequence_bits = 12;
inline constexpr std::uint64_t ids_workers_max = 1U << ids_worker_bits;
inline constexpr std::uint64_t ids_per_millisecond = 1U << ids_sequence_bits;
inline constexpr Duration ids_epoch = std::chrono::seconds(1'735'689'600);  // 2025-01-01T00:00:00Z
inline constexpr std::size_t ids_at_once_max = 10'000;
inline constexpr std::size_t ids_generators_max = 256;  // of one Ids: names and principals; the oldest goes

struct IdParts {
  Duration wall{};  // since the Unix epoch
  std::uint64_t worker = 0;
  std::uint64_t sequence = 0;
};
IdParts split_id(std::uint64_t id);

// The value of "lockstep/ids/NAME/floor/WORKER": milliseconds since ids_epoch, decimal.
Result<std::int64_t> parse_ids_floor(std::string_view value);

namespace errors {
Status ids_count_wrong();    // invalid_argument: not 1 to ids_at_once_max
Status ids_no_worker();      // resource_exhausted: all worker numbers of the name are held
Status ids_time_over();      // out_of_range: past 2094
Status ids_floor_damaged();  // failed_precondition
Status ids_closed();         // cancelled
}  // namespace errors

class Ids {
 public:
  explicit Ids(const Context& context);
  ~Ids();
  Ids(const Ids&) = delete;
  Ids& operator=(const Ids&) = delete;

  [[nodiscard]] Task<Result<std::vector<std::uint64_t>>> next(std::string name, std::size_t count,
                                                              store::CallOptions options);

 private:
  class Generator;
  class State;
  std::shared_ptr<State> state_;
};

}  // namespace lockstep::service
