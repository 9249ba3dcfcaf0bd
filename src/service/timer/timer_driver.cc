#include "service/timer/timer_driver.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>

#include "base/assert.h"
#include "base/planted.h"
#include "service/election/elections.h"
#include "service/session/session.h"
#include "service/store_requests.h"
#include "service/timer/clock_view.h"
#include "service/timer/values.h"
#include "service/waiting.h"
#include "store/awaitable.h"

namespace lockstep::service {
namespace {

constexpr std::string_view driver_name = "lockstep/timers/driver";
constexpr Duration call_time_max = 5s;
constexpr Duration pause_after_error = 1s;
constexpr Duration session_ttl = 5s;  // who drives next begins that much later
constexpr int hops_max = 1000;
constexpr int ticks_between_looks = 25;  // for timers: without any, nobody drives
constexpr std::int64_t step_ms_max = 5000;
static_assert(timer_tick / 1ms < timer_step_ms_min, "an ordinary tick is not cut off");

}  // namespace

class TimerDriver::Drive : public std::enable_shared_from_this<Drive> {
 public:
  Drive(const Context& context, store::Principal principal)
      : context_(context), principal_(principal), elections_(context) {}

  static Task<void> run(std::shared_ptr<Drive> self) {
    while (!self->stop_.stop_requested()) {
      const Status ended = co_await self->term();
      self->drives_ = false;
      if (ended.ok() || self->stop_.stop_requested()) continue;
      const TimePoint later = self->context_.clock.now() + pause_after_error;
      static_cast<void>(co_await pause_until(self->context_, later, self->until_stopped()));
    }
    self->over_ = true;
    if (self->ended_) std::exchange(self->ended_, nullptr)();
  }
  void stop() { stop_.request_stop(); }
  void stop(const std::stop_token& give_up, env::Closure ended) {
    LS_MUST(!ended_);
    if (over_) return ended();
    ended_ = std::move(ended);
    on_give_up_.emplace(give_up, GiveUp{this});
    stop_.request_stop();
  }
  [[nodiscard]] bool drives() const { return drives_; }
  [[nodiscard]] std::uint64_t ticks() const { return ticks_; }

 private:
  // The clock as it stands, and since when this process counts from there.
  struct Standing {
    TimerClockValue value;
    Revision mod_revision;
    TimePoint counted_from{};
  };

  [[nodiscard]] store::CallOptions until_stopped() const {
    store::CallOptions options;
    options.principal = principal_;
    options.cancellation = stop_.get_token();
    return options;
  }
  [[nodiscard]] store::CallOptions call() const {
    store::CallOptions options;
    options.principal = principal_;
    options.deadline = context_.clock.now() + call_time_max;
    options.cancellation = give_up_.get_token();
    return options;
  }

  // From the first timer to the last, or until another leads. An error: again, later.
  Task<Status> term() {
    if (Status waited = co_await wait_for_timers(); !waited.ok()) co_return waited;
    SessionOptions session_options;
    session_options.ttl = session_ttl;
    const Result<SessionPtr> session = co_await open_session(context_, session_options, call());
    if (!session.ok()) co_return session.status();
    Campaign campaign;
    campaign.name = driver_name;
    campaign.value = "timers";
    const Result<Elected> elected =
        co_await elections_.campaign(*session, std::move(campaign), until_stopped());
    Status ended = elected.status();
    if (elected.ok() && !stop_.stop_requested()) ended = co_await drive(**session, elected->leadership());
    static_cast<void>(co_await (*session)->close(call()));
    co_return ended;
  }

  // From queue to queue, over what is no timer: dead letters keep no clock going. What was written after
  // `seen` may be missed.
  Task<Result<bool>> any_timers(Revision* seen) {
    std::string from(timer_queues_prefix);
    for (int hops = 0; hops < hops_max; ++hops) {
      store::RangeRequest request = one_key(from);
      request.range_end = prefix_end(std::string(timer_queues_prefix));
      request.limit = 1;
      request.keys_only = true;
      const Result<store::RangeResponse> found =
          co_await store::awaitable::range(context_.store, std::move(request), call());
      if (!found.ok()) co_return found.status();
      if (hops == 0) *seen = found->header.revision;
      if (found->kvs.empty()) co_return false;
      const std::string& key = found->kvs[0].key;
      const std::size_t begin = timer_queues_prefix.size();
      const std::size_t slash = key.find('/', begin);
      if (slash == std::string::npos) {
        from = key + '\0';
        continue;
      }
      const TimerKeys keys(key.substr(begin, slash - begin));
      if (key >= keys.due_begin() && key < keys.due_end()) co_return true;
      from = key < keys.due_begin() ? keys.due_begin() : prefix_end(keys.prefix);
    }
    co_return true;  // so many queues that one of them may well have one
  }

  Task<Status> wait_for_timers() {
    Revision seen;
    Result<bool> any = co_await any_timers(&seen);
    if (!any.ok()) co_return any.status();
    if (*any) co_return Status();
    store::WatchRequest request;
    request.key = timer_queues_prefix;
    request.range_end = prefix_end(request.key);
    request.start_revision = seen.next();
    request.no_delete = true;
    request.patient = true;  // every server stands here as long as nobody uses timers
    const auto events = context_.store.watch(std::move(request), until_stopped());
    if (!events.ok()) co_return events.status();
    while (true) {
      const Result<store::WatchResponse> answer = co_await next_answer(context_, **events, until_stopped());
      if (!answer.ok()) co_return answer.status();
      // A subscription that ended says nothing: begin again.
      if (answer->canceled) co_return Status(Code::unavailable, "timer: the queues could not be watched");
      if (answer->events.empty()) continue;
      any = co_await any_timers(&seen);
      if (!any.ok()) co_return any.status();
      if (*any) co_return Status();
    }
  }

