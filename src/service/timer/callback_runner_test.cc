// Timers that are sent: until they are received, and not for ever.
#include "service/timer/callback_runner.h"

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "service/testing/unruly_store.h"
#include "service/testing/watched_store.h"
#include "service/timer/timer_driver.h"
#include "service/timer/timers.h"

namespace lockstep::service {
namespace {

using testing::ProcessClock;
using testing::Running;
using testing::SeededRandom;
using testing::WatchedStore;

// Receivers that answer as they are told.
class Receivers final : public CallbackSender {
 public:
  void send(CallbackRequest request, TimePoint deadline,
            std::move_only_function<void(CallbackAnswer)> done) override {
    log.push_back(request.target + " " + request.name + std::to_string(request.attempt));
    tokens.push_back(request.token);
    EXPECT_GT(deadline, TimePoint{});
    if (hold) {
      held.push_back(std::move(done));
      return;
    }
    done(answer);
  }
  CallbackAnswer answer{Status()};
  bool hold = false;
  std::vector<std::string> log;
  std::vector<Revision> tokens;
  std::deque<std::move_only_function<void(CallbackAnswer)>> held;
};

class CallbackTest : public ::testing::Test {
 protected:
  void TearDown() override {
    runner.reset();
    driver.reset();
    advance(1s);
    for (auto& done : receivers.held) done(Status());
    advance(1s);
  }
  void advance(Duration by) {
    for (Duration gone{}; gone < by; gone += 20ms) {
      store.strand.advance(20ms);
      store.strand.run();
    }
  }
  void set(const std::string& name, std::int64_t attempts_max = 16) {
    TimerSpec spec;
    spec.name = name;
    spec.after = 1s;
    spec.target = "http://to";
    spec.attempts_max = attempts_max;
    Running<Result<TimerPlaced>> running(timers.set("callbacks", spec, {}));
    EXPECT_TRUE(running.result().ok());
  }

  WatchedStore store;
  SeededRandom random;
  ProcessClock clock{store.strand};
  Context context{store, store.strand, clock, random};
  Timers timers{context};
  Receivers receivers;
  std::unique_ptr<TimerDriver> driver = std::make_unique<TimerDriver>(context);
  std::unique_ptr<CallbackRunner> runner = std::make_unique<CallbackRunner>(context, receivers);
};

TEST_F(CallbackTest, WhatIsReceivedIsSentOnce) {
  set("a");
  set("b");
  advance(60s);
  EXPECT_EQ(receivers.log, (std::vector<std::string>{"http://to a1", "http://to b1"}));
  EXPECT_EQ(runner->sent(), 2U);
  Running<Result<TimerState>> gone(timers.show("callbacks", "a", {}));
  EXPECT_EQ(gone.result().status(), errors::timer_not_found());
}

TEST_F(CallbackTest, WhatIsNotReceivedIsSentLaterAndLaterWithLargerTokensAndThenADeadLetter) {
  receivers.answer = Status(Code::unavailable, "503");
  set("a", 4);
  advance(6s);
  EXPECT_EQ(receivers.log.size(), 3U) << "at 1, 2 and 4 seconds, and some";
  advance(60s);
  EXPECT_EQ(receivers.log.size(), 4U);
  for (std::size_t i = 1; i < receivers.tokens.size(); ++i)
    EXPECT_GT(receivers.tokens[i], receivers.tokens[i - 1]);
  Running<Result<std::vector<DeadTimer>>> dead(timers.dead("callbacks", 10, {}));
  ASSERT_EQ(dead.result()->size(), 1U);
  EXPECT_EQ(dead.result()->at(0).document.target, "http://to");
}

TEST_F(CallbackTest, AReceiverThatWantsNoMoreEndsATimerWithItsRunsToCome) {
  receivers.answer.stop = true;
  TimerSpec spec;
  spec.name = "c";
  spec.cron = "* * * * *";
  spec.target = "http://to";
  Running<Result<TimerPlaced>> running(timers.set("callbacks", spec, {}));
  EXPECT_TRUE(running.result().ok());
  advance(300s);
  EXPECT_EQ(receivers.log, std::vector<std::string>{"http://to c1"});
  Running<Result<TimerState>> gone(timers.show("callbacks", "c", {}));
  EXPECT_EQ(gone.result().status(), errors::timer_not_found());
}

TEST_F(CallbackTest, AReceiverThatAsksForTimeGetsIt) {
  receivers.answer = Status(Code::unavailable, "503");
  receivers.answer.not_before = 20s;
  set("a");
  advance(18s);
  EXPECT_EQ(receivers.log.size(), 1U);
  advance(10s);
  EXPECT_EQ(receivers.log.size(), 2U);
}

TEST_F(CallbackTest, NoMoreThanItsBoundAreUnderWay) {
  CallbackOptions few;
  few.in_flight_max = 3;
  runner = std::make_unique<CallbackRunner>(context, receivers, few);
  receivers.hold = true;
  for (int i = 0; i < 10; ++i) set("t" + std::to_string(i));
  advance(5s);
  EXPECT_EQ(receivers.log.size(), 3U) << ::testing::PrintToString(receivers.log);
  receivers.held.front()(Status());
  receivers.held.pop_front();
  advance(1s);
  EXPECT_EQ(receivers.log.size(), 4U);
}

TEST_F(CallbackTest, AnAnswerThatComesTooLateIsNone) {
  receivers.hold = true;
  set("a");
  advance(30s);
  ASSERT_GE(receivers.log.size(), 2U);
  EXPECT_EQ(receivers.log[1], "http://to a2");
  receivers.held.front()(Status());
  receivers.held.pop_front();
  advance(1s);
  Running<Result<TimerState>> state(timers.show("callbacks", "a", {}));
  EXPECT_TRUE(state.result().ok()) << "the second delivery holds it";
}

TEST_F(CallbackTest, GoingAwayWhileSomethingIsSentLeavesItToOthers) {
  receivers.hold = true;
  set("a");
  advance(3s);
  ASSERT_EQ(receivers.log.size(), 1U);
  runner.reset();
  receivers.held.front()(Status());
  receivers.held.pop_front();
  receivers.hold = false;
  runner = std::make_unique<CallbackRunner>(context, receivers);
  advance(40s);
  EXPECT_EQ(receivers.log.back(), "http://to a2");
}

}  // namespace
}  // namespace lockstep::service
