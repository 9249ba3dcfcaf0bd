#include "sim/linearizability_checker.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <unordered_set>
#include <utility>

#include "base/assert.h"

namespace lockstep::sim {

namespace {

// Operations linearized so far, and the value after them.
struct Configuration {
  std::vector<std::uint64_t> done;
  std::uint32_t state = 0;
  friend bool operator==(const Configuration&, const Configuration&) = default;
};
struct ConfigurationHash {
  std::size_t operator()(const Configuration& configuration) const {
    std::uint64_t hash = configuration.state + 0x9e3779b97f4a7c15;
    for (const std::uint64_t word : configuration.done)
      hash = (hash ^ word) * 0xff51afd7ed558ccd + (hash >> 29);
    return hash;
  }
};

// The state after `operation`, or nothing if its answer contradicts `state`.
std::optional<std::uint32_t> apply(const RegisterOperation& operation, std::uint32_t state) {
  using Kind = RegisterOperation::Kind;
  switch (operation.kind) {
    case Kind::write:
      return operation.value;
    case Kind::read:
      if (operation.answered && operation.value != state) return std::nullopt;
      return state;
    case Kind::remove:
      if (operation.answered && operation.succeeded != (state != 0)) return std::nullopt;
      return 0;
    case Kind::swap: {
      const bool succeeds = state != 0 && state == operation.expected;
      if (operation.answered && operation.succeeded != succeeds) return std::nullopt;
      if (!succeeds && operation.sees && operation.seen != state) return std::nullopt;
      return succeeds ? operation.value : state;
    }
  }
  return std::nullopt;
}

// An unknown write that nobody can have noticed only blows the search up. Failed swaps and removals notice
// presence and change, so with one of those every write stays.
void drop_unnoticed(std::vector<RegisterOperation>& operations) {
  std::set<std::uint32_t> noticed;
  for (const RegisterOperation& operation : operations) {
    using Kind = RegisterOperation::Kind;
    if (operation.kind == Kind::remove) return;
    if (operation.kind == Kind::swap && operation.answered && !operation.succeeded) return;
    if (operation.kind == Kind::read) noticed.insert(operation.value);
    if (operation.kind == Kind::swap) noticed.insert(operation.expected);
  }
  std::erase_if(operations, [&](const RegisterOperation& operation) {
    return !operation.answered && !noticed.contains(operation.value);
  });
}

// The search over one history. Invocations and returns form a doubly linked list in order of time;
// linearizing an operation lifts both its points out.
class Search {
 public:
  Search(std::vector<RegisterOperation> operations, std::uint64_t steps_max)
      : operations_(std::move(operations)), steps_max_(steps_max), done_((operations_.size() + 63) / 64) {
    build();
  }

  Linearizability run() {
    std::uint32_t state = 0;
    std::size_t point = points_[head].next;
    while (points_[head].next != tail()) {
      if (++steps_ > steps_max_) return Linearizability::undecided;
      if (point != tail() && !points_[point].is_return) {
        const std::size_t operation = points_[point].operation;
        const auto next_state = apply(operations_[operation], state);
        if (next_state.has_value() && visit(operation, *next_state)) {
          stack_.emplace_back(point, state);
          mark(operation, true);
          state = *next_state;
          lift(operation);
          point = points_[head].next;
        } else {
          point = points_[point].next;
        }
        continue;
      }
      // A return: the operation should have been linearized before it. Go back.
      if (stack_.empty()) return Linearizability::no;
      const auto [last, previous_state] = stack_.back();
      stack_.pop_back();
      state = previous_state;
      mark(points_[last].operation, false);
      put_back(points_[last].operation);
      point = points_[last].next;
    }
    return Linearizability::yes;
  }
  [[nodiscard]] std::uint64_t steps() const { return steps_; }

 private:
  struct Point {
    std::int64_t time = 0;
    bool is_return = false;
    std::size_t operation = 0;
    std::size_t previous = 0;
    std::size_t next = 0;
  };
  static constexpr std::size_t head = 0;
  [[nodiscard]] std::size_t tail() const { return points_.size() - 1; }

