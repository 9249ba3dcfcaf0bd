// Claiming: read what is due, move it by one transaction in which each timer stands for itself, wait if there
// is nothing.
#include <algorithm>
#include <array>
#include <chrono>
#include <set>
#include <utility>

#include "base/assert.h"
#include "base/limits.h"
#include "service/names.h"
#include "service/record/record.h"
#include "service/store_requests.h"
#include "service/timer/timers_core.h"
#include "store/awaitable.h"

namespace lockstep::service {
namespace {

// Of one transaction, far below what a request may have: payloads go along.
constexpr std::size_t claim_bytes_max = limits::mebibyte;
static_assert(claim_bytes_max + 2 * (timer_payload_bytes_max + 4096) < limits::request_bytes_max);
constexpr std::size_t due_digits = 16;
constexpr Duration call_time_max = 5s;
// A wall clock that is behind is looked at again after that: it may be put right.
constexpr std::int64_t postponed_ms_max = 10'000;
constexpr int steps_without_delivery_max = 1000;
// How far a claim that waits looks ahead, before it waits until then.
constexpr std::array<std::int64_t, 3> look_ahead_ms = {500, 5'000, 60'000};
// What of a damaged value is kept, so that it fits a transaction whatever its length.
constexpr std::size_t damaged_bytes_max = timer_payload_bytes_max;

}  // namespace

// One claim whose turn it is.
class Timers::ClaimStep {
 public:
  ClaimStep(std::shared_ptr<Core> core, std::shared_ptr<ClaimLane> lane, const std::string& queue,
            const TimerClaim& claim, store::CallOptions options)
      : core_(std::move(core)),
        lane_(std::move(lane)),
        keys_(queue),
        claim_(claim),
        options_(std::move(options)) {}

  Task<Result<std::vector<TimerDelivery>>> run() {
    const TimePoint patience = core_->context().clock.now() + claim_.wait;
    for (int steps = 0; steps < steps_without_delivery_max; ++steps) {
      if (core_->closed()) co_return errors::timers_closed();
      if (Status wanted = still_wanted(core_->context(), options_); !wanted.ok()) co_return wanted;
      if (Status looked = co_await look(); !looked.ok()) co_return looked;
      if (entries_.empty()) {
        if (core_->context().clock.now() >= patience) co_return deliveries_;
        if (Status waited = co_await wait(patience); !waited.ok()) co_return waited;
        continue;
      }
      if (Status moved = co_await move(); !moved.ok()) co_return moved;
      if (!deliveries_.empty()) co_return deliveries_;
    }
    co_return Status(Code::unavailable, "timer: others were faster, again and again");
  }

 private:
  struct Entry {
    std::string key;
    std::string name;
    Revision mod_revision;
    std::int64_t due_ms = 0;
    bool junk = false;  // its key is no timer's
    std::string value;
  };
  // What a transaction makes of an entry.
  struct Move {
    std::string belongs_to;  // the set/ key, and its revision
    Revision of;
    std::vector<store::RequestOperation> then;
    std::optional<TimerDelivery> delivery;
    std::string moved_to;  // of a delivery
    std::size_t bytes = 0;
  };

  [[nodiscard]] store::CallOptions call() const {
    store::CallOptions call;
    call.principal = options_.principal;
    call.deadline = std::min(options_.deadline, core_->context().clock.now() + call_time_max);
    return call;
  }

