#include "sim/recipes/line_model.h"

#include <algorithm>
#include <utility>

namespace lockstep::sim {

namespace {

std::string describe(const Grant& grant) {
  return "grant " + std::to_string(grant.number) + " (" + grant.key + ", token " +
         std::to_string(grant.token.value()) + (grant.shared ? ", shared)" : ")");
}

}  // namespace

LineModel::LineModel(Fleet& fleet)
    : LineModel(fleet,
                {{"locks/x0", {1, true, true}},
                 {"locks/x1", {1, true, true}},
                 {"locks/w0", {1, false, false}},
                 {"lockstep/semaphores/s0", {2, false, false}}},
                "guarded/") {}

std::uint64_t LineModel::granted(FleetWorker& worker, Grant grant) {
  World& world = fleet_.world();
  grant.number = grants_.size() + 1;
  grant.machine = worker.machine().index();
  grant.life = worker.machine().node().lives();
  if (world.tracing()) world.trace(describe(grant) + " at " + std::to_string(grant.at.value()));
  grants_.push_back(grant);
  acted(grant.number, grant.at, "");
  std::vector<std::uint64_t>& open = open_[grant.line];
  std::erase_if(open, [&](std::uint64_t number) { return !believes(grants_[number - 1]); });
  if (!believes(grant)) return grant.number;
  const auto others = std::ranges::count_if(
      open, [&](std::uint64_t number) { return !grant.shared || !grants_[number - 1].shared; });
  if (std::cmp_greater_equal(others, rules_.at(grant.line).permits)) {
    std::string text = describe(grant) + " while those still believe to hold it:";
    for (const std::uint64_t number : open) text += " " + describe(grants_[number - 1]);
    fleet_.report("belief", std::move(text));
  }
  open.push_back(grant.number);
  return grant.number;
}

bool LineModel::believes(const Grant& grant) {
  Node& node = fleet_.world().node(fleet_.machines()[grant.machine]);
  if (grant.over || !node.running() || node.lives() != grant.life) return false;
  const service::SessionPtr session = grant.session.lock();
  return session != nullptr && session->alive();
}

void LineModel::opened(FleetWorker& worker, const service::SessionPtr& session) {
  Node& node = worker.machine().node();
  sessions_.push_back({session, &node, node.lives(), false});
}

void LineModel::on_tick() {
  std::erase_if(sessions_, [this](Sighting& sighting) {
    const service::SessionPtr session = sighting.session.lock();
    if (session == nullptr || !sighting.node->running() || sighting.node->lives() != sighting.life)
      return true;
    const bool alive = session->alive();
    if (alive && sighting.seen_over) {
      fleet_.report("revival", "a session of node " + std::to_string(sighting.node->id().value()) +
                                   " was over, and then not any more");
      return true;
    }
    sighting.seen_over = !alive;
    return false;
  });
}

void LineModel::write_fenced(FleetWorker& worker, std::uint64_t grant) {
  World& world = fleet_.world();
  const Endpoint resource = world.client_endpoint(fleet_.machines().size());
  world.carry(worker.machine().endpoint(), resource, 100, [this, grant] { arrive_at_fence(grant); });
}

void LineModel::arrive_at_fence(std::uint64_t number) {
  const Grant& writer = grants_[number - 1];
  Fence& fence = fences_[writer.line];
  if (writer.token.value() < fence.highest) return;
  fence.highest = writer.token.value();
  const auto [user, fresh] = fence.users.try_emplace(fence.highest, number);
  const std::uint64_t earlier = std::min(user->second, number);
  user->second = std::max(user->second, number);
  if (fresh || earlier == user->second) return;
  if (same_holding(grants_[earlier - 1], grants_[user->second - 1])) return;
  fleet_.report("resource", "the resource of " + writer.line + " took writes with one token from " +
                                describe(grants_[earlier - 1]) + " and " +
                                describe(grants_[user->second - 1]));
}

void LineModel::on_notice(const store::Event& event) {
  if (event.kind != store::EventKind::remove) return;
  const std::string line = line_of(event.kv.key);
  if (!line.empty()) ++notices_[line];
}

std::string LineModel::line_of(const std::string& key) const {
  for (const auto& [line, rule] : rules_) {
    if (key.size() > line.size() && key.starts_with(line) && key[line.size()] == '/') return line;
  }
  return {};
}

Violations LineModel::check(const History& history) {
  Violations violations;
  check_tokens(violations);
  replay(history, violations);
  check_herd(violations);
  for (const auto& [line, places] : lines_) {
    if (places.size() > 0)
      violations.push_back({"leak", "in the end, in " + line + " stands " + places.describe()});
  }
  return violations;
}

void LineModel::check_tokens(Violations& violations) const {
  std::map<std::string, std::vector<const Grant*>> by_line;
  for (const Grant& grant : grants_) by_line[grant.line].push_back(&grant);
  for (auto& [line, grants] : by_line) {
    // Several that hold at once may be told in any order: then a token must merely not come twice.
    const bool one_by_one = rules_.at(line).one_by_one;
    std::ranges::sort(grants, {}, [one_by_one](const Grant* grant) {
      return std::pair(one_by_one ? grant->at : grant->token, grant->number);
    });
    for (std::size_t i = 1; i < grants.size(); ++i) {
      if (grants[i - 1]->token < grants[i]->token || same_holding(*grants[i - 1], *grants[i])) continue;
      violations.push_back(
          {"token", line + ": " + describe(*grants[i]) + " after " + describe(*grants[i - 1])});
    }
  }
}

void LineModel::judge_grant(const Grant& grant, Revision revision, const char* what, Violations& violations) {
  const LineReplay& line = lines_[grant.line];
  const std::optional<std::size_t> before = line.before(grant.key, grant.token, grant.shared);
  if (before.has_value() && *before < rules_.at(grant.line).permits) return;
  violations.push_back({"holder", what + describe(grant) + " at revision " +
                                      std::to_string(revision.value()) +
                                      (before.has_value() ? ", with " + std::to_string(*before) + " before it"
                                                          : ", without a place in line") +
                                      ": first is " + line.describe()});
}

void LineModel::replay(const History& history, Violations& violations) {
  std::ranges::sort(deeds_, {}, [](const Deed& deed) { return std::pair(deed.at, deed.grant); });
  auto next = deeds_.begin();
  const auto judge_deeds_before = [&](Revision revision) {
    for (; next != deeds_.end() && next->at < revision; ++next)
      judge_grant(grant(next->grant), next->at, next->what, violations);
  };
  for (const RevisionEffects& effects : history.effects) {
    judge_deeds_before(effects.revision);
    for (const store::Event& event : effects.events) {
      if (event.kind == store::EventKind::put && event.kv.key.starts_with(guarded_prefix_)) {
        judge_grant(grants_.at(tag_of(event.kv.value) - 1), effects.revision, "a write of ", violations);
      }
    }
    for (const store::Event& event : effects.events) {
      const std::string line = line_of(event.kv.key);
      if (line.empty()) continue;
      const LineReplay::Change change = lines_[line].apply(event);
      if (change == LineReplay::Change::none || change == LineReplay::Change::joined) continue;
      ++removals_[line];
      if (change == LineReplay::Change::waiter_left) ++removals_of_waiters_[line];
    }
  }
  judge_deeds_before(Revision::max());
}

// Who left while waiting may still watch, and be told once; then the one behind it was told, too.
void LineModel::check_herd(Violations& violations) const {
  for (const auto& [line, notices] : notices_) {
    if (!rules_.at(line).wakes_one) continue;
    const auto of = [&name = line](const auto& counts) {
      const auto found = counts.find(name);
      return found == counts.end() ? 0 : found->second;
    };
    if (notices <= of(removals_) + of(removals_of_waiters_)) continue;
    violations.push_back({"herd", line + ": " + std::to_string(notices) + " notices of " +
                                      std::to_string(of(removals_)) + " keys that left the line, " +
                                      std::to_string(of(removals_of_waiters_)) + " of them waiting"});
  }
}

}  // namespace lockstep::sim
