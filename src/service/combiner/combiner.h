// Many small updates of one key, made by one process, as few transactions: whatever arrives while one is
// under way goes together into the next. Counters and limiters stand on it.
//
//   1. Updates take effect one after the other, in one order, each exactly once; its answer is what it found
//      and made there. An update that answers takes effect between its call and its answer.
//   2. Exact also after an unknown outcome. Each transaction writes, beside the key, a marker of this
//      combiner with its number, and is bound to the revisions of both. After "unknown" the same transaction
//      is sent again, which either succeeds, or reads from the marker whether the first one did; if that did
//      not, it writes so there, and neither can take effect later. The marker has a lease that outlasts every
//      repetition; once it is gone, nothing with that lease can be written.
//   3. Outcomes: ok; unknown_outcome (the deadline passed or the caller gave up while it was under way, or
//      nothing could be learned); any other error: no effect.
//   4. An update that changes nothing is answered only at a revision known to be current after its call.
//   5. An update may have a companion: a key beside, written in the same transaction, so that both take
//   effect or neither; and not at all unless that key is at the revision that is expected.
//
// Cost: one transaction of two puts for each round trip to the store, however many updates; a read at first;
// a lease for many markers every few minutes. Bounded: updates_waiting_max in all, updates_per_batch_max in a
// transaction, combined_keys_max keys remembered.
//
// Only updates of the same principal go together (I12): each needs permission to write the key and the keys
// under the marker prefix.
//
// Destroying the combiner answers what waits with errors::combiner_closed(), and leaves what is under way to
// end by itself: it is answered then. Strand only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>

#include "base/ids.h"
#include "base/status.h"
#include "base/task.h"
#include "base/time.h"
#include "service/combiner/shared_leases.h"
#include "service/context.h"
#include "store/store.h"

namespace lockstep::service {

inline constexpr std::size_t updates_waiting_max = 65'536;
inline constexpr std::size_t updates_per_batch_max = 4096;
inline constexpr std::size_t combined_keys_max = 4096;
static_assert(updates_waiting_max > updates_per_batch_max);
// Of updates with one, in a transaction: etcd allows 128 comparisons or operations.
inline constexpr std::size_t companions_per_batch_max = 32;
static_assert(companions_per_batch_max + 3 < 128);

// The key as it was found or written last.
struct KnownKey {
  Revision mod_revision;  // zero: it does not exist
  std::string value;
  LeaseId lease;
  TimePoint known_at{};       // when it was learned first, or, if `written_here`, its fold
  bool written_here = false;  // by this combiner
};

struct KeepLease {};   // of the key as it is
struct WithoutEnd {};  // no lease
struct LastingFor {
  Duration ttl{};
};
struct EndingAt {
  Duration wall{};
};
using KeyEnd = std::variant<KeepLease, WithoutEnd, LastingFor, EndingAt>;

// What a batch makes of the key.
struct Folded {
  enum class Action : std::uint8_t { nothing, put, remove };
  Action action = Action::nothing;
  std::string value;
  KeyEnd end;
};

struct Companion {
  std::string key;
  Revision expected;  // its mod_revision
  Duration ttl{};     // the key's end is not before

  // What the fold says: the update takes effect, and this is written with it.
  bool written = false;
  std::string value;
  // What the fold is told: the key is at another revision, so that the update must not take effect.
  bool lost = false;
};

// One waiting update: whoever made it reads the answer from it afterwards. A fold may see it many times; the
// last one counts.
struct CombinedUpdate {
  CombinedUpdate() = default;
  CombinedUpdate(const CombinedUpdate&) = delete;
  CombinedUpdate& operator=(const CombinedUpdate&) = delete;
  virtual ~CombinedUpdate() = default;

  std::optional<Companion> companion;
};

// Applies the updates in order, leaving each one's answer in it.
using Fold = std::function<Folded(const KnownKey& key, std::span<CombinedUpdate* const> updates)>;

struct CombinerOptions {
  std::string key_prefix;     // the key is this and the name
  std::string marker_prefix;  // a marker is this, the name, "/" and 16 hexadecimal digits
  Fold fold;
};

namespace errors {
Status combiner_closed();         // cancelled
Status too_many_updates();        // resource_exhausted
Status too_contended();           // unavailable: others were faster, again and again
Status update_outcome_unknown();  // unknown_outcome
}  // namespace errors

class Combiner {
 public:
  Combiner(const Context& context, CombinerOptions options);
  ~Combiner();
  Combiner(const Combiner&) = delete;
  Combiner& operator=(const Combiner&) = delete;

  // The revision at which the update's answer holds. A RequestId is not used.
  [[nodiscard]] Task<Result<Revision>> submit(std::string name, std::shared_ptr<CombinedUpdate> update,
                                              store::CallOptions options);

  [[nodiscard]] std::size_t waiting() const;
  [[nodiscard]] std::size_t keys_remembered() const;

 private:
  class Core;
  class Lane;
  class Commit;
  struct Waiting;
  std::shared_ptr<Core> core_;
};

}  // namespace lockstep::service
