// Leases (I6): never early, never immortal.
//
// The end of a lease shows as a revision that removes keys attached to it. True time decides, which no member
// knows; the promise allows for clocks that run up to rate_ppm_max fast or slow, and for nothing where none
// does.
//   never early     not before the invocation of the last acknowledged grant or renewal + TTL, shortened by
//                   the drift a leader's clock may have; unless somebody asked to revoke it
//   never immortal  not later than the last moment a renewal could have happened, or the last fault ended, or
//                   the last leader began (the store's clock stands still without one), + TTL, lengthened by
//                   the drift, + the stated bound
//   revoked         not renewed later than the age of a leader's confirmation after somebody revoked it
//   attached        a lease that ended leaves no key; an acknowledged grant gives the TTL asked for, or more
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "sim/history.h"
#include "sim/model_store.h"

namespace lockstep::sim {

struct LeasePromise {
  std::int64_t rate_ppm_max;                     // by which any clock runs fast or slow
  std::int64_t lateness_ns_max = 3'000'000'000;  // in a healthy cluster
};

class LeaseChecker {
 public:
  static constexpr const char* name = "lease";

  // Which revision ended which lease, and the keys left: both from the replay of this history.
  using Ends = std::map<std::int64_t, LeaseId>;
  LeaseChecker(const ModelStore& model, const Ends& ends, LeasePromise promise)
      : model_(model), ends_(ends), promise_(promise) {}
  Violations check(const History& history);
  // Leases that ended by themselves.
  [[nodiscard]] std::uint64_t expiries() const { return expiries_; }

 private:
  struct Lease {
    std::int64_t ttl_ns = 0;
    std::int64_t alive_from_ns = 0;           // invocation of the last acknowledged renewal so far
    std::int64_t renewable_until_ns = 0;      // the last moment at which some renewal may have happened
    std::int64_t revoke_asked_ns = never_ns;  // the first revocation, whatever its outcome
    std::int64_t revoked_ns = never_ns;       // the first revocation that was acknowledged
    std::int64_t gone_seen_ns = never_ns;     // the first answer "no such lease"
    std::int64_t ended_ns = never_ns;         // its keys were removed
    std::vector<const Operation*> renewals;   // acknowledged, by invocation
  };

  void collect(const History& history);
  void check_ends(const History& history);
  void check_gone_answers(const History& history);
  void check_revoked();
  void check_immortal(const History& history);
  void check_end(LeaseId id, Lease& lease, std::int64_t time, std::int64_t revision);
  // The moment before which a lease whose last sign of life was invoked at `from` must not end.
  [[nodiscard]] std::int64_t earliest_end(const Lease& lease, std::int64_t from) const;
  void complain(LeaseId id, const std::string& text);

  const ModelStore& model_;
  const Ends& ends_;
  LeasePromise promise_;
  std::map<LeaseId, Lease> leases_;
  std::uint64_t expiries_ = 0;
  Violations violations_;
};

}  // namespace lockstep::sim
