#include "service/timer/timers_core.h"

#include <chrono>
#include <utility>

#include "base/assert.h"
#include "service/record/record.h"
#include "service/store_requests.h"

namespace lockstep::service {
namespace {

// Remembered for where they look; one that is forgotten looks at everything once.
constexpr std::size_t idle_lanes_max = 1024;

}  // namespace

namespace errors {
Status timer_queue_wrong() {
  return {Code::invalid_argument, "timer: a queue's name is 1 to 255 bytes without \"/\""};
}
Status timer_schedule_wrong() {
  return {Code::invalid_argument,
          "timer: expected one of after, at and cron, not negative and within 100 years"};
}
Status timer_never() {
  return {Code::invalid_argument, "timer: the expression names no moment within ten years"};
}
Status timer_payload_too_long() {
  return {Code::invalid_argument, "timer: the payload is longer than 64 KiB"};
}
Status timer_target_missing() {
  return {Code::failed_precondition,
          "timer: this queue's timers are sent: give a target, or take another queue"};
}
Status timer_queue_claimed() {
  return {Code::failed_precondition,
          "timer: this queue has timers that are claimed: take another queue for those with a target"};
}
Status timer_attempts_wrong() {
  return {Code::invalid_argument, "timer: attempts are 1 to 1000, missed runs 0 to 1000"};
}
Status timer_claim_wrong() {
  return {Code::invalid_argument, "timer: expected 1 to 64 timers, and times of up to a day"};
}
Status timer_exists() {
  return {Code::already_exists, "timer: there is one of that name"};
}
Status timer_not_found() {
  return {Code::not_found, "timer: there is none of that name"};
}
Status delivery_lost() {
  return {Code::failed_precondition, "timer: the delivery's time was over, or it was settled"};
}
Status too_many_claims() {
  return {Code::resource_exhausted, "timer: too many claims wait already"};
}
Status timers_closed() {
  return {Code::cancelled, "timer: closed before it was done"};
}
Status timer_outcome_unknown() {
  return {Code::unknown_outcome, "timer: it may have taken effect, or may do so later"};
}
}  // namespace errors

Status check_timer_queue(std::string_view queue) {
  const bool good =
      !queue.empty() && queue.size() <= timer_queue_bytes_max && queue.find('/') == std::string_view::npos;
  return good ? Status() : errors::timer_queue_wrong();
}

std::string Timers::Core::draw() const {
  return to_hexadecimal(context_.random.next());
}

void Timers::Core::close() {
  closed_ = true;
  for (const auto& [key, lane] : std::map(lanes_)) {  // whoever is woken may be the last of his lane
    for (const auto& [id, signal] : std::map(lane->queue)) signal.set();
    for (const auto& [id, signal] : std::map(lane->impatient)) signal.set();
    if (lane->waiting.has_value()) std::optional(lane->waiting)->set();
  }
}

std::shared_ptr<ClaimLane> Timers::Core::lane(const std::string& queue, store::Principal principal) {
  std::shared_ptr<ClaimLane>& lane = lanes_[{principal, queue}];
  if (lane == nullptr) lane = std::make_shared<ClaimLane>();
  return lane;
}

void Timers::Core::forget_idle_lane(const std::string& queue, store::Principal principal) {
  const auto found = lanes_.find({principal, queue});
  if (found == lanes_.end() || lanes_.size() <= idle_lanes_max) return;
  const ClaimLane& lane = *found->second;
  if (!lane.taken && lane.queue.empty() && lane.impatient.empty()) lanes_.erase(found);
}

Task<Result<bool>> Timers::Core::take_turn(std::shared_ptr<Core> core, std::shared_ptr<ClaimLane> lane,
                                           store::CallOptions options, bool patient) {
  if (Status wanted = still_wanted(core->context_, options); !wanted.ok()) co_return wanted;
  if (!lane->taken) {
    lane->taken = true;
    co_return true;
  }
  if (!patient && lane->waiting.has_value()) co_return false;
  if (core->claims_ >= waiting_claims_max) co_return errors::too_many_claims();
  const std::uint64_t id = ++core->last_id_;
  const Signal turn(core->context_);
  auto& line = patient ? lane->queue : lane->impatient;
  line.emplace(id, turn);
  ++core->claims_;
  const Wake wake = co_await turn.wait(options.deadline, options.cancellation);
  --core->claims_;
  const bool passed = lane->passed.erase(id) > 0;
  const bool given = line.erase(id) == 0 && !passed;
  if (core->closed_ || wake != Wake::signalled) {
    if (given) core->give_turn(*lane);
    if (core->closed_) co_return errors::timers_closed();
    co_return wake == Wake::deadline ? errors::wait_deadline_over() : errors::wait_cancelled();
  }
  LS_MUST(given || passed, "woken because it is its turn, or needs none");
  co_return given;
}

void Timers::Core::let_impatient_pass(ClaimLane& lane) {
  for (const auto& [id, signal] : std::exchange(lane.impatient, {})) {
    lane.passed.insert(id);
    signal.set();
  }
}

void Timers::Core::give_turn(ClaimLane& lane) {
  LS_MUST(lane.taken);
  auto& line = lane.impatient.empty() ? lane.queue : lane.impatient;
  if (line.empty()) {
    lane.taken = false;
    return;
  }
  const auto next = line.extract(line.begin());
  next.mapped().set();
}

Result<std::optional<std::int64_t>> next_run_ms(const TimerDocument& document, std::int64_t after_ms) {
  LS_ASSIGN_OR_RETURN(const Cron cron, Cron::parse(document.cron));
  LS_ASSIGN_OR_RETURN(const Zone zone, Zone::find(document.zone));
  const auto after = std::chrono::floor<Seconds>(std::chrono::milliseconds(after_ms));
  const std::optional<Seconds> next = cron.next(zone, after);
  if (!next.has_value() || *next / 1ms > timer_wall_ms_max) return std::optional<std::int64_t>();
  return std::optional<std::int64_t>(*next / 1ms);
}

store::TxnRequest on_entry(const std::string& entry, Revision revision, const std::string& set_key,
                           Revision of, std::vector<store::RequestOperation> then) {
  store::TxnRequest stale;
  stale.compare.push_back(modified_at(entry, revision));
  stale.success.push_back(operation(removal_of(entry)));
  store::TxnRequest txn;
  txn.compare.push_back(modified_at(entry, revision));
  txn.compare.push_back(modified_at(set_key, of));
  txn.success = std::move(then);
  txn.failure.push_back(operation(std::move(stale)));
  return txn;
}

EntryOutcome entry_outcome(const store::TxnResponse& answer, std::size_t position) {
  LS_MUST(position < answer.responses.size());
  const auto* nested = std::get_if<store::TxnResponse>(&answer.responses[position].response);
  LS_MUST(nested != nullptr);
  if (nested->succeeded) return EntryOutcome::done;
  LS_MUST(nested->responses.size() == 1);
  const auto* stale = std::get_if<store::TxnResponse>(&nested->responses[0].response);
  LS_MUST(stale != nullptr);
  return stale->succeeded ? EntryOutcome::removed_stale : EntryOutcome::gone;
}

}  // namespace lockstep::service
