// The simple lock on a memory store: one holder, its value, its end; and what a failed call leaves behind.
#include "service/simple/simple_lock.h"

#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "base/task_scope.h"
#include "service/testing/watched_store.h"

namespace lockstep::service {
namespace {

class TestRandom final : public env::Random {
 public:
  std::uint64_t next() override { return ++last_; }

 private:
  std::uint64_t last_ = 0;
};

Task<void> keep(Task<Result<Revision>> task, std::optional<Result<Revision>>* out) {
  *out = co_await std::move(task);
}
Task<void> keep(Task<Status> task, std::optional<Status>* out) {
  *out = co_await std::move(task);
}

class SimpleLockTest : public ::testing::Test {
 protected:
  Result<Revision> take(const std::string& key, const std::string& value, Duration ttl = 10s) {
    std::optional<Result<Revision>> out;
    scope.spawn(keep(lock.take(key, value, ttl, {}), &out));
    store.strand.run();
    return out.value_or(Result<Revision>(Status(Code::internal, "no answer")));
  }
  Status release(const std::string& key, const std::string& value) {
    std::optional<Status> out;
    scope.spawn(keep(lock.release(key, value, {}), &out));
    store.strand.run();
    return out.value_or(Status(Code::internal, "no answer"));
  }
  std::size_t leases() {
    std::size_t count = 0;
    store.lease_leases({},
                       [&](const Result<store::LeaseLeasesResponse>& all) { count = all->leases.size(); });
    store.strand.run();
    return count;
  }

  testing::WatchedStore store;
  TestRandom random;
  SimpleLock lock{{store, store.strand, store.strand, random}};
  TaskScope scope;
};

TEST_F(SimpleLockTest, HasOneHolderUntilItsValueReleasesIt) {
  const Result<Revision> first = take("orders", "a");
  ASSERT_TRUE(first.ok()) << first.status().to_string();
  EXPECT_EQ(take("orders", "b").status(), errors::simple_lock_held());
  EXPECT_EQ(take("orders", "a").status(), errors::simple_lock_held()) << "also for whoever knows the value";
  EXPECT_TRUE(take("other", "b").ok());
  EXPECT_EQ(release("orders", "b"), errors::simple_lock_not_held());
  EXPECT_TRUE(release("orders", "a").ok());
  EXPECT_EQ(release("orders", "a"), errors::simple_lock_not_held()) << "released twice";
  const Result<Revision> second = take("orders", "b");
  ASSERT_TRUE(second.ok());
  EXPECT_GT(*second, *first) << "tokens only grow (I5)";
  EXPECT_EQ(leases(), 2) << "a lease ends with its lock";
}

TEST_F(SimpleLockTest, RefusesWhatIsNoLock) {
  EXPECT_EQ(take("", "a").status().code(), Code::invalid_argument);
  EXPECT_EQ(take(std::string(1025, 'k'), "a").status().code(), Code::invalid_argument);
  EXPECT_EQ(take("orders", "").status().code(), Code::invalid_argument);
  EXPECT_EQ(take("orders", std::string(4097, 'v')).status().code(), Code::invalid_argument);
  EXPECT_TRUE(take(std::string("\0\xff/\n", 4), "a").ok()) << "a name is any bytes";
  EXPECT_EQ(leases(), 1);
}

TEST_F(SimpleLockTest, IsNotHeldAfterAnOutcomeNobodyKnows) {
  for (const auto fault : {testing::WatchedStore::Fault::refused, testing::WatchedStore::Fault::unknown_done,
                           testing::WatchedStore::Fault::unknown_not_done}) {
    store.next_txn = fault;
    EXPECT_FALSE(take("orders", "a").ok());
    EXPECT_EQ(leases(), 0) << "no lease, so no lock, is left behind";
    EXPECT_TRUE(take("orders", "b").ok());
    EXPECT_TRUE(release("orders", "b").ok());
  }
}

TEST_F(SimpleLockTest, GivesBackWhatItCannotAnswerAlsoIfThatIsRefusedAtFirst) {
  store.next_txn = testing::WatchedStore::Fault::unknown_done;
  store.fail_call(3, testing::WatchedStore::Fault::refused);  // after a read, a lease and the transaction
  std::optional<Result<Revision>> out;
  scope.spawn(keep(lock.take("orders", "a", 10s, {}), &out));
  store.strand.run();
  ASSERT_FALSE(out.has_value());
  store.strand.advance(1s);
  store.strand.run();
  EXPECT_TRUE(store.failed());
  ASSERT_TRUE(out.has_value());
  EXPECT_EQ(out->status().code(), Code::unavailable) << "it has not got it, for certain";
  EXPECT_EQ(leases(), 0);
}

// The sanitizers would say it.
TEST_F(SimpleLockTest, MayBeDestroyedWhileItsCallsWait) {
  std::optional<SimpleLock> short_lived(std::in_place, Context{store, store.strand, store.strand, random});
  std::optional<Result<Revision>> taken;
  scope.spawn(keep(short_lived->take("orders", "a", 10s, {}), &taken));
  std::optional<Status> released;
  scope.spawn(keep(short_lived->release("other", "a", {}), &released));
  short_lived.reset();
  store.strand.run();
  EXPECT_TRUE(taken.has_value() && taken->ok());
  EXPECT_EQ(released, errors::simple_lock_not_held());
}

}  // namespace
}  // namespace lockstep::service
