// Delivery: what next() hands out, read from history for the revisions that were noted.
#include <algorithm>
#include <span>
#include <utility>

#include "base/assert.h"
#include "base/planted.h"
#include "store/errors.h"
#include "store/key_range.h"
#include "watch/hub_core.h"

namespace lockstep::watch {
namespace {

// What an event takes in an answer beside its keys and values, about.
constexpr std::size_t event_overhead_bytes = 64;

std::size_t bytes_of(const store::Event& event) {
  std::size_t bytes = event_overhead_bytes + event.kv.key.size() + event.kv.value.size();
  if (event.prev_kv.has_value()) bytes += event.prev_kv->key.size() + event.prev_kv->value.size();
  return bytes;
}

std::size_t bytes_of(std::span<const store::Event> events) {
  std::size_t bytes = 0;
  for (const store::Event& event : events) bytes += bytes_of(event);
  return bytes;
}

}  // namespace

store::Header WatchHub::Core::header(Revision revision) const {
  store::Header header = options_.header ? options_.header() : store::Header();
  header.revision = revision;
  return header;
}

std::optional<store::WatchResponse> WatchHub::Core::next(Watcher& watcher, std::size_t bytes_max) {
  store::WatchResponse response;
  if (!watcher.matched.empty()) {
    const Status delivered = deliver(watcher, bytes_max, &response);
    if (!delivered.ok()) {
      displace(watcher);
      cancel(watcher, delivered);
    }
  } else if (watcher.progress_asked && progress_is_true(watcher)) {
    watcher.progress_asked = false;
    response.header = header(newest_);
    ++metrics_.answers;
    return response;
  }
  if (watcher.last_answer.has_value()) return std::exchange(watcher.last_answer, std::nullopt);
  if (response.events.empty()) return std::nullopt;
  watcher.answered_since_tick = true;
  ++metrics_.answers;
  metrics_.events_delivered += response.events.size();
  const bool room = watcher.matched.size() <= matched_revisions_max / 2;
  if (watcher.phase == Phase::parked && room) {
    displace(watcher);
    place(watcher);
  }
  return response;
}

// Whole revisions as long as they fit, the first in any case.
Status WatchHub::Core::deliver(Watcher& watcher, std::size_t bytes_max, store::WatchResponse* response) {
  std::shared_ptr<const store::EffectBlock> block;
  std::vector<store::Event>& events = response->events;
  std::size_t bytes = 0;
  while (!watcher.matched.empty()) {
    const Revision revision = watcher.matched.front();
    const std::size_t before = events.size();
    // What was gathered before is delivered first; the next call finds the compaction again.
    if (revision < history_->compacted()) {
      if (before > 0) break;
      return store::errors::compacted();
    }
    LS_RETURN_IF_ERROR(collect(watcher, revision, &block, &events));
    LS_MUST(events.size() > before + watcher.fragment_offset, "a noted revision has events to deliver");
    const std::size_t more = bytes_of(std::span(events).subspan(before));
    const bool fits = bytes + more <= bytes_max;
    const bool split_wrongly = LS_PLANTED(watch_revision_split) && events.size() > before + 1;
    if ((!fits || split_wrongly) && before > 0) {
      events.resize(before);
      break;
    }
    if ((!fits && watcher.request.fragment) || watcher.fragment_offset > 0 || split_wrongly) {
      cut_fragment(watcher, split_wrongly ? bytes_of(std::span(events).first(1)) : bytes_max, response);
      response->fragment = response->fragment && watcher.request.fragment;
      break;
    }
    bytes += more;
    watcher.matched.pop_front();
  }
  const Revision complete = watcher.matched.empty() ? known_end(watcher) : watcher.matched.front().previous();
  response->header = header(complete);
  if (LS_PLANTED(watch_revision_split) && !events.empty())
    response->header.revision = std::max(complete, events.back().kv.mod_revision);
  return {};
}

// Leaves of one revision's events the next ones to deliver, at least one.
void WatchHub::Core::cut_fragment(Watcher& watcher, std::size_t bytes_max, store::WatchResponse* response) {
  std::vector<store::Event>& events = response->events;
  LS_MUST(watcher.fragment_offset < events.size());
  const auto first = events.begin() + static_cast<std::ptrdiff_t>(watcher.fragment_offset);
  auto end = first;
  for (std::size_t bytes = 0; end != events.end(); ++end) {
    bytes += bytes_of(*end);
    if (bytes > bytes_max && end != first) break;
  }
  response->fragment = end != events.end();
  watcher.fragment_offset = response->fragment ? static_cast<std::size_t>(end - events.begin()) : 0;
  if (!response->fragment) watcher.matched.pop_front();
  events.erase(end, events.end());
  events.erase(events.begin(), first);
}

Status WatchHub::Core::collect(const Watcher& watcher, Revision revision,
                               std::shared_ptr<const store::EffectBlock>* block,
                               std::vector<store::Event>* events) {
  if (*block == nullptr || !(*block)->contains(revision)) {
    LS_ASSIGN_OR_RETURN(*block, history_->block_containing(revision));
  }
  const store::KeyRange range(watcher.request.key, watcher.request.range_end);
  const std::size_t end = (*block)->end_of(revision);
  for (std::size_t position = (*block)->begin_of(revision); position < end; ++position) {
    if (!range.contains((*block)->key(position))) continue;
    const store::EffectView effect = (*block)->effect(position);
    const bool is_put = effect.kind == store::EffectKind::put;
    if (is_put ? watcher.request.no_put : watcher.request.no_delete) continue;
    store::Event& event = events->emplace_back();
    event.kind = is_put ? store::EventKind::put : store::EventKind::remove;
    event.kv = effect.row.to_key_value();
    if (!watcher.request.prev_kv) continue;
    LS_ASSIGN_OR_RETURN(event.prev_kv, previous_of(effect));
  }
  return {};
}

// At the compacted revision itself what came before may be gone; then there is none to show, as in etcd.
Result<std::optional<store::KeyValue>> WatchHub::Core::previous_of(const store::EffectView& effect) {
  if (effect.previous_revision == Revision{}) return std::optional<store::KeyValue>();
  if (effect.previous_row.has_value()) return std::optional(effect.previous_row->to_key_value());
  const Revision revision = effect.row.mod_revision;
  if (revision <= history_->compacted()) return std::optional<store::KeyValue>();
  LS_ASSIGN_OR_RETURN(const auto row, history_->row_at(effect.row.key, revision, revision.previous()));
  if (!row.has_value()) return std::optional<store::KeyValue>();
  return std::optional(row->row.to_key_value());
}

}  // namespace lockstep::watch
