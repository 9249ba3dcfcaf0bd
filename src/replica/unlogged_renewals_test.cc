// The leader's store clock, and the renewals that wait for the log (docs/decisions/0026), without a member.
#include "replica/unlogged_renewals.h"

#include <gtest/gtest.h>

#include "replica/store_clock.h"

namespace lockstep::replica {
namespace {

using namespace std::chrono_literals;

TimePoint at(Duration since) {
  return TimePoint(since);
}

TEST(HeldClock, StandsStillBelowTheCeilingAndGoesOnFromThere) {
  StoreClock clock;
  clock.restart(at(0ms), 5000);
  clock.hold_below(at(10ms), 5100);
  EXPECT_EQ(clock.read_ms(at(99ms)), 5099);
  EXPECT_EQ(clock.read_ms(at(10s)), 5099) << "whatever time passed";
  clock.hold_below(at(10s), 5300);
  EXPECT_EQ(clock.read_ms(at(10s)), 5099) << "it does not make up for it";
  EXPECT_EQ(clock.read_ms(at(10s + 100ms)), 5199);
  clock.hold_below(at(10s + 100ms), StoreClock::no_ceiling);
  EXPECT_EQ(clock.read_ms(at(20s)), 15099);
  clock.hold_below(at(20s), 16000);
  clock.restart(at(30s), 7000);
  EXPECT_EQ(clock.read_ms(at(60s)), 37000) << "another leadership's renewals hold it no more";
}

// Entries are applied thousands of times a second: each may be told to the clock.
TEST(HeldClock, RunsHoweverOftenItIsSet) {
  StoreClock clock;
  clock.restart(at(0ms), 1000);
  for (Duration now = 0ms; now <= 1s; now += 100us) clock.set(at(now), 1000);
  EXPECT_EQ(clock.read_ms(at(1s)), 2000);
}

TEST(UnloggedRenewals, HoldTheSmallestDeadlineUntilAllAreLogged) {
  UnloggedRenewals renewals;
  StoreClock clock;
  clock.restart(at(0ms), 1000);
  EXPECT_EQ(renewals.due(clock), no_deadline);
  renewals.note(at(0ms), LeaseId(2), 1000, 9000);
  renewals.note(at(50ms), LeaseId(1), 1050, 5000);
  renewals.note(at(60ms), LeaseId(2), 1060, 9000);
  EXPECT_EQ(renewals.ceiling_ms(), 5000);
  EXPECT_EQ(renewals.due(clock), at(100ms)) << "counted from the oldest";
  EXPECT_EQ(renewals.renewed_ms(LeaseId(2)), 1060);
  ASSERT_EQ(renewals.first(1), std::vector{LeaseId(1)});
  renewals.logged(1, LogIndex(7));
  EXPECT_EQ(renewals.ceiling_ms(), 5000) << "as long as any is not logged";
  renewals.logged(1, LogIndex(8));
  EXPECT_EQ(renewals.ceiling_ms(), StoreClock::no_ceiling);
  EXPECT_EQ(renewals.renewed_ms(LeaseId(1)), 1050) << "not applied yet";
  renewals.applied(LogIndex(7));
  EXPECT_EQ(renewals.renewed_ms(LeaseId(1)), 1050);
  renewals.applied(LogIndex(8));
  EXPECT_TRUE(renewals.all_applied());
  EXPECT_EQ(renewals.renewed_ms(LeaseId(1)), std::nullopt);
}

TEST(UnloggedRenewals, AreLoggedBeforeTheClockWouldStand) {
  UnloggedRenewals renewals;
  StoreClock clock;
  clock.restart(at(0ms), 1000);
  renewals.note(at(0ms), LeaseId(1), 1000, 1350);
  EXPECT_EQ(renewals.due(clock), at(50ms));
  renewals.logged(1, LogIndex(7));
  renewals.note(at(10ms), LeaseId(1), 1010, 1350);
  EXPECT_EQ(renewals.due(clock), at(250ms)) << "an entry of renewals is under way";
}

}  // namespace
}  // namespace lockstep::replica
