// Keys, transactions, watches and the three ways to run a call, in the embedded cluster and on real servers.
#include <chrono>
#include <future>
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
using lockstep::Txn;
using lockstep::sdk_test::Capability;
using lockstep::sdk_test::World;
using lockstep::testing::Fault;
using lockstep::testing::StoreCall;

class Sdk : public testing::Test {
 protected:
  World world_;
  Client client_ = world_.client();
};

TEST_F(Sdk, WhatIsPutIsThere) {
  const lockstep::Revision revision = client_.put("a", "1").wait().value();
  const auto got = client_.get("a").wait().value();
  ASSERT_TRUE(got.has_value());
  EXPECT_EQ(got->value, "1");
  EXPECT_EQ(got->mod_revision, revision);
  EXPECT_EQ(got->version, 1);
  EXPECT_FALSE(client_.get("b").wait().value().has_value());
}

TEST_F(Sdk, APrefixEndsWhereItsKeysEnd) {
  for (const char* key : {"a", "a/1", "a/2", "a0", "b"}) client_.put(key, key).wait().value();
  const auto under = client_.list(Keys::prefix("a/")).wait().value();
  ASSERT_EQ(under.items.size(), 2U);
  EXPECT_EQ(under.items.front().key, "a/1");
  EXPECT_EQ(client_.list(Keys::prefix("")).wait().value().count, 5);
  const auto first = client_.list(Keys::all(), 1).wait().value();
  EXPECT_EQ(first.items.size(), 1U);
  EXPECT_EQ(first.count, 5);
  EXPECT_EQ(client_.remove(Keys::prefix("a/")).wait().value(), 2);
}

TEST_F(Sdk, ATransactionIsAllOrNothing) {
  const Txn create = Txn().if_version("k", 0).put("k", "1").put("l", "1").otherwise_put("refused", "1");
  EXPECT_TRUE(client_.commit(create).wait().value().succeeded);
  EXPECT_FALSE(client_.commit(create).wait().value().succeeded);
  EXPECT_TRUE(client_.get("refused").wait().value().has_value());
  EXPECT_EQ(client_.get("l").wait().value()->version, 1);
}

TEST_F(Sdk, ARefusalSaysWhatIsWrong) {
  const auto refused = client_.put("", "1").wait();
  EXPECT_EQ(refused.fate(), lockstep::Fate::refused);
  EXPECT_EQ(refused.code(), Code::invalid_argument);
  EXPECT_THROW(client_.put("", "1").wait().value(), lockstep::NoValue);
}

TEST_F(Sdk, AnAnswerThatGotLostIsUnknown) {
  LOCKSTEP_NEEDS(Capability::faults);
  world_.set_faults(
      client_, [](const StoreCall& call) { return call.kind == "put" ? Fault::answer_lost : Fault::none; });
  const auto put = client_.put("a", "1").wait();
  EXPECT_EQ(put.fate(), lockstep::Fate::unknown);
  EXPECT_TRUE(client_.get("a").wait().value().has_value());
}

TEST_F(Sdk, ACallOfACutOffClientRunsOutOfTime) {
  LOCKSTEP_NEEDS(Capability::cutting_off);
  world_.cut_off(client_);
  world_.jump_while_waiting();
  const auto put = client_.put("a", "1", CallOptions().timeout(3s)).wait();
  EXPECT_EQ(put.code(), Code::deadline_exceeded);
  world_.reconnect(client_);
  EXPECT_FALSE(client_.get("a").wait().value().has_value());
}

TEST_F(Sdk, AStopTokenEndsACall) {
  LOCKSTEP_NEEDS(Capability::cutting_off);
  world_.cut_off(client_);
  std::stop_source stop;
  std::thread stopper([&] { stop.request_stop(); });
  EXPECT_EQ(client_.put("a", "1", CallOptions().stop(stop.get_token())).wait().code(), Code::cancelled);
  stopper.join();
}

TEST_F(Sdk, WatchesSeeEveryChangeInOrder) {
  lockstep::Watch watch = client_.watch(Keys::prefix("w/")).wait().value();
  client_.put("w/1", "1").wait().value();
  client_.put("other", "1").wait().value();
  client_.remove(Keys::one("w/1")).wait().value();
  std::vector<lockstep::Event> events;
  while (events.size() < 2) {
    for (auto& event : watch.next().wait().value()) events.push_back(event);
  }
  EXPECT_EQ(events[0].item.value, "1");
  EXPECT_EQ(events[1].kind, lockstep::Event::Kind::removed);
  EXPECT_LT(events[0].item.mod_revision, events[1].item.mod_revision);
}

