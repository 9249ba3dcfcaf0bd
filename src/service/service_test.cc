// Locks and elections of clients with leases of their own, as stories on a memory store.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "service/election/election.h"
#include "service/lease_line.h"
#include "service/testing/watched_store.h"

namespace lockstep::service {
namespace {

using testing::WatchedStore;
using testing::World;

class ServiceTest : public ::testing::Test {
 protected:
  // A contender and what became of it.
  struct Contender {
    std::stop_source stop;
    std::optional<Result<Ownership>> result;

    [[nodiscard]] bool waits() const { return !result.has_value(); }
    [[nodiscard]] bool owns() const { return result.has_value() && result->ok(); }
    [[nodiscard]] Revision token() const { return result.value()->token; }
    [[nodiscard]] std::string key() const { return result.value()->key; }
    [[nodiscard]] Code code() const { return result.has_value() ? result->status().code() : Code::ok; }
  };
  using ContenderPtr = std::shared_ptr<Contender>;

  LeaseId lease(std::int64_t id, std::int64_t seconds = 3600) {
    store::LeaseGrantRequest request;
    request.id = LeaseId(id);
    request.ttl = std::chrono::seconds(seconds);
    store.lease_grant(request, {},
                      [](const Result<store::LeaseGrantResponse>& granted) { LS_MUST(granted.ok()); });
    settle();
    return LeaseId(id);
  }
  ContenderPtr lock_with(LeaseId lease, const std::string& name = "l") {
    auto contender = std::make_shared<Contender>();
    enter(lock, name, lease, contender);
    settle();
    return contender;
  }
  static void enter(LeaseLine& line, const std::string& name, LeaseId lease, const ContenderPtr& contender) {
    store::CallOptions options;
    options.cancellation = contender->stop.get_token();
    line.enter({name, lease, {}}, options,
               [contender](Result<Ownership> result) { contender->result = std::move(result); });
  }
  ContenderPtr campaign(LeaseId lease, const std::string& value) {
    auto contender = std::make_shared<Contender>();
    election.campaign("e", lease, value, {},
                      [contender](Result<Ownership> result) { contender->result = std::move(result); });
    settle();
    return contender;
  }
  void unlock(const std::string& key) {
    lock.leave(key, {}, [](const Result<store::Header>& done) { LS_MUST(done.ok()); });
    settle();
  }
  std::vector<std::string> keys() {
    std::vector<std::string> names;
    store::RangeRequest request;
    request.key = std::string(1, '\0');
    request.range_end = request.key;
    store.range(request, {}, [&](const Result<store::RangeResponse>& all) {
      for (const store::KeyValue& kv : all->kvs) names.push_back(kv.key);
    });
    return names;
  }
  // What next() gives now, as "value@revision", or nothing yet.
  std::string observed(LeaderObserver& observer) {
    if (!asked_) {
      asked_ = true;
      observer.next([this](Result<Leader> leader) {
        asked_ = false;
        leaders_.push_back(leader.ok()
                               ? leader->kv.value + "@" + std::to_string(leader->header.revision.value())
                               : leader.status().to_string());
      });
    }
    settle();
    if (leaders_.empty()) return "";
    std::string first = leaders_.front();
    leaders_.erase(leaders_.begin());
    return first;
  }
  void settle() { store.strand.run(); }
  void advance(std::int64_t seconds) {
    store.strand.advance(std::chrono::seconds(seconds));
    settle();
  }

  void TearDown() override {
    lock.close();
    election.close();
    wait();
  }
  // Long enough for some repetitions.
  void wait() { world.advance(2s); }

  World world;
  WatchedStore& store = world.store;
  LeaseLine lock{world.context};
  Election election{world.context};

