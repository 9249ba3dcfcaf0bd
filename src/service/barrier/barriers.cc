#include "service/barrier/barriers.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "service/barrier/gathering.h"
#include "service/contenders.h"
#include "service/names.h"
#include "service/repeating.h"
#include "service/store_requests.h"
#include "service/waiting.h"
#include "store/awaitable.h"
#include "store/errors.h"

namespace lockstep::service {
namespace {

constexpr Duration watch_pause = 100ms;
// A party's key, once the barrier's next generation has begun with it.
constexpr const char* passed_value = R"({"passed":true})";
static_assert(barrier_parties_max + 2 < static_cast<std::int64_t>(limits::txn_operations_max));

// One party's way through one barrier. Lives in the frame of the call.
class Party {
 public:
  static Task<Result<BarrierPassed>> enter(std::shared_ptr<Party> self) {
    const std::stop_callback on_over(self->session_->over(), [wake = self->wake_] { wake.set(); });
    while (true) {
      Status why = self->wanted();
      if (why.ok()) why = co_await self->step();
      if (self->passed_.has_value()) co_return *self->passed_;
      if (why.ok()) continue;
      withdraw_for_certain(self, why).detach();
      co_await self->withdrawn_.wait(self->context_.clock.now() + repeating_time_max, {});
      if (self->result_.has_value()) co_return *self->result_;
      co_return Status(Code::unknown_outcome, std::string(why.message()));
    }
  }

  Party(const Context& context, SessionPtr session, std::string name, std::int64_t parties,
        const store::CallOptions& options)
      : context_(context),
        session_(std::move(session)),
        name_(std::move(name)),
        parties_(parties),
        options_(options),
        wake_(context),
        withdrawn_(context) {
    options_.request_id = {};
  }

 private:
  [[nodiscard]] Status wanted() const {
    if (Status over = session_->state(); !over.ok()) return over;
    return still_wanted(context_, options_);
  }
  [[nodiscard]] store::CallOptions call() const {
    store::CallOptions call;
    call.principal = options_.principal;
    call.deadline = context_.clock.now() + repeating_time_max;
    return call;
  }
  [[nodiscard]] std::string own_key() const {
    return contender_key(parties_prefix(name_, gathering_.generation), session_->id());
  }

  // ok: go on. An error: it is over.
  Task<Status> step() {
    if (!is_set_up_) return set_up();
    if (!is_there_) return join();
    return go_on_or_wait();
  }

  // Errors of the store that may pass, and the session's end.
  Task<Status> endure(Status why) {
    if (why == store::errors::lease_not_found()) session_->found_missing();
    const bool passes = why.code() == Code::unavailable || why.code() == Code::deadline_exceeded ||
                        is_unknown(why) || (why.code() == Code::resource_exhausted && is_there_);
    if (!passes && session_->alive()) co_return why;
    if (session_->alive()) co_await wake_.wait(context_.clock.now() + watch_pause, {});
    co_return Status();
  }

  Task<Status> set_up() {
    Gathering first;
    first.parties = parties_;
    store::TxnRequest txn;
    txn.compare.push_back(created_at(barrier_key(name_), Revision()));
    txn.success.push_back(operation(put_of(barrier_key(name_), encode(first), {})));
    txn.success.push_back(operation(one_key(barrier_key(name_))));
    txn.failure.push_back(operation(one_key(barrier_key(name_))));
    const Result<store::TxnResponse> answer =
        co_await store::awaitable::txn(context_.store, std::move(txn), call());
    if (!answer.ok()) co_return co_await endure(answer.status());
    co_return learn(range_at(*answer, answer->succeeded ? 1 : 0), nullptr);
  }

  // What the barrier's key says now, and our own one at the same revision.
  Status learn(const store::RangeResponse* range, const store::RangeResponse* own) {
    is_set_up_ = false;
    if (range == nullptr) return errors::barrier_damaged();
    if (range->kvs.empty()) return {};  // removed: made again
    const Result<Gathering> gathering = decode_gathering(range->kvs[0]);
    if (!gathering.ok()) return gathering.status();
    if (gathering->parties != parties_) return errors::barrier_differs();
    if (is_there_ && gathering->generation != gathering_.generation) {
      is_there_ = false;
      learn_whether_passed(own);
    }
    gathering_ = *gathering;
    is_set_up_ = true;
    return {};
  }