  void build() {
    std::vector<Point> order;
    for (std::size_t i = 0; i < operations_.size(); ++i) {
      order.push_back({operations_[i].invoked_ns, false, i});
      order.push_back({operations_[i].answered ? operations_[i].returned_ns : never_ns, true, i});
    }
    std::ranges::sort(order, [](const Point& a, const Point& b) {
      if (a.time != b.time) return a.time < b.time;
      return a.is_return != b.is_return ? b.is_return : a.operation < b.operation;
    });
    points_.emplace_back();
    points_.insert(points_.end(), order.begin(), order.end());
    points_.emplace_back();
    invocation_.resize(operations_.size());
    return_.resize(operations_.size());
    for (std::size_t i = 0; i < points_.size(); ++i) {
      points_[i].previous = i == 0 ? 0 : i - 1;
      points_[i].next = i + 1 < points_.size() ? i + 1 : i;
      if (i == head || i == tail()) continue;
      (points_[i].is_return ? return_ : invocation_)[points_[i].operation] = i;
    }
  }
  void mark(std::size_t operation, bool set) {
    const std::uint64_t bit = std::uint64_t{1} << (operation % 64);
    if (set) {
      done_[operation / 64] |= bit;
    } else {
      done_[operation / 64] &= ~bit;
    }
  }
  // False if this configuration was reached before.
  bool visit(std::size_t operation, std::uint32_t state) {
    mark(operation, true);
    const bool fresh = visited_.insert({done_, state}).second;
    mark(operation, false);
    return fresh;
  }
  void lift(std::size_t operation) {
    for (const std::size_t point : {invocation_[operation], return_[operation]}) {
      points_[points_[point].previous].next = points_[point].next;
      points_[points_[point].next].previous = points_[point].previous;
    }
  }
  void put_back(std::size_t operation) {
    for (const std::size_t point : {return_[operation], invocation_[operation]}) {
      points_[points_[point].previous].next = point;
      points_[points_[point].next].previous = point;
    }
  }

  std::vector<RegisterOperation> operations_;
  std::uint64_t steps_max_;
  std::uint64_t steps_ = 0;
  std::vector<Point> points_;
  std::vector<std::size_t> invocation_;
  std::vector<std::size_t> return_;
  std::vector<std::uint64_t> done_;
  std::unordered_set<Configuration, ConfigurationHash> visited_;  // looked up only: its order reaches nothing
  std::vector<std::pair<std::size_t, std::uint32_t>> stack_;
};

class Numbers {
 public:
  std::uint32_t of(const std::string& value) {
    return numbers_.emplace(value, static_cast<std::uint32_t>(numbers_.size() + 1)).first->second;
  }

