#include "sim/recipes/topic_model.h"

#include <algorithm>
#include <ranges>
#include <string_view>

namespace lockstep::sim {

namespace {

constexpr std::int64_t ms = 1'000'000;

std::string text_of(std::pair<std::int64_t, std::int64_t> at) {
  return std::to_string(at.first) + "/" + std::to_string(at.second);
}

// What was published again from a group's dead letters has a header more.
bool is_redriven(const service::TopicMessage& message) {
  return std::ranges::any_of(message.headers,
                             [](const auto& header) { return header.first == service::only_group_header; });
}

}  // namespace

const std::vector<std::string>& TopicModel::groups() {
  static const std::vector<std::string> all = {"mail", "stock", replaying};
  return all;
}

bool TopicModel::is_poison(const std::string& group, const service::TopicMessage& message) {
  const bool bad = message.payload.ends_with("07") || message.payload.ends_with("57");
  return group == "mail" && bad && !is_redriven(message);
}

service::TopicMessage TopicModel::begin_publish(const std::string& key) {
  service::TopicMessage message;
  message.key = key;
  message.payload = "m" + std::to_string(messages_.size() + 1);
  messages_[message.payload].key = key;
  return message;
}

void TopicModel::place(const service::TopicMessage& message, Position at) {
  const bool redriven = is_redriven(message);
  const std::string what = message.payload + (redriven ? "+" : "");
  const auto [there, is_new] = positions_.emplace(at, what);
  if (there->second != what) {
    fleet_.report("offsets", text_of(at) + " is of " + there->second + " and of " + what);
  }
  if (!messages_.contains(message.payload) || messages_[message.payload].key != message.key) {
    fleet_.report("offsets", text_of(at) + " has " + what + ", which nobody published");
  }
  if (redriven || !is_new) return;
  const auto [before, first] = placed_.emplace(message.payload, at);
  if (!first) {
    fleet_.report("offsets", what + " is there twice: " + text_of(before->second) + " and " + text_of(at));
  }
}

void TopicModel::published(const std::vector<service::TopicMessage>& messages,
                           const std::vector<service::MessagePosition>& positions, std::int64_t invoked_ns) {
  std::map<std::string, Position> last;  // of this call, by key
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const Position at{positions[i].partition, positions[i].offset};
    place(messages[i], at);
    messages_[messages[i].payload].certain = true;
    auto& answered = answered_[messages[i].key];
    const auto before = std::ranges::find_if(
        std::views::reverse(answered), [&](const Answered& one) { return one.answered_ns < invoked_ns; });
    const bool behind = before == answered.rend() || before->furthest < at;
    const auto same_call = last.find(messages[i].key);
    if (!behind || (same_call != last.end() && same_call->second >= at)) {
      fleet_.report("offsets",
                    messages[i].payload + " was published after another of its key, and has " + text_of(at));
    }
    last[messages[i].key] = at;
  }
  for (const auto& [key, at] : last) {
    auto& answered = answered_[key];
    const Position furthest = answered.empty() ? at : std::max(answered.back().furthest, at);
    answered.push_back({now_ns(), furthest});
  }
}

void TopicModel::delivered(const Claimed& claimed) {
  GroupRecord& group = groups_[claimed.group];
  const std::int64_t partition = claimed.claim.token.partition;
  for (const service::DeliveredMessage& one : claimed.claim.messages) {
    const Position at{partition, one.offset};
    place(one.message, at);
    if (fleet_.world().tracing()) {
      fleet_.world().trace(claimed.group + " is delivered " + one.message.payload + " at " + text_of(at));
    }
    group.delivered_ns[one.message.payload] = now_ns();
    const auto settled = group.settled_ns.find(at);
    if (claimed.group == replaying || settled == group.settled_ns.end()) continue;
    if (claimed.invoked_ns > settled->second) {
      fleet_.report("twice", one.message.payload + " at " + text_of(at) + " was delivered to " +
                                 claimed.group + " after it was acknowledged");
    }
  }
  if (claimed.group == replaying) return;
  judge_order(group, claimed);
  judge_holding(group, claimed);
}

