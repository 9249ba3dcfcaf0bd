#include "sim/recipes/lock_model.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "sim/recipes/line_replay.h"

namespace lockstep::sim {

std::uint64_t LockModel::granted(FleetWorker& worker, LockGrant grant) {
  Node& node = worker.machine().node();
  grant.number = grants_.size() + 1;
  grant.time_ns = fleet_.world().now();
  grant.machine = worker.machine().index();
  grant.life = node.lives();
  if (fleet_.world().tracing()) {
    fleet_.world().trace("grant " + std::to_string(grant.number) + ": " + grant.key + " token " +
                         std::to_string(grant.token.value()) + " at " + std::to_string(grant.at.value()));
  }
  grants_.push_back(grant);
  std::vector<std::uint64_t>& open = open_[grant.lock];
  std::erase_if(open, [&](std::uint64_t number) { return !believes(grants_[number - 1]); });
  if (believes(grant)) {
    for (const std::uint64_t number : open) {
      fleet_.report("belief", "grant " + std::to_string(grant.number) + " of " + grant.key + " while grant " +
                                  std::to_string(number) + " of " + grants_[number - 1].key +
                                  " still believes to hold it");
    }
    open.push_back(grant.number);
  }
  return grant.number;
}

bool LockModel::believes(const LockGrant& grant) {
  Node& node = fleet_.world().node(fleet_.machines()[grant.machine]);
  if (grant.over || !node.running() || node.lives() != grant.life) return false;
  const service::SessionPtr session = grant.session.lock();
  return session != nullptr && session->alive();
}

void LockModel::released(std::uint64_t grant) {
  grants_[grant - 1].over = true;
}

void LockModel::write_fenced(FleetWorker& worker, std::uint64_t grant) {
  World& world = fleet_.world();
  const Endpoint resource = world.client_endpoint(fleet_.machines().size());
  world.carry(worker.machine().endpoint(), resource, 100, [this, grant] { arrive_at_fence(grant); });
}

void LockModel::arrive_at_fence(std::uint64_t number) {
  const LockGrant& grant = grants_[number - 1];
  Fence& fence = fences_[grant.lock];
  if (grant.token.value() < fence.highest) return;
  fence.highest = grant.token.value();
  const auto [user, fresh] = fence.users.try_emplace(fence.highest, number);
  if (fresh || user->second == number) return;
  fleet_.report("resource", "the resource of " + grant.lock + " took writes with token " +
                                std::to_string(fence.highest) + " from grants " +
                                std::to_string(user->second) + " and " + std::to_string(number));
}

void LockModel::on_notice(const store::Event& event) {
  if (event.kind != store::EventKind::remove || !event.kv.key.starts_with(prefix)) return;
  ++notices_[lock_of(event.kv.key)];
}

// "locks/a/1f" belongs to "locks/a".
std::string LockModel::lock_of(const std::string& key) {
  return key.substr(0, key.find('/', prefix.size()));
}

Violations LockModel::check(const History& history) {
  Violations violations;
  check_tokens(violations);
  check_holders(history, violations);
  check_herd(violations);
  return violations;
}

void LockModel::check_tokens(Violations& violations) const {
  std::map<std::string, std::vector<const LockGrant*>> by_lock;
  for (const LockGrant& grant : grants_) by_lock[grant.lock].push_back(&grant);
  for (auto& [lock, grants] : by_lock) {
    std::ranges::sort(grants, {}, [](const LockGrant* grant) { return std::pair(grant->at, grant->number); });
    for (std::size_t i = 1; i < grants.size(); ++i) {
      if (grants[i - 1]->token < grants[i]->token) continue;
      violations.push_back({"token", lock + ": grant " + std::to_string(grants[i]->number) + " has token " +
                                         std::to_string(grants[i]->token.value()) + " after grant " +
                                         std::to_string(grants[i - 1]->number) + " had " +
                                         std::to_string(grants[i - 1]->token.value())});
    }
  }
}

void LockModel::check_holders(const History& history, Violations& violations) {
  std::map<std::int64_t, std::vector<const LockGrant*>> by_revision;
  for (const LockGrant& grant : grants_) by_revision[grant.at.value()].push_back(&grant);
  std::map<std::string, LineReplay> lines;
  const auto stands_first = [&](const LockGrant& grant) {
    const std::optional<LineReplay::Place> first = lines[grant.lock].first();
    return first.has_value() && first->key == grant.key && first->created == grant.token;
  };
  const auto complain = [&](const LockGrant& grant, const char* what, Revision revision) {
    violations.push_back({"holder", what + std::to_string(grant.number) + " (" + grant.key + ", token " +
                                        std::to_string(grant.token.value()) + ") at revision " +
                                        std::to_string(revision.value()) + ": the first in line is " +
                                        lines[grant.lock].describe()});
  };
  auto next = by_revision.begin();
  const auto judge_grants_before = [&](std::int64_t revision) {
    for (; next != by_revision.end() && next->first < revision; ++next) {
      for (const LockGrant* grant : next->second) {
        if (!stands_first(*grant)) complain(*grant, "grant ", grant->at);
      }
    }
  };
  for (const RevisionEffects& effects : history.effects) {
    judge_grants_before(effects.revision.value());
    for (const store::Event& event : effects.events) {
      if (event.kind == store::EventKind::put && event.kv.key.starts_with(guarded_prefix)) {
        const LockGrant& grant = grants_.at(tag_of(event.kv.value) - 1);
        if (!stands_first(grant)) complain(grant, "a guarded write of grant ", effects.revision);
      }
    }
    for (const store::Event& event : effects.events) {
      if (!event.kv.key.starts_with(prefix)) continue;
      const std::string lock = lock_of(event.kv.key);
      const LineReplay::Change change = lines[lock].apply(event);
      if (change == LineReplay::Change::left) ++removals_[lock];
      if (change == LineReplay::Change::waiter_left) ++removals_[lock], ++removals_of_waiters_[lock];
    }
  }
  judge_grants_before(INT64_MAX);
}

// Who left while waiting may still watch, and be told once; then the one behind it was told, too.
void LockModel::check_herd(Violations& violations) const {
  for (const auto& [lock, notices] : notices_) {
    const auto of = [&lock](const auto& counts) {
      const auto found = counts.find(lock);
      return found == counts.end() ? 0 : found->second;
    };
    if (notices <= of(removals_) + of(removals_of_waiters_)) continue;
    violations.push_back({"herd", lock + ": " + std::to_string(notices) + " notices of " +
                                      std::to_string(of(removals_)) + " keys that left the line, " +
                                      std::to_string(of(removals_of_waiters_)) + " of them waiting"});
  }
}

}  // namespace lockstep::sim