  // What is due by the timer clock, or the first of it.
  Task<Status> look() {
    while (true) {
      const DueWindow::Range window = lane_->window.next(core_->context().clock.now());
      store::RangeRequest due;
      due.key = window.begin_ms == 0 ? keys_.due_begin() : keys_.due(window.begin_ms, "");
      due.range_end = keys_.due(window.end_ms, "");
      due.limit = static_cast<std::int64_t>(window.entries_max);
      store::TxnRequest reads;
      reads.success.push_back(operation(one_key(std::string(timer_clock_key))));
      reads.success.push_back(operation(std::move(due)));
      const TimePoint sent = core_->context().clock.now();
      const Result<store::TxnResponse> found =
          co_await store::awaitable::txn(core_->context().store, std::move(reads), call());
      if (!found.ok()) co_return found.status();
      const store::RangeResponse* clock = range_at(*found, 0);
      const store::RangeResponse* entries = range_at(*found, 1);
      if (clock == nullptr || entries == nullptr) co_return errors::answer_of_other_shape();
      seen_ = found->header.revision;
      now_ms_ = -1;
      if (!clock->kvs.empty()) {
        const Result<TimerClockValue> value = parse_timer_clock(clock->kvs[0].value);
        if (!value.ok()) co_return value.status();
        core_->clock().learn(*value, sent);
        now_ms_ = value->now_ms;
      }
      take(*entries);
      if (!entries_.empty() || !lane_->window.found_nothing(window, now_ms_)) co_return Status();
    }
  }

  void take(const store::RangeResponse& found) {
    entries_.clear();
    bytes_read_ = 0;
    for (const store::KeyValue& kv : found.kvs) {
      bytes_read_ += kv.key.size() + kv.value.size();
      const auto due_ms = due_of(kv.key);
      const std::string_view rest = std::string_view(kv.key).substr(keys_.all_due().size());
      if (!due_ms.has_value()) {
        // An ordinary key that somebody put here. It would be read again each time: it is moved.
        entries_.push_back(
            {kv.key, std::string(rest.substr(0, name_bytes_max)), kv.mod_revision, 0, true, kv.value});
      } else if (*due_ms <= now_ms_) {
        entries_.push_back(
            {kv.key, std::string(rest.substr(due_digits + 1)), kv.mod_revision, *due_ms, false, kv.value});
      }
    }
    if (entries_.empty()) return;
    if (!entries_.front().junk && !entries_.back().junk) {
      lane_->window.found(entries_.front().due_ms, entries_.back().due_ms, found.count);
    }
    std::vector<std::string_view> names;
    for (const Entry& entry : entries_) names.push_back(entry.name);
    const std::vector<bool> chosen = lane_->window.choose(names, claim_.max, core_->context().random);
    std::size_t at = 0;
    std::erase_if(entries_, [&](const Entry& /*entry*/) { return !chosen[at++]; });
  }

  [[nodiscard]] std::optional<std::int64_t> due_of(std::string_view key) const {
    const std::string_view rest = key.substr(keys_.all_due().size());
    const auto due = number_of_hexadecimal(rest.substr(0, due_digits));
    const bool good = due.has_value() && *due <= static_cast<std::uint64_t>(timer_due_ms_max) &&
                      rest.size() > due_digits + 1 && rest[due_digits] == '/' &&
                      rest.size() - due_digits - 1 <= name_bytes_max;
    if (!good) return std::nullopt;
    return static_cast<std::int64_t>(*due);
  }

  // When it is worth looking again: when the next timer is due, or far ahead.
  Task<Status> look_ahead() {
    for (const std::int64_t ahead_ms : look_ahead_ms) {
      next_due_ms_ = now_ms_ + 1 + ahead_ms;
      store::RangeRequest due;
      due.key = keys_.due(now_ms_ + 1, "");
      due.range_end = keys_.due(next_due_ms_, "");
      due.limit = 1;
      due.keys_only = true;
      const Result<store::RangeResponse> found =
          co_await store::awaitable::range(core_->context().store, std::move(due), call());
      if (!found.ok()) co_return found.status();
      if (found->kvs.empty()) continue;
      next_due_ms_ = due_of(found->kvs[0].key).value_or(next_due_ms_);
      break;
    }
    co_return Status();
  }

