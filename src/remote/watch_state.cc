#include "remote/watch_state.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/assert.h"

namespace lockstep::remote {
namespace {

constexpr std::size_t event_bytes = 96;  // what an event costs besides its keys and values

std::size_t size_of(const store::Event& event) {
  std::size_t bytes = event_bytes + event.kv.key.size() + event.kv.value.size();
  if (event.prev_kv) bytes += event.prev_kv->key.size() + event.prev_kv->value.size();
  return bytes;
}
std::size_t size_of(const store::WatchResponse& response) {
  std::size_t bytes = event_bytes;
  for (const store::Event& event : response.events) bytes += size_of(event);
  return bytes;
}

}  // namespace

void WatchState::begin(Revision now) {
  if (resume == Revision{}) resume = std::max(now, acknowledged).next();
}

bool WatchState::take(store::WatchResponse response) {
  if (response.events.empty()) {
    if (in_fragment) return false;
    if (response.header.revision >= resume) {
      resume = response.header.revision.next();
      seen = 0;
      skip = 0;
    }
  } else {
    std::erase_if(response.events, [&](const store::Event& event) {
      if (event.kv.mod_revision != resume || skip == 0) return event.kv.mod_revision < resume;
      --skip;
      return true;
    });
    if (response.events.empty()) return false;
    const Revision last = response.events.back().kv.mod_revision;
    const auto of_last = static_cast<std::size_t>(std::ranges::count_if(
        response.events, [&](const store::Event& event) { return event.kv.mod_revision == last; }));
    in_fragment = response.fragment;
    seen = in_fragment ? of_last + (last == resume ? seen : 0) : 0;
    resume = in_fragment ? last : last.next();
    // The header of a batch may name a revision whose events come in the next one.
    response.header.revision = in_fragment ? last.previous() : last;
  }
  buffer_bytes += size_of(response);
  buffer.push_back(std::move(response));
  return true;
}

void WatchState::finish(store::WatchResponse last) {
  LS_MUST(state != State::over);
  state = State::over;
  last.canceled = true;
  last.events.clear();
  buffer_bytes += size_of(last);
  buffer.push_back(std::move(last));
}

std::optional<store::WatchResponse> WatchState::next(std::size_t bytes_max) {
  if (buffer.empty()) return std::nullopt;
  store::WatchResponse& front = buffer.front();
  std::size_t bytes = event_bytes;
  std::size_t taken = 0;
  while (taken < front.events.size() && (taken == 0 || bytes < bytes_max)) {
    const Revision revision = front.events[taken].kv.mod_revision;
    do {
      bytes += size_of(front.events[taken++]);
    } while (taken < front.events.size() && front.events[taken].kv.mod_revision == revision &&
             !(request.fragment && bytes >= bytes_max));
  }
  if (taken == front.events.size()) {
    store::WatchResponse whole = std::move(front);
    buffer_bytes -= std::min(buffer_bytes, bytes);
    buffer.pop_front();
    return whole;
  }
  store::WatchResponse part;
  part.header = front.header;
  const Revision last = front.events[taken - 1].kv.mod_revision;
  part.fragment = front.events[taken].kv.mod_revision == last;
  part.header.revision = part.fragment ? last.previous() : last;
  const auto cut = front.events.begin() + static_cast<std::ptrdiff_t>(taken);
  part.events.assign(std::make_move_iterator(front.events.begin()), std::make_move_iterator(cut));
  front.events.erase(front.events.begin(), cut);
  buffer_bytes -= std::min(buffer_bytes, bytes - event_bytes);
  return part;
}

store::WatchRequest WatchState::start_again() {
  skip = seen;
  store::WatchRequest from_here = request;
  from_here.start_revision = resume;
  return from_here;
}

}  // namespace lockstep::remote
