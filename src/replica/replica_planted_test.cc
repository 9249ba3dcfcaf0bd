// Each way to forget a renewal that was answered from memory, or to count a lease's time too early, is
// noticed: the lease ends early, or a leader that may be none renews it. Without the bug the same stories end
// well.
#include <gtest/gtest.h>

#include "base/planted.h"
#include "replica/testing_member.h"

namespace lockstep::replica {
namespace {

using namespace std::chrono_literals;

const NodeId self{1};
const LeaseId lease{9};

void grant(TestMember& member, Duration ttl) {
  member.replica().lease_grant({ttl, lease}, {}, [](const Result<store::LeaseGrantResponse>&) {});
  member.settle();
}

bool renewed(TestMember& member) {
  bool answered = false;
  store::LeaseKeepAliveRequest request;
  request.id = lease;
  member.replica().lease_keep_alive(request, {}, [&](const Result<store::LeaseKeepAliveResponse>& result) {
    answered = result.ok() && result->ttl > Duration{};
  });
  member.settle();
  return answered;
}

bool alive(TestMember& member) {
  return member.replica().machine().lease(lease).has_value();
}

// Renewed a second before its end; then its only member loses power, and starts again.
bool outlives_the_leader() {
  TestMember member(self, {self});
  member.start();
  grant(member, 10s);
  member.pass(9s);
  member.put("k", "v");  // so that the store's time is known to the next leader
  if (!renewed(member)) return false;
  member.stop(sim::Loss::power);
  member.start();
  member.pass(5s);
  return alive(member);
}

bool outlives_its_old_deadline() {
  TestMember member(self, {self});
  member.start();
  grant(member, 10s);
  member.pass(5s);
  if (!renewed(member)) return false;
  member.pass(9s);
  return alive(member);
}

// Nothing runs for longer than its time, and a write is what runs first.
bool outlives_a_standstill() {
  TestMember member(self, {self});
  member.start();
  grant(member, 2s);
  member.pass(1s);
  if (!renewed(member)) return false;
  member.stand_still(30s);
  member.put("k", "v");
  return alive(member);
}

bool is_renewed_by_a_confirmed_leader_only() {
  const NodeId helper(2);
  TestMember member(self, {self, helper, NodeId(3)});
  member.start();
  member.lead(helper, NodeId(3));
  grant(member, 60s);
  member.acknowledge(helper);
  return alive(member) && !renewed(member);
}

// The leader before may have renewed it this much later than the new term began.
bool outlives_a_late_renewal() {
  TestMember member(self, {self});
  member.start();
  grant(member, 10s);
  member.stop(sim::Loss::power);
  member.start();
  member.pass(10s + std::chrono::milliseconds(limits::lease_confirmation_age_ms_max) - 10ms);
  return alive(member);
}

// A write came first, and the disk was waited for before the lease joined it in one entry.
bool has_its_time_behind_another_command() {
  TestMember member(self, {self});
  member.start();
  member.replica().put({.key = "k", .value = "v"}, {}, [](const Result<store::PutResponse>&) {});
  member.stand_still(20ms);
  grant(member, 1s);
  member.pass(1s);
  return alive(member);
}

struct Story {
  const char* bug;
  bool (*ends_well)();
};

class PlantedLease : public testing::TestWithParam<Story> {};

TEST_P(PlantedLease, IsNoticed) {
  EXPECT_TRUE(GetParam().ends_well()) << "without the bug";
  ASSERT_TRUE(planted::set(GetParam().bug, true));
  EXPECT_FALSE(GetParam().ends_well());
  planted::clear();
}

INSTANTIATE_TEST_SUITE_P(Replica, PlantedLease,
                         testing::Values(Story{"lease_end_after_old_leader", outlives_the_leader},
                                         Story{"renewal_never_logged", outlives_its_old_deadline},
                                         Story{"clock_passes_renewal", outlives_a_standstill},
                                         Story{"renewal_unconfirmed", is_renewed_by_a_confirmed_leader_only},
                                         Story{"term_forgets_late_renewals", outlives_a_late_renewal},
                                         Story{"entry_stamped_when_begun",
                                               has_its_time_behind_another_command}),
                         [](const auto& info) { return std::string(info.param.bug); });

}  // namespace
}  // namespace lockstep::replica
