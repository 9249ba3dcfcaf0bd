#include "sim/revision_checker.h"

#include <algorithm>
#include <set>
#include <utility>

namespace lockstep::sim {

namespace {

// More would only repeat the first.
constexpr std::size_t violations_max = 20;

bool is_mutation(const AnyRequest& request) {
  return std::holds_alternative<store::PutRequest>(request) ||
         std::holds_alternative<store::DeleteRangeRequest>(request) ||
         std::holds_alternative<store::TxnRequest>(request) ||
         std::holds_alternative<store::LeaseRevokeRequest>(request);
}

bool serializable(const AnyRequest& request) {
  const auto* range = std::get_if<store::RangeRequest>(&request);
  return range != nullptr && range->serializable;
}

// Whether the answer alone says that something was changed.
bool claims_effect(const Operation& operation) {
  if (std::holds_alternative<store::PutRequest>(operation.request)) return true;
  const auto* removed = std::get_if<store::DeleteRangeResponse>(&operation.response);
  if (removed != nullptr) return removed->deleted > 0;
  return false;
}

bool txn_claims_effect(const store::TxnResponse& response) {
  return std::ranges::any_of(response.responses, [](const store::ResponseOperation& operation) {
    if (std::holds_alternative<store::PutResponse>(operation.response)) return true;
    const auto* removed = std::get_if<store::DeleteRangeResponse>(&operation.response);
    if (removed != nullptr) return removed->deleted > 0;
    const auto* nested = std::get_if<store::TxnResponse>(&operation.response);
    return nested != nullptr && txn_claims_effect(*nested);
  });
}

}  // namespace

void RevisionChecker::complain(std::string text) {
  if (violations_.size() < violations_max) violations_.push_back({name, std::move(text)});
}

Violations RevisionChecker::check(const History& history) {
  index(history);
  note_what_came_before(history);
  replay(history);
  for (const Operation* read : reads_) check_read(*read);
  check_failures(history);
  check_real_time();
  check_sessions(history);
  check_final_states(history);
  return std::move(violations_);
}

void RevisionChecker::index(const History& history) {
  for (const Operation& operation : history.operations) {
    if (const auto* compact = std::get_if<store::CompactRequest>(&operation.request)) {
      if (operation.outcome != Outcome::failed) {
        compacted_at_most_ = std::max(compacted_at_most_, compact->revision.value());
      }
      continue;
    }
    if (operation.outcome == Outcome::unknown) {
      if (is_mutation(operation.request)) unknown_.push_back({&operation});
      continue;
    }
    if (operation.outcome == Outcome::failed) continue;
    const std::int64_t revision = revision_of(operation.response).value();
    const auto* txn = std::get_if<store::TxnResponse>(&operation.response);
    if (claims_effect(operation) || (txn != nullptr && txn_claims_effect(*txn))) {
      claims_[revision].push_back(&operation);
    } else if (std::holds_alternative<store::LeaseRevokeRequest>(operation.request)) {
      // Its answer does not say whether keys were attached: it may be the cause of its revision.
      unknown_.push_back({&operation});
    } else if (is_mutation(operation.request) ||
               std::holds_alternative<store::RangeRequest>(operation.request)) {
      reads_.push_back(&operation);
    }
  }
}

void RevisionChecker::note_what_came_before(const History& history) {
  std::vector<std::pair<std::int64_t, std::int64_t>> reached;  // when it was known, revision
  for (const Operation& operation : history.operations) {
    if (operation.outcome != Outcome::ok || serializable(operation.request)) continue;
    reached.emplace_back(operation.returned_ns, revision_of(operation.response).value());
  }
  std::ranges::sort(reached);
  for (std::size_t i = 1; i < reached.size(); ++i) {
    reached[i].second = std::max(reached[i].second, reached[i - 1].second);
  }
  for (Unknown& unknown : unknown_) {
    const auto after =
        std::ranges::lower_bound(reached, std::pair(unknown.operation->invoked_ns, std::int64_t{0}));
    if (after != reached.begin()) unknown.above = std::prev(after)->second;
  }
}

void RevisionChecker::replay(const History& history) {
  for (const RevisionEffects& effects : history.effects) {
    if (effects.revision.value() != last_revision_ + 1) {
      complain("the effects jump from revision " + std::to_string(last_revision_) + " to " +
               std::to_string(effects.revision.value()));
      return;
    }
    replay_revision(effects);
    last_revision_ = effects.revision.value();
    if (model_.revision() != effects.revision) return;  // nothing after this can be replayed
  }
  for (const Unknown& unknown : unknown_) {
    if (unknown.caused == 0) continue;
    placed_.push_back({unknown.operation, unknown.caused * 2 - 1, true});
    if (unknown.operation->outcome == Outcome::unknown) ++pinned_;
  }
  for (const auto& [revision, operations] : claims_) {
    if (revision <= last_revision_) continue;
    complain("acknowledged, but no replica has its revision: " + describe(*operations.front()));
  }
}

void RevisionChecker::replay_revision(const RevisionEffects& effects) {
  const auto claim = claims_.find(effects.revision.value());
  const Operation* cause = nullptr;
  if (claim != claims_.end()) {
    cause = claim->second.front();
    if (claim->second.size() > 1) {
      complain("two operations were answered with one revision: " + describe(*claim->second[0]) + " and " +
               describe(*claim->second[1]));
    }
  } else {
    cause = find_unknown_cause(effects);
  }
  if (cause == nullptr) {
    std::vector<std::string> keys;
    for (const store::Event& event : effects.events) keys.push_back(event.kv.key);
    if (!lease_ends_.contains(effects.revision.value())) {
      complain("revision " + std::to_string(effects.revision.value()) + " changed '" +
               (keys.empty() ? "" : keys.front()) + "' and nobody asked for it");
    }
    if (!keys.empty()) model_.remove_keys(keys);
    return;
  }
  const ModelStore::Applied expected = model_.apply(cause->request);
  if (expected.code != Code::ok || !same_events(expected.events, effects.events)) {
    complain("revision " + std::to_string(effects.revision.value()) +
             " does not hold what its operation should have written: " + describe(*cause));
  }
  if (cause->outcome == Outcome::ok && !same_answer(expected.response, cause->response)) {
    complain("wrong answer: " + describe(*cause) + ", expected " + describe(expected.response));
  }
  if (claim != claims_.end()) placed_.push_back({cause, effects.revision.value() * 2 - 1, true});
}

const Operation* RevisionChecker::find_unknown_cause(const RevisionEffects& effects) {
  // A put names its operation; for the rest every open operation is considered, oldest first.
  std::uint64_t tag = 0;
  for (const store::Event& event : effects.events) {
    if (event.kind == store::EventKind::put) tag = std::max(tag, tag_of(event.kv.value));
  }
  const std::int64_t revision = effects.revision.value();
  Unclaimed& unclaimed = unclaimed_[revision];
  unclaimed.lease = ended_lease(effects);
  for (std::size_t i = 0; i < unknown_.size(); ++i) {
    const Operation& operation = *unknown_[i].operation;
    if (tag != 0 && operation.number != tag) continue;
    if (effects.first_seen_ns != 0 && operation.invoked_ns > effects.first_seen_ns) continue;
    if (tag == 0 && revision <= unknown_[i].above) continue;
    if (operation.outcome == Outcome::ok && revision_of(operation.response) != effects.revision) continue;
    const ModelStore::Applied trial = model_.dry_run(operation.request);
    if (trial.code == Code::ok && same_events(trial.events, effects.events))
      unclaimed.candidates.push_back(i);
  }
  std::vector<bool> tried(unknown_.size());
  if (!explain(revision, tried)) return nullptr;
  const auto cause = std::ranges::find(unknown_, revision, &Unknown::caused);
  return cause == unknown_.end() ? nullptr : cause->operation;
}

// Operations may be alike: one that was taken for an earlier revision is given up if another explains that
// one as well (an augmenting path, as in any bipartite matching).
bool RevisionChecker::explain(std::int64_t revision, std::vector<bool>& tried) {
  const Unclaimed& unclaimed = unclaimed_.at(revision);
  for (const std::size_t candidate : unclaimed.candidates) {
    if (unknown_[candidate].caused != 0) continue;
    unknown_[candidate].caused = revision;
    return true;
  }
  if (unclaimed.lease != LeaseId{}) {
    lease_ends_[revision] = unclaimed.lease;
    return true;
  }
  for (const std::size_t candidate : unclaimed.candidates) {
    if (tried[candidate]) continue;
    tried[candidate] = true;
    if (!explain(unknown_[candidate].caused, tried)) continue;
    unknown_[candidate].caused = revision;
    return true;
  }
  return false;
}

LeaseId RevisionChecker::ended_lease(const RevisionEffects& effects) const {
  LeaseId lease;
  std::vector<std::string> keys;
  for (const store::Event& event : effects.events) {
    const store::KeyValue* kv = model_.get(event.kv.key, model_.revision());
    if (event.kind != store::EventKind::remove || kv == nullptr) return LeaseId{};
    if (lease.value() != 0 && kv->lease != lease) return LeaseId{};
    lease = kv->lease;
    keys.push_back(kv->key);
  }
  std::ranges::sort(keys);
  return lease.value() != 0 && keys == model_.keys_of_lease(lease) ? lease : LeaseId{};
}

void RevisionChecker::check_read(const Operation& operation) {
  const std::int64_t at = revision_of(operation.response).value();
  if (at < 1 || at > model_.revision().value()) {
    complain("answered at a revision that never was: " + describe(operation));
    return;
  }
  AnyResponse expected;
  if (const auto* range = std::get_if<store::RangeRequest>(&operation.request)) {
    if (range->revision.value() > at) {
      complain("a revision above the store's own was read: " + describe(operation));
      return;
    }
    expected = model_.range(*range, Revision(at));
  } else if (const auto* txn = std::get_if<store::TxnRequest>(&operation.request)) {
    const auto response = model_.read_only_txn(*txn, Revision(at));
    if (!response.has_value()) {
      complain("answered without effect, but should have had one: " + describe(operation));
      return;
    }
    expected = *response;
  } else if (const auto* remove = std::get_if<store::DeleteRangeRequest>(&operation.request)) {
    store::RangeRequest found;
    found.key = remove->key;
    found.range_end = remove->range_end;
    if (model_.range(found, Revision(at)).count != 0) {
      complain("deleted nothing, but there was something: " + describe(operation));
      return;
    }
    expected = store::DeleteRangeResponse{};
  } else {
    complain("a put without effect: " + describe(operation));
    return;
  }
  if (!same_answer(expected, operation.response)) {
    complain("wrong answer: " + describe(operation) + ", expected " + describe(expected));
    return;
  }
  if (!serializable(operation.request)) placed_.push_back({&operation, at * 2, false});
}

void RevisionChecker::check_failed_read(const Operation& operation) {
  const auto* range = std::get_if<store::RangeRequest>(&operation.request);
  if (range == nullptr || operation.code != Code::out_of_range) return;
  if (range->revision.value() == 0)
    complain("the newest revision cannot be out of range: " + describe(operation));
  if (range->serializable || range->revision.value() < compacted_at_most_) return;
  // Then it must have been a revision not yet reached when it was asked for.
  for (const Placed& placed : placed_) {
    if (placed.position < range->revision.value() * 2 - 1) continue;
    if (placed.operation->returned_ns >= operation.invoked_ns) continue;
    complain("reached before, never compacted, and yet out of range: " + describe(operation));
    return;
  }
}

void RevisionChecker::check_failures(const History& history) {
  std::set<std::uint64_t> tags;
  for (const RevisionEffects& effects : history.effects) {
    for (const store::Event& event : effects.events) {
      if (event.kind == store::EventKind::put) tags.insert(tag_of(event.kv.value));
    }
  }
  for (const Operation& operation : history.operations) {
    if (operation.outcome != Outcome::failed) continue;
    if (tags.contains(operation.number)) complain("said not done, but was: " + describe(operation));
    check_failed_read(operation);
  }
}

void RevisionChecker::check_real_time() {
  // Sweep over invocations and returns: what is invoked must lie at or above everything returned so far.
  struct Point {
    std::int64_t time;
    bool is_return;  // of equal moments, invocations first: overlapping operations are not ordered
    const Placed* placed;
  };
  std::vector<Point> points;
  points.reserve(placed_.size() * 2);
  for (const Placed& placed : placed_) {
    points.push_back({placed.operation->invoked_ns, false, &placed});
    if (placed.operation->returned_ns != never_ns)
      points.push_back({placed.operation->returned_ns, true, &placed});
  }
  std::ranges::sort(points, [](const Point& a, const Point& b) {
    return a.time != b.time ? a.time < b.time : a.is_return < b.is_return;
  });
  const Placed* highest = nullptr;
  for (const Point& point : points) {
    if (point.is_return) {
      if (highest == nullptr || point.placed->position > highest->position) highest = point.placed;
    } else if (highest != nullptr && point.placed->position < highest->position) {
      complain("real time is broken: " + describe(*point.placed->operation) + " was invoked after " +
               describe(*highest->operation) + " had returned");
    }
  }
}

void RevisionChecker::check_sessions(const History& history) {
  struct Session {
    std::uint32_t client;
    NodeId member;
    std::uint64_t life;
    auto operator<=>(const Session&) const = default;
  };
  std::map<Session, const Operation*> last;
  std::vector<const Operation*> reads;
  for (const Operation& operation : history.operations) {
    if (operation.outcome == Outcome::ok && serializable(operation.request)) reads.push_back(&operation);
  }
  std::ranges::sort(reads, [](const Operation* a, const Operation* b) {
    return a->invoked_ns != b->invoked_ns ? a->invoked_ns < b->invoked_ns : a->number < b->number;
  });
  for (const Operation* read : reads) {
    const Operation*& previous = last[{read->client, read->member, read->member_life}];
    if (previous != nullptr && previous->returned_ns < read->invoked_ns &&
        revision_of(read->response) < revision_of(previous->response)) {
      complain("one life of one member went back: " + describe(*previous) + ", then " + describe(*read));
    }
    previous = read;
  }
}

void RevisionChecker::check_final_states(const History& history) {
  store::RangeRequest everything;
  everything.key = std::string(1, '\0');
  everything.range_end = std::string(1, '\0');
  const store::RangeResponse expected = model_.range(everything, model_.revision());
  for (const FinalState& state : history.final_states) {
    if (state.revision != model_.revision() || state.kvs != expected.kvs) {
      complain("member " + std::to_string(state.member.value()) + " ended at revision " +
               std::to_string(state.revision.value()) + " with " + std::to_string(state.kvs.size()) +
               " keys; the replay at " + std::to_string(model_.revision().value()) + " has " +
               std::to_string(expected.kvs.size()));
    }
  }
}

}  // namespace lockstep::sim