  // Until something may be due: the clock has come as far, or an earlier timer was set.
  Task<Status> wait(TimePoint patience) {
    const Context& context = core_->context();
    if (Status looked = co_await look_ahead(); !looked.ok()) co_return looked;
    store::WatchRequest clock;
    clock.key = timer_clock_key;
    clock.start_revision = seen_.next();
    store::WatchRequest earlier;
    earlier.key = keys_.all_due();
    earlier.range_end = keys_.due(next_due_ms_, "");
    earlier.start_revision = seen_.next();
    earlier.no_delete = true;
    auto clock_events = context.store.watch(std::move(clock), options_);
    if (!clock_events.ok()) co_return clock_events.status();
    auto earlier_events = context.store.watch(std::move(earlier), options_);
    if (!earlier_events.ok()) co_return earlier_events.status();
    const Signal signal(context);
    lane_->waiting = signal;
    core_->let_impatient_pass(*lane_);
    const TimePoint until = std::min(patience, options_.deadline);
    Status status;
    while (!clock_reached(**clock_events) && !anything(**earlier_events)) {
      (*clock_events)->notify_when_ready([signal] { signal.set(); });
      (*earlier_events)->notify_when_ready([signal] { signal.set(); });
      const Wake wake = co_await signal.wait(until, options_.cancellation);
      if (core_->closed()) status = errors::timers_closed();
      if (wake == Wake::cancelled) status = errors::wait_cancelled();
      if (wake != Wake::signalled || core_->closed()) break;
    }
    lane_->waiting.reset();
    co_return status;
  }

  // Whether the watched clock shows that the next one is due, or cannot be watched.
  bool clock_reached(store::Subscription& events) {
    while (const std::optional<store::WatchResponse> answer = events.next(limits::kibibyte)) {
      if (answer->canceled) return true;
      for (const store::Event& event : answer->events) {
        const Result<TimerClockValue> value = parse_timer_clock(event.kv.value);
        if (!value.ok() || value->now_ms >= next_due_ms_) return true;
      }
    }
    return false;
  }
  static bool anything(store::Subscription& events) {
    while (const std::optional<store::WatchResponse> answer = events.next(limits::kibibyte)) {
      if (answer->canceled || !answer->events.empty()) return true;
    }
    return false;
  }

  Task<Status> move() {
    held_from_ = core_->context().clock.now();
    const Result<std::int64_t> now = co_await core_->clock().at_most_now(call());
    if (!now.ok()) co_return now.status();
    const std::string nonce = core_->draw();
    store::TxnRequest txn;
    std::vector<Move> moves;
    std::size_t bytes = 0;
    std::size_t delivering = 0;
    std::set<std::string_view> names;
    for (const Entry& entry : entries_) {
      // An entry that is left of an earlier timer of the same name: one transaction writes no key twice.
      if (!names.insert(entry.name).second) continue;
      Move move = plan(entry, *now, nonce);
      bytes += move.bytes;
      if (!moves.empty() && bytes > claim_bytes_max) break;
      if (move.delivery.has_value() && ++delivering > claim_.max) break;
      txn.success.push_back(
          operation(on_entry(entry.key, entry.mod_revision, move.belongs_to, move.of, std::move(move.then))));
      moves.push_back(std::move(move));
    }
    const Result<store::TxnResponse> answer =
        co_await store::awaitable::txn(core_->context().store, std::move(txn), call());
    if (!answer.ok() && is_unknown(answer.status())) co_return co_await find(moves, nonce);
    if (!answer.ok()) co_return answer.status();
    std::size_t done = 0;
    for (std::size_t i = 0; i < moves.size(); ++i) {
      if (entry_outcome(*answer, i) != EntryOutcome::gone) ++done;
      if (!moves[i].delivery.has_value() || entry_outcome(*answer, i) != EntryOutcome::done) continue;
      moves[i].delivery->token.revision = answer->header.revision;
      deliveries_.push_back(*std::move(moves[i].delivery));
    }
    lane_->window.claimed(done, moves.size(), bytes_read_, core_->context().random);
    co_return Status();
  }

