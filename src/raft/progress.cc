#include "raft/progress.h"

#include <algorithm>

#include "base/assert.h"

namespace lockstep::raft {

bool InFlight::full() const {
  if (messages_.empty()) return false;
  return messages_.size() >= messages_max_ || bytes_ >= bytes_max_;
}

void InFlight::add(LogIndex last, std::size_t bytes) {
  LS_MUST(!full());
  LS_MUST(messages_.empty() || messages_.back().last < last);
  messages_.push_back({last, bytes});
  bytes_ += bytes;
}

void InFlight::free_through(LogIndex index) {
  while (!messages_.empty() && messages_.front().last <= index) {
    LS_MUST(bytes_ >= messages_.front().bytes);
    bytes_ -= messages_.front().bytes;
    messages_.pop_front();
  }
}

void InFlight::clear() {
  messages_.clear();
  bytes_ = 0;
}

void Progress::become_probe(LogIndex next_index) {
  LS_MUST(next_index > match);
  state = ProgressState::probe;
  next = next_index;
  paused = false;
  in_flight.clear();
  snapshot_index = LogIndex{};
}

void Progress::become_replicate() {
  state = ProgressState::replicate;
  next = match.next();
  paused = false;
  in_flight.clear();
  snapshot_index = LogIndex{};
}

void Progress::become_snapshot(LogIndex index) {
  state = ProgressState::snapshot;
  paused = false;
  in_flight.clear();
  snapshot_index = index;
}

bool Progress::may_send() const {
  switch (state) {
    case ProgressState::probe:
      return !paused;
    case ProgressState::replicate:
      return !in_flight.full();
    case ProgressState::snapshot:
      return false;
  }
  LS_UNREACHABLE("no such state");
}

bool Progress::acknowledge(LogIndex index) {
  in_flight.free_through(index);
  acknowledged = std::max(acknowledged, index);
  if (index <= match) return false;
  match = index;
  next = std::max(next, match.next());
  LS_MUST(match < next);
  return true;
}

std::string_view to_string(ProgressState state) {
  switch (state) {
    case ProgressState::probe:
      return "probe";
    case ProgressState::replicate:
      return "replicate";
    case ProgressState::snapshot:
      return "snapshot";
  }
  LS_UNREACHABLE("no such state");
}

}  // namespace lockstep::raft
