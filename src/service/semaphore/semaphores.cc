#include "service/semaphore/semaphores.h"

#include <utility>

#include "service/flat_json.h"
#include "service/names.h"
#include "service/store_requests.h"
#include "store/awaitable.h"

namespace lockstep::service {
namespace {

// Somebody else may make or remove the semaphore in between; nobody does that all the time.
constexpr int set_up_attempts_max = 8;

std::string semaphore_key(const std::string& name) {
  return "lockstep/semaphores/" + key_segment(name);
}

Keys contenders_of(const std::string& name) {
  const std::string prefix = semaphore_key(name) + "/";
  return {prefix, prefix_end(prefix)};
}

std::string set_up_value(std::int64_t permits) {
  return FlatJsonWriter().number("permits", permits).str();
}

Result<std::int64_t> permits_of(const std::string& value) {
  const Result<FlatJson> json = FlatJson::parse(value);
  if (!json.ok()) return errors::semaphore_damaged();
  const std::int64_t permits = json->number("permits").value_or(0);
  if (permits < 1 || permits > permits_max) return errors::semaphore_damaged();
  return permits;
}

Status check(const PermitRequest& request) {
  LS_RETURN_IF_ERROR(check_name(request.name));
  LS_RETURN_IF_ERROR(check(request.description));
  return request.permits < 1 || request.permits > permits_max ? errors::permits_out_of_range() : Status();
}

LineRequest line_request(const Context& context, const PermitRequest& request, LeaseId session,
                         std::string set_up) {
  LineRequest line;
  line.key = contender_key(semaphore_key(request.name), session);
  HolderValue value;
  value.description = request.description;
  value.since_ms = wall_ms(context);
  value.attempt = new_attempt(context);
  line.value = encode(value);
  line.before.push_back(contenders_of(request.name));
  line.allowed_before = static_cast<std::size_t>(request.permits - 1);
  line.required = Required{semaphore_key(request.name), std::move(set_up)};
  line.wait = request.wait;
  line.again = [context](const store::KeyValue& own, bool) {
    HolderValue again = decode_holder(own.value);
    again.attempt = new_attempt(context);
    return encode(again);
  };
  return line;
}

// Makes the semaphore if it is not there; what its key says.
Task<Result<std::string>> set_up(Context context, PermitRequest request, store::CallOptions options) {
  const std::string key = semaphore_key(request.name);
  std::string value = set_up_value(request.permits);
  store::TxnRequest txn;
  txn.compare.push_back(created_at(key, Revision()));
  txn.success.push_back(operation(put_of(key, value, {})));
  txn.failure.push_back(operation(one_key(key)));
  options.request_id = {};
  const Result<store::TxnResponse> answer =
      co_await store::awaitable::txn(context.store, std::move(txn), std::move(options));
  if (!answer.ok()) co_return answer.status();
  if (answer->succeeded) co_return value;
  const store::RangeResponse* there = range_at(*answer, 0);
  if (there == nullptr || there->kvs.empty()) co_return errors::semaphore_damaged();
  const Result<std::int64_t> permits = permits_of(there->kvs[0].value);
  if (!permits.ok()) co_return permits.status();
  if (*permits != request.permits) co_return errors::permits_differ();
  co_return there->kvs[0].value;
}

Task<Result<Permit>> acquire_permit(Context context, std::shared_ptr<Line> line, SessionPtr session,
                                    PermitRequest request, store::CallOptions options) {
  if (Status wrong = check(request); !wrong.ok()) co_return wrong;
  std::string value = set_up_value(request.permits);
  for (int attempt = 1;; ++attempt) {
    LineRequest place = line_request(context, request, session->id(), value);
    const Result<Entered> entered = co_await line->enter(session, std::move(place), options);
    if (entered.ok()) {
      const Ownership& own = entered->ownership;
      co_return Permit{request.name,      own.token,  own.lease,          own.key,
                       entered->modified, own.header, entered->was_inside};
    }
    const Status why = entered.status();
    if (why == errors::would_wait()) co_return errors::no_permit_free();
    if (why != errors::line_not_set_up() || attempt == set_up_attempts_max) co_return why;
    const Result<std::string> made = co_await set_up(context, request, options);
    if (made.ok()) {
      value = *made;
    } else if (!is_unknown(made.status())) {
      co_return made.status();
    }
  }
}

Task<Result<store::Header>> release_permit(Context context, PermitRelease release,
                                           store::CallOptions options) {
  if (Status wrong = check_name(release.name); !wrong.ok()) co_return wrong;
  if (release.token <= Revision()) co_return errors::stale_token();
  LeaveRequest leave;
  leave.key = contender_key(semaphore_key(release.name), release.session);
  leave.token = release.token;
  leave.modified = release.modified;
  const Result<Left> left = co_await leave_line(context, std::move(leave), std::move(options));
  if (!left.ok()) co_return left.status();
  co_return left->header;
}

Task<Result<SemaphoreState>> show_semaphore(Context context, std::string name, store::CallOptions options) {
  if (Status wrong = check_name(name); !wrong.ok()) co_return wrong;
  store::RangeRequest contenders;
  contenders.key = contenders_of(name).key;
  contenders.range_end = contenders_of(name).range_end;
  contenders.sort_target = store::SortTarget::create_revision;
  contenders.sort_order = store::SortOrder::ascend;
  contenders.limit = SemaphoreState::contenders_shown_max;
  store::TxnRequest txn;
  txn.success.push_back(operation(one_key(semaphore_key(name))));
  txn.success.push_back(operation(std::move(contenders)));
  const Result<store::TxnResponse> answer =
      co_await store::awaitable::txn(context.store, std::move(txn), std::move(options));
  if (!answer.ok()) co_return answer.status();
  const store::RangeResponse* set_up = range_at(*answer, 0);
  const store::RangeResponse* line = range_at(*answer, 1);
  if (set_up == nullptr || line == nullptr) co_return errors::semaphore_damaged();
  SemaphoreState state;
  state.name = std::move(name);
  if (set_up->kvs.empty()) co_return state;
  const Result<std::int64_t> permits = permits_of(set_up->kvs[0].value);
  if (!permits.ok()) co_return permits.status();
  state.permits = *permits;
  state.more = line->more;
  for (const store::KeyValue& kv : line->kvs) {
    const bool holds = std::cmp_less(state.contenders.size(), state.permits);
    state.contenders.push_back({kv.key, kv.lease, kv.create_revision, holds, decode_holder(kv.value)});
  }
  co_return state;
}

Task<Status> remove_semaphore(Context context, std::string name, store::CallOptions options) {
  if (Status wrong = check_name(name); !wrong.ok()) co_return wrong;
  store::TxnRequest txn;
  txn.compare.push_back(created_at(contenders_of(name).key, Revision()));
  txn.compare.back().range_end = contenders_of(name).range_end;
  txn.success.push_back(operation(removal_of(semaphore_key(name))));
  const Result<store::TxnResponse> answer =
      co_await store::awaitable::txn(context.store, std::move(txn), std::move(options));
  if (!answer.ok()) co_return answer.status();
  co_return answer->succeeded ? Status() : errors::semaphore_in_use();
}

}  // namespace

namespace errors {
Status no_permit_free() {
  return {Code::failed_precondition, "lockstep: no permit is free"};
}
Status permits_out_of_range() {
  return {Code::invalid_argument, "lockstep: a semaphore has 1 to 1000 permits"};
}
Status permits_differ() {
  return {Code::failed_precondition, "lockstep: the semaphore has another number of permits"};
}
Status semaphore_damaged() {
  return {Code::corruption, "lockstep: the semaphore's key does not say how many permits there are"};
}
Status semaphore_in_use() {
  return {Code::failed_precondition, "lockstep: the semaphore is in use"};
}
}  // namespace errors

Task<Result<Permit>> Semaphores::acquire(SessionPtr session, PermitRequest request,
                                         store::CallOptions options) {
  return acquire_permit(context_, line_, std::move(session), std::move(request), std::move(options));
}

Task<Result<store::Header>> Semaphores::release(const PermitRelease& release, store::CallOptions options) {
  return release_permit(context_, release, std::move(options));
}

Task<Result<SemaphoreState>> Semaphores::show(std::string name, store::CallOptions options) {
  return show_semaphore(context_, std::move(name), std::move(options));
}

Task<Status> Semaphores::remove(std::string name, store::CallOptions options) {
  return remove_semaphore(context_, std::move(name), std::move(options));
}

}  // namespace lockstep::service