  // After an unknown outcome: what carries our nonce is ours. What does not is not, and is moved no more once
  // somebody else has moved it; if it is moved after all, it comes back after the visibility time.
  Task<Status> find(std::vector<Move>& moves, const std::string& nonce) {
    store::TxnRequest reads;
    for (const Move& move : moves) {
      if (move.delivery.has_value()) reads.success.push_back(operation(one_key(move.moved_to)));
    }
    if (reads.success.empty()) co_return Status();
    const Result<store::TxnResponse> found =
        co_await store::awaitable::txn(core_->context().store, std::move(reads), call());
    if (!found.ok()) co_return errors::timer_outcome_unknown();
    std::size_t position = 0;
    for (Move& move : moves) {
      if (!move.delivery.has_value()) continue;
      const store::RangeResponse* range = range_at(*found, position++);
      if (range == nullptr || range->kvs.empty()) continue;
      const Result<TimerDocument> document = parse_timer_document(range->kvs[0].value);
      if (!document.ok() || document->claim != nonce) continue;
      move.delivery->token.revision = range->kvs[0].mod_revision;
      deliveries_.push_back(*std::move(move.delivery));
    }
    if (deliveries_.empty()) co_return errors::timer_outcome_unknown();
    co_return Status();
  }

  Move plan(const Entry& entry, std::int64_t now_ms, const std::string& nonce) {
    Move move;
    move.bytes = 8 * entry.key.size() + std::min(entry.value.size(), damaged_bytes_max) + 1024;
    move.then.push_back(operation(removal_of(entry.key)));
    Result<TimerDocument> parsed = parse_timer_document(entry.value);
    if (entry.junk || !parsed.ok() || (!parsed->cron.empty() && !Cron::parse(parsed->cron).ok())) {
      // Damaged, by whoever wrote here: kept for those who look, and in nobody's way.
      move.belongs_to = entry.key;
      move.of = entry.mod_revision;
      move.then.push_back(
          operation(put_of(keys_.dead(entry.name), entry.value.substr(0, damaged_bytes_max), LeaseId())));
      return move;
    }
    TimerDocument& document = *parsed;
    move.belongs_to = keys_.set(entry.name);
    move.of = document.of == Revision() ? entry.mod_revision : document.of;
    const std::int64_t wall_ms = core_->wall_ms();
    if (document.wall_ms.has_value() && wall_ms < *document.wall_ms) {
      postpone(entry, document, now_ms + std::min(*document.wall_ms - wall_ms, postponed_ms_max), move);
    } else if (document.attempts >= document.attempts_max) {
      move.then.push_back(operation(put_of(keys_.dead(entry.name), encode(document), LeaseId())));
      plan_next(entry, document, now_ms, move);
    } else if (is_skipped(document, wall_ms)) {
      plan_next(entry, document, now_ms, move);
    } else {
      plan_delivery(entry, document, now_ms, nonce, move);
    }
    return move;
  }

  // Whether this run of a recurring timer is too late to be delivered; counts those that are delivered late.
  static bool is_skipped(TimerDocument& document, std::int64_t wall_ms) {
    if (document.cron.empty() || document.attempts > 0) return false;
    const bool missed = wall_ms - document.wall_ms.value_or(wall_ms) > missed_after / 1ms;
    if (!missed) {
      document.caught_up = 0;
      return false;
    }
    if (document.missed == MissedRuns::skip) return true;
    if (document.missed == MissedRuns::all && document.caught_up >= document.missed_max) return true;
    ++document.caught_up;
    return false;
  }

  void postpone(const Entry& entry, TimerDocument& document, std::int64_t due_ms, Move& move) const {
    document.of = move.of;
    move.then.push_back(operation(put_of(keys_.due(due_ms, entry.name), encode(document), LeaseId())));
  }

