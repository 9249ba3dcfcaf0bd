#include "replica/seen_forwards.h"

#include "base/assert.h"

namespace lockstep::replica {

bool SeenForwards::take(NodeId peer, ForwardId id) {
  LS_MUST(term_ != Term{});
  const std::uint64_t start = id.value() >> forward_count_bits;
  const auto [position, unknown] = peers_.try_emplace({peer, start});
  Start& seen = position->second;
  // Its batches for earlier leaders are none of ours; a few of those for us may yet come.
  if (unknown) {
    const ForwardId first(start << forward_count_bits);
    const bool far = id - first > seen_forwards_gap_max;
    seen.all_through = far ? ForwardId(id.value() - seen_forwards_gap_max) : first;
  }
  if (id <= seen.all_through || !seen.beyond.insert(id).second) return false;
  if (seen.beyond.size() > seen_forwards_gap_max) {
    seen.all_through = *seen.beyond.begin();
    seen.beyond.erase(seen.beyond.begin());
  }
  while (!seen.beyond.empty() && *seen.beyond.begin() == seen.all_through.next()) {
    ++seen.all_through;
    seen.beyond.erase(seen.beyond.begin());
  }
  LS_MUST(seen.beyond.size() <= seen_forwards_gap_max);
  return true;
}

}  // namespace lockstep::replica