// Something that the group never got stands before what it got already, by an answer that came before this
// was asked for.
void TopicModel::judge_order(GroupRecord& group, const Claimed& claimed) {
  const std::int64_t partition = claimed.claim.token.partition;
  std::int64_t last = -1;
  for (const service::DeliveredMessage& one : claimed.claim.messages) {
    if (one.offset <= last)
      fleet_.report("order", "a claim goes back in partition " + text_of({partition, last}));
    last = one.offset;
    const bool is_new = group.seen.insert({partition, one.offset}).second;
    const auto furthest = group.furthest.find(partition);
    if (!is_new || furthest == group.furthest.end()) continue;
    if (furthest->second.first > one.offset && furthest->second.second < claimed.invoked_ns) {
      fleet_.report("order", one.message.payload + " at " + text_of({partition, one.offset}) + " came to " +
                                 claimed.group + " after " + text_of({partition, furthest->second.first}));
    }
  }
  Position& furthest = group.furthest.try_emplace(partition, -1, 0).first->second;
  if (last > furthest.first) furthest = {last, now_ns()};
}

// The lease is counted from after the call was begun.
void TopicModel::judge_holding(GroupRecord& group, const Claimed& claimed) {
  const service::ClaimToken& token = claimed.claim.token;
  auto& holding = group.holding[token.partition];
  if (token.revision.value() > holding.revision && now_ns() < holding.until_ns) {
    fleet_.report("exclusive", claimed.group + " got partition " + std::to_string(token.partition) + " " +
                                   std::to_string((holding.until_ns - now_ns()) / ms) +
                                   " ms before the claim of somebody else was over");
  }
  if (token.revision.value() <= holding.revision) return;
  const std::int64_t drift_ns = claimed.visible_ns / 1'000'000 * 2 * fleet_.options().clock_rate_ppm_max;
  holding = {claimed.invoked_ns + claimed.visible_ns - drift_ns, token.revision.value()};
}

void TopicModel::acknowledge(const Claimed& claimed, const service::MessageSettlement& settlement,
                             const std::function<void(const service::DeliveredMessage&)>& each) {
  for (const service::DeliveredMessage& one : claimed.claim.messages) {
    if (one.offset <= settlement.acknowledged_through.value_or(-1)) each(one);
  }
}

void TopicModel::settling(const Claimed& claimed, const service::MessageSettlement& settlement) {
  GroupRecord& group = groups_[claimed.group];
  acknowledge(claimed, settlement,
              [&](const service::DeliveredMessage& one) { group.acknowledged.insert(one.message.payload); });
  auto& holding = group.holding[claimed.claim.token.partition];
  if (holding.revision == claimed.claim.token.revision.value()) holding.until_ns = 0;
}

void TopicModel::settled(const Claimed& claimed, const service::MessageSettlement& settlement) {
  GroupRecord& group = groups_[claimed.group];
  acknowledge(claimed, settlement, [&](const service::DeliveredMessage& one) {
    group.settled_ns.try_emplace(Position(claimed.claim.token.partition, one.offset), now_ns());
    ++acknowledged_;
  });
}

void TopicModel::read(const std::vector<service::DeliveredMessage>& messages, std::int64_t partition) {
  for (const service::DeliveredMessage& one : messages) place(one.message, {partition, one.offset});
}

void TopicModel::seen(const service::TopicState& state, bool letters) {
  const bool all_groups = state.groups.size() == groups().size();
  const bool behind = std::ranges::any_of(state.groups, [](const auto& group) { return group.behind > 0; });
  done_ = done_ || (all_groups && !behind && !letters);
}

Violations TopicModel::check(const History& /*history*/) {
  Violations violations;
  if (!done_) violations.push_back({"stuck", "something is left to a group, or dead"});
  for (const auto& [payload, record] : messages_) {
    if (!record.certain) continue;
    for (const std::string& group : groups()) {
      const GroupRecord& of = groups_[group];
      if (group != replaying) {
        if (of.acknowledged.contains(payload)) continue;
        violations.push_back({"lost", payload + " was published, and " + group + " never acknowledged it"});
        continue;
      }
      const auto last = of.delivered_ns.find(payload);
      if (last != of.delivered_ns.end() && last->second > went_back_ns_) continue;
      violations.push_back({"replay", payload + " did not come again after the group went back"});
    }
  }
  return violations;
}

}  // namespace lockstep::sim
