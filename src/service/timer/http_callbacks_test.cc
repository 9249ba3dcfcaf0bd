// Timers by HTTP: what goes out, what an answer means, which queues are sent; and what a target may be.
#include "service/timer/http_callbacks.h"

#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "service/timer/target.h"
#include "service/timer/testing_timers.h"

namespace lockstep::service {
namespace {

using testing::Kind;
using testing::Running;
using testing::TimersTest;

// Remembers what it is asked to call, and answers with one status.
class Recorder final : public env::HttpClient {
 public:
  explicit Recorder(env::Executor& executor) : executor_(executor) {}
  void call(env::HttpCall call, TimePoint /*deadline*/,
            std::move_only_function<void(Result<env::HttpReply>)> done) override {
    calls.push_back(std::move(call));
    executor_.post([this, done = std::move(done)]() mutable { done(env::HttpReply{status, "", ""}); });
  }
  std::vector<env::HttpCall> calls;
  int status = 200;

 private:
  env::Executor& executor_;
};

std::string header(const env::HttpCall& call, const std::string& name) {
  for (const auto& [key, value] : call.headers) {
    if (key == name) return value;
  }
  return "(none)";
}

TEST(HttpCallbacks, ARequestSaysWhatFellDue) {
  CallbackRequest request;
  request.target = "https://hooks.example.com/due?x=1";
  request.queue = "a queue";
  request.name = "order/4711\n%";
  request.payload = R"({"order":4711})";
  request.token = Revision(77);
  request.attempt = 3;
  request.wall = 1'764'576'000'000ms;
  const env::HttpCall call = http_call_of(request);
  EXPECT_EQ(call.method, "POST");
  EXPECT_EQ(call.url, request.target);
  EXPECT_EQ(call.body, request.payload);
  EXPECT_EQ(header(call, "Content-Type"), "application/json");
  EXPECT_EQ(header(call, "Lockstep-Timer-Queue"), "a%20queue");
  EXPECT_EQ(header(call, "Lockstep-Timer-Name"), "order/4711%0A%25");
  EXPECT_EQ(header(call, "Lockstep-Timer-Token"), "77");
  EXPECT_EQ(header(call, "Lockstep-Timer-Attempt"), "3");
  EXPECT_EQ(header(call, "Lockstep-Timer-Scheduled"), "1764576000000");
  request.payload = "plain";
  request.wall.reset();
  EXPECT_EQ(header(http_call_of(request), "Content-Type"), "application/octet-stream");
  EXPECT_EQ(header(http_call_of(request), "Lockstep-Timer-Scheduled"), "(none)");
}

TEST(HttpCallbacks, OnlyTwoHundredsAreReceivedAndOnlyGoneStops) {
  for (const int status : {200, 201, 204, 299})
    EXPECT_TRUE(callback_answer_of(env::HttpReply{status, "", ""}).received.ok());
  for (const int status : {100, 199, 300, 302, 400, 404, 409, 500, 503}) {
    const CallbackAnswer answer = callback_answer_of(env::HttpReply{status, "", "7"});
    EXPECT_FALSE(answer.received.ok()) << status;
    EXPECT_FALSE(answer.stop) << status;
    EXPECT_EQ(answer.not_before, 7s) << status;
  }
  EXPECT_TRUE(callback_answer_of(env::HttpReply{410, "", ""}).stop);
  for (const std::string text : {"", "-1", "soon", "7x", "99999999999999999999"})
    EXPECT_EQ(callback_answer_of(env::HttpReply{503, "", text}).not_before, Duration{}) << text;
  EXPECT_FALSE(callback_answer_of(Status(Code::unknown_outcome, "cut off")).received.ok());
}

TEST(TimerTarget, WhatIsNoTargetIsSaidPrecisely) {
  for (const std::string good :
       {"http://a", "https://a.example:8443/x?y=z", "http://[::1]:80/", "http://10.0.0.1/"})
    EXPECT_EQ(check_timer_target(good), Status()) << good;
  for (const auto& [bad, why] :
       std::vector<std::pair<std::string, std::string>>{{"a", "begins neither"},
                                                        {"ftp://a", "begins neither"},
                                                        {"http://", "names no host"},
                                                        {"http:///x", "names no host"},
                                                        {"http://:80/", "names no host"},
                                                        {"http://u:p@a/", "a user or a password"},
                                                        {"http://a:0/", "1 to 65535"},
                                                        {"http://a:65536/", "1 to 65535"},
                                                        {"http://a:x/", "1 to 65535"},
                                                        {"http://[::1/", "no ']'"},
                                                        {"http://[x]/", "a host that is none"},
                                                        {"http://a,b/", "a host that is none"},
                                                        {"http://a/#x", "a fragment"},
                                                        {"http://a/ b", "%XX"},
                                                        {"http://a/\xc3\xa4", "%XX"},
                                                        {"http://a/" + std::string(2048, 'x'), "2048"}}) {
    const Status refused = check_timer_target(bad);
    EXPECT_EQ(refused.code(), Code::invalid_argument) << bad;
    EXPECT_TRUE(refused.message().contains(why)) << refused.message();
  }
}

class TimerCallbacksTest : public TimersTest {
 protected:
  ~TimerCallbacksTest() override {
    callbacks.reset();
    advance(3s);
  }
  Status set_in(const std::string& queue, const std::string& name, const std::string& target) {
    TimerSpec spec = after(name, 1s);
    spec.target = target;
    Running<Result<TimerPlaced>> running(timers.set(queue, spec, {}));
    store.strand.run();
    return running.result().status();
  }
  Recorder receiver{store.strand};
  std::unique_ptr<TimerCallbacks> callbacks = std::make_unique<TimerCallbacks>(context, receiver);
};

TEST_F(TimerCallbacksTest, EveryQueueWithTargetsIsSent) {
  EXPECT_EQ(set_in("one", "a", "http://r/1"), Status());
  EXPECT_EQ(set_in("two", "b", "http://r/2"), Status());
  EXPECT_EQ(set_in("two", "c", "http://r/3"), Status());
  EXPECT_EQ(set_in("q", "d", ""), Status());
  advance(5s);
  EXPECT_EQ(receiver.calls.size(), 3U);
  EXPECT_EQ(callbacks->sent(), 3U);
  EXPECT_EQ(callbacks->queues(), 2U);
  EXPECT_EQ(show(claim()), "d1") << "left to whoever claims";
}

TEST_F(TimerCallbacksTest, AQueueIsEitherSentOrClaimed) {
  EXPECT_EQ(set_in("q", "a", ""), Status());
  EXPECT_EQ(set_in("q", "b", "http://r"), errors::timer_queue_claimed());
  EXPECT_EQ(set_in("q", "a", "http://r"), errors::timer_queue_claimed());
  EXPECT_EQ(set_in("sent", "a", "http://r"), Status());
  EXPECT_EQ(set_in("sent", "b", "http://r"), Status());
  EXPECT_EQ(set_in("sent", "a", "http://r/again"), Status());
  EXPECT_EQ(set_in("sent", "c", ""), errors::timer_target_missing());
  EXPECT_EQ(cancel("a"), Status());
  EXPECT_EQ(set_in("q", "b", "http://r"), Status()) << "it is empty now";
}

TEST_F(TimerCallbacksTest, AReceiverThatIsDownHearsOfEveryTimerLaterAndOneThatIsGoneEndsIt) {
  receiver.status = 503;
  EXPECT_EQ(set_in("sent", "a", "http://r"), Status());
  advance(10s);
  EXPECT_GE(receiver.calls.size(), 3U);
  receiver.status = 410;
  advance(60s);
  const std::size_t heard = receiver.calls.size();
  advance(600s);
  EXPECT_EQ(receiver.calls.size(), heard);
  EXPECT_EQ(header(receiver.calls.back(), "Lockstep-Timer-Attempt"), std::to_string(heard));
}

}  // namespace
}  // namespace lockstep::service
