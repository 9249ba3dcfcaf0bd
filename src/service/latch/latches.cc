#include "service/latch/latches.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "base/planted.h"
#include "service/contenders.h"
#include "service/flat_json.h"
#include "service/lock/description.h"
#include "service/names.h"
#include "service/repeating.h"
#include "service/store_requests.h"
#include "service/waiting.h"
#include "store/awaitable.h"

namespace lockstep::service {
namespace {

constexpr Duration watch_pause = 100ms;
constexpr Duration count_pause_min = 1ms;
constexpr Duration count_pause_max = 50ms;

std::string latch_key(const std::string& name) {
  return "lockstep/latches/" + key_segment(name);
}
std::string party_key(const std::string& name, const std::string& party) {
  return latch_key(name) + "/" + key_segment(party);
}

std::string encode(const LatchState& state) {
  return FlatJsonWriter().number("count", state.count).number("of", state.of).str();
}

Result<LatchState> decode(std::string name, const std::string& value) {
  const Result<FlatJson> json = FlatJson::parse(value);
  if (!json.ok()) return errors::latch_damaged();
  LatchState state;
  state.name = std::move(name);
  state.count = json->number("count").value_or(-1);
  state.of = json->number("of").value_or(0);
  if (state.of < 1 || state.of > latch_parties_max || state.count < 0 || state.count > state.of) {
    return errors::latch_damaged();
  }
  return state;
}

// From a range of the latch's key.
Result<LatchState> decode(const std::string& name, const store::RangeResponse* range) {
  if (range == nullptr) return errors::latch_damaged();
  if (range->kvs.empty()) return errors::latch_not_found();
  return decode(name, range->kvs[0].value);
}

Task<Result<LatchState>> make(Context context, std::string name, std::int64_t of,
                              store::CallOptions options) {
  if (Status wrong = check_name(name); !wrong.ok()) co_return wrong;
  if (of < 1 || of > latch_parties_max) co_return errors::latch_out_of_range();
  const LatchState made{name, of, of};
  Repeating repeating(context, std::move(options));
  while (true) {
    store::TxnRequest txn;
    txn.compare.push_back(created_at(latch_key(name), Revision()));
    txn.success.push_back(operation(put_of(latch_key(name), encode(made), {})));
    txn.failure.push_back(operation(one_key(latch_key(name))));
    const Result<store::TxnResponse> answer =
        co_await store::awaitable::txn(context.store, std::move(txn), repeating.call());
    if (answer.ok()) {
      if (answer->succeeded) co_return made;
      Result<LatchState> there = decode(name, range_at(*answer, 0));
      if (there.ok() && there->of != of) co_return errors::latch_differs();
      co_return there;
    }
    if (Status end = co_await repeating.after(answer.status()); !end.ok()) co_return end;
  }
}

// What is there: the latch and the party. Then the count, if nothing has changed since; else that again.
Task<Result<LatchState>> count(Context context, std::string name, std::string party,
                               store::CallOptions options) {
  if (Status wrong = check_name(name); !wrong.ok()) co_return wrong;
  if (party.empty()) party = new_attempt(context);
  if (Status wrong = check_name(party); !wrong.ok()) co_return wrong;
  const store::CallOptions wanted = options;
  Repeating repeating(context, std::move(options));
  std::optional<store::KeyValue> known;
  Duration pause_max{};
  while (true) {
    store::TxnRequest txn;
    LatchState counted;
    if (known.has_value()) {
      counted = decode(name, known->value).value();
      --counted.count;
      txn.compare.push_back(modified_at(known->key, known->mod_revision));
      if (!LS_PLANTED(latch_counts_party_twice))
        txn.compare.push_back(created_at(party_key(name, party), Revision()));
      txn.success.push_back(operation(put_of(known->key, encode(counted), {})));
      txn.success.push_back(operation(put_of(party_key(name, party), "", {})));
    } else {
      txn.compare.push_back(created_at(latch_key(name), Revision::max()));  // never: read only
    }
    txn.failure.push_back(operation(one_key(latch_key(name))));
    txn.failure.push_back(operation(one_key(party_key(name, party))));
    const Result<store::TxnResponse> answer =
        co_await store::awaitable::txn(context.store, std::move(txn), repeating.call());
    if (!answer.ok()) {
      if (Status end = co_await repeating.after(answer.status()); !end.ok()) co_return end;
      continue;
    }
    if (answer->succeeded) co_return counted;
    const store::RangeResponse* latch = range_at(*answer, 0);
    const store::RangeResponse* there = range_at(*answer, 1);
    Result<LatchState> state = decode(name, latch);
    if (!state.ok() || there == nullptr) co_return state;
    const bool counted_before = !there->kvs.empty() && !LS_PLANTED(latch_counts_party_twice);
    if (state->count == 0 || counted_before) co_return state;
    if (known.has_value()) {
      // Others counted at the same moment: not all of them again at the same one.
      pause_max = std::min(2 * pause_max + count_pause_min, count_pause_max);
      const auto share = context.random.next() % static_cast<std::uint64_t>(pause_max.count());
      const TimePoint again = context.clock.now() + Duration(static_cast<std::int64_t>(share));
      if (Status ended = co_await pause_until(context, again, wanted); !ended.ok())
        co_return repeating.maybe_done() ? Status(Code::unknown_outcome, std::string(ended.message()))
                                         : ended;
    }
    known = latch->kvs[0];
  }
}

// ok: look again. What the subscription says is the latch's state.
Task<Result<LatchState>> follow(Context context, std::string name, store::Subscription& subscription,
                                store::CallOptions options) {
  LatchState state;
  state.count = 1;
  while (true) {
    const Result<store::WatchResponse> answer = co_await next_answer(context, subscription, options);
    if (!answer.ok()) co_return answer.status();
    for (const store::Event& event : answer->events) {
      if (event.kind == store::EventKind::remove) co_return errors::latch_not_found();
      Result<LatchState> said = decode(name, event.kv.value);
      if (!said.ok() || said->count == 0) co_return said;
      state = *said;
    }
    if (answer->canceled) co_return state;
  }
}

Task<Result<LatchState>> await(Context context, std::string name, store::CallOptions options) {
  if (Status wrong = check_name(name); !wrong.ok()) co_return wrong;
  options.request_id = {};
  while (true) {
    const Result<store::RangeResponse> range =
        co_await store::awaitable::range(context.store, one_key(latch_key(name)), options);
    if (range.ok()) {
      Result<LatchState> state = decode(name, &*range);
      if (!state.ok() || state->count == 0) co_return state;
      store::WatchRequest request;
      request.key = latch_key(name);
      request.start_revision = range->header.revision.next();
      const auto watched = context.store.watch(std::move(request), options);
      if (watched.ok()) {
        Result<LatchState> followed = co_await follow(context, name, *watched.value(), options);
        if (!followed.ok() || followed->count == 0) co_return followed;
      } else if (watched.status().code() != Code::unavailable) {
        co_return watched.status();  // asking again would be polling
      }
    } else if (range.status().code() != Code::unavailable) {
      co_return range.status();
    }
    const TimePoint again = context.clock.now() + watch_pause;
    if (Status ended = co_await pause_until(context, again, options); !ended.ok()) co_return ended;
  }
}

Task<Result<LatchState>> show(Context context, std::string name, store::CallOptions options) {
  if (Status wrong = check_name(name); !wrong.ok()) co_return wrong;
  const Result<store::RangeResponse> range =
      co_await store::awaitable::range(context.store, one_key(latch_key(name)), std::move(options));
  if (!range.ok()) co_return range.status();
  co_return decode(name, &*range);
}

Task<Status> remove(Context context, std::string name, store::CallOptions options) {
  if (Status wrong = check_name(name); !wrong.ok()) co_return wrong;
  store::DeleteRangeRequest parties;
  parties.key = latch_key(name) + "/";
  parties.range_end = prefix_end(parties.key);
  store::TxnRequest txn;
  txn.success.push_back(operation(removal_of(latch_key(name))));
  txn.success.push_back(operation(std::move(parties)));
  const Result<store::TxnResponse> answer =
      co_await store::awaitable::txn(context.store, std::move(txn), std::move(options));
  co_return answer.status();
}

}  // namespace

namespace errors {
Status latch_not_found() {
  return {Code::not_found, "lockstep: no such latch"};
}
Status latch_differs() {
  return {Code::failed_precondition, "lockstep: the latch waits for another number of parties"};
}
Status latch_out_of_range() {
  return {Code::invalid_argument, "lockstep: a latch waits for 1 to 10000 parties"};
}
Status latch_damaged() {
  return {Code::corruption, "lockstep: the latch's key does not say what it waits for"};
}
}  // namespace errors

Task<Result<LatchState>> make_latch(Context context, std::string name, std::int64_t of,
                                    store::CallOptions options) {
  return make(context, std::move(name), of, std::move(options));
}
Task<Result<LatchState>> count_down(Context context, std::string name, std::string party,
                                    store::CallOptions options) {
  return count(context, std::move(name), std::move(party), std::move(options));
}
Task<Result<LatchState>> await_latch(Context context, std::string name, store::CallOptions options) {
  return await(context, std::move(name), std::move(options));
}
Task<Result<LatchState>> show_latch(Context context, std::string name, store::CallOptions options) {
  return show(context, std::move(name), std::move(options));
}
Task<Status> remove_latch(Context context, std::string name, store::CallOptions options) {
  return remove(context, std::move(name), std::move(options));
}

}  // namespace lockstep::service
