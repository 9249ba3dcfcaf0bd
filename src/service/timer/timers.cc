#include "service/timer/timers.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/assert.h"
#include "service/contenders.h"
#include "service/names.h"
#include "service/repeat.h"
#include "service/store_requests.h"
#include "service/timer/target.h"
#include "service/timer/timers_core.h"
#include "store/awaitable.h"

namespace lockstep::service {
namespace {

constexpr std::size_t list_max = 1000;

Status check(const std::string& queue, const std::string& name) {
  LS_RETURN_IF_ERROR(check_timer_queue(queue));
  return check_name(name);
}

Status check(const TimerSpec& spec) {
  LS_RETURN_IF_ERROR(check_name(spec.name));
  if (spec.payload.size() > timer_payload_bytes_max) return errors::timer_payload_too_long();
  if (!spec.target.empty()) LS_RETURN_IF_ERROR(check_timer_target(spec.target));
  if (spec.attempts_max < 1 || spec.attempts_max > timer_attempts_max) return errors::timer_attempts_wrong();
  if (spec.missed_max < 0 || spec.missed_max > timer_attempts_max) return errors::timer_attempts_wrong();
  const int times =
      (spec.after.has_value() ? 1 : 0) + (spec.at.has_value() ? 1 : 0) + (spec.cron.empty() ? 0 : 1);
  const auto wrong = [](const std::optional<Duration>& time, Duration most) {
    return time.has_value() && (*time < Duration{} || *time > most);
  };
  // An absolute time is bounded, too: what is counted from it stays within 64 bits.
  const bool bad = times != 1 || wrong(spec.after, timer_delay_max) || wrong(spec.at, 2 * timer_delay_max);
  return bad ? errors::timer_schedule_wrong() : Status();
}

// Its document, and how long after now it falls due.
struct Placed {
  TimerDocument document;
  std::int64_t in_ms = 0;
};
Result<Placed> place(const TimerSpec& spec, std::int64_t wall_ms) {
  Placed placed;
  TimerDocument& document = placed.document;
  document.attempts_max = spec.attempts_max;
  document.target = spec.target;
  document.payload = spec.payload;
  if (spec.after.has_value()) {
    placed.in_ms = std::chrono::ceil<std::chrono::milliseconds>(*spec.after).count();
    return placed;
  }
  if (spec.at.has_value()) {
    document.wall_ms = std::chrono::ceil<std::chrono::milliseconds>(*spec.at).count();
  } else {
    document.cron = spec.cron;
    document.zone = spec.zone.empty() ? "UTC" : spec.zone;
    document.missed = spec.missed;
    document.missed_max = spec.missed_max;
    LS_ASSIGN_OR_RETURN(document.wall_ms, next_run_ms(document, wall_ms));
    if (!document.wall_ms.has_value()) return errors::timer_never();
  }
  placed.in_ms = std::max<std::int64_t>(*document.wall_ms - wall_ms, 0);
  return placed;
}

store::TxnRequest place_txn(const TimerKeys& keys, const std::string& name, const TimerPointer& pointer,
                            const TimerDocument& document, const store::KeyValue* old) {
  const std::string entry = keys.due(pointer.due_ms, name);
  store::TxnRequest txn;
  txn.compare.push_back(modified_at(keys.set(name), old == nullptr ? Revision() : old->mod_revision));
  txn.success.push_back(operation(put_of(keys.set(name), encode(pointer), LeaseId())));
  txn.success.push_back(operation(put_of(entry, encode(document), LeaseId())));
  txn.failure.push_back(operation(one_key(keys.set(name))));
  if (old == nullptr) return txn;
  const Result<TimerPointer> before = parse_timer_pointer(old->value);
  const std::string old_entry = before.ok() ? keys.due(before->due_ms, name) : entry;
  if (old_entry != entry) txn.success.push_back(operation(removal_of(old_entry)));
  return txn;
}

// A queue's timers are all sent, or none: whoever claims from it would otherwise take what is to be sent, and
// the other way round.
enum class QueueKind : std::uint8_t { claimed, sent, sent_from_now_on };

void bind_to_kind(const std::string& queue, QueueKind kind, store::TxnRequest& txn) {
  const std::string mark = std::string(timer_sent_prefix) + queue;
  store::Compare marked = modified_at(mark, Revision());
  if (kind == QueueKind::sent) marked.result = store::CompareResult::greater;
  txn.compare.push_back(marked);
  txn.failure.push_back(operation(one_key(mark)));
  if (kind != QueueKind::sent_from_now_on) return;
  const std::string all = TimerKeys(queue).all_set();
  store::Compare none = modified_at(all, Revision());
  none.range_end = prefix_end(all);
  txn.compare.push_back(std::move(none));
  txn.success.push_back(operation(put_of(mark, "", LeaseId())));
}

// What to suppose next, after the queue was not of `kind`; or why there is no next time.
Result<QueueKind> other_kind(QueueKind kind, bool marked) {
  switch (kind) {
    case QueueKind::claimed:
      if (marked) return errors::timer_target_missing();
      return kind;
    case QueueKind::sent:
      return marked ? QueueKind::sent : QueueKind::sent_from_now_on;
    case QueueKind::sent_from_now_on:
      if (marked) return QueueKind::sent;
      return errors::timer_queue_claimed();
  }
  return kind;
}

}  // namespace

Timers::Timers(const Context& context) : core_(std::make_shared<Core>(context)) {}

Timers::~Timers() {
  core_->close();
}

store::Compare Timers::held(const std::string& queue, const std::string& name, const TimerToken& token) {
  return modified_at(TimerKeys(queue).due(token.due_ms, name), token.revision);
}

Task<Result<TimerPlaced>> Timers::set(std::string queue, TimerSpec spec, store::CallOptions options) {
  const std::shared_ptr<Core> core = core_;
  if (Status checked = check_timer_queue(queue); !checked.ok()) co_return checked;
  if (Status checked = check(spec); !checked.ok()) co_return checked;
  const TimerKeys keys(queue);
  const Result<Placed> placed = place(spec, core->wall_ms());
  if (!placed.ok()) co_return placed.status();
  Repetition sends(core->context(), options);
  std::optional<store::KeyValue> old;
  QueueKind kind = spec.target.empty() ? QueueKind::claimed : QueueKind::sent;
  while (co_await sends.next()) {
    const Result<std::int64_t> now = co_await core->clock().at_most_now(sends.call());
    if (!now.ok()) co_return now.status();
    const std::int64_t spread_ms = placed->document.wall_ms.has_value() ? core->spread_ms() : 0;
    const TimerPointer pointer{*now + placed->in_ms + spread_ms, core->draw()};
    store::TxnRequest txn =
        place_txn(keys, spec.name, pointer, placed->document, old.has_value() ? &*old : nullptr);
    bind_to_kind(queue, kind, txn);
    const Result<store::TxnResponse> answer =
        co_await store::awaitable::txn(core->context().store, std::move(txn), sends.call());
    TimerPlaced done;
    if (placed->document.wall_ms.has_value())
      done.wall = std::chrono::milliseconds(*placed->document.wall_ms);
    if (answer.ok() && answer->succeeded) {
      done.revision = answer->header.revision;
      co_return done;
    }
    if (!answer.ok() && !is_unknown(answer.status())) co_return answer.status();
    if (!answer.ok()) {
      // Not sent again: it may have been set, have run, and be gone.
      const Result<store::RangeResponse> read =
          co_await store::awaitable::range(core->context().store, one_key(keys.set(spec.name)), sends.call());
      if (!read.ok() || read->kvs.empty()) co_return errors::timer_outcome_unknown();
      if (read->kvs[0].value != encode(pointer)) co_return errors::timer_outcome_unknown();
      done.revision = read->kvs[0].mod_revision;
      co_return done;
    }
    const store::RangeResponse* found = range_at(*answer, 0);
    const store::RangeResponse* mark = range_at(*answer, 1);
    LS_MUST(found != nullptr && mark != nullptr);
    const Result<QueueKind> next_kind = other_kind(kind, !mark->kvs.empty());
    if (!next_kind.ok()) co_return next_kind.status();
    kind = *next_kind;
    old.reset();
    if (!found->kvs.empty()) old = found->kvs[0];
    if (old.has_value() && spec.only_if_new) co_return errors::timer_exists();
    sends.again();
  }
  co_return sends.last_failure();
}

Task<Status> Timers::cancel(std::string queue, std::string name, store::CallOptions options) {
  const std::shared_ptr<Core> core = core_;
  if (Status checked = check(queue, name); !checked.ok()) co_return checked;
  const TimerKeys keys(queue);
  Repetition sends(core->context(), options);
  while (co_await sends.next()) {
    const Result<store::RangeResponse> read =
        co_await store::awaitable::range(core->context().store, one_key(keys.set(name)), sends.call());
    if (!read.ok()) {
      sends.failed(read.status());
      continue;
    }
    if (read->kvs.empty()) co_return sends.in_doubt() ? Status() : errors::timer_not_found();
    const store::KeyValue& kv = read->kvs[0];
    store::TxnRequest txn;
    txn.compare.push_back(modified_at(kv.key, kv.mod_revision));
    txn.success.push_back(operation(removal_of(kv.key)));
    const Result<TimerPointer> pointer = parse_timer_pointer(kv.value);
    if (pointer.ok()) txn.success.push_back(operation(removal_of(keys.due(pointer->due_ms, name))));
    const Result<store::TxnResponse> removed =
        co_await store::awaitable::txn(core->context().store, std::move(txn), sends.call());
    if (!removed.ok()) {
      sends.failed(removed.status());
    } else if (removed->succeeded) {
      co_return Status();
    } else {
      sends.again();
    }
  }
  co_return sends.in_doubt() ? errors::timer_outcome_unknown() : sends.last_failure();
}

Task<Result<TimerState>> Timers::show(std::string queue, std::string name, store::CallOptions options) {
  const std::shared_ptr<Core> core = core_;
  if (Status checked = check(queue, name); !checked.ok()) co_return checked;
  const TimerKeys keys(queue);
  options.request_id = {};
  const Result<store::RangeResponse> set =
      co_await store::awaitable::range(core->context().store, one_key(keys.set(name)), options);
  if (!set.ok()) co_return set.status();
  if (set->kvs.empty()) co_return errors::timer_not_found();
  const Result<TimerPointer> pointer = parse_timer_pointer(set->kvs[0].value);
  if (!pointer.ok()) co_return pointer.status();
  const Result<store::RangeResponse> entry = co_await store::awaitable::range(
      core->context().store, one_key(keys.due(pointer->due_ms, name)), options);
  if (!entry.ok()) co_return entry.status();
  TimerState state;
  state.name = name;
  state.delivered = entry->kvs.empty();
  if (state.delivered) co_return state;
  Result<TimerDocument> document = parse_timer_document(entry->kvs[0].value);
  if (!document.ok()) co_return document.status();
  const Result<std::int64_t> now = co_await core->clock().at_most_now(options);
  if (!now.ok()) co_return now.status();
  const std::int64_t due_in_ms = std::clamp<std::int64_t>(pointer->due_ms - *now, 0, timer_wall_ms_max);
  state.due_in = std::chrono::milliseconds(due_in_ms);
  if (document->wall_ms.has_value()) state.wall = std::chrono::milliseconds(*document->wall_ms);
  state.attempts = document->attempts;
  state.document = *std::move(document);
  co_return state;
}

Task<Result<std::vector<std::string>>> Timers::list(std::string queue, std::string after, std::size_t limit,
                                                    store::CallOptions options) {
  const std::shared_ptr<Core> core = core_;
  if (Status checked = check_timer_queue(queue); !checked.ok()) co_return checked;
  if (limit < 1 || limit > list_max || after.size() > name_bytes_max) co_return errors::timer_claim_wrong();
  const TimerKeys keys(queue);
  store::RangeRequest request;
  request.key = after.empty() ? keys.all_set() : keys.set(after) + '\0';
  request.range_end = prefix_end(keys.all_set());
  request.limit = static_cast<std::int64_t>(limit);
  request.keys_only = true;
  const Result<store::RangeResponse> found =
      co_await store::awaitable::range(core->context().store, std::move(request), std::move(options));
  if (!found.ok()) co_return found.status();
  std::vector<std::string> names;
  for (const store::KeyValue& kv : found->kvs) names.push_back(kv.key.substr(keys.all_set().size()));
  co_return names;
}

Task<Result<std::vector<DeadTimer>>> Timers::dead(std::string queue, std::size_t limit,
                                                  store::CallOptions options) {
  const std::shared_ptr<Core> core = core_;
  if (Status checked = check_timer_queue(queue); !checked.ok()) co_return checked;
  if (limit < 1 || limit > list_max) co_return errors::timer_claim_wrong();
  const TimerKeys keys(queue);
  store::RangeRequest request;
  request.key = keys.all_dead();
  request.range_end = prefix_end(request.key);
  request.limit = static_cast<std::int64_t>(limit);
  const Result<store::RangeResponse> found =
      co_await store::awaitable::range(core->context().store, std::move(request), std::move(options));
  if (!found.ok()) co_return found.status();
  std::vector<DeadTimer> letters;
  for (const store::KeyValue& kv : found->kvs) {
    DeadTimer letter;
    letter.name = kv.key.substr(keys.all_dead().size());
    Result<TimerDocument> document = parse_timer_document(kv.value);
    if (document.ok()) letter.document = *std::move(document);
    letters.push_back(std::move(letter));
  }
  co_return letters;
}

Task<Status> Timers::revive(std::string queue, std::string name, store::CallOptions options) {
  const std::shared_ptr<Core> core = core_;
  if (Status checked = check(queue, name); !checked.ok()) co_return checked;
  const TimerKeys keys(queue);
  Repetition sends(core->context(), options);
  while (co_await sends.next()) {
    const Result<store::RangeResponse> read =
        co_await store::awaitable::range(core->context().store, one_key(keys.dead(name)), sends.call());
    if (!read.ok()) co_return read.status();
    if (read->kvs.empty()) co_return errors::timer_not_found();
    Result<TimerDocument> document = parse_timer_document(read->kvs[0].value);
    if (!document.ok()) co_return document.status();
    const Result<std::int64_t> now = co_await core->clock().at_most_now(sends.call());
    if (!now.ok()) co_return now.status();
    document->of = Revision();
    document->attempts = 0;
    document->claim.clear();
    document->cron.clear();  // what recurs went on: this is the one run that is done again
    store::TxnRequest txn = place_txn(keys, name, {*now, core->draw()}, *document, nullptr);
    txn.compare.push_back(modified_at(keys.dead(name), read->kvs[0].mod_revision));
    txn.success.push_back(operation(removal_of(keys.dead(name))));
    const Result<store::TxnResponse> revived =
        co_await store::awaitable::txn(core->context().store, std::move(txn), sends.call());
    if (!revived.ok())
      co_return is_unknown(revived.status()) ? errors::timer_outcome_unknown() : revived.status();
    if (revived->succeeded) co_return Status();
    const store::RangeResponse* found = range_at(*revived, 0);
    if (found != nullptr && !found->kvs.empty()) co_return errors::timer_exists();
    sends.again();
  }
  co_return sends.last_failure();
}

Task<Status> Timers::drop_dead(std::string queue, std::string name, store::CallOptions options) {
  const std::shared_ptr<Core> core = core_;
  if (Status checked = check(queue, name); !checked.ok()) co_return checked;
  options.request_id = {};
  const Result<store::DeleteRangeResponse> removed = co_await store::awaitable::delete_range(
      core->context().store, removal_of(TimerKeys(queue).dead(name)), std::move(options));
  if (!removed.ok()) co_return removed.status();
  co_return removed->deleted == 0 ? errors::timer_not_found() : Status();
}

}  // namespace lockstep::service
