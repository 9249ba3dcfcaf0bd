// Settling deliveries: one transaction, in which each stands for itself.
#include <algorithm>
#include <chrono>
#include <utility>

#include "base/assert.h"
#include "base/limits.h"
#include "base/planted.h"
#include "service/names.h"
#include "service/repeat.h"
#include "service/store_requests.h"
#include "service/timer/timers_core.h"
#include "store/awaitable.h"

namespace lockstep::service {
namespace {

using Kind = TimerSettlement::Kind;

// Of one transaction, far below what a request may have: payloads of what is not over go along.
constexpr std::size_t settle_bytes_max = limits::mebibyte;

Status check(const std::string& queue, const std::vector<TimerSettlement>& settlements) {
  LS_RETURN_IF_ERROR(check_timer_queue(queue));
  if (settlements.empty() || settlements.size() > timers_per_claim) return errors::timer_claim_wrong();
  for (std::size_t i = 0; i < settlements.size(); ++i) {
    const TimerSettlement& one = settlements[i];
    LS_RETURN_IF_ERROR(check_name(one.name));
    const bool good = one.token.revision > Revision() && one.token.of > Revision() && one.token.due_ms >= 0 &&
                      one.token.due_ms <= timer_due_ms_max;
    if (!good) return errors::timer_token_wrong();
    if (one.delay < Duration{} || one.delay > timer_visibility_max) return errors::timer_claim_wrong();
    for (std::size_t other = 0; other < i; ++other) {
      if (settlements[other].name == one.name) return errors::timer_claim_wrong();  // two writes of one key
    }
  }
  return {};
}

}  // namespace

class Timers::SettleStep {
 public:
  SettleStep(std::shared_ptr<Core> core, const std::string& queue, std::vector<TimerSettlement> settlements)
      : core_(std::move(core)), keys_(queue), settlements_(std::move(settlements)) {}

  Task<Result<std::vector<TimerSettled>>> run(store::CallOptions options) {
    settled_.assign(settlements_.size(), {errors::delivery_lost(), {}});
    Repetition sends(core_->context(), options);
    while (co_await sends.next()) {
      const Status sent = co_await attempt(sends);
      if (sent.ok() && begin_ == settlements_.size()) co_return settled_;
      if (sent.ok()) {
        sends.again();
      } else {
        sends.failed(sent);
      }
    }
    const Status failure = sends.in_doubt() ? errors::timer_outcome_unknown() : sends.last_failure();
    if (begin_ == 0) co_return failure;
    for (std::size_t i = begin_; i < settled_.size(); ++i) settled_[i] = {failure, {}};
    co_return settled_;
  }

 private:
  struct Part {
    std::size_t of = 0;  // the settlement
    std::int64_t due_ms = 0;
  };

  [[nodiscard]] static bool needs_entry(const TimerSettlement& one) {
    return one.kind != Kind::ack || one.token.recurring;
  }
  [[nodiscard]] std::string entry_of(const TimerSettlement& one) const {
    return keys_.due(one.token.due_ms, one.name);
  }

  // The entries that are not only removed, as they stand; nothing where the delivery is lost.
  Task<Status> read_entries(store::CallOptions call) {
    documents_.assign(settlements_.size(), std::nullopt);
    store::TxnRequest reads;
    std::vector<std::size_t> asked;
    for (std::size_t i = begin_; i < settlements_.size(); ++i) {
      if (!needs_entry(settlements_[i])) continue;
      reads.success.push_back(operation(one_key(entry_of(settlements_[i]))));
      asked.push_back(i);
    }
    if (asked.empty()) co_return Status();
    const Result<store::TxnResponse> found =
        co_await store::awaitable::txn(core_->context().store, std::move(reads), std::move(call));
    if (!found.ok()) co_return found.status();
    for (std::size_t position = 0; position < asked.size(); ++position) {
      const store::RangeResponse* range = range_at(*found, position);
      if (range == nullptr) co_return errors::answer_of_other_shape();
      const TimerToken& token = settlements_[asked[position]].token;
      if (range->kvs.empty() || range->kvs[0].mod_revision != token.revision) continue;
      Result<TimerDocument> document = parse_timer_document(range->kvs[0].value);
      // A token whose "of" is another's is none that was given out: acting on it would lose the timer.
      if (document.ok() && document->of == token.of) documents_[asked[position]] = *std::move(document);
    }
    co_return Status();
  }