TEST_F(Sdk, AWatchFromACompactedRevisionSaysSo) {
  const auto revision = client_.put("w", "1").wait().value();
  lockstep::Watch watch = client_.watch(Keys::one("w"), revision).wait().value();
  EXPECT_EQ(watch.next().wait().value().size(), 1U);
  std::future<lockstep::Outcome<std::vector<lockstep::Event>>> next =
      std::async(std::launch::async, [&] { return watch.next(CallOptions().timeout(5s)).wait(); });
  client_.put("w", "2").wait().value();
  EXPECT_EQ(next.get().value().front().item.value, "2");
}

TEST_F(Sdk, ACutOffWatchGoesOnWhereItWas) {
  LOCKSTEP_NEEDS(Capability::cutting_off);
  Client other = world_.client();
  lockstep::Watch watch = client_.watch(Keys::one("w")).wait().value();
  world_.cut_off(client_);
  other.put("w", "1").wait().value();
  std::future<lockstep::Outcome<std::vector<lockstep::Event>>> next =
      std::async(std::launch::async, [&] { return watch.next().wait(); });
  world_.advance(1s);
  EXPECT_EQ(next.wait_for(0s), std::future_status::timeout);
  world_.reconnect(client_);
  EXPECT_EQ(next.get().value().front().item.value, "1");
}

TEST_F(Sdk, ACallbackRunsOnTheExecutorOfTheCall) {
  std::promise<std::function<void()>> posted;
  const lockstep::Executor executor = [&](std::function<void()> work) { posted.set_value(std::move(work)); };
  std::thread::id ran;
  client_.put("a", "1", CallOptions().resume_on(executor))
      .start([&](const lockstep::Outcome<lockstep::Revision>& put) {
        EXPECT_TRUE(put.is_done());
        ran = std::this_thread::get_id();
      });
  posted.get_future().get()();
  EXPECT_EQ(ran, std::this_thread::get_id());
}

lockstep::Task<std::string> written_then_read(Client& client, std::string key) {
  const auto put = co_await client.put(key, "value of " + key);
  if (!put) co_return put.error().to_string();
  auto got = co_await client.get(key);
  if (!got || !got->has_value()) co_return "not there";
  co_return (*got)->value;
}

lockstep::Task<int> many(Client& client, int count) {
  int good = 0;
  for (int i = 0; i < count; ++i) {
    const std::string key = std::to_string(i);
    const std::string read = co_await written_then_read(client, key);
    if (read == "value of " + key) ++good;
  }
  co_return good;
}

TEST_F(Sdk, CoroutinesAwaitCallsAndEachOther) {
  EXPECT_EQ(lockstep::wait(many(client_, 100)), 100);
}

lockstep::Task<int> fails(Client& client) {
  (co_await client.put("", "no key")).value();
  co_return 1;
}

TEST_F(Sdk, AnExceptionTravelsToWhoeverWaits) {
  EXPECT_THROW(lockstep::wait(fails(client_)), lockstep::NoValue);
}

lockstep::Task<Code> waits_where_it_must_not(Client& client) {
  (void)co_await client.get("a");  // goes on on the client's own thread
  co_return client.get("a").wait().code();
}

TEST_F(Sdk, WaitingOnTheClientsOwnThreadIsRefused) {
  EXPECT_EQ(lockstep::wait(waits_where_it_must_not(client_)), Code::failed_precondition);
}

lockstep::Task<int> depth(int left) {
  if (left == 0) co_return 0;
  co_return 1 + co_await depth(left - 1);
}

TEST(Coroutines, AHundredThousandTasksThatFinishAtOnceNeedOneStackFrame) {
  EXPECT_EQ(lockstep::wait(depth(100'000)), 100'000);
}

TEST(Closing, CallsThatRunAreCancelledAndLaterOnesToo) {
  LOCKSTEP_NEEDS(Capability::cutting_off);
  World world;
  Client client = world.client();
  world.cut_off(client);
  auto running = std::async(std::launch::async, [&] { return client.get("a").wait().code(); });
  while (world.store_calls(client) == 0) std::this_thread::yield();
  client.close();
  EXPECT_EQ(running.get(), Code::cancelled);
  EXPECT_EQ(client.get("a").wait().code(), Code::cancelled);
}

TEST(Closing, AWatchMayOutliveItsClient) {
  World world;
  std::optional<Client> client = world.client();
  lockstep::Watch watch = client->watch(Keys::all()).wait().value();
  client.reset();
  EXPECT_EQ(watch.next().wait().code(), Code::cancelled);
}

}  // namespace
