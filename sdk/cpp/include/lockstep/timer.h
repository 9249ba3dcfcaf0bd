// Timers: something falls due once, or again and again, and is delivered to one consumer of its queue. A
// delay queue is timers that are set `after` a while.
//
//   lockstep::Timers timers = client.timers("unpaid");
//   timers.set("order/4711", TimerSpec::after(30min).payload("4711")).wait();
//   …
//   auto due = timers.claim(CallOptions().timeout(1min)).wait();           // waits until something is due
//   for (auto& delivery : *due) { release(delivery.payload()); delivery.ack().wait(); }
//
// Guarantee: never early, whatever wall clocks do; never lost; one run for each firing across the fleet. A
// delivery that is not acknowledged within its visibility time is delivered again, with another token: what a
// run writes together with held() has an effect once.
//
// What can go wrong: timers are late by the time in which nobody drives the timer clock. Every client that
// claims is ready to drive it, as every server is.
//
// Cost: a claim is a read and a transaction for up to 64 timers; nothing polls.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lockstep/abi.h"
#include "lockstep/call_options.h"
#include "lockstep/kv.h"
#include "lockstep/operation.h"

namespace lockstep::LOCKSTEP_INLINE v1 {

namespace detail {
struct Delivered;
class Runtime;
}  // namespace detail

// What becomes of runs of a recurring timer that were missed by more than a minute.
enum class MissedRuns : std::uint8_t { skip, once, all };

class TimerSpec {
 public:
  using Duration = std::chrono::nanoseconds;
  static TimerSpec after(Duration delay) {
    TimerSpec spec;
    spec.after_ = delay;
    return spec;
  }
  static TimerSpec at(std::chrono::system_clock::time_point moment) {
    TimerSpec spec;
    spec.at_ = moment.time_since_epoch();
    return spec;
  }
  // "30 2 * * 1-5", in a time zone: "Europe/Berlin"; empty: UTC.
  static TimerSpec cron(std::string expression, std::string zone = {}) {
    TimerSpec spec;
    spec.cron_ = std::move(expression);
    spec.zone_ = std::move(zone);
    return spec;
  }
  TimerSpec& payload(std::string payload) {
    payload_ = std::move(payload);
    return *this;
  }
  // A URL, http or https: servers send it there (POST) until that answers 2xx; it is not claimed. A queue's
  // timers have one, or none has.
  TimerSpec& target(std::string url) {
    target_ = std::move(url);
    return *this;
  }
  // Once, if nothing is said.
  TimerSpec& missed(MissedRuns missed) {
    missed_ = missed;
    return *this;
  }
  // Deliveries of one run before it is a dead letter. 16.
  TimerSpec& attempts_max(std::int64_t attempts) {
    attempts_max_ = attempts;
    return *this;
  }
  // already_exists instead of replacing one of the same name.
  TimerSpec& only_if_new() {
    only_if_new_ = true;
    return *this;
  }

  [[nodiscard]] const std::optional<Duration>& after() const { return after_; }
  [[nodiscard]] const std::optional<Duration>& at() const { return at_; }
  [[nodiscard]] const std::string& cron() const { return cron_; }
  [[nodiscard]] const std::string& zone() const { return zone_; }
  [[nodiscard]] const std::string& payload() const { return payload_; }
  [[nodiscard]] const std::string& target() const { return target_; }
  [[nodiscard]] MissedRuns missed() const { return missed_; }
  [[nodiscard]] std::int64_t attempts_max() const { return attempts_max_; }
  [[nodiscard]] bool is_only_if_new() const { return only_if_new_; }

 private:
  TimerSpec() = default;
  std::optional<Duration> after_;
  std::optional<Duration> at_;
  std::string cron_;
  std::string zone_;
  std::string payload_;
  std::string target_;
  MissedRuns missed_ = MissedRuns::once;
  std::int64_t attempts_max_ = 16;
  bool only_if_new_ = false;
};

// One delivery. Destroying it does nothing: it is delivered again after its visibility time.
class TimerDelivery {
 public:
  explicit TimerDelivery(std::shared_ptr<detail::Delivered> delivered);

  [[nodiscard]] const std::string& name() const;
  [[nodiscard]] const std::string& payload() const;
  // The first is 1.
  [[nodiscard]] std::int64_t attempt() const;

  // ---- failed_precondition: its time was over, somebody else has it
  Operation<void> ack(CallOptions options = {});
  // To be delivered again after the delay.
  Operation<void> give_back(std::chrono::nanoseconds delay, CallOptions options = {});
  // Hidden from others for so long from now on. One at a time.
  Operation<void> extend(std::chrono::nanoseconds visibility, CallOptions options = {});
  // The transaction takes effect only while this delivery is ours.
  Txn& held(Txn& txn) const;

 private:
  std::shared_ptr<detail::Delivered> delivered_;
};

class ClaimOptions {
 public:
  // 1 to 64.
  ClaimOptions& max(std::size_t count) {
    max_ = count;
    return *this;
  }
  // 30 s.
  ClaimOptions& visibility(std::chrono::nanoseconds time) {
    visibility_ = time;
    return *this;
  }
  [[nodiscard]] std::size_t max() const { return max_; }
  [[nodiscard]] std::chrono::nanoseconds visibility() const { return visibility_; }

 private:
  std::size_t max_ = 1;
  std::chrono::nanoseconds visibility_ = std::chrono::seconds(30);
};

// One queue.
class Timers {
 public:
  Timers(std::shared_ptr<detail::Runtime> runtime, std::string queue)
      : runtime_(std::move(runtime)), queue_(std::move(queue)) {}

  Operation<void> set(std::string name, const TimerSpec& spec, CallOptions options = {}) const;
  // not_found. A run that is under way is not stopped.
  Operation<void> cancel(std::string name, CallOptions options = {}) const;
  // What is due, the oldest first; waits for it. deadline_exceeded: nothing was due in time.
  Operation<std::vector<TimerDelivery>> claim(CallOptions options = {}) const;
  Operation<std::vector<TimerDelivery>> claim(const ClaimOptions& claim, CallOptions options = {}) const;
  // Names of those that were delivered attempts_max times in vain.
  Operation<std::vector<std::string>> dead(std::size_t limit = 100, CallOptions options = {}) const;
  // Due at once, with all its attempts.
  Operation<void> revive(std::string name, CallOptions options = {}) const;

 private:
  std::shared_ptr<detail::Runtime> runtime_;
  std::string queue_;
};

}  // namespace lockstep::LOCKSTEP_INLINEv1
