// Timers: something falls due at a time, or again and again, and somebody is told so, once for each time.
//
// A queue of timers is consumed by claims: claim() delivers what is due, hides it from others for the
// visibility time, and the consumer acknowledges, gives it back, or asks for more time (settle()). A delay
// queue is timers that are set `after` a while.
//
//   1. One run for each firing, across the fleet: a delivery moves the timer's entry by one transaction bound
//      to its revision. A delivery that is not settled within its visibility time is delivered again, with a
//      larger token; settling the old one is refused (errors::delivery_lost()). What a run writes is fenced
//      by held(): then only one run of a firing has an effect.
//   2. Never early. Times are counted by the timer clock (timer_driver.h), which lies in the store and goes
//   on
//      only as fast as the monotonic clock of whoever drives it: no wall clock can make it jump. A timer with
//      a wall time is delivered when that clock and the claimer's wall clock have both reached it.
//   3. Never lost: a timer is in the store, in one place, from set() to its last ack or cancel(), or as a
//   dead
//      letter once it was delivered attempts_max times. An unknown outcome of a claim delivers nothing for a
//      visibility time at worst.
//   4. Late by the driver's step (some tenths of a second), and by the time during which nobody drove. A wall
//      time is counted from the wall clock of whoever sets the timer, or acknowledges the run before: by as
//      much as that one is behind it is late, too.
//
// A recurring timer has one run at a time. A run that is missed (more than missed_after late by the wall
// clock) is skipped, or stands for all that were missed (once), or each is delivered, missed_max in a row at
// most. The next run is counted when one is acknowledged.
//
// Cost: set, cancel: one or two transactions. A claim: a read and a transaction for up to timers_per_claim
// timers; an ack: one transaction for up to as many (a MiB of payloads); nothing polls. Timers are nowhere
// kept in memory here.
//
// Queue names: 1 to 255 bytes without "/". Permissions: reading and writing "lockstep/timers/q/QUEUE/",
// reading "lockstep/timers/clock" (and writing it, where nobody drives yet) and "lockstep/timers/sent/QUEUE"
// (and writing it, for the first timer with a target).
//
// Ownership: destroying it is safe at any time; claims that wait end with errors::timers_closed(). Strand
// only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/task.h"
#include "base/time.h"
#include "service/context.h"
#include "service/timer/values.h"
#include "store/store.h"

namespace lockstep::service {

inline constexpr std::size_t timer_queue_bytes_max = 255;
inline constexpr std::size_t timer_payload_bytes_max = 64 * 1024;
inline constexpr std::size_t timer_target_bytes_max = 2048;
inline constexpr std::int64_t timer_attempts_max = 1000;
inline constexpr Duration timer_delay_max = std::chrono::hours(24 * 366 * 100);
inline constexpr Duration timer_visibility_max = std::chrono::hours(24);
inline constexpr std::size_t timers_per_claim = 64;
inline constexpr Duration missed_after = 60s;
// Claims of one queue and principal that wait in this process.
inline constexpr std::size_t waiting_claims_max = 16'384;

struct TimerSpec {
  std::string name;
  // One of the three.
  std::optional<Duration> after;
  std::optional<Duration> at;  // since the Unix epoch
  std::string cron;            // cron.h
  std::string zone;            // of cron; empty: UTC
  MissedRuns missed = MissedRuns::once;
  std::int64_t missed_max = 100;  // of MissedRuns::all

