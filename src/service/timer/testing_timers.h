// A store, a clock, a driver and consumers, for tests of timers.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "service/names.h"
#include "service/testing/unruly_store.h"
#include "service/testing/watched_store.h"
#include "service/timer/timer_driver.h"
#include "service/timer/timers.h"
#include "service/waiting.h"
#include "store/awaitable.h"

namespace lockstep::service::testing {

using Deliveries = Result<std::vector<TimerDelivery>>;
using Kind = TimerSettlement::Kind;

// How late a timer may be where nothing fails: two steps of the clock, a tick, and the election of a driver.
inline constexpr Duration lateness_max = 1200ms;

class TimersTest : public ::testing::Test {
 protected:
  void TearDown() override {
    driver.reset();
    advance(100ms);
  }
  void advance(Duration by) {
    store.strand.run();
    for (const TimePoint end = store.strand.now() + by; store.strand.now() < end;) {
      store.strand.advance(20ms);
      store.strand.run();
    }
  }
  static TimerSpec after(const std::string& name, Duration delay, const std::string& payload = "p") {
    TimerSpec spec;
    spec.name = name;
    spec.after = delay;
    spec.payload = payload;
    return spec;
  }
  TimerSpec cron(const std::string& expression, MissedRuns missed = MissedRuns::once) {
    TimerSpec spec;
    spec.name = "c";
    spec.cron = expression;
    spec.missed = missed;
    return spec;
  }
  Status set(const TimerSpec& spec) {
    Running<Result<TimerPlaced>> running(timers.set("q", spec, {}));
    store.strand.run();
    return running.result().status();
  }
  std::vector<TimerDelivery> claim(std::size_t max = 10, Duration visibility = 30s) {
    Running<Deliveries> running(timers.claim("q", {max, visibility, {}}, {}));
    store.strand.run();
    return running.result().value();
  }
  // "a1 b2": names and attempts.
  static std::string show(const std::vector<TimerDelivery>& deliveries) {
    std::string text;
    for (const TimerDelivery& one : deliveries) {
      text += (text.empty() ? "" : " ") + one.name + std::to_string(one.attempt);
    }
    return text;
  }
  // The moments of the runs, in seconds since the beginning, claimed and acknowledged every second.
  std::string runs_within(Duration time) {
    std::string text;
    for (Duration gone{}; gone < time; gone += 1s) {
      for (const TimerDelivery& one : claim()) {
        text += (text.empty() ? "" : " ") + std::to_string((*one.wall - ProcessClock::epoch) / 1s);
        EXPECT_EQ(settle(one, Kind::ack), Status());
      }
      advance(1s);
    }
    return text;
  }
  TimerSettled settle_fully(const TimerDelivery& delivery, Kind kind, Duration delay = {}) {
    Running<Result<std::vector<TimerSettled>>> running(
        timers.settle("q", {{kind, delivery.name, delivery.token, delay}}, {}));
    store.strand.run();
    return running.result()->at(0);
  }
  Status settle(const TimerDelivery& delivery, Kind kind, Duration delay = {}) {
    return settle_fully(delivery, kind, delay).status;
  }
  Status cancel(const std::string& name) {
    Running<Status> running(timers.cancel("q", name, {}));
    store.strand.run();
    return running.result();
  }
  void put_raw(const std::string& key, const std::string& value) {
    store::PutRequest put;
    put.key = "lockstep/timers/q/q/" + key;
    put.value = value;
    Running<Result<store::PutResponse>> done(store::awaitable::put(store, put));
    EXPECT_TRUE(done.result().ok());
  }
  std::size_t keys_of_queue() {
    store::RangeRequest request;
    request.key = "lockstep/timers/q/";
    request.range_end = "lockstep/timers/q0";
    request.count_only = true;
    Running<Result<store::RangeResponse>> running(store::awaitable::range(store, request));
    return static_cast<std::size_t>(running.result()->count);
  }

  WatchedStore store;
  SeededRandom random;
  ProcessClock clock{store.strand};
  Context context{store, store.strand, clock, random};
  Timers timers{context};
  std::unique_ptr<TimerDriver> driver = std::make_unique<TimerDriver>(context);
};

}  // namespace lockstep::service::testing
