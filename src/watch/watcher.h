// What the hub knows of one subscription. Internal to watch/.
//
// Invariants:
//   1. `matched` holds, in order and once each, the revisions with matching events that were found and not
//   delivered
//      yet; at most matched_revisions_max. No event is kept: delivery reads them from history.
//   2. Every matching revision >= first, <= the known end and not in `matched` was delivered. The known end
//   is the
//      hub's newest revision while live, known_until otherwise.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "base/ids.h"
#include "base/strong_integer.h"
#include "store/types.h"

namespace lockstep::watch {

using WatcherId = StrongInteger<struct WatcherIdTag, std::uint64_t>;  // the first is 1; never reused

// What one subscription may have found and not delivered; 8 bytes each. Beyond, it is looked up again later.
inline constexpr std::size_t matched_revisions_max = 1024;

enum class Phase : std::uint8_t {
  live,     // on_block() looks at it
  lagging,  // being caught up from history, a slice at a time
  scanned,  // lagging, and part of the slice being scanned right now
  parked,   // found enough; waits until the subscriber takes some
  ended,    // cancelled
};

// A queue in one allocation; none while empty and never used (most watchers are idle).
class MatchedRevisions {
 public:
  [[nodiscard]] bool empty() const { return begin_ == revisions_.size(); }
  [[nodiscard]] std::size_t size() const { return revisions_.size() - begin_; }
  [[nodiscard]] Revision front() const { return revisions_[begin_]; }
  [[nodiscard]] Revision back() const { return revisions_.back(); }
  void push_back(Revision revision) {
    if (begin_ > 0 && revisions_.size() == revisions_.capacity()) {
      revisions_.erase(revisions_.begin(), revisions_.begin() + static_cast<std::ptrdiff_t>(begin_));
      begin_ = 0;
    }
    revisions_.push_back(revision);
  }
  void pop_front() {
    ++begin_;
    if (empty()) clear();
  }
  void clear() {
    revisions_.clear();
    begin_ = 0;
  }
  [[nodiscard]] std::size_t memory_bytes() const { return revisions_.capacity() * sizeof(Revision); }

 private:
  std::vector<Revision> revisions_;
  std::size_t begin_ = 0;
};

struct Watcher {
  WatcherId id;
  store::WatchRequest request;
  Revision first;        // the start the subscriber asked for
  Revision known_until;  // not while live
  Phase phase = Phase::live;
  MatchedRevisions matched;
  std::size_t place_among_equals = 0;  // WatcherIndex's: among the watchers of the same single key
  std::size_t fragment_offset = 0;     // events of matched.front() that were delivered
  bool progress_asked = false;         // by the subscriber, or by the clock
  bool answered_since_tick = false;
  bool notification_queued = false;
  std::move_only_function<void()> ready;
  std::optional<store::WatchResponse> last_answer;  // the cancellation, until it is taken

  // Single keys live in a hash table, ranges in a tree.
  [[nodiscard]] bool is_point() const { return request.range_end.empty(); }
};

}  // namespace lockstep::watch
