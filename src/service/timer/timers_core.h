// Inside the timers.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "service/timer/clock_view.h"
#include "service/timer/cron.h"
#include "service/timer/due_window.h"
#include "service/timer/timers.h"
#include "service/waiting.h"

namespace lockstep::service {

inline constexpr std::uint64_t wall_spread_ms = 100;

// Claims of one queue and principal take turns: they would only be in each other's way.
struct ClaimLane {
  bool taken = false;
  std::map<std::uint64_t, Signal> queue;      // of those who wait for a timer
  std::map<std::uint64_t, Signal> impatient;  // those who do not: they go first
  std::set<std::uint64_t> passed;             // of these, who was told to go without a turn
  std::optional<Signal> waiting;              // what the claim whose turn it is waits for
  DueWindow window;
};

class Timers::Core {
 public:
  explicit Core(const Context& context) : context_(context), clock_(context) {}

  [[nodiscard]] const Context& context() const { return context_; }
  [[nodiscard]] TimerClockView& clock() { return clock_; }
  [[nodiscard]] std::int64_t wall_ms() const { return context_.clock.wall_now() / 1ms; }
  [[nodiscard]] bool closed() const { return closed_; }
  [[nodiscard]] std::string draw() const;
  // Timers of one moment of the wall clock, midnight say, are spread a little: ranges of few keys stay short.
  [[nodiscard]] std::int64_t spread_ms() const {
    return static_cast<std::int64_t>(context_.random.next() % wall_spread_ms);
  }
  void close();

  // True: it is this one's turn, until give_turn(). False: it may go without, for whoever has the turn has
  // nothing to claim; of the impatient only. Otherwise the options end the wait.
  static Task<Result<bool>> take_turn(std::shared_ptr<Core> core, std::shared_ptr<ClaimLane> lane,
                                      store::CallOptions options, bool patient);
  // Whoever has the turn waits for a timer now.
  void let_impatient_pass(ClaimLane& lane);
  void give_turn(ClaimLane& lane);
  std::shared_ptr<ClaimLane> lane(const std::string& queue, store::Principal principal);
  void forget_idle_lane(const std::string& queue, store::Principal principal);

 private:
  Context context_;
  TimerClockView clock_;
  std::map<std::pair<store::Principal, std::string>, std::shared_ptr<ClaimLane>> lanes_;
  std::uint64_t last_id_ = 0;
  std::size_t claims_ = 0;
  bool closed_ = false;
};

// The next run of a recurring timer after a moment of the wall clock, in milliseconds; nothing: there is
// none.
Result<std::optional<std::int64_t>> next_run_ms(const TimerDocument& document, std::int64_t after_ms);

// success: if `entry` stands at `revision` and belongs to the timer; otherwise it is removed if it stands
// there.
store::TxnRequest on_entry(const std::string& entry, Revision revision, const std::string& set_key,
                           Revision of, std::vector<store::RequestOperation> then);
enum class EntryOutcome : std::uint8_t { done, removed_stale, gone };
// Of the nested transaction at `position`.
EntryOutcome entry_outcome(const store::TxnResponse& answer, std::size_t position);

}  // namespace lockstep::service
