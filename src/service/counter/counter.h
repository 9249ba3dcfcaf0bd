// Counters: whole numbers of 64 bits that many add to at once, at "lockstep/counters/NAME" as decimal text.
//
//   1. Every add takes effect exactly once and answers the value that it made: of n adds of one, no two
//      answer the same.
//   2. A counter that does not exist counts as zero; add() and set() make it.
//   3. What would leave the 64 bits is refused, and changes nothing.
//   4. A counter with an end is removed by the store when it comes; the end named last counts. Counting after
//      it begins at zero.
//
//   5. What is written beside an update (CounterCompanion) is written in its transaction: both or neither.
//
// Adds of one process that come together go into one transaction (combiner/combiner.h, which also says what
// they cost, what outcomes there are, and why unknown outcomes do not count twice). get() is one read.
//
// Permissions, where the store asks for them: reading and writing "lockstep/counters/NAME" and the keys under
// "lockstep/adds/NAME/".
//
// Ownership: destroying it is safe at any time; calls that wait end with errors::combiner_closed(). Strand
// only.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/task.h"
#include "base/time.h"
#include "service/combiner/combiner.h"
#include "service/context.h"
#include "store/store.h"

namespace lockstep::service {

std::string counter_key(const std::string& name);
// The text at a counter's key. Errors: errors::not_a_counter().
Result<std::int64_t> parse_counter(std::string_view text);

struct CounterAdd {
  std::int64_t delta = 1;
  std::optional<Duration> expires_at;  // since the Unix epoch; nothing: the counter's end stays as it is
};

struct CounterValue {
  std::int64_t value = 0;
  bool exists = false;
  Revision revision;            // of the store, at which this held
  bool with_companion = false;  // it was written
};

// A key that is written with an update that changes something: what its caller is to hear again, say. Where
// it was changed since `expected`, the update has no effect.
struct CounterCompanion {
  std::string key;
  Revision expected;
  Duration ttl{};  // it is kept for
  std::function<std::string(const CounterValue&)> value;
};

struct CounterSet {
  std::int64_t value = 0;
  std::optional<std::int64_t>
      expected;  // refused unless the counter has this value (zero if it is not there)
  std::optional<Duration> expires_at;
};

namespace errors {
Status not_a_counter();           // failed_precondition: the key holds something else
Status counter_overflow();        // out_of_range
Status counter_value_differs();   // failed_precondition: another value than was expected
Status counter_end_too_far();     // invalid_argument
Status counter_companion_lost();  // failed_precondition: the companion was changed
}  // namespace errors

class Counter {
 public:
  explicit Counter(const Context& context);

  [[nodiscard]] Task<Result<CounterValue>> add(std::string name, CounterAdd add, store::CallOptions options,
                                               std::optional<CounterCompanion> beside = std::nullopt);
  [[nodiscard]] Task<Result<CounterValue>> set(std::string name, CounterSet set, store::CallOptions options,
                                               std::optional<CounterCompanion> beside = std::nullopt);
  [[nodiscard]] Task<Result<CounterValue>> get(std::string name, store::CallOptions options);
  // What it was.
  [[nodiscard]] Task<Result<CounterValue>> remove(std::string name, store::CallOptions options,
                                                  std::optional<CounterCompanion> beside = std::nullopt);

  [[nodiscard]] std::size_t waiting() const { return combiner_.waiting(); }

 private:
  struct Update;
  static Folded fold(env::Clock& clock, const KnownKey& key, std::span<CombinedUpdate* const> updates);
  Task<Result<CounterValue>> submit(std::string name, std::shared_ptr<Update> update,
                                    store::CallOptions options, std::optional<CounterCompanion> beside);

  Context context_;
  Combiner combiner_;
};

}  // namespace lockstep::service
