#include "service/lease_line.h"

#include <optional>
#include <utility>

#include "service/session/session.h"
#include "service/store_requests.h"
#include "service/waiting.h"
#include "store/awaitable.h"

namespace lockstep::service {
namespace {

constexpr Duration join_time_max = 10s;

Status enter_error(const Status& why) {
  const bool is_over = why == errors::place_lost() || why == errors::session_lost();
  return is_over ? errors::session_expired() : why;
}

LineRequest line_request(LeasePlace& place) {
  LineRequest request;
  request.key = contender_key(place.name, place.lease);
  std::string prefix = place.name + "/";
  std::string end = prefix_end(prefix);
  request.before.push_back({std::move(prefix), std::move(end)});
  request.again = [value = place.value](const store::KeyValue&, bool) { return value; };
  request.value = std::move(place.value);
  request.patient = false;
  request.refuses_itself = false;  // as etcd waits for every older key, its own lease's too
  request.sessions_only = false;
  request.values_differ = false;
  return request;
}

// What the callbacks of a call keep: the line and its context outlive whoever asked.
struct Call {
  Context context;
  std::shared_ptr<Line> line;
  std::shared_ptr<ServedKeys> served;
  LeasePlace place;
  store::CallOptions options;
  store::Callback<Ownership> done;
  bool calls_off = true;  // false: the caller may write its key, and not the epoch of its lease
};

Task<void> enter_line(Call call, std::optional<SentJoin> sent) {
  const bool is_lent = call.place.lease == LeaseId();
  store::CallOptions options;
  options.principal = call.options.principal;
  if (is_lent) {
    const store::LeaseGrantRequest request{lent_lease_ttl, LeaseId()};
    const Result<store::LeaseGrantResponse> granted =
        co_await store::awaitable::lease_grant(call.context.store, request, options);
    if (!granted.ok()) {
      call.done(granted.status());
      co_return;
    }
    call.place.lease = granted->id;
  }
  const LeaseId lease = call.place.lease;
  SessionPtr session = speak_for_lease(call.context, lease, options.principal);
  LineRequest request = line_request(call.place);
  request.calls_off = call.calls_off;
  request.sent = std::move(sent);
  Result<Entered> entered =
      co_await call.line->enter(std::move(session), std::move(request), std::move(call.options));
  if (entered.ok()) {
    call.served->remember(entered->ownership.key, entered->modified);
    call.done(std::move(entered->ownership));
    co_return;
  }
  if (is_lent) {
    call.context.store.lease_revoke({lease}, options, [](const Result<store::LeaseRevokeResponse>&) {});
  }
  call.done(enter_error(entered.status()));
}

// Line's own first step, for whom nothing was called off.
store::TxnRequest join_request(const LeasePlace& place, bool calls_off) {
  std::string key = contender_key(place.name, place.lease);
  std::string prefix = place.name + "/";
  std::string end = prefix_end(prefix);
  store::TxnRequest txn;
  txn.compare.reserve(2);
  txn.success.reserve(2);
  txn.compare.push_back(created_at(key, Revision()));
  if (calls_off) txn.compare.push_back(number_is(session_key(place.lease), store::CompareTarget::version, 0));
  txn.success.push_back(operation(put_of(std::move(key), place.value, place.lease)));
  txn.success.push_back(operation(newest_of(std::move(prefix), std::move(end), 2)));
  return txn;
}

void join(Call call);

// Free, and ours: nothing else is needed. Everything else is the line's business.
void on_joined(Call call, Result<store::TxnResponse> answer) {
  if (!answer.ok() && answer.status().code() == Code::permission_denied && call.calls_off) {
    call.calls_off = false;  // granted its own keys only, as etcd asks for no more
    return join(std::move(call));
  }
  if (!answer.ok() && (!is_unknown(answer.status()) || !call.calls_off)) return call.done(answer.status());
  if (!answer.ok()) return enter_line(std::move(call), SentJoin{}).detach();
  if (!answer->succeeded) return enter_line(std::move(call), std::nullopt).detach();
  const store::RangeResponse* newest = range_at(*answer, 1);
  const bool is_first = newest != nullptr && newest->kvs.size() == 1;
  if (!is_first || call.line->is_closed() || !still_wanted(call.context, call.options).ok()) {
    return enter_line(std::move(call), SentJoin{*std::move(answer)}).detach();
  }
  Ownership ownership;
  ownership.header = answer->header;
  ownership.token = answer->header.revision;
  ownership.key = contender_key(call.place.name, call.place.lease);
  ownership.lease = call.place.lease;
  call.served->remember(ownership.key, ownership.token);
  call.done(std::move(ownership));
}

void join(Call call) {
  store::TxnRequest txn = join_request(call.place, call.calls_off);
  store::CallOptions first;  // not the call's own end: half way, its outcome would be unknown
  first.principal = call.options.principal;
  first.deadline = call.context.clock.now() + join_time_max;
  store::Store& store = call.context.store;
  store.txn(std::move(txn), std::move(first),
            [call = std::move(call)](Result<store::TxnResponse> answer) mutable {
              on_joined(std::move(call), std::move(answer));
            });
}

// The key's mod_revision; zero: there is no key.
Task<Result<Revision>> written_at(Context context, std::string key, store::CallOptions call,
                                  store::Header* header) {
  store::RangeRequest request = one_key(std::move(key));
  request.keys_only = true;
  const Result<store::RangeResponse> found =
      co_await store::awaitable::range(context.store, std::move(request), std::move(call));
  if (!found.ok()) co_return found.status();
  *header = found->header;
  co_return found->kvs.empty() ? Revision() : found->kvs[0].mod_revision;
}

// Whoever may write a key and not read it.
Task<Result<store::Header>> remove_unseen(Context context, std::string key, store::CallOptions options) {
  const Result<store::DeleteRangeResponse> removed =
      co_await store::awaitable::delete_range(context.store, removal_of(std::move(key)), std::move(options));
  if (!removed.ok()) co_return removed.status();
  co_return removed->header;
}

store::TxnRequest removal_if_written_at(const std::string& key, Revision written) {
  store::TxnRequest txn;
  txn.compare.push_back(modified_at(key, written));
  txn.success.push_back(operation(removal_of(key)));
  return txn;
}

Task<Result<store::Header>> leave_place(Context context, std::string key, store::CallOptions options) {
  while (true) {
    store::Header header;
    const Result<Revision> written = co_await written_at(context, key, options, &header);
    if (!written.ok()) {
      if (written.status().code() != Code::permission_denied) co_return written.status();
      co_return co_await remove_unseen(context, std::move(key), std::move(options));
    }
    if (*written == Revision()) co_return header;
    const Result<store::TxnResponse> removed =
        co_await store::awaitable::txn(context.store, removal_if_written_at(key, *written), options);
    if (!removed.ok()) co_return removed.status();
    if (removed->succeeded) co_return removed->header;
  }
}

Task<void> leave_for_certain(Context context, std::string key, store::CallOptions options,
                             store::Callback<store::Header> done) {
  done(co_await leave_place(context, std::move(key), std::move(options)));
}

// With the key as this member knows it; for certain if it was another by then, or may not be compared.
void leave_as_found(Context context, std::string key, Revision written, store::CallOptions options,
                    store::Callback<store::Header> done) {
  store::TxnRequest txn = removal_if_written_at(key, written);
  store::CallOptions again = options;
  context.store.txn(
      std::move(txn), std::move(options),
      [context, key = std::move(key), options = std::move(again),
       done = std::move(done)](const Result<store::TxnResponse>& removed) mutable {
        const bool is_over =
            removed.ok() ? removed->succeeded : removed.status().code() != Code::permission_denied;
        if (is_over) {
          return done(removed.ok() ? Result<store::Header>(removed->header) : removed.status());
        }
        leave_for_certain(context, std::move(key), std::move(options), std::move(done)).detach();
      });
}

}  // namespace

namespace errors {
Status session_expired() {
  return {Code::failed_precondition, "lockstep: the lease ended while its owner waited"};
}
}  // namespace errors

void LeaseLine::enter(LeasePlace place, store::CallOptions options, store::Callback<Ownership> done) {
  Call call{context_, line_, served_, std::move(place), std::move(options), std::move(done)};
  if (const Status gone = still_wanted(context_, call.options); !gone.ok()) return call.done(gone);
  if (line_->is_closed()) return call.done(errors::wait_cancelled());
  if (call.place.lease == LeaseId()) {
    // Nobody else knows the lease that is lent: there is nothing of its own to be called off, and whoever
    // asks needs no right but to the name.
    call.calls_off = false;
    return enter_line(std::move(call), std::nullopt).detach();
  }
  join(std::move(call));
}

void ServedKeys::remember(const std::string& key, Revision modified) {
  if (modified == Revision() || key.size() > key_bytes_max) return;
  if (modified_.size() >= keys_max) modified_.clear();
  modified_.insert_or_assign(key, modified);
}

Revision ServedKeys::take(const std::string& key) {
  const auto found = modified_.find(key);
  if (found == modified_.end()) return Revision();
  const Revision modified = found->second;
  modified_.erase(found);
  return modified;
}

void LeaseLine::leave(std::string key, store::CallOptions options, store::Callback<store::Header> done) {
  options.request_id = {};  // of several transactions, each with an answer of its own
  if (const Revision modified = served_->take(key); modified != Revision()) {
    return leave_as_found(context_, std::move(key), modified, std::move(options), std::move(done));
  }
  store::RangeRequest look = one_key(key, true);
  look.keys_only = true;
  store::CallOptions call = options;
  context_.store.range(
      std::move(look), std::move(call),
      [context = context_, key = std::move(key), options = std::move(options),
       done = std::move(done)](const Result<store::RangeResponse>& found) mutable {
        // Not known here: it may have been written through another member just now.
        if (!found.ok() || found->kvs.empty())
          return leave_for_certain(context, std::move(key), std::move(options), std::move(done)).detach();
        leave_as_found(context, std::move(key), found->kvs[0].mod_revision, std::move(options),
                       std::move(done));
      });
}

}  // namespace lockstep::service
