// Sessions, locks and counters of several clients in the embedded cluster and on real servers.
#include <chrono>
#include <future>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <lockstep/lockstep.h>
#include <lockstep/testing.h>

#include "testing_world.h"

namespace {

using namespace std::chrono_literals;
using lockstep::CallOptions;
using lockstep::Client;
using lockstep::Code;
using lockstep::Keys;
using lockstep::LockGuard;
using lockstep::Outcome;
using lockstep::SessionOptions;
using lockstep::Txn;
using lockstep::sdk_test::Capability;
using lockstep::sdk_test::World;
using lockstep::testing::Fault;
using lockstep::testing::StoreCall;

class SdkLock : public testing::Test {
 protected:
  static Outcome<LockGuard> acquired_within(Client& client, const std::string& name,
                                            std::chrono::nanoseconds time) {
    return client.lock(name).acquire(CallOptions().timeout(time)).wait();
  }
  static std::size_t keys_under(Client& client, const std::string& name) {
    return client.list(Keys::prefix(name + "/")).wait().value().items.size();
  }
  World world_;
  Client one_ = world_.client();
  Client two_ = world_.client();
};

TEST_F(SdkLock, ExcludesUntilItsGuardGoes) {
  std::optional<LockGuard> held = one_.lock("l").acquire().wait().value();
  EXPECT_EQ(two_.lock("l").try_acquire().wait().code(), Code::failed_precondition);
  auto waiting = std::async(std::launch::async, [&] { return two_.lock("l").acquire().wait(); });
  while (keys_under(one_, "l") < 2) std::this_thread::yield();
  const std::int64_t token = held->token();
  held.reset();
  EXPECT_GT(waiting.get().value().token(), token);
}

TEST_F(SdkLock, ExcludesWithinOneClient) {
  const LockGuard held = one_.lock("l").acquire().wait().value();
  EXPECT_EQ(one_.lock("l").try_acquire().wait().code(), Code::failed_precondition);
  EXPECT_TRUE(one_.lock("other").try_acquire().wait().is_done());
}

TEST_F(SdkLock, OneThatIsWaitedForInVainLeavesNothing) {
  const LockGuard held = one_.lock("l").acquire().wait().value();
  world_.jump_while_waiting();
  EXPECT_TRUE(World::was_in_vain(acquired_within(two_, "l", World::in_vain(3s)).code()));
  EXPECT_TRUE(world_.comes(0s, [&] { return keys_under(one_, "l") == 1; }));
}

TEST_F(SdkLock, ReadersShareWritersDoNot) {
  const LockGuard reader = one_.lock("l").shared().acquire().wait().value();
  const LockGuard another = one_.lock("l").shared().acquire().wait().value();
  const LockGuard third = two_.lock("l").shared().acquire().wait().value();
  EXPECT_EQ(two_.lock("l").try_acquire().wait().code(), Code::failed_precondition);
}

TEST_F(SdkLock, ReleaseTellsWhatBecameOfIt) {
  LockGuard held = one_.lock("l").acquire().wait().value();
  EXPECT_TRUE(held.release().wait().is_done());
  EXPECT_EQ(held.release().wait().code(), Code::failed_precondition);
  EXPECT_TRUE(two_.lock("l").try_acquire().wait().is_done());
}

TEST_F(SdkLock, AReleaseThatFailsIsRepeated) {
  LOCKSTEP_NEEDS(Capability::faults);
  for (const Fault fault : {Fault::refused, Fault::request_lost, Fault::answer_lost}) {
    std::optional<LockGuard> held = one_.lock("l").acquire().wait().value();
    world_.set_faults(one_, [fault, left = 1](const StoreCall& call) mutable {
      return call.changes && left-- > 0 ? fault : Fault::none;
    });
    held.reset();
    world_.advance(1s);
    EXPECT_TRUE(acquired_within(two_, "l", 1s).is_done()) << static_cast<int>(fault);
  }
}

TEST_F(SdkLock, AStaleHolderIsRefusedInTheStore) {
  LOCKSTEP_NEEDS(Capability::cutting_off);
  LockGuard stale = one_.lock("l").acquire().wait().value();
  EXPECT_TRUE(stale.commit(Txn().put("account", "by one")).wait().value().succeeded);
  world_.cut_off(one_);
  world_.advance(20s);
  EXPECT_TRUE(stale.lost().stop_requested());
  const LockGuard now = two_.lock("l").acquire().wait().value();
  EXPECT_GT(now.token(), stale.token());
  world_.reconnect(one_);
  const auto refused = stale.commit(Txn().put("account", "by a stale one")).wait();
  EXPECT_EQ(refused.code(), Code::failed_precondition);
  EXPECT_EQ(two_.get("account").wait().value()->value, "by one");
}

TEST_F(SdkLock, AConditionOfTheCallersIsToldApartFromALostLock) {
  LockGuard held = one_.lock("l").acquire().wait().value();
  const auto result = held.commit(Txn().if_version("account", 7).put("account", "x")).wait();
  ASSERT_TRUE(result.is_done());
  EXPECT_FALSE(result->succeeded);
}

TEST_F(SdkLock, ManyAreAllOrNone) {
  std::optional<LockGuard> held = two_.lock("b").acquire().wait().value();
  world_.jump_while_waiting();
  const std::vector<std::string> names = {"c", "b", "a"};
  const CallOptions in_vain = CallOptions().timeout(World::in_vain(2s));
  EXPECT_TRUE(World::was_in_vain(one_.acquire_all(names, in_vain).wait().code()));
  EXPECT_TRUE(world_.comes(0s, [&] { return keys_under(two_, "a") == 0; }));
  held.reset();
  const std::vector<LockGuard> all =
      one_.acquire_all(names, CallOptions().timeout(World::patience(2s))).wait().value();
  EXPECT_EQ(all.size(), 3U);
  for (const char* name : {"a", "b", "c"})
    EXPECT_EQ(two_.lock(name).try_acquire().wait().code(), Code::failed_precondition);
}

TEST_F(SdkLock, AHolderOfManyKeepsNoneWhenItGoes) {
  {
    const auto all = one_.acquire_all({"a", "b"}).wait().value();
  }
  for (const char* name : {"a", "b"})
    EXPECT_TRUE(acquired_within(two_, name, World::patience(1s)).is_done()) << name;
}

TEST_F(SdkLock, AClosedClientHoldsNothing) {
  const LockGuard held = one_.lock("l").acquire().wait().value();
  one_.close();
  EXPECT_TRUE(acquired_within(two_, "l", World::patience(1s)).is_done());
  EXPECT_TRUE(held.lost().stop_requested());
}

lockstep::Task<std::int64_t> count_under_lock(Client& client, int times) {
  std::int64_t last = 0;
  for (int i = 0; i < times; ++i) {
    LockGuard guard = (co_await client.lock("l").acquire()).value();
    const auto before = (co_await client.get("n")).value();
    last = (before.has_value() ? std::stoll(before->value) : 0) + 1;
    (co_await client.put("n", std::to_string(last))).value();
  }
  co_return last;
}

TEST_F(SdkLock, CoroutinesOfOneClientExcludeEachOther) {
  std::vector<std::future<std::int64_t>> all;
  for (int i = 0; i < 4; ++i) {
    all.push_back(std::async(std::launch::async, [&, i] {
      return lockstep::wait(count_under_lock(i % 2 == 0 ? one_ : two_, 10));
    }));
  }
  for (auto& each : all) each.get();
  EXPECT_EQ(one_.get("n").wait().value()->value, "40");
}

// A coroutine type of the program's own: begins at once, and can be given up.
class Eager {
 public:
  struct promise_type {  // NOLINT(readability-identifier-naming): the language's name
    Eager get_return_object() { return Eager(std::coroutine_handle<promise_type>::from_promise(*this)); }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
  explicit Eager(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
  Eager(const Eager&) = delete;
  Eager& operator=(const Eager&) = delete;
  ~Eager() { handle_.destroy(); }

 private:
  std::coroutine_handle<promise_type> handle_;
};

Eager take_both(Client& client) {
  const LockGuard first = (co_await client.lock("l").acquire()).value();
  const auto second = co_await client.lock("other").acquire();
}

TEST_F(SdkLock, AGivenUpCoroutineReleasesWhatItHoldsAndLeavesTheLine) {
  const LockGuard other = two_.lock("other").acquire().wait().value();
  {
    const Eager task = take_both(one_);
    while (keys_under(two_, "other") < 2) std::this_thread::yield();
  }
  EXPECT_TRUE(acquired_within(two_, "l", World::patience(1s)).is_done());
  while (keys_under(two_, "other") > 1) std::this_thread::yield();
}

// ---- sessions

TEST_F(SdkLock, ALostSessionIsToldAtOnce) {
  LOCKSTEP_NEEDS(Capability::cutting_off);
  const lockstep::Session session = one_.open_session(SessionOptions().ttl(3s)).wait().value();
  std::promise<void> told;
  const std::stop_callback callback(session.over(), [&] { told.set_value(); });
  world_.advance(10s);
  EXPECT_FALSE(session.over().stop_requested()) << "it is renewed";
  world_.cut_off(one_);
  world_.advance(3s);
  EXPECT_TRUE(session.over().stop_requested());
  told.get_future().get();
}

TEST_F(SdkLock, ASessionThatIsLeftIsAdopted) {
  lockstep::Session session = one_.open_session(SessionOptions().ttl(5s)).wait().value();
  std::optional<LockGuard> held = one_.lock("l").in(session).acquire().wait().value();
  const std::int64_t token = held->token();
  session.leave();
  one_.close();
  lockstep::Session adopted = two_.adopt_session(session.id(), SessionOptions().ttl(5s)).wait().value();
  if (World::has(Capability::clock)) world_.advance(30s);  // it is renewed
  EXPECT_TRUE(adopted.check().wait().is_done());
  const LockGuard again = two_.lock("l").in(adopted).acquire().wait().value();
  EXPECT_EQ(again.token(), token);
}

TEST_F(SdkLock, ASessionHoldsTwiceAndReleasesTwice) {
  const lockstep::Session session = one_.open_session().wait().value();
  std::optional<LockGuard> first = one_.lock("l").in(session).acquire().wait().value();
  std::optional<LockGuard> second = one_.lock("l").in(session).acquire().wait().value();
  EXPECT_EQ(first->token(), second->token());
  EXPECT_TRUE(first->release().wait().is_done());
  EXPECT_EQ(two_.lock("l").try_acquire().wait().code(), Code::failed_precondition);
  EXPECT_TRUE(second->release().wait().is_done());
  EXPECT_TRUE(two_.lock("l").try_acquire().wait().is_done());
}

// Both would find the same count: the holding of a third guard went with them.
TEST_F(SdkLock, AGuardGivesBackOnceHoweverManyAskItAtATime) {
  LOCKSTEP_NEEDS(Capability::clock, Capability::cutting_off);
  const lockstep::Session session = one_.open_session().wait().value();
  std::vector<LockGuard> held;
  for (int i = 0; i < 3; ++i) held.push_back(one_.lock("l").in(session).acquire().wait().value());
  // Their answers come when all have asked.
  world_.cut_off(one_);
  std::vector<std::promise<Outcome<void>>> outcomes(2);
  for (auto& outcome : outcomes) {
    held[0].release().start([&outcome](Outcome<void> released) { outcome.set_value(std::move(released)); });
  }
  world_.advance(0s);
  world_.reconnect(one_);
  std::multiset<Code> codes;
  for (auto& outcome : outcomes) codes.insert(outcome.get_future().get().code());
  EXPECT_EQ(codes, (std::multiset{Code::ok, Code::failed_precondition}));
  EXPECT_TRUE(held[1].release().wait().is_done());
  EXPECT_EQ(two_.lock("l").try_acquire().wait().code(), Code::failed_precondition);
  EXPECT_TRUE(held[2].release().wait().is_done());
  EXPECT_TRUE(two_.lock("l").try_acquire().wait().is_done());
}

TEST_F(SdkLock, AClosedSessionGivesUpWhatItHolds) {
  lockstep::Session session = one_.open_session().wait().value();
  const LockGuard held = one_.lock("l").in(session).acquire().wait().value();
  EXPECT_TRUE(session.close().wait().is_done());
  EXPECT_TRUE(two_.lock("l").try_acquire().wait().is_done());
  EXPECT_EQ(session.check().wait().code(), Code::failed_precondition);
}

TEST_F(SdkLock, ALockDelayOutlastsALostSession) {
  LOCKSTEP_NEEDS(Capability::cutting_off);
  const lockstep::Session session =
      one_.open_session(SessionOptions().ttl(3s).lock_delay(10s)).wait().value();
  const LockGuard held = one_.lock("l").in(session).acquire().wait().value();
  world_.cut_off(one_);
  world_.advance(5s);
  EXPECT_TRUE(held.lost().stop_requested());
  EXPECT_EQ(two_.lock("l").try_acquire().wait().code(), Code::failed_precondition);
  world_.advance(20s);
  EXPECT_TRUE(two_.lock("l").try_acquire().wait().is_done());
}

// ---- counters

TEST_F(SdkLock, CountersNeverAnswerTwice) {
  std::vector<std::future<std::vector<std::int64_t>>> all;
  for (int i = 0; i < 4; ++i) {
    all.push_back(std::async(std::launch::async, [&, i] {
      std::vector<std::int64_t> values;
      for (int j = 0; j < 50; ++j)
        values.push_back((i % 2 == 0 ? one_ : two_).counter("n").add().wait().value());
      return values;
    }));
  }
  std::set<std::int64_t> seen;
  for (auto& each : all) {
    for (const std::int64_t value : each.get()) EXPECT_TRUE(seen.insert(value).second) << value;
  }
  EXPECT_EQ(one_.counter("n").get().wait().value(), 200);
  EXPECT_EQ(*seen.rbegin(), 200);
}

TEST_F(SdkLock, CountersSetComparedAndRemoved) {
  lockstep::Counter counter = one_.counter("n");
  EXPECT_EQ(counter.get().wait().value(), 0);
  EXPECT_TRUE(counter.set_if(0, 5).wait().is_done());
  EXPECT_EQ(counter.set_if(0, 6).wait().code(), Code::failed_precondition);
  EXPECT_EQ(counter.add(-7).wait().value(), -2);
  EXPECT_EQ(counter.remove().wait().value(), -2);
  counter.set(std::numeric_limits<std::int64_t>::max()).wait().value();
  EXPECT_EQ(counter.add().wait().code(), Code::out_of_range);
}

}  // namespace