 private:
  std::vector<std::string> leaders_;
  bool asked_ = false;
};

TEST_F(ServiceTest, ContendersOwnInTheOrderOfTheirArrivalWithGrowingTokens) {
  const auto a = lock_with(lease(1));
  const auto b = lock_with(lease(2));
  const auto c = lock_with(lease(3));
  EXPECT_TRUE(a->owns());
  EXPECT_TRUE(b->waits());
  EXPECT_EQ(keys(), (std::vector<std::string>{"l/1", "l/2", "l/3"}));

  unlock(a->key());
  EXPECT_TRUE(b->owns());
  EXPECT_GT(b->token(), a->token());
  EXPECT_TRUE(c->waits());

  unlock(b->key());
  EXPECT_TRUE(c->owns());
  EXPECT_GT(c->token(), b->token());
  EXPECT_EQ(lock.contenders(), 0U);
}

TEST_F(ServiceTest, NamesThatBeginAlikeAreDifferentLocks) {
  EXPECT_TRUE(lock_with(lease(1), "l")->owns());
  EXPECT_TRUE(lock_with(lease(2), "l2")->owns());
  EXPECT_TRUE(lock_with(lease(-3), "")->owns());
  EXPECT_EQ(keys(), (std::vector<std::string>{"/-3", "l/1", "l2/2"}));
}

TEST_F(ServiceTest, AReleaseWakesOneWaiter) {
  std::vector<ContenderPtr> contenders;
  for (std::int64_t id = 1; id <= 50; ++id) contenders.push_back(lock_with(lease(id)));
  const int txns = store.txns;
  const int watches = store.watches;
  unlock(contenders[0]->key());
  EXPECT_TRUE(contenders[1]->owns());
  EXPECT_EQ(store.txns, txns + 2) << "the removal, and the look of the one that was woken";
  EXPECT_EQ(store.watches, watches);
}

TEST_F(ServiceTest, AWaiterThatIsCancelledLeavesNoKeyAndItsPlaceToTheNext) {
  const auto a = lock_with(lease(1));
  const auto b = lock_with(lease(2));
  const auto c = lock_with(lease(3));
  b->stop.request_stop();
  settle();
  EXPECT_EQ(b->code(), Code::cancelled);
  EXPECT_EQ(keys(), (std::vector<std::string>{"l/1", "l/3"}));
  EXPECT_TRUE(c->waits()) << "the owner is still there";
  unlock(a->key());
  EXPECT_TRUE(c->owns());
}

TEST_F(ServiceTest, WhoeverIsCancelledBeforeItBeganWritesNothing) {
  auto contender = std::make_shared<Contender>();
  contender->stop.request_stop();
  enter(lock, "l", lease(1), contender);
  EXPECT_EQ(contender->code(), Code::cancelled);
  EXPECT_TRUE(keys().empty());
}

TEST_F(ServiceTest, WithoutALeaseOneOfSixtySecondsIsMade) {
  const auto a = lock_with(LeaseId());
  const auto b = lock_with(lease(2));
  ASSERT_TRUE(a->owns());
  advance(59);
  EXPECT_TRUE(b->waits());
  advance(2);
  EXPECT_TRUE(b->owns());
}

TEST_F(ServiceTest, AWaitersOwnLeaseIsRevokedWhenItGivesUp) {
  const auto a = lock_with(lease(1));
  const auto b = lock_with(LeaseId());
  b->stop.request_stop();
  settle();
  std::size_t leases = 0;
  store.lease_leases({}, [&](const Result<store::LeaseLeasesResponse>& all) { leases = all->leases.size(); });
  EXPECT_EQ(leases, 1U);
}

TEST_F(ServiceTest, AWaiterWhoseLeaseEndedNeverOwns) {
  const auto a = lock_with(lease(1));
  const auto b = lock_with(lease(2, 10));
  advance(11);
  unlock(a->key());
  EXPECT_EQ(b->result->status(), errors::session_expired());
}

TEST_F(ServiceTest, AnUnknownLeaseIsRefused) {
  EXPECT_EQ(lock_with(LeaseId(99))->result->status().to_string(),
            "not_found: etcdserver: requested lease not found");
}

TEST_F(ServiceTest, TheSameLeaseFindsItsOwnKeyAgain) {
  const auto a = lock_with(lease(1));
  const auto again = lock_with(LeaseId(1));
  ASSERT_TRUE(again->owns());
  EXPECT_EQ(again->token(), a->token());
}

TEST_F(ServiceTest, AnUnknownOutcomeIsFoundOutAbout) {
  for (const auto fault : {WatchedStore::Fault::unknown_done, WatchedStore::Fault::unknown_not_done}) {
    store.next_txn = fault;
    const auto a = lock_with(lease(fault == WatchedStore::Fault::unknown_done ? 1 : 2), "l");
    wait();
    ASSERT_TRUE(a->owns());
    unlock(a->key());
  }
  EXPECT_EQ(keys(), (std::vector<std::string>{"lockstep/sessions/1", "lockstep/sessions/2"}));
}

// Its key may stand in line: "denied" would say that it does not.
TEST_F(ServiceTest, WhoMayNotFindOutAboutAnUnknownOutcomeIsToldThatItIsUnknown) {
  const LeaseId own = lease(1);
  store.late_txns = 1;
  store.fail_call(0, WatchedStore::Fault::denied);
  const auto a = lock_with(own);
  wait();
  EXPECT_EQ(a->code(), Code::unknown_outcome);
}

// Two holders, once: the first attempt's removal arrived when the second attempt held the lock.
TEST_F(ServiceTest, WhatIsNotHeardOfNeverHitsTheSameLeasesNextAttempt) {
  const auto first = std::make_shared<Contender>();
  const LeaseId own = lease(1);
  store.late_txns = 2;
  enter(lock, "l", own, first);
  settle();
  first->stop.request_stop();
  settle();
  EXPECT_TRUE(first->result.has_value());
  const auto second = lock_with(own);
  wait();
  ASSERT_TRUE(second->owns());
  store.deliver_late();
  wait();
  const auto other = lock_with(lease(2));
  EXPECT_TRUE(other->waits()) << "the second attempt still holds it";
  unlock(second->key());
  EXPECT_TRUE(other->owns());
}

TEST_F(ServiceTest, NorThatOfAnAttemptThroughAnotherMember) {
  LeaseLine elsewhere(world.context);
  const auto first = std::make_shared<Contender>();
  const LeaseId own = lease(1);
  store.late_txns = 2;  // its write, and its question what became of it
  enter(elsewhere, "l", own, first);
  settle();
  const auto second = lock_with(own);  // before the first one finds out what became of its write
  ASSERT_TRUE(second->owns());
  first->stop.request_stop();
  wait();
  EXPECT_EQ(first->code(), Code::cancelled);
  store.deliver_late();
  wait();
  EXPECT_TRUE(lock_with(lease(2))->waits()) << "the second attempt still holds it";
}

TEST_F(ServiceTest, ARemovalThatComesLateDoesNotHitTheNextHolding) {
  const LeaseId own = lease(1);
  const auto first = lock_with(own);
  ASSERT_TRUE(first->owns());
  store.late_txns = 1;
  std::optional<Status> left;
  lock.leave(first->key(), {}, [&](const Result<store::Header>& done) { left = done.status(); });
  settle();
  EXPECT_EQ(left->code(), Code::unknown_outcome);
  const auto second = lock_with(own);  // finds its key, which is not removed yet
  ASSERT_TRUE(second->owns());
  store.deliver_late();
  EXPECT_TRUE(lock_with(lease(2))->waits());
}

TEST_F(ServiceTest, LeavingWhereItWasEnteredIsOneWriteAndElsewhereAReadMore) {
  LeaseLine elsewhere(world.context);
  for (LeaseLine* line : {&lock, &elsewhere}) {
    const auto held = lock_with(lease(line == &lock ? 1 : 2));
    ASSERT_TRUE(held->owns());
    const int ranges = store.ranges;
    const int txns = store.txns;
    line->leave(held->key(), {}, [](const Result<store::Header>& done) { LS_MUST(done.ok()); });
    settle();
    EXPECT_EQ(store.txns, txns + 1);
    EXPECT_EQ(store.ranges, ranges + (line == &lock ? 0 : 1));
    EXPECT_TRUE(keys().empty());
  }
}

TEST_F(ServiceTest, WhatWasWrittenSinceItWasServedIsLeftAllTheSame) {
  const auto held = lock_with(lease(1));
  store::PutRequest put;
  put.key = held->key();
  put.value = "by others";
  put.lease = LeaseId(1);
  store.put(put, {}, [](const Result<store::PutResponse>& done) { LS_MUST(done.ok()); });
  unlock(held->key());
  EXPECT_TRUE(keys().empty());
}

// It is the caller's name for one request, and this is several: the store would answer each as it answered
// the first. Here it would not know the client.
TEST_F(ServiceTest, LeavingIsNotTheCallersOneRequest) {
  const auto held = lock_with(lease(1));
  store::CallOptions options;
  options.request_id = {ClientId(77), Sequence(1), Sequence(1)};
  std::optional<Status> left;
  lock.leave(held->key(), options, [&](const Result<store::Header>& done) { left = done.status(); });
  settle();
  EXPECT_EQ(left, Status());
  EXPECT_TRUE(keys().empty());
}

TEST_F(ServiceTest, LeavingWhatIsNotHeldIsFine) {
  unlock("l/1");
  EXPECT_TRUE(lock_with(lease(1))->owns());
}

TEST_F(ServiceTest, ARefusedLookAtSomeMemberIsRepeatedAtTheLeader) {
  const auto a = lock_with(lease(1));
  const auto b = lock_with(lease(2));
  store.fail_call(1, WatchedStore::Fault::refused);  // behind the one of leaving
  unlock(a->key());
  EXPECT_TRUE(store.failed());
  EXPECT_TRUE(b->owns());
}

TEST_F(ServiceTest, WhoIsRefusedAPlaceIsToldAtOnce) {
  store.next_txn = WatchedStore::Fault::refused;
  const auto a = lock_with(lease(1));
  EXPECT_EQ(a->code(), Code::unavailable);
  EXPECT_TRUE(keys().empty());
}

TEST_F(ServiceTest, WhoHasAPlaceWaitsForTheStore) {
  const auto a = lock_with(lease(1));
  const LeaseId second = lease(2);
  store.fail_call(1, WatchedStore::Fault::refused);  // behind the one that joins
  const auto b = lock_with(second);
  EXPECT_TRUE(store.failed());
  wait();
  EXPECT_TRUE(b->waits());
  unlock(a->key());
  wait();
  EXPECT_TRUE(b->owns());
}

TEST_F(ServiceTest, ACompactionDoesNotDisturbAWaiter) {
  const auto a = lock_with(lease(1));
  const auto b = lock_with(lease(2));
  store::CompactRequest request;
  request.revision = b->waits() ? Revision(3) : Revision(1);
  store.compact(request, {}, [](const Result<store::CompactResponse>& done) { LS_MUST(done.ok()); });
  settle();
  unlock(a->key());
  EXPECT_TRUE(b->owns());
}

TEST_F(ServiceTest, WhoeverWaitsWhenTheLineEndsIsCancelled) {
  const auto a = std::make_shared<Contender>();
  const auto b = std::make_shared<Contender>();
  {
    LeaseLine other(world.context);
    enter(other, "l", lease(1), a);
    settle();
    enter(other, "l", lease(2), b);
    settle();
  }
  settle();
  EXPECT_TRUE(a->owns());
  EXPECT_EQ(b->code(), Code::cancelled);
  EXPECT_EQ(keys(), std::vector<std::string>{"l/1"});
}

TEST_F(ServiceTest, SoIsWhoeverWasAboutToOwnOrBeginsLater) {
  const auto a = std::make_shared<Contender>();
  store.held_answers = 1;
  enter(lock, "l", lease(1), a);
  lock.close();
  EXPECT_TRUE(store.answer_held());
  settle();
  EXPECT_EQ(a->code(), Code::cancelled);
  EXPECT_EQ(lock_with(lease(2))->code(), Code::cancelled);
  EXPECT_EQ(keys(), std::vector<std::string>{});
}

TEST_F(ServiceTest, ALeaderProclaimsUntilItResigns) {
  const auto a = campaign(lease(1), "a");
  ASSERT_TRUE(a->owns());
  const Leadership leadership{a->key(), a->token(), LeaseId(1)};
  const auto b = campaign(lease(2), "b");
  EXPECT_TRUE(b->waits());

  std::optional<Status> proclaimed;
  election.proclaim(leadership, "a2", {},
                    [&](const Result<store::Header>& done) { proclaimed = done.status(); });
  EXPECT_EQ(proclaimed, Status());
  std::string value;
  election.leader("e", {}, [&](const Result<Leader>& leader) { value = leader->kv.value; });
  EXPECT_EQ(value, "a2");

  election.resign(leadership, {}, [&](const Result<store::Header>& done) { proclaimed = done.status(); });
  settle();
  EXPECT_EQ(proclaimed, Status());
  EXPECT_TRUE(b->owns());
  election.proclaim(leadership, "a3", {},
                    [&](const Result<store::Header>& done) { proclaimed = done.status(); });
  EXPECT_EQ(proclaimed, errors::not_leader());
  election.resign(leadership, {}, [&](const Result<store::Header>& done) { proclaimed = done.status(); });
  EXPECT_EQ(proclaimed, Status()) << "over already";
  EXPECT_EQ(keys(), std::vector<std::string>{"e/2"});
}

TEST_F(ServiceTest, CampaigningAgainChangesTheValue) {
  const auto a = campaign(lease(1), "a");
  const auto again = campaign(LeaseId(1), "b");
  ASSERT_TRUE(again->owns());
  EXPECT_EQ(again->token(), a->token());
  std::string value;
  election.leader("e", {}, [&](const Result<Leader>& leader) { value = leader->kv.value; });
  EXPECT_EQ(value, "b");
}

TEST_F(ServiceTest, NobodyLeads) {
  std::optional<Status> status;
  election.leader("e", {}, [&](const Result<Leader>& leader) { status = leader.status(); });
  EXPECT_EQ(status, errors::no_leader());
}

TEST_F(ServiceTest, AnObserverSeesEveryLeaderAndEveryValue) {
  const auto observer = election.observe("e", {});
  EXPECT_EQ(observed(*observer), "");
  const auto a = campaign(lease(1), "a");
  EXPECT_EQ(observed(*observer), "a@2");
  const Leadership leadership{a->key(), a->token(), LeaseId(1)};
  for (const char* value : {"a2", "a3"}) {
    election.proclaim(leadership, value, {}, [](const Result<store::Header>& done) { LS_MUST(done.ok()); });
  }
  const auto b = campaign(lease(2), "b");
  EXPECT_EQ(observed(*observer), "a2@3");
  EXPECT_EQ(observed(*observer), "a3@4");
  EXPECT_EQ(observed(*observer), "");
  unlock(a->key());
  EXPECT_EQ(observed(*observer), "b@6");
  unlock(b->key());
  EXPECT_EQ(observed(*observer), "");
  const auto c = campaign(lease(3), "c");
  EXPECT_EQ(observed(*observer), "c@8");
}

}  // namespace
}  // namespace lockstep::service
