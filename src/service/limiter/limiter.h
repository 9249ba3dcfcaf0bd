// Rate limits that a fleet shares: so much in a period, no matter which process asks.
//
//   token bucket    `burst` at once, `limit` in each period on average
//   sliding window  `limit` in any interval as long as a period
//
//   1. Never more than the rule allows, over all processes that name the same limit, by the limiter's time.
//      An unknown outcome never makes two of one (combiner/combiner.h); what is told unknown may have been
//      taken.
//   2. The limiter's time is stored with the limit and never goes back. A process that stored it last goes on
//      from there by its monotonic clock; one that finds another's goes on likewise, or by its wall clock if
//      that is ahead. So a wall clock that jumps back holds nobody up, and one that jumps forward gives, once
//      and at most, what a full bucket or an empty window gives.
//   3. A sliding window counts by slices of a 64th of the period: what was taken counts for the period and at
//      most one slice longer.
//   4. A limit that was not asked for long enough to be as new is removed by the store.
//
// The rule comes with each take; the newest counts. What was used under another rule stays used.
//
// Cost: takes of one process go together (combiner/combiner.h); a batch in which nothing was allowed is one
// read. Permissions: reading and writing "lockstep/limits/NAME" and the keys under "lockstep/takes/NAME/".
//
// Ownership: destroying it is safe at any time; calls that wait end with errors::combiner_closed(). Strand
// only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/task.h"
#include "base/time.h"
#include "service/combiner/combiner.h"
#include "service/context.h"
#include "store/store.h"

namespace lockstep::service {

inline constexpr std::int64_t limit_max = 1'000'000'000;
inline constexpr Duration limit_period_min = 1ms;
inline constexpr Duration limit_period_max = std::chrono::hours(24 * 366);

enum class LimitAlgorithm : std::uint8_t { token_bucket, sliding_window };

struct LimitRule {
  LimitAlgorithm algorithm = LimitAlgorithm::token_bucket;
  std::int64_t limit = 1;
  Duration period = 1s;    // whole microseconds
  std::int64_t burst = 0;  // of a token bucket; 0: as the limit
  friend bool operator==(const LimitRule&, const LimitRule&) = default;
};

struct LimitTake {
  LimitRule rule;
  std::int64_t cost = 1;  // all or nothing; 0 only looks
};

struct LimitAnswer {
  bool allowed = false;
  std::int64_t remaining = 0;  // that could be taken now
  Duration retry_after{};      // when what was refused may be allowed, if nobody else takes it
  Revision revision;           // of the store, at which this held
};

// The value at "lockstep/limits/NAME".
struct LimitState {
  LimitRule rule;  // with its burst
  std::int64_t time_us = 0;
  // Token bucket: full tokens, and what of the next one is there, in parts of a period's microseconds.
  std::int64_t tokens = 0;
  std::int64_t fraction_us = 0;
  // Sliding window: slice, count, slice, count …, oldest first.
  std::vector<std::int64_t> slices;
  friend bool operator==(const LimitState&, const LimitState&) = default;
};
std::string limit_key(const std::string& name);
std::int64_t limit_slice_us(const LimitRule& rule);
std::string encode(const LimitState& state);
Result<LimitState> parse_limit(std::string_view value);

namespace errors {
Status limit_wrong();       // invalid_argument: limit, burst or period out of their bounds
Status limit_cost_wrong();  // invalid_argument: negative, or more than is ever allowed at once
Status not_a_limit();       // failed_precondition: the key holds something else
}  // namespace errors

class Limiter {
 public:
  explicit Limiter(const Context& context);

  [[nodiscard]] Task<Result<LimitAnswer>> take(std::string name, LimitTake take, store::CallOptions options);
  // As if nothing had ever been taken.
  [[nodiscard]] Task<Status> reset(std::string name, store::CallOptions options);

 private:
  struct Update;
  static Folded fold(env::Clock& clock, const KnownKey& key, std::span<CombinedUpdate* const> updates);

  Combiner combiner_;
};

}  // namespace lockstep::service
