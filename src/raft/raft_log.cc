#include "raft/raft_log.h"

#include <algorithm>

#include "base/assert.h"
#include "raft/message.h"

namespace lockstep::raft {

RaftLog::RaftLog(LogIndex base_index, Term base_term, std::vector<Entry> entries)
    : base_index_(base_index), base_term_(base_term), unstable_first_(base_index.next()) {
  LS_MUST((base_index == LogIndex{}) == (base_term == Term{}), "a base entry has a term");
  if (!entries.empty()) append(entries, base_index);
  unstable_first_ = last_index().next();
}

std::optional<Term> RaftLog::term_at(LogIndex index) const {
  if (index == base_index_) return base_term_;
  if (index < base_index_ || index > last_index()) return std::nullopt;
  return at(index).term;
}

const Entry& RaftLog::at(LogIndex index) const {
  LS_MUST(index > base_index_);
  LS_MUST(index <= last_index());
  const Entry& entry = entries_[index - first_index()];
  LS_MUST(entry.index == index);
  return entry;
}

std::vector<Entry> RaftLog::slice(LogIndex first, LogIndex last, std::size_t bytes_max) const {
  LS_MUST(first > base_index_);
  LS_MUST(last <= last_index());
  std::vector<Entry> result;
  if (first > last) return result;
  std::size_t total = 0;
  LogIndex end = first;
  for (LogIndex index = first; index <= last; ++index) {
    total += at(index).payload.size() + entry_overhead_bytes;
    if (total > bytes_max && index > first) break;
    end = index;
  }
  const auto begin = entries_.begin() + static_cast<std::ptrdiff_t>(first - first_index());
  result.assign(begin, begin + static_cast<std::ptrdiff_t>(end - first + 1));
  return result;
}

bool RaftLog::is_up_to_date(LogIndex index, Term term) const {
  if (term != last_term()) return term > last_term();
  return index >= last_index();
}

std::size_t RaftLog::first_conflict(std::span<const Entry> entries) const {
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].index <= base_index_) continue;
    if (!matches(entries[i].index, entries[i].term)) return i;
  }
  return entries.size();
}

LogIndex RaftLog::last_possible_match(LogIndex index, Term term) const {
  if (index < base_index_) return index;  // compacted: only a snapshot can tell
  const LogIndex end = std::min(index, last_index());
  const auto begin = entries_.begin();
  const auto limit = begin + static_cast<std::ptrdiff_t>(end - base_index_);
  // Terms never fall along the log.
  const auto beyond =
      std::partition_point(begin, limit, [&](const Entry& entry) { return entry.term <= term; });
  if (beyond != begin) return base_index_ + static_cast<std::uint64_t>(beyond - begin);
  return base_term_ <= term ? base_index_ : base_index_.previous();
}

void RaftLog::append(std::span<const Entry> entries, LogIndex commit) {
  LS_MUST(!entries.empty());
  const LogIndex first = entries.front().index;
  LS_MUST(first > commit, "a committed entry is never overwritten");
  LS_MUST(first > base_index_);
  LS_MUST(first <= last_index().next(), "no gap in the log");
  while (last_index() >= first) {
    bytes_ -= entries_.back().payload.size();
    entries_.pop_back();
  }
  for (const Entry& entry : entries) {
    LS_MUST(entry.index == last_index().next());
    LS_MUST(entry.term >= last_term());
    bytes_ += entry.payload.size();
    entries_.push_back(entry);
  }
  unstable_first_ = std::min(unstable_first_, first);
}

std::vector<Entry> RaftLog::take_unstable() {
  LS_MUST(unstable_first_ > base_index_);
  std::vector<Entry> result = slice(unstable_first_, last_index(), SIZE_MAX);
  unstable_first_ = last_index().next();
  LS_MUST(result.empty() || result.back().index == last_index());
  return result;
}

void RaftLog::compact(LogIndex index) {
  LS_MUST(index >= base_index_);
  LS_MUST(index <= last_index());
  LS_MUST(index < unstable_first_, "what is dropped was handed out to be written");
  const std::optional<Term> term = term_at(index);
  LS_MUST(term.has_value());
  while (base_index_ < index) {
    bytes_ -= entries_.front().payload.size();
    entries_.pop_front();
    ++base_index_;
  }
  base_term_ = *term;
}

void RaftLog::reset(LogIndex index, Term term) {
  LS_MUST(index > base_index_);
  LS_MUST(term > Term{});
  entries_.clear();
  bytes_ = 0;
  base_index_ = index;
  base_term_ = term;
  unstable_first_ = index.next();
}

}  // namespace lockstep::raft
