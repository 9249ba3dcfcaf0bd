#include "sim/watch_checker.h"

#include <algorithm>

namespace lockstep::sim {

namespace {

constexpr std::size_t violations_max = 20;

bool in_range(const store::WatchRequest& request, const std::string& key) {
  if (request.range_end.empty()) return key == request.key;
  if (key < request.key) return false;
  return request.range_end == std::string(1, '\0') || key < request.range_end;
}

bool matches(const store::WatchRequest& request, const store::Event& event) {
  if (!in_range(request, event.kv.key)) return false;
  return event.kind == store::EventKind::put ? !request.no_put : !request.no_delete;
}

std::string describe_event(const store::Event& event) {
  return std::string(event.kind == store::EventKind::put ? "put " : "removal ") + describe(event.kv);
}

}  // namespace

void WatchChecker::complain(const WatchRecord& watch, const std::string& text) {
  if (violations_.size() >= violations_max) return;
  violations_.push_back({name, "watcher " + std::to_string(watch.watcher) + " on '" + watch.request.key +
                                   "' at member " + std::to_string(watch.member.value()) + ": " + text});
}

Violations WatchChecker::check(const History& history) {
  for (const RevisionEffects& effects : history.effects) effects_[effects.revision.value()] = &effects;
  for (const Operation& operation : history.operations) {
    const auto* compact = std::get_if<store::CompactRequest>(&operation.request);
    if (compact == nullptr || operation.outcome == Outcome::failed) continue;
    compacted_at_most_ = std::max(compacted_at_most_, compact->revision.value());
  }
  std::map<std::uint64_t, Progress> watchers;
  for (const WatchRecord& watch : history.watches) {
    const auto known = watchers.find(watch.watcher);
    Progress progress;
    if (known != watchers.end()) {
      progress = known->second;
      if (watch.request.start_revision.value() != progress.covered + 1) {
        complain(watch, "the workload itself did not resume where it stopped");
      }
    } else {
      progress.covered = watch.request.start_revision.value() != 0 ? watch.request.start_revision.value() - 1
                                                                   : watch.opened_at.value();
    }
    check_segment(watch, progress);
    watchers[watch.watcher] = progress;
  }
  return std::move(violations_);
}

void WatchChecker::check_segment(const WatchRecord& watch, Progress& progress) {
  bool finished = false;
  store::WatchResponse joined;  // fragments are put together before they are judged
  for (const store::WatchResponse& response : watch.responses) {
    if (finished) complain(watch, "an answer after the one that cancelled it");
    if (response.canceled) {
      finished = true;
      const std::int64_t compacted = response.compact_revision.value();
      if (compacted != 0 && compacted <= progress.covered) {
        complain(watch, "cancelled for compaction at " + std::to_string(compacted) + " although " +
                            std::to_string(progress.covered) + " was delivered");
      }
      continue;
    }
    if (response.fragment && !watch.request.fragment) complain(watch, "a fragment nobody asked for");
    joined.header = response.header;
    joined.events.insert(joined.events.end(), response.events.begin(), response.events.end());
    if (response.fragment) continue;
    check_answer(watch, joined, progress);
    joined = {};
  }
}

std::vector<const store::Event*> WatchChecker::expected(const WatchRecord& watch, std::int64_t after,
                                                        std::int64_t up_to) const {
  std::vector<const store::Event*> events;
  for (auto it = effects_.upper_bound(after); it != effects_.end() && it->first <= up_to; ++it) {
    const std::size_t first = events.size();
    for (const store::Event& event : it->second->events) {
      if (matches(watch.request, event)) events.push_back(&event);
    }
    std::ranges::sort(events.begin() + static_cast<std::ptrdiff_t>(first), events.end(), {},
                      [](const store::Event* event) { return event->kv.key; });
  }
  return events;
}

void WatchChecker::check_answer(const WatchRecord& watch, const store::WatchResponse& response,
                                Progress& progress) {
  std::int64_t previous = progress.covered;
  for (const store::Event& event : response.events) {
    const std::int64_t revision = event.kv.mod_revision.value();
    if (revision <= progress.covered) {
      complain(watch, "delivered before, or split over answers: " + describe_event(event));
    } else if (revision < previous) {
      complain(watch, "out of order: " + describe_event(event));
    }
    previous = std::max(previous, revision);
    check_event(watch, event);
  }
  if (response.header.revision.value() > model_.revision().value()) {
    complain(watch, "a bookmark above every revision: " + std::to_string(response.header.revision.value()));
    return;
  }
  std::int64_t up_to = response.header.revision.value();
  if (!response.events.empty()) {
    const std::int64_t last = response.events.back().kv.mod_revision.value();
    if (last > up_to) {
      complain(watch, "the header's revision " + std::to_string(up_to) + " lies below an event's " +
                          std::to_string(last));
      up_to = last;
    }
  }
  if (up_to < progress.covered) {
    complain(watch, "the bookmark went back from " + std::to_string(progress.covered) + " to " +
                        std::to_string(up_to));
    return;
  }
  std::vector<const store::Event*> wanted = expected(watch, progress.covered, up_to);
  std::vector<const store::Event*> got;
  for (const store::Event& event : response.events) got.push_back(&event);
  const auto order = [](const store::Event* a, const store::Event* b) {
    return a->kv.mod_revision != b->kv.mod_revision ? a->kv.mod_revision < b->kv.mod_revision
                                                    : a->kv.key < b->kv.key;
  };
  std::ranges::sort(got, order);
  std::ranges::sort(wanted, order);
  for (std::size_t i = 1; i < got.size(); ++i) {
    if (!order(got[i - 1], got[i])) complain(watch, "delivered twice: " + describe_event(*got[i]));
  }
  std::vector<const store::Event*> missing;
  std::ranges::set_difference(wanted, got, std::back_inserter(missing), order);
  for (const store::Event* event : missing) {
    complain(watch, "not delivered, although the bookmark says " + std::to_string(up_to) + ": " +
                        describe_event(*event));
  }
  progress.covered = up_to;
}

void WatchChecker::check_event(const WatchRecord& watch, const store::Event& event) {
  ++events_checked_;
  if (!matches(watch.request, event)) {
    complain(watch, "not asked for: " + describe_event(event));
    return;
  }
  const std::int64_t revision = event.kv.mod_revision.value();
  const auto effects = effects_.find(revision);
  const store::Event* applied = nullptr;
  if (effects != effects_.end()) {
    for (const store::Event& candidate : effects->second->events) {
      if (candidate.kv.key == event.kv.key) applied = &candidate;
    }
  }
  if (applied == nullptr || applied->kind != event.kind || applied->kv != event.kv) {
    complain(watch, "never happened like this: " + describe_event(event));
    return;
  }
  if (!watch.request.prev_kv) {
    if (event.prev_kv.has_value())
      complain(watch, "a previous value nobody asked for: " + describe_event(event));
    return;
  }
  const store::KeyValue* previous = model_.get(event.kv.key, Revision(revision - 1));
  // A previous version may have been compacted away; a wrong one may not be given instead.
  const bool absent = !event.prev_kv.has_value();
  if (absent ? previous != nullptr && previous->mod_revision.value() >= compacted_at_most_
             : previous == nullptr || *previous != *event.prev_kv) {
    complain(watch, "wrong previous value: " + describe_event(event));
  }
}

}  // namespace lockstep::sim