  // Its token does not say it: a key that had ended before the others went on was not one of theirs.
  void learn_whether_passed(const store::RangeResponse* own) {
    if (own == nullptr || own->kvs.empty() || own->kvs[0].create_revision != token_) return;
    if (own->kvs[0].value != passed_value) {
      left_over_ = own_key();  // came too late: once more, in the next one
      return;
    }
    passed_ = BarrierPassed{name_, gathering_.generation, token_, own->header};
    passed_->header.revision = own->kvs[0].mod_revision;
  }

  Task<Status> join() {
    const std::string epoch_key = session_key(session_->id());
    store::TxnRequest txn;
    txn.compare.push_back(modified_at(barrier_key(name_), gathering_.modified));
    txn.compare.push_back(created_at(own_key(), Revision()));
    txn.compare.push_back(number_is(epoch_key, store::CompareTarget::version, session_->epoch()));
    txn.success.push_back(operation(put_of(own_key(), "{}", session_->id())));
    if (!left_over_.empty()) txn.success.push_back(operation(removal_of(left_over_)));
    txn.failure.push_back(operation(one_key(own_key())));
    txn.failure.push_back(operation(one_key(barrier_key(name_))));
    txn.failure.push_back(operation(one_key(epoch_key)));
    maybe_there_ = true;
    const Result<store::TxnResponse> answer =
        co_await store::awaitable::txn(context_.store, std::move(txn), call());
    if (!answer.ok()) co_return co_await endure(answer.status());
    if (answer->succeeded) {
      is_there_ = true;
      token_ = answer->header.revision;
      left_over_.clear();
      co_return Status();
    }
    const store::RangeResponse* own = range_at(*answer, 0);
    const store::RangeResponse* epoch = range_at(*answer, 2);
    if (own == nullptr || epoch == nullptr) co_return errors::barrier_damaged();
    session_->set_epoch(epoch->kvs.empty() ? 0 : epoch->kvs[0].version);
    if (!own->kvs.empty()) {
      is_there_ = true;
      token_ = own->kvs[0].create_revision;
    }
    co_return learn(range_at(*answer, 1), own);
  }

  // Enough are there: the next generation begins. Else waits for that.
  Task<Status> go_on_or_wait() {
    store::TxnRequest look;
    look.success.push_back(operation(one_key(barrier_key(name_))));
    look.success.push_back(operation(oldest_parties(name_, gathering_.generation, parties_)));
    look.success.push_back(operation(one_key(own_key())));
    const Result<store::TxnResponse> answer =
        co_await store::awaitable::txn(context_.store, std::move(look), call());
    if (!answer.ok()) co_return co_await endure(answer.status());
    const store::RangeResponse* own = range_at(*answer, 2);
    if (Status why = learn(range_at(*answer, 0), own); !why.ok() || !is_there_ || !is_set_up_) co_return why;
    const store::RangeResponse* there = range_at(*answer, 1);
    if (there == nullptr || own == nullptr) co_return errors::barrier_damaged();
    if (own->kvs.empty()) {
      is_there_ = false;  // taken away, or the lease ended: joining finds out
      co_return Status();
    }
    if (std::cmp_less(there->kvs.size(), parties_)) co_return co_await wait(answer->header.revision.next());
    co_return co_await begin_next(there->kvs);
  }

  Task<Status> begin_next(std::vector<store::KeyValue> first) {
    Gathering next = gathering_;
    ++next.generation;
    next.last = first.back().create_revision;
    store::TxnRequest txn;
    txn.compare.push_back(modified_at(barrier_key(name_), gathering_.modified));
    for (const store::KeyValue& party : first)
      txn.compare.push_back(created_at(party.key, party.create_revision));
    txn.success.push_back(operation(put_of(barrier_key(name_), encode(next), {})));
    for (const store::KeyValue& party : first) {
      store::PutRequest put = put_of(party.key, passed_value, {});
      put.ignore_lease = true;
      txn.success.push_back(operation(std::move(put)));
    }
    const Result<store::TxnResponse> answer =
        co_await store::awaitable::txn(context_.store, std::move(txn), call());
    if (!answer.ok()) co_return co_await endure(answer.status());
    co_return Status();  // by us or by others: the key says it
  }

