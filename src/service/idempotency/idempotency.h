// Idempotency: a piece of work that is asked for again is not done again, and gets the first one's answer.
//
//   begin(key, fingerprint)  -> first: do the work, then complete() with the answer, or abandon()
//                            -> in_progress: somebody does it just now
//                            -> done: it was done; here is the answer
//                            -> mismatch: the key was used for other work (another fingerprint)
//
//   1. Of all begins of one key, one is first until it abandons, or its in-progress time is over. Exact also
//      after unknown outcomes: the record names its owner, so a repeated begin finds its own.
//   2. complete() takes effect only for the first that has not lost its time; whoever begins from then on
//      gets that answer, for `keep` at least.
//   3. A first that died, or was slower than its in-progress time, is forgotten: the next begin is first, and
//      the late complete() is refused. The work itself may then be done twice: what must not be needs its
//      effect and complete() in one transaction, by owned().
//
// A begin that ends with unknown_outcome, or whose caller went away, may leave the key in progress for that
// time.
//
// Cost: one transaction each; complete() reads before. Leases are shared (combiner/shared_leases.h), so times
// are an eighth longer than asked for. Of the options, all but the RequestId count.
//
// Permissions: reading and writing "lockstep/idempotency/KEY". Strand only; destroying it is safe at any
// time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/status.h"
#include "base/task.h"
#include "base/time.h"
#include "service/combiner/shared_leases.h"
#include "service/context.h"
#include "store/store.h"

namespace lockstep::service {

inline constexpr std::size_t fingerprint_bytes_max = 256;
inline constexpr std::size_t stored_answer_bytes_max = 64 * 1024;
inline constexpr Duration in_progress_time_max = std::chrono::hours(24);
inline constexpr Duration answer_time_max = std::chrono::hours(24 * 366);

std::string idempotency_key(const std::string& key);

// What a first is known by. As text: "OWNER.REVISION".
struct IdempotencyToken {
  std::string owner;  // 32 hexadecimal digits
  Revision revision;  // of the record
  friend bool operator==(const IdempotencyToken&, const IdempotencyToken&) = default;
};
std::string to_string(const IdempotencyToken& token);
Result<IdempotencyToken> parse_idempotency_token(std::string_view text);

// The value at the key.
struct IdempotencyRecord {
  bool done = false;
  std::string owner;
  std::string fingerprint;
  std::string answer;
  friend bool operator==(const IdempotencyRecord&, const IdempotencyRecord&) = default;
};
std::string encode(const IdempotencyRecord& record);
Result<IdempotencyRecord> parse_idempotency_record(std::string_view value);

struct IdempotencyBegin {
  std::string key;
  std::string fingerprint;          // of the work that is asked for: any bytes
  Duration in_progress_time = 60s;  // for the work
  std::string owner;                // empty: drawn. Whoever repeats a begin that may have taken effect
                                    // says the same 32 hexadecimal digits again.
};

struct IdempotencyState {
  enum class Kind : std::uint8_t { first, in_progress, done, mismatch };
  Kind kind = Kind::first;
  IdempotencyToken token;  // of a first
  std::string answer;      // of what is done
  std::string owner;       // of what is in progress
  Revision revision;       // of the store, at which this held
};

namespace errors {
Status fingerprint_too_long();         // invalid_argument
Status idempotency_time_wrong();       // invalid_argument: not positive, or too long
Status idempotency_owner_wrong();      // invalid_argument: not 32 hexadecimal digits
Status idempotency_token_wrong();      // invalid_argument
Status answer_too_long();              // invalid_argument
Status not_the_first();                // failed_precondition: its time was over, or it abandoned
Status already_completed();            // failed_precondition: with another answer
Status idempotency_outcome_unknown();  // unknown_outcome
}  // namespace errors

class Idempotency {
 public:
  explicit Idempotency(const Context& context) : context_(context), leases_(context) {}
  // Its records are at `key_prefix` and the key: nothing that is written elsewhere passes for one of them.
  Idempotency(const Context& context, std::string key_prefix);

  [[nodiscard]] Task<Result<IdempotencyState>> begin(IdempotencyBegin begin, store::CallOptions options);
  // Ok as well if this first completed with that answer before. `keep`: how long it is answered.
  [[nodiscard]] Task<Status> complete(std::string key, IdempotencyToken token, std::string answer,
                                      Duration keep, store::CallOptions options);
  // The next begin is first. Ok as well if there is nothing any more.
  [[nodiscard]] Task<Status> abandon(std::string key, IdempotencyToken token, store::CallOptions options);
  // For a transaction of the caller's: holds as long as the token's owner is the first.
  [[nodiscard]] static store::Compare owned(const std::string& key, const IdempotencyToken& token);

 private:
  [[nodiscard]] std::string place(const std::string& key) const { return prefix_ + key; }

  Context context_;
  SharedLeases leases_;
  std::string prefix_ = idempotency_key({});
};

}  // namespace lockstep::service