  // As it is read now, made if there is none.
  Task<Result<Standing>> read_clock() {
    TimerClockView view(context_);
    const Result<std::int64_t> made = co_await view.at_most_now(call());
    if (!made.ok()) co_return made.status();
    const Result<store::RangeResponse> found =
        co_await store::awaitable::range(context_.store, one_key(std::string(timer_clock_key)), call());
    if (!found.ok()) co_return found.status();
    if (found->kvs.empty()) co_return Status(Code::unavailable, "timer: the timer clock was removed");
    const Result<TimerClockValue> value = parse_timer_clock(found->kvs[0].value);
    if (!value.ok()) co_return value.status();
    co_return Standing{*value, found->kvs[0].mod_revision, context_.clock.now()};
  }

  Task<Status> drive(const Session& session, const Leadership& leadership) {
    Result<Standing> standing = co_await read_clock();
    if (!standing.ok()) co_return standing.status();
    drives_ = true;
    for (int ticks = 1; session.alive(); ++ticks) {
      const TimePoint next = context_.clock.now() + timer_tick;
      if (Status paused = co_await pause_until(context_, next, until_stopped()); !paused.ok())
        co_return paused;
      if (!session.alive()) break;
      const Result<bool> ticked = co_await tick(*standing, leadership);
      if (ticked.ok() && !*ticked) co_return Status();
      if (!ticked.ok()) {
        standing = co_await read_clock();
        if (!standing.ok()) co_return standing.status();
      }
      if (ticks % ticks_between_looks != 0) continue;
      Revision seen;
      const Result<bool> any = co_await any_timers(&seen);
      if (any.ok() && !*any) co_return Status();
    }
    co_return session.state();
  }

  // False: another leads. An error, or a write by another: the clock must be read anew.
  Task<Result<bool>> tick(Standing& standing, const Leadership& leadership) {
    const TimePoint sent = context_.clock.now();
    const auto passed = std::chrono::floor<std::chrono::milliseconds>(sent - standing.counted_from).count();
    std::int64_t step = std::min<std::int64_t>(passed, standing.value.step_ms_max);
    if (LS_PLANTED(timer_early_after_jump)) {
      step = std::max<std::int64_t>(step, context_.clock.wall_now() / 1ms - standing.value.now_ms);
    }
    LS_MUST(step >= 0);
    const TimerClockValue value{standing.value.now_ms + step, next_step_ms_};
    const std::string key(timer_clock_key);
    store::TxnRequest txn;
    txn.compare.push_back(modified_at(key, standing.mod_revision));
    txn.compare.push_back(created_at(leadership.key, leadership.token));
    txn.success.push_back(operation(put_of(key, encode(value), LeaseId())));
    txn.failure.push_back(operation(one_key(leadership.key)));
    const Result<store::TxnResponse> written =
        co_await store::awaitable::txn(context_.store, std::move(txn), call());
    if (!written.ok()) co_return written.status();
    if (!written->succeeded) {
      const store::RangeResponse* leader = range_at(*written, 0);
      const bool leads =
          leader != nullptr && !leader->kvs.empty() && leader->kvs[0].create_revision == leadership.token;
      if (!leads) co_return false;
      co_return Status(Code::unavailable, "timer: another wrote the timer clock");
    }
    const TimePoint answered = context_.clock.now();
    const TimePoint counted_to =
        step == passed ? standing.counted_from + std::chrono::milliseconds(step) : sent;
    const TimePoint written_since = answered - std::chrono::milliseconds(standing.value.step_ms_max);
    standing.counted_from = std::max(counted_to, written_since);
    standing.value = value;
    standing.mod_revision = written->header.revision;
    const std::int64_t round_trip_ms = std::chrono::ceil<std::chrono::milliseconds>(answered - sent).count();
    next_step_ms_ = std::clamp(timer_tick / 1ms + 2 * round_trip_ms + 50, timer_step_ms_min, step_ms_max);
    ++ticks_;
    co_return true;
  }

  Context context_;
  store::Principal principal_;
  Elections elections_;
  std::stop_source stop_;     // gives back, and ends
  std::stop_source give_up_;  // ends
  struct GiveUp {
    Drive* drive;
    void operator()() const {
      const std::shared_ptr<Drive> alive = drive->shared_from_this();
      alive->give_up_.request_stop();
    }
  };
  std::optional<std::stop_callback<GiveUp>> on_give_up_;
  env::Closure ended_;
  bool over_ = false;
  std::int64_t next_step_ms_ = timer_step_ms_min;
  std::uint64_t ticks_ = 0;
  bool drives_ = false;
};

TimerDriver::TimerDriver(const Context& context, store::Principal principal)
    : drive_(std::make_shared<Drive>(context, principal)) {
  Drive::run(drive_).detach();
}

TimerDriver::~TimerDriver() {
  drive_->stop();
}

void TimerDriver::stop(const std::stop_token& give_up, env::Closure ended) {
  drive_->stop(give_up, std::move(ended));
}

bool TimerDriver::drives() const {
  return drive_->drives();
}

std::uint64_t TimerDriver::ticks() const {
  return drive_->ticks();
}

}  // namespace lockstep::service
