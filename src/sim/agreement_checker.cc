#include "sim/agreement_checker.h"

#include <charconv>
#include <set>

namespace lockstep::sim {

Violations AgreementChecker::check(const History& history) const {
  Violations violations;
  std::map<Term, NodeId> leaders;
  for (const LeaderObservation& seen : history.leaders) {
    const NodeId known = leaders.emplace(seen.term, seen.leader).first->second;
    if (known == seen.leader) continue;
    violations.push_back({name, "two leaders in term " + std::to_string(seen.term.value()) + ": members " +
                                    std::to_string(known.value()) + " and " +
                                    std::to_string(seen.leader.value())});
  }
  std::map<LogIndex, const CommitObservation*> entries;
  for (const CommitObservation& seen : history.commits) {
    const CommitObservation* known = entries.emplace(seen.index, &seen).first->second;
    if (known->term == seen.term && known->checksum == seen.checksum) continue;
    violations.push_back({name, "members " + std::to_string(known->member.value()) + " and " +
                                    std::to_string(seen.member.value()) +
                                    " committed different entries at index " +
                                    std::to_string(seen.index.value())});
  }
  std::map<LogIndex, const DigestObservation*> digests;
  for (const DigestObservation& seen : history.digests) {
    const DigestObservation* known = digests.emplace(seen.applied, &seen).first->second;
    if (known->digest == seen.digest) continue;
    violations.push_back({name, "members " + std::to_string(known->member.value()) + " and " +
                                    std::to_string(seen.member.value()) + " differ in state after index " +
                                    std::to_string(seen.applied.value())});
  }
  return violations;
}

Violations EffectChecker::check(const History& history) const {
  Violations violations;
  std::map<std::uint64_t, std::int64_t> revision_of_tag;
  for (const RevisionEffects& effects : history.effects) {
    std::set<std::uint64_t> tags;
    for (const store::Event& event : effects.events) {
      const std::uint64_t tag = event.kind == store::EventKind::put ? tag_of(event.kv.value) : 0;
      if (tag != 0) tags.insert(tag);
    }
    for (const std::uint64_t tag : tags) {
      const auto [known, fresh] = revision_of_tag.emplace(tag, effects.revision.value());
      if (fresh) continue;
      violations.push_back({name, "operation #" + std::to_string(tag) + " took effect at revision " +
                                      std::to_string(known->second) + " and again at " +
                                      std::to_string(effects.revision.value())});
    }
  }
  return violations;
}

std::int64_t SumChecker::balance_of(std::string_view value) {
  const std::size_t colon = value.find(':');
  std::int64_t balance = 0;
  if (colon != std::string_view::npos) {
    std::from_chars(value.data() + colon + 1, value.data() + value.size(), balance);
  }
  return balance;
}

Violations SumChecker::check(const History& history) const {
  Violations violations;
  const auto complain = [&](const std::string& text) {
    if (violations.size() < 10) violations.push_back({name, text});
  };
  std::map<std::string, std::int64_t> balances;
  std::int64_t sum = 0;
  bool complete = false;
  for (const RevisionEffects& effects : history.effects) {
    bool touched = false;
    for (const store::Event& event : effects.events) {
      if (!event.kv.key.starts_with(prefix_)) continue;
      touched = true;
      sum -= balances[event.kv.key];
      balances[event.kv.key] = event.kind == store::EventKind::put ? balance_of(event.kv.value) : 0;
      sum += balances[event.kv.key];
    }
    complete = complete || balances.size() == static_cast<std::size_t>(accounts_);
    if (touched && complete && sum != sum_) {
      complain("revision " + std::to_string(effects.revision.value()) + " makes the accounts' sum " +
               std::to_string(sum) + " instead of " + std::to_string(sum_));
    }
  }
  for (const Operation& operation : history.operations) {
    const auto* range = std::get_if<store::RangeRequest>(&operation.request);
    const auto* response = std::get_if<store::RangeResponse>(&operation.response);
    if (range == nullptr || response == nullptr || operation.outcome != Outcome::ok) continue;
    if (range->key != prefix_ || static_cast<std::int64_t>(response->kvs.size()) != accounts_ ||
        range->keys_only) {
      continue;
    }
    std::int64_t seen = 0;
    for (const store::KeyValue& kv : response->kvs) seen += balance_of(kv.value);
    if (seen != sum_)
      complain("an answer shows the sum " + std::to_string(seen) + ": " + describe(operation));
  }
  return violations;
}

}  // namespace lockstep::sim
