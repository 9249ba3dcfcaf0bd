// The part of the log that is held in memory: everything after the compacted prefix.
//
// Invariants:
//  1. Entries have consecutive indexes base_index + 1 … last_index and terms that never fall.
//  2. base_index <= last_index; the term of the base entry is known.
//  3. unstable_first is the first entry not handed out for persistence yet, at most last_index + 1.
//  4. Nothing at or below a committed index is ever replaced (P49); the caller passes the commit index.
// Payloads are shared, never copied.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "raft/types.h"

namespace lockstep::raft {

class RaftLog {
 public:
  RaftLog() = default;
  // Entries must follow (base_index, base_term) directly; all of them are stable.
  RaftLog(LogIndex base_index, Term base_term, std::vector<Entry> entries);

  [[nodiscard]] LogIndex base_index() const { return base_index_; }
  [[nodiscard]] Term base_term() const { return base_term_; }
  [[nodiscard]] LogIndex first_index() const { return base_index_.next(); }
  [[nodiscard]] LogIndex last_index() const { return base_index_ + entries_.size(); }
  [[nodiscard]] Term last_term() const { return entries_.empty() ? base_term_ : entries_.back().term; }
  [[nodiscard]] LogIndex unstable_first() const { return unstable_first_; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

  // Nothing if the index is compacted (below the base) or beyond the end.
  [[nodiscard]] std::optional<Term> term_at(LogIndex index) const;
  [[nodiscard]] bool matches(LogIndex index, Term term) const { return term_at(index) == term; }
  // Requires base_index < index <= last_index.
  [[nodiscard]] const Entry& at(LogIndex index) const;
  // Entries [first, last], at least one, then as many as fit bytes_max. Requires base_index < first.
  [[nodiscard]] std::vector<Entry> slice(LogIndex first, LogIndex last, std::size_t bytes_max) const;
  // Is a log that ends with (index, term) at least as complete as this one (paper 5.4.1)?
  [[nodiscard]] bool is_up_to_date(LogIndex index, Term term) const;
  // The first entry of `entries` that is missing here or has another term; past the end if there is none.
  // Entries at or below the base count as present.
  [[nodiscard]] std::size_t first_conflict(std::span<const Entry> entries) const;
  // The last index at or below `index` whose term is at or below `term`: where a log that has `term` at
  // `index` may still agree with this one. The base if nothing in memory qualifies.
  [[nodiscard]] LogIndex last_possible_match(LogIndex index, Term term) const;

  // Appends entries that continue the log or replace its end. Requires entries.front().index > commit.
  void append(std::span<const Entry> entries, LogIndex commit);
  // What must be written and was not handed out yet; from now on it counts as handed out.
  std::vector<Entry> take_unstable();
  // Drops entries at or below `index`. Requires base_index <= index <= last_index.
  void compact(LogIndex index);
  // Replaces everything by a snapshot that ends with (index, term).
  void reset(LogIndex index, Term term);

 private:
  LogIndex base_index_;
  Term base_term_;
  std::deque<Entry> entries_;
  LogIndex unstable_first_{1};
  std::size_t bytes_ = 0;
};

}  // namespace lockstep::raft