  std::string payload;
  std::string target;              // a URL: where it is sent to (target.h); a queue has either all or none
  std::int64_t attempts_max = 16;  // deliveries of one run
  bool only_if_new = false;        // otherwise it replaces one of the same name
};

struct TimerPlaced {
  std::optional<Duration> wall;  // of the first run, if it has a wall time
  Revision revision;
};

struct TimerState {
  std::string name;
  bool delivered = false;  // now, or it was and is to be again; nothing else is known then
  std::int64_t attempts = 0;
  std::optional<Duration> due_in;  // by the timer clock
  std::optional<Duration> wall;
  TimerDocument document;
};

struct TimerClaim {
  std::size_t max = 1;  // up to timers_per_claim
  Duration visibility = 30s;
  Duration wait{};  // for something to fall due, if nothing is
};

struct TimerDelivery {
  std::string name;
  std::string payload;
  std::string target;
  TimerToken token;
  std::int64_t attempt = 1;
  std::optional<Duration> wall;  // the moment it was scheduled for, since the Unix epoch
  TimePoint held_until{};        // by this process's clock: nobody else gets it before
};

struct TimerSettlement {
  enum class Kind : std::uint8_t { ack, give_back, extend };
  Kind kind = Kind::ack;
  std::string name;
  TimerToken token;
  Duration delay{};  // give_back: until it may be delivered again; extend: visible to others after
};

struct TimerSettled {
  Status status;     // ok; errors::delivery_lost(); errors::timer_outcome_unknown()
  TimerToken token;  // of an extension: what names the delivery from now on
};

struct DeadTimer {
  std::string name;
  TimerDocument document;
};

namespace errors {
Status timer_queue_wrong();       // invalid_argument
Status timer_schedule_wrong();    // invalid_argument: not one of after, at, cron; or out of bounds
Status timer_never();             // invalid_argument: the expression names no moment
Status timer_payload_too_long();  // invalid_argument
Status timer_attempts_wrong();    // invalid_argument
Status timer_claim_wrong();       // invalid_argument: max, visibility, wait or delay out of bounds
Status timer_exists();            // already_exists
Status timer_target_missing();    // failed_precondition: the queue's timers are sent
Status timer_queue_claimed();     // failed_precondition: the queue's timers are not sent
Status timer_not_found();         // not_found
Status delivery_lost();           // failed_precondition: its time was over, or it was settled
Status too_many_claims();         // resource_exhausted
Status timers_closed();           // cancelled
Status timer_outcome_unknown();   // unknown_outcome
}  // namespace errors

Status check_timer_queue(std::string_view queue);

class Timers {
 public:
  explicit Timers(const Context& context);
  ~Timers();
  Timers(const Timers&) = delete;
  Timers& operator=(const Timers&) = delete;

  // After an unknown outcome the timer may be there, or come later; setting it again by name is safe as long
  // as it can not have run.
  [[nodiscard]] Task<Result<TimerPlaced>> set(std::string queue, TimerSpec spec, store::CallOptions options);
  // A run that is under way is not stopped.
  [[nodiscard]] Task<Status> cancel(std::string queue, std::string name, store::CallOptions options);
  [[nodiscard]] Task<Result<TimerState>> show(std::string queue, std::string name,
                                              store::CallOptions options);
  // Names above `after`, in order, at most `limit` (up to 1000).
  [[nodiscard]] Task<Result<std::vector<std::string>>> list(std::string queue, std::string after,
                                                            std::size_t limit, store::CallOptions options);
  // What is due, oldest first (of a part of the names, where other processes claim from the queue too); empty
  // if nothing was by the end of `wait`. Unknown: what was claimed is delivered after the visibility time.
  [[nodiscard]] Task<Result<std::vector<TimerDelivery>>> claim(std::string queue, TimerClaim claim,
                                                               store::CallOptions options);
  // Up to timers_per_claim, each for itself: one answer for each. An error: nothing was settled.
  [[nodiscard]] Task<Result<std::vector<TimerSettled>>> settle(std::string queue,
                                                               std::vector<TimerSettlement> settlements,
                                                               store::CallOptions options);
  // Holds as long as the delivery does: for a transaction of the consumer's.
  [[nodiscard]] static store::Compare held(const std::string& queue, const std::string& name,
                                           const TimerToken& token);

  [[nodiscard]] Task<Result<std::vector<DeadTimer>>> dead(std::string queue, std::size_t limit,
                                                          store::CallOptions options);
  // Due at once, with all its attempts. Refused if a timer of that name exists.
  [[nodiscard]] Task<Status> revive(std::string queue, std::string name, store::CallOptions options);
  [[nodiscard]] Task<Status> drop_dead(std::string queue, std::string name, store::CallOptions options);

 private:
  class Core;
  class ClaimStep;
  class SettleStep;
  std::shared_ptr<Core> core_;
};

}  // namespace lockstep::service