  Task<Status> wait(Revision from) {
    store::WatchRequest request;
    request.key = barrier_key(name_);
    request.start_revision = from;
    auto watched = context_.store.watch(std::move(request), call());
    if (!watched.ok()) co_return co_await endure(watched.status());
    const std::unique_ptr<store::Subscription> subscription = *std::move(watched);
    while (true) {
      const std::optional<store::WatchResponse> answer = subscription->next(4096);
      if (answer.has_value()) {
        if (!answer->canceled && answer->events.empty()) continue;
        if (answer->canceled && answer->compact_revision == Revision()) {
          co_await wake_.wait(context_.clock.now() + watch_pause, {});
        }
        co_return Status();
      }
      subscription->notify_when_ready([wake = wake_] { wake.set(); });
      co_await wake_.wait(options_.deadline, options_.cancellation);
      if (Status why = wanted(); !why.ok()) co_return why;
    }
  }

  // Goes on also when nobody waits for it any more.
  static Task<void> withdraw_for_certain(std::shared_ptr<Party> self, Status why) {
    self->result_ = co_await self->withdraw(std::move(why));
    self->withdrawn_.set();
  }

  // Not counted any more, for certain; unless the others have gone on with us.
  Task<Result<BarrierPassed>> withdraw(Status why) {
    if (!maybe_there_) co_return why;
    while (true) {
      // Writing the session's key calls off what may still be under way.
      store::TxnRequest txn;
      const std::string epoch_key = session_key(session_->id());
      txn.compare.push_back(modified_at(barrier_key(name_), gathering_.modified));
      if (!is_there_) {
        txn.success.push_back(operation(put_of(epoch_key, "{}", session_->id())));
        txn.success.push_back(operation(one_key(epoch_key)));
      }
      txn.success.push_back(operation(removal_of(own_key())));
      if (!left_over_.empty()) txn.success.push_back(operation(removal_of(left_over_)));
      txn.failure.push_back(operation(one_key(barrier_key(name_))));
      txn.failure.push_back(operation(one_key(own_key())));
      const Result<store::TxnResponse> answer =
          co_await store::awaitable::txn(context_.store, std::move(txn), call());
      if (answer.ok() && answer->succeeded) {
        const store::RangeResponse* epoch = range_at(*answer, 1);
        if (!is_there_ && epoch != nullptr && !epoch->kvs.empty()) session_->set_epoch(epoch->kvs[0].version);
        co_return why;
      }
      if (answer.ok()) {
        const store::RangeResponse* own = range_at(*answer, 1);
        if (own != nullptr && !own->kvs.empty()) {
          is_there_ = true;
          token_ = own->kvs[0].create_revision;
        }
        const Status learned = learn(range_at(*answer, 0), own);
        if (passed_.has_value()) co_return *passed_;
        if (!learned.ok() || !is_set_up_) co_return why;
        continue;
      }
      // Its key ends with its lease.
      if (answer.status() == store::errors::lease_not_found() || !session_->alive()) co_return why;
      // It is nobody's right to, or it is tried again whatever is wrong.
      if (answer.status().code() == Code::permission_denied) co_return why;
      const TimePoint again = context_.clock.now() + repeating_pause;
      static_cast<void>(co_await pause_until(context_, again, {}));
    }
  }

