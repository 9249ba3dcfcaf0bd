// What timers keep in the store, and where.
//
//   lockstep/timers/clock                        the timer clock
//   lockstep/timers/q/QUEUE/due/DUE/NAME         a timer, in the order of falling due: DUE is its time by the
//                                                timer clock, 16 hexadecimal digits of milliseconds
//   lockstep/timers/q/QUEUE/set/NAME             the timer exists: DUE when it was set, and 16 digits drawn
//   lockstep/timers/q/QUEUE/dead/NAME            what was delivered too often, and what stood under due/ and
//                                                is no timer: dead letters, the newest of each name
//
//   lockstep/timers/sent/QUEUE                   the queue's timers have targets, and are sent there
//
// An entry under due/ counts only while its set/ key is the one it belongs to: the one with the mod_revision
// in its field "of", or, without that field, the entry's own (both were written by one transaction). Whatever
// replaces or removes a timer writes or removes set/NAME, so what is left of the old one counts no more.
//
// Pure functions. Errors: failed_precondition for damaged values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/status.h"
#include "base/time.h"

namespace lockstep::service {

inline constexpr std::string_view timer_clock_key = "lockstep/timers/clock";
inline constexpr std::string_view timer_sent_prefix = "lockstep/timers/sent/";
inline constexpr std::string_view timer_queues_prefix = "lockstep/timers/q/";

// The keys of one queue.
struct TimerKeys {
  explicit TimerKeys(const std::string& queue) : prefix(std::string(timer_queues_prefix) + queue + "/") {}
  std::string prefix;
  [[nodiscard]] std::string all_due() const { return prefix + "due/"; }
  [[nodiscard]] std::string due(std::int64_t due_ms, std::string_view name) const;
  // Every entry lies from the one to the other.
  [[nodiscard]] std::string due_begin() const { return all_due() + "0"; }
  [[nodiscard]] std::string due_end() const { return all_due() + "2"; }
  [[nodiscard]] std::string set(std::string_view name) const { return prefix + "set/" + std::string(name); }
  [[nodiscard]] std::string all_set() const { return prefix + "set/"; }
  [[nodiscard]] std::string dead(std::string_view name) const { return prefix + "dead/" + std::string(name); }
  [[nodiscard]] std::string all_dead() const { return prefix + "dead/"; }
};

inline constexpr std::int64_t timer_due_ms_max = INT64_MAX / 4;  // sums of two stay within 64 bits
inline constexpr std::int64_t timer_wall_ms_max = Duration::max() / 1ms;

// "now_ms": what the clock shows. "step_ms_max": the next time it is written it shows at most that much more.
struct TimerClockValue {
  std::int64_t now_ms = 0;
  std::int64_t step_ms_max = 0;
  friend bool operator==(const TimerClockValue&, const TimerClockValue&) = default;
};
std::string encode(const TimerClockValue& value);
Result<TimerClockValue> parse_timer_clock(std::string_view text);

enum class MissedRuns : std::uint8_t { skip, once, all };
std::string_view to_string(MissedRuns missed);
std::optional<MissedRuns> parse_missed_runs(std::string_view text);

// The value under due/ and dead/: this line, and the payload.
struct TimerDocument {
  Revision of;                // mod_revision of its set/ key; zero: its own
  std::int64_t attempts = 0;  // deliveries so far
  std::int64_t attempts_max = 0;
  std::string claim;                    // drawn by whoever it was delivered to last
  std::optional<std::int64_t> wall_ms;  // not before the wall clock shows this; its scheduled moment
  std::string cron;                     // of a recurring timer
  std::string zone;
  MissedRuns missed = MissedRuns::once;
  std::int64_t missed_max = 0;  // of MissedRuns::all
  std::int64_t caught_up = 0;   // missed runs delivered in a row
  std::string target;           // where it is sent to, if it is
  std::string payload;
  friend bool operator==(const TimerDocument&, const TimerDocument&) = default;
};
std::string encode(const TimerDocument& document);
Result<TimerDocument> parse_timer_document(std::string_view text);

// "DUE ID"
struct TimerPointer {
  std::int64_t due_ms = 0;
  std::string id;  // 16 hexadecimal digits
  friend bool operator==(const TimerPointer&, const TimerPointer&) = default;
};
std::string encode(const TimerPointer& pointer);
Result<TimerPointer> parse_timer_pointer(std::string_view text);

// A delivery, as its consumer names it: "DUE.REVISION.OF", with "r" behind it for a recurring timer.
struct TimerToken {
  std::int64_t due_ms = 0;  // of the entry as it is while delivered
  Revision revision;        // of the entry: the fencing token of this delivery
  Revision of;
  bool recurring = false;
  friend bool operator==(const TimerToken&, const TimerToken&) = default;
};
std::string to_string(const TimerToken& token);
Result<TimerToken> parse_timer_token(std::string_view text);

namespace errors {
Status timer_token_wrong();  // invalid_argument
}  // namespace errors

}  // namespace lockstep::service
