// The steps of a contender, from outside to served, and back.
#include "service/line_contender.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/planted.h"
#include "service/store_requests.h"
#include "store/awaitable.h"
#include "store/errors.h"

namespace lockstep::service {
namespace {

constexpr std::size_t events_bytes_max = 4096;  // one removal is awaited
// A store that does not answer must not keep a worker: asking again tells what became of it.
constexpr Duration call_time_max = 10s;
constexpr Duration pause_min = 20ms;
constexpr Duration pause_max = 1s;

// As many older keys as it takes to see who is served, who is first in line and who comes later.
std::size_t older_keys(const LineRequest& request) {
  return request.allowed_before == 0 ? 1 : request.allowed_before + 2;
}

}  // namespace

using Stage = Line::Contender::Stage;

Status Line::Core::unwanted(const Contender& contender) const {
  if (closed_ || contender.abandoned) return errors::wait_cancelled();
  return contender.session->state();
}

store::CallOptions Line::Core::call(const Contender& contender) const {
  store::CallOptions options;
  options.principal = contender.principal;
  options.deadline = context_.clock.now() + call_time_max;
  return options;
}

void Line::Core::refuse(Contender& contender, const Status& why) {
  LS_MUST(!why.ok());
  if (contender.result.has_value()) return;
  contender.result = why;
  contender.done.set();
}

Task<void> Line::Core::compete(ContenderPtr contender) {
  if (const std::optional<SentJoin>& sent = contender->request.sent) {
    contender->stage = Stage::unknown;
    if (sent->answer.has_value()) on_joined(*contender, *sent->answer);
  }
  while (!contender->result.has_value()) {
    if (const Status why = unwanted(*contender); !why.ok()) {
      refuse(*contender, why);
      co_return;
    }
    switch (contender->stage) {
      case Stage::outside:
        co_await join(contender);
        break;
      case Stage::unknown:
        co_await learn(contender);
        break;
      case Stage::found:
      case Stage::inside:
        co_await look(contender);
        break;
      case Stage::waiting:
        co_await watch(contender);
        break;
    }
  }
}

Task<void> Line::Core::pause(ContenderPtr contender) {
  contender->pause = std::clamp(2 * contender->pause, pause_min, pause_max);
  co_await contender->wake.wait(context_.clock.now() + contender->pause, {});
}

Task<void> Line::Core::endure(ContenderPtr contender, Status why) {
  const bool is_said = !contender->request.patient && contender->stage == Stage::outside;
  if (why == store::errors::lease_not_found()) {
    contender->lease_is_gone = true;
    if (is_said) refuse(*contender, why);
    contender->session->found_missing();
    co_return;
  }
  // Whoever is refused before there is anything of it says so. Afterwards overload is worth waiting for; and
  // what must be cleaned up is tried again whatever is wrong, unless it is nobody's right to.
  const bool is_cleaning_up = contender->result.has_value();
  const bool is_transient = why.code() == Code::unavailable || why.code() == Code::deadline_exceeded ||
                            why.code() == Code::cancelled || is_unknown(why) ||
                            why == store::errors::auth_revision_old();
  const bool is_overload = why.code() == Code::resource_exhausted && contender->stage != Stage::outside;
  const bool passes = is_cleaning_up ? why.code() != Code::permission_denied : is_transient || is_overload;
  if (!passes || is_said) {
    if (is_cleaning_up) contender->stage = Stage::outside;
    refuse(*contender, why);
    co_return;
  }
  if (!closed_) co_await pause(contender);
}

// Writes the key, unless the session has one, and learns who is before it.
Task<void> Line::Core::join(ContenderPtr contender) {
  const LineRequest& request = contender->request;
  if (contender->session->must_call_off()) {
    contender->stage = Stage::unknown;
    co_return;
  }
  if (!request.wait && serves_several(request)) {
    co_await look_before_joining(contender);
    if (contender->result.has_value()) co_return;
  }
  const Session& session = *contender->session;
  contender->sent_after = session.seen();
  store::TxnRequest txn;
  txn.compare.push_back(created_at(request.key, Revision()));
  const std::string epoch_key = request.calls_off ? session_key(session.id()) : request.key;
  if (request.calls_off)
    txn.compare.push_back(number_is(epoch_key, store::CompareTarget::version, session.epoch()));
  for (const std::string& key : request.forbidden) txn.compare.push_back(created_at(key, Revision()));
  require(request, txn);
  if (!request.wait && !serves_several(request)) {
    for (const Keys& keys : request.before) {
      txn.compare.push_back(created_at(keys.key, Revision()));
      txn.compare.back().range_end = keys.range_end;
    }
  }
  const bool leaks = LS_PLANTED(permit_leaked) && serves_several(request);
  txn.success.push_back(operation(put_of(request.key, request.value, leaks ? LeaseId() : session.id())));
  for (const Keys& keys : request.before) {
    txn.success.push_back(operation(newest_of(keys.key, keys.range_end, older_keys(request) + 1)));
  }
  txn.failure.push_back(operation(one_key(request.key)));
  txn.failure.push_back(operation(one_key(epoch_key)));
  for (const std::string& key : request.forbidden) txn.failure.push_back(operation(one_key(key)));
  if (request.required.has_value()) txn.failure.push_back(operation(one_key(request.required->key)));
  if (!request.wait) {  // last: who is before us
    for (const Keys& keys : request.before)
      txn.failure.push_back(operation(newest_of(keys.key, keys.range_end, 1)));
  }
  const Result<store::TxnResponse> answer =
      co_await store::awaitable::txn(context_.store, std::move(txn), call(*contender));
  if (!answer.ok()) {
    if (is_unknown(answer.status()) && !request.calls_off) {
      refuse(*contender, answer.status());
      co_return;
    }
    if (is_unknown(answer.status())) contender->stage = Stage::unknown;
    co_await endure(contender, answer.status());
    co_return;
  }
  contender->pause = {};
  contender->session->saw(answer->header.revision);
  if (!answer->succeeded) {
    on_not_joined(*contender, *answer);
    co_return;
  }
  on_joined(*contender, *answer);
  if (contender->stage == Stage::inside && !unwanted(*contender).ok()) co_return;
  if (contender->stage == Stage::inside) co_await serve(contender);
}

void Line::Core::on_joined(Contender& contender, const store::TxnResponse& answer) {
  LS_MUST(answer.succeeded);
  contender.stage = Stage::inside;
  contender.token = answer.header.revision;
  contender.modified = contender.token;
  contender.own.value = contender.request.value;
  on_ahead(contender, answer, 1);
}

void Line::Core::require(const LineRequest& request, store::TxnRequest& txn) {
  if (!request.required.has_value()) return;
  store::Compare compare;
  compare.key = request.required->key;
  compare.target = store::CompareTarget::value;
  compare.value = request.required->value;
  txn.compare.push_back(std::move(compare));
}

bool Line::Core::is_as_required(const LineRequest& request, const store::RangeResponse* there) {
  if (!request.required.has_value()) return true;
  return there != nullptr && !there->kvs.empty() && there->kvs[0].value == request.required->value;
}

void Line::Core::on_not_joined(Contender& contender, const store::TxnResponse& answer) {
  const store::RangeResponse* own = range_at(answer, 0);
  const store::RangeResponse* session = range_at(answer, 1);
  if (own == nullptr || session == nullptr) {
    return refuse(contender, Status(Code::internal, "lockstep: an answer to another question"));
  }
  for (std::size_t place = 0; place < contender.request.forbidden.size(); ++place) {
    const store::RangeResponse* other = range_at(answer, 2 + place);
    if (other != nullptr && !other->kvs.empty()) return refuse(contender, errors::session_in_conflict());
  }
  const std::int64_t epoch = session->kvs.empty() ? 0 : session->kvs[0].version;
  const bool epoch_is_new = contender.request.calls_off && epoch != contender.session->epoch();
  if (epoch_is_new) contender.session->set_epoch(epoch);
  if (!is_as_required(contender.request, range_at(answer, 2 + contender.request.forbidden.size()))) {
    return refuse(contender, errors::line_not_set_up());
  }
  if (!own->kvs.empty()) {
    contender.stage = Stage::found;
    contender.was_inside = true;
    contender.own = own->kvs[0];
    contender.token = contender.own.create_revision;
    return;
  }
  if (epoch_is_new) return;  // once more, with the right one
  if (contender.request.wait) {
    return refuse(contender, Status(Code::internal, "lockstep: the store refused for no reason"));
  }
  const store::RangeResponse* ahead = range_at(answer, answer.responses.size() - 1);
  const bool is_foreign = ahead != nullptr && !ahead->kvs.empty() && is_foreign_key(contender, ahead->kvs[0]);
  refuse(contender, is_foreign ? errors::foreign_key() : errors::would_wait());
}

// After an unknown outcome: makes sure that our write has happened or never will.
Task<void> Line::Core::learn(ContenderPtr contender) {
  const std::string epoch_key = session_key(contender->session->id());
  store::TxnRequest txn;
  txn.success.push_back(operation(put_of(epoch_key, "{}", contender->session->id())));
  txn.success.push_back(operation(one_key(epoch_key)));
  txn.success.push_back(operation(one_key(contender->request.key)));
  const Result<store::TxnResponse> answer =
      co_await store::awaitable::txn(context_.store, std::move(txn), call(*contender));
  if (!answer.ok() && answer.status().code() == Code::permission_denied) {
    contender->stage = Stage::outside;  // as far as anybody here can do something about it
    refuse(*contender, Status(Code::unknown_outcome, std::string(answer.status().message())));
    co_return;
  }
  if (!answer.ok()) {
    co_await endure(contender, answer.status());
    co_return;
  }
  const store::RangeResponse* epoch = range_at(*answer, 1);
  const store::RangeResponse* own = range_at(*answer, 2);
  if (epoch == nullptr || epoch->kvs.empty() || own == nullptr) {
    contender->stage = Stage::outside;
    refuse(*contender, Status(Code::internal, "lockstep: an answer to another question"));
    co_return;
  }
  contender->pause = {};
  contender->session->set_epoch(epoch->kvs[0].version);
  contender->session->saw(answer->header.revision);
  if (own->kvs.empty()) {
    contender->stage = Stage::outside;
    co_return;
  }
  contender->own = own->kvs[0];
  contender->token = contender->own.create_revision;
  // What stood there before we joined is another call's, also if it says the same; and what was written again
  // since: whoever did was perhaps served.
  const bool has_sent = contender->request.sent.has_value() || contender->sent_after != Revision();
  const bool is_known = contender->request.values_differ && contender->own.value == contender->request.value;
  if (has_sent && is_known && contender->own.version == 1 && contender->token > contender->sent_after) {
    contender->stage = Stage::inside;
    contender->modified = contender->own.mod_revision;
  } else {
    contender->stage = Stage::found;
    contender->was_inside = true;
  }
}

// Is our key still there, and who is right before it? After a notice, as the member knows it that gave the
// notice: what it says is certain if it says that we are served, since nobody comes before us later. Anything
// else may be old.
Task<void> Line::Core::look(ContenderPtr contender) {
  const LineRequest& request = contender->request;
  store::TxnRequest txn;
  txn.compare.push_back(created_at(request.key, contender->token));
  // Whoever is served owns what the key says: then no other call of the session takes it for a place that it
  // may give up.
  const bool must_be_ours = contender->stage != Stage::found && contender->modified != Revision();
  if (must_be_ours) txn.compare.push_back(modified_at(request.key, contender->modified));
  require(request, txn);
  const bool anywhere = std::exchange(contender->is_notified, false) && !request.required.has_value();
  txn.failure.push_back(operation(one_key(request.key, anywhere)));
  if (request.required.has_value()) txn.failure.push_back(operation(one_key(request.required->key)));
  for (const Keys& keys : request.before) {
    store::RangeRequest range = newest_of(keys.key, keys.range_end, older_keys(request));
    range.serializable = anywhere;
    range.max_create_revision = contender->token.previous();
    txn.success.push_back(operation(std::move(range)));
  }
  const Result<store::TxnResponse> answer =
      co_await store::awaitable::txn(context_.store, std::move(txn), call(*contender));
  if (anywhere && !is_served(*contender, answer)) co_return;  // once more, and certain
  if (!answer.ok()) {
    co_await endure(contender, answer.status());
    co_return;
  }
  contender->pause = {};
  contender->session->saw(answer->header.revision);
  if (!answer->succeeded) {
    co_await on_not_ours(contender, *answer);
    co_return;
  }
  const bool was_found = contender->stage == Stage::found;
  contender->stage = Stage::inside;
  on_ahead(*contender, *answer, 0);
  if (was_found && contender->result.has_value()) contender->stage = Stage::outside;  // another call's
  if (contender->result.has_value()) co_return;
  const bool served = contender->stage == Stage::inside;
  if (was_found || (served && contender->uncounted)) {
    contender->stage = Stage::found;
    if (!(co_await write_again(contender, served))) co_return;
    contender->stage = served ? Stage::inside : Stage::waiting;
  }
  if (served && unwanted(*contender).ok()) co_await serve(contender);
}

// Who is before us, from the ranges of an answer; nothing: it is an answer to another question.
std::optional<std::vector<const store::KeyValue*>> Line::Core::older_in(const Contender& contender,
                                                                        const store::TxnResponse& answer,
                                                                        std::size_t first_range) {
  std::vector<const store::KeyValue*> older;
  for (std::size_t place = 0; place < contender.request.before.size(); ++place) {
    const store::RangeResponse* range = range_at(answer, first_range + place);
    if (range == nullptr) return std::nullopt;
    for (const store::KeyValue& kv : range->kvs) {
      if (kv.create_revision < contender.token) older.push_back(&kv);  // not ourselves
    }
  }
  return older;
}

// Nothing would ever end it. A holder's own key always has its lease.
bool Line::Core::is_foreign_key(const Contender& contender, const store::KeyValue& older) {
  return contender.request.sessions_only && !serves_several(contender.request) && older.lease == LeaseId();
}

bool Line::Core::is_served(const Contender& contender, const Result<store::TxnResponse>& answer) {
  if (!answer.ok() || !answer->succeeded) return false;
  const auto older = older_in(contender, *answer, 0);
  return older.has_value() && older->size() <= contender.request.allowed_before;
}

// Nobody too many, or whom to wait for.
void Line::Core::on_ahead(Contender& contender, const store::TxnResponse& answer, std::size_t first_range) {
  const auto all_older = older_in(contender, answer, first_range);
  if (!all_older.has_value()) {
    return refuse(contender, Status(Code::internal, "lockstep: an answer to another question"));
  }
  const std::vector<const store::KeyValue*>& older = *all_older;
  const std::size_t allowed = contender.request.allowed_before;
  contender.before = older.size();
  contender.header = answer.header;
  if (older.size() <= allowed) return;
  contender.stage = Stage::waiting;
  const auto is_ours = [&](const store::KeyValue* kv) { return kv->lease == contender.session->id(); };
  if (contender.request.refuses_itself && std::ranges::any_of(older, is_ours)) {
    return refuse(contender, errors::session_in_conflict());
  }
  const auto is_foreign = [&](const store::KeyValue* kv) { return is_foreign_key(contender, *kv); };
  if (std::ranges::any_of(older, is_foreign)) return refuse(contender, errors::foreign_key());
  contender.looked_at = answer.header.revision;
  contender.is_first = serves_several(contender.request) && older.size() == allowed + 1;
  contender.must_tell_next = serves_several(contender.request);
  contender.ahead.clear();
  const store::KeyValue& newest = **std::ranges::max_element(older, {}, &store::KeyValue::create_revision);
  contender.ahead_created = newest.create_revision;
  if (contender.is_first) {
    for (const store::KeyValue* kv : older) contender.ahead.insert(kv->key);
  } else {
    contender.ahead.insert(newest.key);
  }
  if (!contender.request.wait) refuse(contender, errors::would_wait());
}

// Our key is gone: with the session, or was it taken away?
Task<void> Line::Core::check_session(ContenderPtr contender) {
  const store::LeaseTimeToLiveRequest request{contender->session->id(), false};
  const Result<store::LeaseTimeToLiveResponse> known =
      co_await store::awaitable::lease_time_to_live(context_.store, request, call(*contender));
  contender->stage = Stage::outside;
  if (known.ok() && !known->found) {
    contender->lease_is_gone = true;
    contender->session->found_missing();
    co_return;
  }
  refuse(*contender, errors::place_lost());
}

// Ours, if the session is alive now.
Task<void> Line::Core::serve(ContenderPtr contender) {
  LS_MUST(contender->stage == Stage::inside && contender->before <= contender->request.allowed_before);
  if (contender->must_tell_next) co_await tell_next(contender);
  if (contender->must_tell_next || !unwanted(*contender).ok()) co_return;
  Entered entered;
  entered.ownership = {contender->header, contender->request.key, contender->token, contender->session->id()};
  if (LS_PLANTED(token_reused)) entered.ownership.token = Revision(contender->token.value() / 32 * 32 + 1);
  entered.modified = contender->modified;
  entered.value = contender->own.value;
  entered.before = contender->before;
  entered.was_inside = contender->was_inside;
  if (contender->result.has_value()) co_return;
  contender->result = std::move(entered);
  contender->done.set();
}

// We are served and have been first in line; the next one is first now, and waits for our key to say so. If
// we fail, it learns that by our key's end.
Task<void> Line::Core::tell_next(ContenderPtr contender) {
  store::PutRequest put = put_of(contender->request.key, {}, {});
  put.ignore_value = true;
  put.ignore_lease = true;
  store::TxnRequest txn;
  txn.compare.push_back(created_at(contender->request.key, contender->token));
  txn.success.push_back(operation(std::move(put)));
  txn.success.push_back(operation(one_key(contender->request.key)));
  const Result<store::TxnResponse> answer =
      co_await store::awaitable::txn(context_.store, std::move(txn), call(*contender));
  if (!answer.ok()) {
    if (is_unknown(answer.status()))
      contender->modified = Revision();  // looked up again before it is removed
    co_await endure(contender, answer.status());
    co_return;
  }
  if (!answer->succeeded) {
    co_await check_session(contender);
    co_return;
  }
  contender->pause = {};
  contender->modified = answer->header.revision;
  contender->must_tell_next = false;
}

// Whoever would only write a key to remove it again does not write it.
Task<void> Line::Core::look_before_joining(ContenderPtr contender) {
  const LineRequest& request = contender->request;
  store::TxnRequest txn;
  for (const Keys& keys : request.before)
    txn.success.push_back(operation(newest_of(keys.key, keys.range_end, older_keys(request))));
  txn.success.push_back(operation(one_key(request.key)));
  const Result<store::TxnResponse> answer =
      co_await store::awaitable::txn(context_.store, std::move(txn), call(*contender));
  if (!answer.ok()) co_return;  // then joining says it
  std::size_t older = 0;
  for (std::size_t place = 0; place < request.before.size(); ++place) {
    if (const store::RangeResponse* range = range_at(*answer, place)) older += range->kvs.size();
  }
  const store::RangeResponse* own = range_at(*answer, request.before.size());
  if (own != nullptr && own->kvs.empty() && older > request.allowed_before)
    refuse(*contender, errors::would_wait());
}

// Until the one before us goes, or says that we are first now.
Task<void> Line::Core::watch(ContenderPtr contender) {
  store::WatchRequest request;
  request.key = *contender->ahead.begin();
  const bool everybody = contender->is_first || LS_PLANTED(herd_wake_up);
  if (everybody) {
    request.key = contender->request.before[0].key;
    request.range_end = contender->request.before[0].range_end;
  }
  request.start_revision = contender->looked_at.next();
  request.no_put = contender->is_first || !serves_several(contender->request);
  Result<std::unique_ptr<store::Subscription>> watched =
      context_.store.watch(std::move(request), call(*contender));
  if (!watched.ok()) {
    contender->stage = Stage::inside;
    co_await endure(contender, watched.status());
    co_return;
  }
  const std::unique_ptr<store::Subscription> subscription = *std::move(watched);
  while (unwanted(*contender).ok()) {
    const std::optional<store::WatchResponse> answer = subscription->next(events_bytes_max);
    if (!answer.has_value()) {
      subscription->notify_when_ready([wake = contender->wake] { wake.set(); });
      co_await contender->wake.wait(no_deadline, {});
      continue;
    }
    const auto concerns_us = [&](const store::Event& event) {
      return LS_PLANTED(herd_wake_up) || contender->ahead.contains(event.kv.key) ||
             event.kv.key == contender->request.key;
    };
    if (!answer->canceled && std::ranges::none_of(answer->events, concerns_us)) continue;
    contender->stage = Stage::inside;
    contender->is_notified = !answer->canceled;
    // A compaction that overtook us says nothing about the key; anything else may pass.
    if (answer->canceled && answer->compact_revision == Revision()) co_await pause(contender);
    co_return;
  }
}

}  // namespace lockstep::service
