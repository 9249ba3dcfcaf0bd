// Waiting: for an announcement, a moment, a subscription's answer.
#include "service/waiting.h"

#include <stop_token>
#include <string>

#include <gtest/gtest.h>

#include "service/names.h"
#include "service/testing/watched_store.h"

namespace lockstep::service {
namespace {

using testing::Running;
using testing::World;

class WaitingTest : public ::testing::Test {
 protected:
  [[nodiscard]] TimePoint in(Duration time) { return world.store.strand.now() + time; }
  store::CallOptions until(TimePoint deadline) {
    store::CallOptions options;
    options.deadline = deadline;
    options.cancellation = stop.get_token();
    return options;
  }
  World world;
  std::stop_source stop;
};

TEST_F(WaitingTest, ASignalWakesItsWaiterOrTheNextOne) {
  const Signal signal(world.context);
  Running<Wake> first(signal.wait(no_deadline, {}));
  EXPECT_TRUE(first.waits());
  signal.set();
  EXPECT_EQ(first.result(), Wake::signalled);
  signal.set();
  signal.set();
  EXPECT_EQ(Running<Wake>(signal.wait(no_deadline, {})).result(), Wake::signalled);
  Running<Wake> third(signal.wait(in(1s), {}));
  EXPECT_TRUE(third.waits());
  world.advance(1s);
  EXPECT_EQ(third.result(), Wake::deadline);
}

TEST_F(WaitingTest, AStopEndsTheWaitInALaterTurnAndConcernsNoOtherWait) {
  const Signal signal(world.context);
  Running<Wake> stopped(signal.wait(no_deadline, stop.get_token()));
  stop.request_stop();
  EXPECT_TRUE(stopped.waits());
  signal.set();
  EXPECT_EQ(stopped.result(), Wake::signalled) << "it came first";
  Running<Wake> other(signal.wait(no_deadline, {}));
  world.settle();
  EXPECT_TRUE(other.waits());
  signal.set();
  EXPECT_EQ(Running<Wake>(signal.wait(no_deadline, stop.get_token())).result(), Wake::cancelled);
}

TEST_F(WaitingTest, SleepingEndsAtItsMomentOrAtTheDeadline) {
  Running<Status> slept(pause_until(world.context, in(2s), until(in(3s))));
  Running<Status> late(pause_until(world.context, in(4s), until(in(3s))));
  Running<Status> cancelled(pause_until(world.context, in(9s), until(no_deadline)));
  world.advance(2s);
  EXPECT_EQ(slept.result(), Status());
  EXPECT_TRUE(late.waits());
  world.advance(1s);
  EXPECT_EQ(late.result(), errors::wait_deadline_over());
  stop.request_stop();
  world.settle();
  EXPECT_EQ(cancelled.result(), errors::wait_cancelled());
}

TEST_F(WaitingTest, ASubscriptionIsAskedAgainAfterADeadline) {
  store::WatchRequest request;
  request.key = "k";
  const auto subscription = *world.store.watch(request);
  Running<Result<store::WatchResponse>> first(next_answer(world.context, *subscription, until(in(1s))));
  world.advance(1s);
  EXPECT_EQ(first.result().status(), errors::wait_deadline_over());
  Running<Result<store::WatchResponse>> second(next_answer(world.context, *subscription, until(in(1s))));
  store::PutRequest put;
  put.key = "k";
  put.value = "v";
  world.store.put(put, {}, [](const Result<store::PutResponse>& done) { LS_MUST(done.ok()); });
  world.settle();
  ASSERT_TRUE(second.result().ok());
  EXPECT_EQ(second.result()->events.at(0).kv.value, "v");
}

TEST_F(WaitingTest, NamesAreAnyBytesWithinBounds) {
  EXPECT_EQ(check_name(std::string("\0\xff/", 3)), Status());
  EXPECT_EQ(check_name(std::string(name_bytes_max, 'n')), Status());
  EXPECT_EQ(check_name(""), errors::name_empty());
  EXPECT_EQ(check_name(std::string(name_bytes_max + 1, 'n')), errors::name_too_long());
}

}  // namespace
}  // namespace lockstep::service