  // The operations for one, and where its entry is then; nothing: it is lost, or cannot be settled here.
  std::optional<std::vector<store::RequestOperation>> operations(std::size_t position, std::int64_t now_ms,
                                                                 Part& part) {
    const TimerSettlement& one = settlements_[position];
    const std::string entry = entry_of(one);
    std::vector<store::RequestOperation> then;
    std::optional<TimerDocument>& document = documents_[position];
    if (needs_entry(one) && !document.has_value()) return std::nullopt;
    if (one.kind == Kind::ack) {
      if (LS_PLANTED(timer_fired_twice)) return then;
      then.push_back(operation(removal_of(entry)));
      std::optional<std::int64_t> next;
      if (one.token.recurring) {
        const auto counted = next_run(*document);
        if (!counted.ok()) {
          settled_[position].status = counted.status();  // its zone is not known here: it comes again
          return std::nullopt;
        }
        next = *counted;
      }
      if (!next.has_value()) {
        then.push_back(operation(removal_of(keys_.set(one.name))));
        return then;
      }
      const std::int64_t in_ms = std::max<std::int64_t>(*next - core_->wall_ms(), 0) + core_->spread_ms();
      const TimerPointer pointer{now_ms + in_ms, core_->draw()};
      document->of = Revision();
      document->attempts = 0;
      document->claim.clear();
      document->wall_ms = next;
      then.push_back(operation(put_of(keys_.set(one.name), encode(pointer), LeaseId())));
      const std::string next_entry = keys_.due(pointer.due_ms, one.name);
      if (next_entry == entry) then.erase(then.begin());
      then.push_back(operation(put_of(next_entry, encode(*document), LeaseId())));
      return then;
    }
    const auto delay_ms = std::chrono::ceil<std::chrono::milliseconds>(one.delay).count();
    part.due_ms = now_ms + delay_ms;
    document->of = one.token.of;
    if (one.kind == Kind::give_back) document->claim.clear();
    const std::string later = keys_.due(part.due_ms, one.name);
    if (later != entry) then.push_back(operation(removal_of(entry)));
    then.push_back(operation(put_of(later, encode(*document), LeaseId())));
    return then;
  }

  // After the run that was acknowledged.
  [[nodiscard]] Result<std::optional<std::int64_t>> next_run(const TimerDocument& document) const {
    std::int64_t after_ms = document.wall_ms.value_or(0);
    const bool stood_for_all = document.missed == MissedRuns::once && document.caught_up > 0;
    if (stood_for_all) after_ms = std::max(after_ms, core_->wall_ms());
    return next_run_ms(document, after_ms);
  }

  Task<Status> attempt(const Repetition& sends) {
    const bool doubted = sends.in_doubt();
    if (Status read = co_await read_entries(sends.call()); !read.ok()) co_return read;
    std::int64_t now_ms = 0;
    if (std::any_of(settlements_.begin() + static_cast<std::ptrdiff_t>(begin_), settlements_.end(),
                    needs_entry)) {
      const Result<std::int64_t> now = co_await core_->clock().at_most_now(sends.call());
      if (!now.ok()) co_return now.status();
      now_ms = *now;
    }
    store::TxnRequest txn;
    std::vector<Part> parts;
    std::size_t bytes = 0;
    std::size_t end = begin_;
    for (; end < settlements_.size(); ++end) {
      const std::size_t i = end;
      const std::size_t payload = documents_[i].has_value() ? documents_[i]->payload.size() : 0;
      bytes += payload + 8 * (keys_.prefix.size() + settlements_[i].name.size()) + 4096;
      if (end > begin_ && bytes > settle_bytes_max) break;
      settled_[i] = {doubted ? errors::timer_outcome_unknown() : errors::delivery_lost(), {}};
      Part part{i, 0};
      auto then = operations(i, now_ms, part);
      if (!then.has_value()) continue;
      const TimerSettlement& one = settlements_[i];
      txn.success.push_back(operation(
          on_entry(entry_of(one), one.token.revision, keys_.set(one.name), one.token.of, *std::move(then))));
      parts.push_back(part);
    }
    if (parts.empty()) {
      begin_ = end;
      co_return Status();
    }
    const Result<store::TxnResponse> answer =
        co_await store::awaitable::txn(core_->context().store, std::move(txn), sends.call());
    if (!answer.ok()) co_return answer.status();
    for (std::size_t position = 0; position < parts.size(); ++position) {
      const EntryOutcome outcome = entry_outcome(*answer, position);
      const TimerSettlement& one = settlements_[parts[position].of];
      TimerSettled& settled = settled_[parts[position].of];
      // What was replaced or cancelled meanwhile needs no acknowledgement, and cannot be extended.
      if (outcome == EntryOutcome::gone) continue;
      if (outcome == EntryOutcome::removed_stale && one.kind == Kind::extend) continue;
      settled.status = Status();
      settled.token = {parts[position].due_ms, answer->header.revision, one.token.of, one.token.recurring};
    }
    begin_ = end;
    co_return Status();
  }

  std::shared_ptr<Core> core_;
  TimerKeys keys_;
  std::vector<TimerSettlement> settlements_;
  std::size_t begin_ = 0;  // of those that are not settled yet
  std::vector<TimerSettled> settled_;
  std::vector<std::optional<TimerDocument>> documents_;
};

Task<Result<std::vector<TimerSettled>>> Timers::settle(std::string queue,
                                                       std::vector<TimerSettlement> settlements,
                                                       store::CallOptions options) {
  const std::shared_ptr<Core> core = core_;
  if (Status checked = check(queue, settlements); !checked.ok()) co_return checked;
  SettleStep step(core, queue, std::move(settlements));
  co_return co_await step.run(std::move(options));
}

}  // namespace lockstep::service
