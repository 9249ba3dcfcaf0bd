#include "sim/lease_checker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sim/history_builder.h"
#include "sim/revision_checker.h"

namespace lockstep::sim {
namespace {

using ::testing::HasSubstr;

constexpr std::int64_t ms = 1'000'000;
constexpr std::int64_t second = 1'000 * ms;

// Lease 5 with a TTL of 2 s, granted at 1.0–1.1 s; key k attached at 1.2 s (revision 2).
struct Scene {
  Scene() {
    store::LeaseGrantRequest grant;
    grant.id = LeaseId(5);
    grant.ttl = 2s;
    store::LeaseGrantResponse granted;
    granted.id = LeaseId(5);
    granted.ttl = 2s;
    granted.header.revision = Revision(1);
    h.add(1, second, second + 100 * ms, grant).response = granted;
    std::get<store::PutRequest>(h.put(2, second + 200 * ms, second + 250 * ms, "k", "2:v", 2).request).lease =
        LeaseId(5);
    h.effect_put(2, "k", "2:v", 5);
    h.history.ended_ns = 60 * second;
  }
  void keep_alive(std::int64_t invoked, std::int64_t returned, Duration ttl) {
    store::LeaseKeepAliveRequest request;
    request.id = LeaseId(5);
    Operation& operation = h.add(10 + h.history.operations.size(), invoked, returned, request);
    if (returned == never_ns) return;
    store::LeaseKeepAliveResponse response;
    response.id = LeaseId(5);
    response.ttl = ttl;
    operation.response = response;
  }
  void revoke(std::int64_t invoked, std::int64_t returned) {
    store::LeaseRevokeRequest request;
    request.id = LeaseId(5);
    Operation& operation = h.add(50, invoked, returned, request);
    store::LeaseRevokeResponse response;
    response.header.revision = Revision(3);
    if (returned != never_ns) operation.response = response;
  }
  void end(std::int64_t time) {
    h.effect_remove(3, "k");
    h.history.effects.back().first_seen_ns = time;
  }
  std::string verdict() {
    RevisionChecker replay;
    const Violations basic = replay.check(h.history);
    EXPECT_TRUE(basic.empty()) << basic.front().text;
    LeaseChecker checker(replay.model(), replay.lease_ends(), LeasePromise{.rate_ppm_max = rate_ppm_max});
    const Violations violations = checker.check(h.history);
    expiries = checker.expiries();
    return violations.empty() ? "" : violations.front().text;
  }
  HistoryBuilder h;
  std::uint64_t expiries = 0;
  std::int64_t rate_ppm_max = 50'000;
};

TEST(LeaseChecker, AnEndSoonAfterTheTtlIsFine) {
  Scene s;
  s.end(3 * second + 50 * ms);
  EXPECT_EQ(s.verdict(), "");
  EXPECT_EQ(s.expiries, 1u);
}

TEST(LeaseChecker, ALeaderWithAFastClockMayEndItThatMuchSooner) {
  Scene s;
  // By that much of a confirmation's age, too.
  s.end(second + 2 * second * 100 / 105 - 25 * ms + ms);
  EXPECT_EQ(s.verdict(), "");
}

TEST(LeaseChecker, AnEndBeforeThatIsEarly) {
  Scene s;
  s.end(second + 2 * second * 100 / 105 - 25 * ms - ms);
  EXPECT_THAT(s.verdict(), HasSubstr("ended early"));
}

TEST(LeaseChecker, WhereNoClockRunsFastOrSlowNoneEndsEvenANanosecondEarly) {
  Scene fine;
  fine.rate_ppm_max = 0;
  fine.end(3 * second);
  EXPECT_EQ(fine.verdict(), "");
  Scene early;
  early.rate_ppm_max = 0;
  early.end(3 * second - 1);
  EXPECT_THAT(early.verdict(), HasSubstr("ended early"));
}

TEST(LeaseChecker, AnAcknowledgedRenewalCounts) {
  Scene early;
  early.keep_alive(2 * second, 2 * second + 10 * ms, 2s);
  early.end(3 * second + 50 * ms);
  EXPECT_THAT(early.verdict(), HasSubstr("ended early"));
  Scene fine;
  fine.keep_alive(2 * second, 2 * second + 10 * ms, 2s);
  fine.end(4 * second + 50 * ms);
  EXPECT_EQ(fine.verdict(), "");
}

TEST(LeaseChecker, ARenewalAcknowledgedAfterTheEndIsALie) {
  Scene s;
  s.end(3 * second);
  s.keep_alive(4 * second, 4 * second + ms, 2s);
  EXPECT_THAT(s.verdict(), HasSubstr("renewed after it had ended"));
}

TEST(LeaseChecker, AnUnknownRenewalPromisesNothingButMayDelayTheEnd) {
  Scene s;
  s.h.history.healed_ns = 10 * second;
  s.keep_alive(2 * second, never_ns, 0s);
  s.end(3 * second);
  EXPECT_EQ(s.verdict(), "");
  Scene late;
  late.h.history.healed_ns = 10 * second;
  late.keep_alive(2 * second, never_ns, 0s);
  late.end(13 * second);
  EXPECT_EQ(late.verdict(), "");
}

TEST(LeaseChecker, ARevocationExplainsAnyEnd) {
  Scene acknowledged;
  acknowledged.revoke(second + 400 * ms, second + 500 * ms);
  acknowledged.end(second + 450 * ms);
  EXPECT_EQ(acknowledged.verdict(), "");
  Scene unknown;
  unknown.revoke(second + 400 * ms, never_ns);
  unknown.end(second + 450 * ms);
  EXPECT_EQ(unknown.verdict(), "");
  EXPECT_EQ(unknown.expiries, 0u);
}

TEST(LeaseChecker, AnImmortalLeaseIsFound) {
  Scene s;
  EXPECT_THAT(s.verdict(), HasSubstr("immortal"));
  Scene short_run;
  short_run.h.history.ended_ns = 5 * second;
  EXPECT_EQ(short_run.verdict(), "");
}

TEST(LeaseChecker, ALateEndIsFoundButTimeUnderFaultsDoesNotCount) {
  Scene late;
  late.end(20 * second);
  EXPECT_THAT(late.verdict(), HasSubstr("ended late"));
  Scene faults;
  faults.h.history.healed_ns = 18 * second;
  faults.end(20 * second);
  EXPECT_EQ(faults.verdict(), "");
}

TEST(LeaseChecker, TheTimeWithoutALeaderIsGivenToEveryLease) {
  Scene s;
  s.h.history.leaders.push_back({Term(2), NodeId(1), 19 * second});
  s.end(21 * second);
  EXPECT_EQ(s.verdict(), "");
}

TEST(LeaseChecker, GoneIsNotSaidTooEarly) {
  Scene early;
  early.keep_alive(2 * second, 2 * second + 10 * ms, 0s);
  early.end(3 * second);
  EXPECT_THAT(early.verdict(), HasSubstr("said to be gone"));
  Scene fine;
  fine.end(3 * second);
  fine.keep_alive(4 * second, 4 * second + 10 * ms, 0s);
  EXPECT_EQ(fine.verdict(), "");
}

TEST(LeaseChecker, AShorterTtlThanAskedForIsFound) {
  Scene s;
  s.end(3 * second);
  std::get<store::LeaseGrantResponse>(s.h.history.operations[0].response).ttl = 1s;
  EXPECT_THAT(s.verdict(), HasSubstr("shorter TTL"));
}

}  // namespace
}  // namespace lockstep::sim