  // The first run that is not missed, or the end of the timer.
  void plan_next(const Entry& entry, TimerDocument& document, std::int64_t now_ms, Move& move) {
    std::optional<std::int64_t> next;
    const std::int64_t wall_ms = core_->wall_ms();
    if (!document.cron.empty()) {
      const auto found = next_run_ms(document, std::max(wall_ms, document.wall_ms.value_or(wall_ms)));
      if (!found.ok()) {
        // Its zone is not known here: another process may know it, or this one later.
        move.then.resize(1);
        return postpone(entry, document, now_ms + postponed_ms_max, move);
      }
      next = *found;
    }
    if (!next.has_value()) {
      move.then.push_back(operation(removal_of(keys_.set(entry.name))));
      return;
    }
    document.of = Revision();
    document.attempts = 0;
    document.claim.clear();
    document.caught_up = 0;
    document.wall_ms = next;
    const std::int64_t in_ms = std::max<std::int64_t>(*next - wall_ms, 0) + core_->spread_ms();
    const TimerPointer pointer{now_ms + in_ms, core_->draw()};
    move.then.push_back(operation(put_of(keys_.set(entry.name), encode(pointer), LeaseId())));
    move.then.push_back(
        operation(put_of(keys_.due(pointer.due_ms, entry.name), encode(document), LeaseId())));
    move.bytes += document.payload.size();
  }

  void plan_delivery(const Entry& entry, TimerDocument& document, std::int64_t now_ms,
                     const std::string& nonce, Move& move) {
    TimerDelivery delivery;
    delivery.name = entry.name;
    delivery.payload = document.payload;
    delivery.target = document.target;
    delivery.attempt = ++document.attempts;
    if (document.wall_ms.has_value()) delivery.wall = std::chrono::milliseconds(*document.wall_ms);
    delivery.token.of = move.of;
    delivery.token.recurring = !document.cron.empty();
    delivery.token.due_ms = now_ms + std::chrono::ceil<std::chrono::milliseconds>(claim_.visibility).count();
    delivery.held_until = held_from_ + claim_.visibility;
    document.of = move.of;
    document.claim = nonce;
    move.moved_to = keys_.due(delivery.token.due_ms, entry.name);
    move.then.push_back(operation(put_of(move.moved_to, encode(document), LeaseId())));
    move.delivery = std::move(delivery);
  }

  std::shared_ptr<Core> core_;
  std::shared_ptr<ClaimLane> lane_;
  TimerKeys keys_;
  TimerClaim claim_;
  store::CallOptions options_;
  Revision seen_;
  TimePoint held_from_{};
  std::int64_t now_ms_ = -1;  // by the stored clock; -1: there is none
  std::vector<Entry> entries_;
  std::size_t bytes_read_ = 0;
  std::int64_t next_due_ms_ = 0;
  std::vector<TimerDelivery> deliveries_;
};

Task<Result<std::vector<TimerDelivery>>> Timers::claim(std::string queue, TimerClaim claim,
                                                       store::CallOptions options) {
  const std::shared_ptr<Core> core = core_;
  if (Status checked = check_timer_queue(queue); !checked.ok()) co_return checked;
  const bool good = claim.max >= 1 && claim.max <= timers_per_claim && claim.visibility > Duration{} &&
                    claim.visibility <= timer_visibility_max && claim.wait >= Duration{} &&
                    claim.wait <= timer_visibility_max;
  if (!good) co_return errors::timer_claim_wrong();
  options.request_id = {};
  const std::shared_ptr<ClaimLane> lane = core->lane(queue, options.principal);
  // Who waits in line waits as long as for a timer.
  store::CallOptions patience = options;
  const TimePoint began = core->context().clock.now();
  const bool patient = claim.wait > Duration{};
  if (patient) patience.deadline = std::min(options.deadline, began + claim.wait);
  const Result<bool> turn = co_await Core::take_turn(core, lane, patience, patient);
  if (!turn.ok()) {
    core->forget_idle_lane(queue, options.principal);
    const bool over = turn.status() == errors::wait_deadline_over();
    const bool waited_long_enough = patient && over && core->context().clock.now() < options.deadline;
    if (waited_long_enough) co_return std::vector<TimerDelivery>();
    co_return turn.status();
  }
  claim.wait = std::max<Duration>(claim.wait - (core->context().clock.now() - began), Duration{});
  ClaimStep step(core, lane, queue, claim, options);
  Result<std::vector<TimerDelivery>> claimed = co_await step.run();
  if (*turn) core->give_turn(*lane);
  core->forget_idle_lane(queue, options.principal);
  co_return claimed;
}

}  // namespace lockstep::service