  Context context_;
  SessionPtr session_;
  std::string name_;
  std::int64_t parties_;
  store::CallOptions options_;
  Signal wake_;
  Signal withdrawn_;
  std::optional<Result<BarrierPassed>> result_;
  Gathering gathering_;
  bool is_set_up_ = false;
  bool is_there_ = false;
  bool maybe_there_ = false;
  Revision token_;
  std::string left_over_;
  std::optional<BarrierPassed> passed_;
};

Task<Result<BarrierPassed>> enter(Context context, SessionPtr session, std::string name, std::int64_t parties,
                                  store::CallOptions options) {
  if (Status wrong = check_name(name); !wrong.ok()) co_return wrong;
  if (parties < 1 || parties > barrier_parties_max) co_return errors::barrier_out_of_range();
  co_return co_await Party::enter(
      std::make_shared<Party>(context, std::move(session), std::move(name), parties, options));
}

Task<Result<BarrierState>> show(Context context, std::string name, store::CallOptions options) {
  if (Status wrong = check_name(name); !wrong.ok()) co_return wrong;
  options.request_id = {};
  const Result<store::RangeResponse> barrier =
      co_await store::awaitable::range(context.store, one_key(barrier_key(name)), options);
  if (!barrier.ok()) co_return barrier.status();
  BarrierState state;
  state.name = name;
  if (barrier->kvs.empty()) co_return state;
  const Result<Gathering> gathering = decode_gathering(barrier->kvs[0]);
  if (!gathering.ok()) co_return gathering.status();
  state.parties = gathering->parties;
  state.generation = gathering->generation;
  store::RangeRequest there = oldest_parties(name, gathering->generation, 0);
  there.count_only = true;
  const Result<store::RangeResponse> counted =
      co_await store::awaitable::range(context.store, std::move(there), options);
  if (!counted.ok()) co_return counted.status();
  state.there = counted->count;
  co_return state;
}

Task<Status> remove(Context context, std::string name, store::CallOptions options) {
  if (Status wrong = check_name(name); !wrong.ok()) co_return wrong;
  options.request_id = {};
  const Result<store::RangeResponse> barrier =
      co_await store::awaitable::range(context.store, one_key(barrier_key(name)), options);
  if (!barrier.ok()) co_return barrier.status();
  if (barrier->kvs.empty()) co_return Status();
  const Result<Gathering> gathering = decode_gathering(barrier->kvs[0]);
  store::TxnRequest txn;
  txn.compare.push_back(modified_at(barrier_key(name), barrier->kvs[0].mod_revision));
  if (gathering.ok()) {
    const store::RangeRequest there = oldest_parties(name, gathering->generation, 0);
    txn.compare.push_back(created_at(there.key, Revision()));
    txn.compare.back().range_end = there.range_end;
  }
  store::DeleteRangeRequest parties;
  parties.key = barrier_key(name) + "/";
  parties.range_end = prefix_end(parties.key);
  txn.success.push_back(operation(removal_of(barrier_key(name))));
  txn.success.push_back(operation(std::move(parties)));
  const Result<store::TxnResponse> answer =
      co_await store::awaitable::txn(context.store, std::move(txn), std::move(options));
  if (!answer.ok()) co_return answer.status();
  co_return answer->succeeded ? Status() : errors::barrier_in_use();
}

}  // namespace

namespace errors {
Status barrier_differs() {
  return {Code::failed_precondition, "lockstep: the barrier has another number of parties"};
}
Status barrier_out_of_range() {
  return {Code::invalid_argument, "lockstep: a barrier has 1 to 100 parties"};
}
Status barrier_damaged() {
  return {Code::corruption, "lockstep: the barrier's key does not say what it waits for"};
}
Status barrier_not_entered() {
  return {Code::failed_precondition, "lockstep: the session is no party of that generation of the barrier"};
}
Status barrier_in_use() {
  return {Code::failed_precondition, "lockstep: somebody waits at the barrier"};
}
}  // namespace errors

Task<Result<BarrierPassed>> enter_barrier(Context context, SessionPtr session, std::string name,
                                          std::int64_t parties, store::CallOptions options) {
  return enter(context, std::move(session), std::move(name), parties, std::move(options));
}
Task<Result<BarrierState>> show_barrier(Context context, std::string name, store::CallOptions options) {
  return show(context, std::move(name), std::move(options));
}
Task<Status> remove_barrier(Context context, std::string name, store::CallOptions options) {
  return remove(context, std::move(name), std::move(options));
}

}  // namespace lockstep::service