 private:
  std::map<std::string, std::uint32_t> numbers_;
};

struct KeyedOperation {
  std::string key;
  RegisterOperation operation;
};

// What a swap looks like: if value(key) == old then put(key) else range(key).
std::optional<KeyedOperation> as_swap(const Operation& source, const store::TxnRequest& txn,
                                      Numbers& numbers) {
  if (txn.compare.size() != 1 || txn.success.size() != 1) return std::nullopt;
  const store::Compare& compare = txn.compare.front();
  const auto* put = std::get_if<store::PutRequest>(&txn.success.front().request);
  if (compare.target != store::CompareTarget::value || compare.result != store::CompareResult::equal ||
      put == nullptr || put->key != compare.key) {
    return std::nullopt;
  }
  KeyedOperation keyed{compare.key, {}};
  keyed.operation.kind = RegisterOperation::Kind::swap;
  keyed.operation.expected = numbers.of(compare.value);
  keyed.operation.value = numbers.of(put->value);
  if (const auto* response = std::get_if<store::TxnResponse>(&source.response)) {
    keyed.operation.succeeded = response->succeeded;
    if (!response->succeeded && response->responses.size() == 1) {
      const auto* range = std::get_if<store::RangeResponse>(&response->responses.front().response);
      keyed.operation.sees = range != nullptr;
      if (range != nullptr && !range->kvs.empty())
        keyed.operation.seen = numbers.of(range->kvs.front().value);
    }
  }
  return keyed;
}

std::optional<KeyedOperation> as_register(const Operation& source, Numbers& numbers) {
  KeyedOperation keyed;
  if (const auto* put = std::get_if<store::PutRequest>(&source.request)) {
    keyed.key = put->key;
    keyed.operation.kind = RegisterOperation::Kind::write;
    keyed.operation.value = numbers.of(put->value);
  } else if (const auto* remove = std::get_if<store::DeleteRangeRequest>(&source.request)) {
    if (!remove->range_end.empty()) return std::nullopt;
    keyed.key = remove->key;
    keyed.operation.kind = RegisterOperation::Kind::remove;
    const auto* response = std::get_if<store::DeleteRangeResponse>(&source.response);
    keyed.operation.succeeded = response != nullptr && response->deleted > 0;
  } else if (const auto* range = std::get_if<store::RangeRequest>(&source.request)) {
    if (!range->range_end.empty() || range->serializable || range->revision.value() != 0 ||
        range->count_only || range->keys_only) {
      return std::nullopt;
    }
    keyed.key = range->key;
    const auto* response = std::get_if<store::RangeResponse>(&source.response);
    if (response != nullptr && !response->kvs.empty()) {
      keyed.operation.value = numbers.of(response->kvs.front().value);
    }
  } else if (const auto* txn = std::get_if<store::TxnRequest>(&source.request)) {
    return as_swap(source, *txn, numbers);
  } else {
    return std::nullopt;
  }
  return keyed;
}

}  // namespace

namespace {

// Without the unanswered writes and swaps whose value nobody saw: they may come last of all.
std::vector<RegisterOperation> without_unseen(const std::vector<RegisterOperation>& operations) {
  std::set<std::uint32_t> seen;
  for (const RegisterOperation& operation : operations) {
    if (operation.kind == RegisterOperation::Kind::read) seen.insert(operation.value);
    if (operation.kind == RegisterOperation::Kind::swap) seen.insert({operation.expected, operation.seen});
  }
  std::vector<RegisterOperation> kept;
  for (const RegisterOperation& operation : operations) {
    const bool writes =
        operation.kind == RegisterOperation::Kind::write || operation.kind == RegisterOperation::Kind::swap;
    if (operation.answered || !writes || seen.contains(operation.value)) kept.push_back(operation);
  }
  return kept;
}

}  // namespace

Linearizability is_linearizable(std::vector<RegisterOperation> operations, std::uint64_t steps_max,
                                std::uint64_t* steps) {
  drop_unnoticed(operations);
  // An order of fewer operations, with the others behind it, is an order of all. Only "yes" carries over: a
  // write that nobody saw may still be why a swap failed.
  if (std::vector<RegisterOperation> fewer = without_unseen(operations); fewer.size() < operations.size()) {
    Search quick(std::move(fewer), steps_max);
    if (quick.run() == Linearizability::yes) {
      if (steps != nullptr) *steps = quick.steps();
      return Linearizability::yes;
    }
  }
  Search search(std::move(operations), steps_max);
  const Linearizability result = search.run();
  if (steps != nullptr) *steps = search.steps();
  return result;
}

Violations LinearizabilityChecker::check(const History& history) {
  Violations violations;
  std::map<std::string, std::vector<RegisterOperation>> registers;
  Numbers numbers;
  std::map<std::uint64_t, std::int64_t> effect_seen_ns;  // by the operation that a value names
  for (const RevisionEffects& effects : history.effects) {
    for (const store::Event& event : effects.events) {
      if (event.kind == store::EventKind::put)
        effect_seen_ns.emplace(tag_of(event.kv.value), effects.first_seen_ns);
    }
  }
  for (const Operation& source : history.operations) {
    if (source.outcome == Outcome::failed) continue;
    auto keyed = as_register(source, numbers);
    if (!keyed.has_value() || !keyed->key.starts_with(prefix_)) continue;
    const bool is_read = keyed->operation.kind == RegisterOperation::Kind::read;
    if (is_read && source.outcome == Outcome::unknown) continue;
    keyed->operation.answered = source.outcome == Outcome::ok;
    keyed->operation.invoked_ns = source.invoked_ns;
    keyed->operation.returned_ns = source.returned_ns;
    const bool writes = keyed->operation.kind == RegisterOperation::Kind::write ||
                        keyed->operation.kind == RegisterOperation::Kind::swap;
    if (writes && source.outcome == Outcome::unknown) {
      const auto seen = effect_seen_ns.find(source.number);
      if (seen == effect_seen_ns.end()) continue;
      keyed->operation.answered = true;
      keyed->operation.succeeded = true;
      keyed->operation.returned_ns = std::max(seen->second, source.invoked_ns);
    }
    registers[keyed->key].push_back(keyed->operation);
  }
  keys_checked_ = registers.size();
  for (auto& [key, operations] : registers) {
    const std::size_t count = operations.size();
    const Linearizability result = is_linearizable(std::move(operations), steps_max_);
    if (result == Linearizability::yes) continue;
    violations.push_back(
        {name, "key " + key + " with " + std::to_string(count) + " operations " +
                   (result == Linearizability::no ? "is not linearizable"
                                                  : "could not be decided within the budget")});
  }
  return violations;
}

}  // namespace lockstep::sim
