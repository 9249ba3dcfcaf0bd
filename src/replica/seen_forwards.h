// Which forwarded batches a leader has taken, so that a message that comes twice takes effect once.
//
// A batch names the term whose leader it is meant for, so one term of memory is enough: who restarted, or
// lost the lead, leads in a later term.
//
// Invariant: take() is true at most once for a peer's id in a term. It may be false for one never seen, if it
// was overtaken by many others.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <utility>

#include "base/ids.h"
#include "replica/peer_message.h"

namespace lockstep::replica {

// Of one start of one peer: batches that may be missing while later ones came. Bounds the memory.
inline constexpr std::size_t seen_forwards_gap_max = 1024;

class SeenForwards {
 public:
  // This member leads `term` from now on.
  void begin(Term term) {
    term_ = term;
    peers_.clear();
  }
  // The last term this member led since it started; zero: none.
  [[nodiscard]] Term term() const { return term_; }
  // True if this is the first time.
  [[nodiscard]] bool take(NodeId peer, ForwardId id);

 private:
  struct Start {
    ForwardId all_through;       // every id up to here counts as taken
    std::set<ForwardId> beyond;  // taken as well
  };
  Term term_;
  std::map<std::pair<NodeId, std::uint64_t>, Start> peers_;  // by peer and start
};

}  // namespace lockstep::replica
