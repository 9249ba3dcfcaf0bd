#include "sim/lease_checker.h"

#include <algorithm>

#include "base/limits.h"

namespace lockstep::sim {

namespace {

constexpr std::int64_t million = 1'000'000;
constexpr std::int64_t confirmation_age_ns_max = limits::lease_confirmation_age_ms_max * million;

std::string seconds(std::int64_t ns) {
  return std::to_string(static_cast<double>(ns) / 1e9) + "s";
}

std::int64_t scaled(std::int64_t ns, std::int64_t numerator, std::int64_t denominator) {
  return static_cast<std::int64_t>(static_cast<__int128>(ns) * numerator / denominator);
}

}  // namespace

void LeaseChecker::complain(LeaseId id, const std::string& text) {
  violations_.push_back({name, "lease " + std::to_string(id.value()) + ": " + text});
}

Violations LeaseChecker::check(const History& history) {
  collect(history);
  check_ends(history);
  check_gone_answers(history);
  check_revoked();
  check_immortal(history);
  return std::move(violations_);
}

void LeaseChecker::collect(const History& history) {
  for (const Operation& operation : history.operations) {
    const auto* grant = std::get_if<store::LeaseGrantRequest>(&operation.request);
    if (grant == nullptr || operation.outcome != Outcome::ok) continue;
    const auto& response = std::get<store::LeaseGrantResponse>(operation.response);
    Lease& lease = leases_[response.id];
    lease.ttl_ns = response.ttl.count();
    lease.alive_from_ns = operation.invoked_ns;
    lease.renewable_until_ns = operation.returned_ns;
    if (response.ttl < grant->ttl) complain(response.id, "a shorter TTL than asked for was given");
    if (grant->id.value() != 0 && grant->id != response.id) complain(response.id, "not the id asked for");
  }
  for (const Operation& operation : history.operations) {
    if (const auto* alive = std::get_if<store::LeaseKeepAliveRequest>(&operation.request)) {
      const auto lease = leases_.find(alive->id);
      if (lease == leases_.end() || operation.outcome == Outcome::failed) continue;
      if (operation.outcome == Outcome::unknown) {
        // It may take effect as long as a fault can hold it back.
        lease->second.renewable_until_ns =
            std::max({lease->second.renewable_until_ns, operation.invoked_ns, history.healed_ns});
      } else if (std::get<store::LeaseKeepAliveResponse>(operation.response).ttl.count() > 0) {
        lease->second.renewals.push_back(&operation);
        lease->second.renewable_until_ns = std::max(lease->second.renewable_until_ns, operation.returned_ns);
      } else {
        lease->second.gone_seen_ns = std::min(lease->second.gone_seen_ns, operation.returned_ns);
      }
    } else if (const auto* revoke = std::get_if<store::LeaseRevokeRequest>(&operation.request)) {
      const auto lease = leases_.find(revoke->id);
      if (lease == leases_.end() || operation.outcome == Outcome::failed) continue;
      lease->second.revoke_asked_ns = std::min(lease->second.revoke_asked_ns, operation.invoked_ns);
      if (operation.outcome == Outcome::ok) {
        lease->second.ended_ns = std::min(lease->second.ended_ns, operation.returned_ns);
        lease->second.revoked_ns = std::min(lease->second.revoked_ns, operation.returned_ns);
      }
    }
  }
}

std::int64_t LeaseChecker::earliest_end(const Lease& lease, std::int64_t from) const {
  // The age of a confirmation is measured by the leader that renews, and made up for by the next one.
  const std::int64_t drift_ns = scaled(confirmation_age_ns_max, 2 * promise_.rate_ppm_max, million);
  return from + scaled(lease.ttl_ns, million, million + promise_.rate_ppm_max) - drift_ns;
}

void LeaseChecker::check_end(LeaseId id, Lease& lease, std::int64_t time, std::int64_t revision) {
  lease.ended_ns = std::min(lease.ended_ns, time);
  if (lease.revoke_asked_ns <= time) return;
  ++expiries_;
  // Only renewals acknowledged before the end promise anything: a later one must have been refused.
  std::int64_t from = lease.alive_from_ns;
  for (const Operation* renewal : lease.renewals) {
    if (renewal->invoked_ns > time) {
      complain(id, "renewed after it had ended at revision " + std::to_string(revision) + ": " +
                       describe(*renewal));
    } else {
      from = std::max(from, renewal->invoked_ns);
    }
  }
  if (time < earliest_end(lease, from)) {
    complain(id, "ended early, at " + seconds(time) + " (revision " + std::to_string(revision) +
                     "), although a renewal was invoked at " + seconds(from) + " and its TTL is " +
                     seconds(lease.ttl_ns));
  }
}

void LeaseChecker::check_ends(const History& history) {
  for (const RevisionEffects& effects : history.effects) {
    const auto end = ends_.find(effects.revision.value());
    if (end == ends_.end()) continue;
    const auto lease = leases_.find(end->second);
    if (lease != leases_.end()) {
      check_end(end->second, lease->second, effects.first_seen_ns, effects.revision.value());
    }
  }
}

void LeaseChecker::check_gone_answers(const History& history) {
  // "No such lease" must not be said of one that cannot have ended yet.
  for (const Operation& operation : history.operations) {
    const auto* alive = std::get_if<store::LeaseKeepAliveRequest>(&operation.request);
    if (alive == nullptr || operation.outcome != Outcome::ok) continue;
    const auto lease = leases_.find(alive->id);
    if (lease == leases_.end()) continue;
    if (std::get<store::LeaseKeepAliveResponse>(operation.response).ttl.count() > 0) continue;
    if (lease->second.revoke_asked_ns <= operation.returned_ns) continue;
    std::int64_t from = lease->second.alive_from_ns;
    for (const Operation* renewal : lease->second.renewals) {
      if (renewal->invoked_ns <= operation.returned_ns) from = std::max(from, renewal->invoked_ns);
    }
    if (operation.returned_ns < earliest_end(lease->second, from)) {
      complain(alive->id, "said to be gone although a renewal was invoked at " + seconds(from) +
                              " and its TTL is " + seconds(lease->second.ttl_ns) + ": " +
                              describe(operation));
    }
  }
}

// A leader that was replaced may not know of it, as long as its confirmation is not too old.
void LeaseChecker::check_revoked() {
  const std::int64_t unnoticed_ns = scaled(confirmation_age_ns_max, million, million - promise_.rate_ppm_max);
  for (const auto& [id, lease] : leases_) {
    if (lease.revoked_ns == never_ns) continue;
    for (const Operation* renewal : lease.renewals) {
      if (renewal->invoked_ns <= lease.revoked_ns + unnoticed_ns) continue;
      complain(id, "renewed although it was known to be revoked at " + seconds(lease.revoked_ns) + ": " +
                       describe(*renewal));
    }
  }
}

void LeaseChecker::check_immortal(const History& history) {
  std::int64_t settled_ns = history.healed_ns;
  for (const LeaderObservation& leader : history.leaders) settled_ns = std::max(settled_ns, leader.seen_ns);
  for (auto& [id, lease] : leases_) {
    const std::int64_t from = std::max(lease.renewable_until_ns, settled_ns);
    const std::int64_t latest =
        from + scaled(lease.ttl_ns, million, million - promise_.rate_ppm_max) + promise_.lateness_ns_max;
    const std::vector<std::string> keys = model_.keys_of_lease(id);
    if (latest < history.ended_ns && !keys.empty()) {
      complain(id, "immortal: '" + keys.front() + "' is still there at " + seconds(history.ended_ns) +
                       ", it should have gone by " + seconds(latest));
    } else if (lease.ended_ns != never_ns && lease.ended_ns > latest) {
      complain(id, "ended late, at " + seconds(lease.ended_ns) + " instead of by " + seconds(latest));
    }
  }
}

}  // namespace lockstep::sim
