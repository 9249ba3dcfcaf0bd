// Keys and values: the store's calls as operations.
#include "lockstep/kv.h"

#include <algorithm>

#include "call.h"
#include "convert.h"
#include "handle.h"
#include "recipes.h"
#include "service/waiting.h"
#include "store/awaitable.h"

namespace lockstep::v1 {

using detail::CallContext;
using detail::make_operation;
using detail::Waits;

namespace detail {

// On the strand.
struct Watching {
  std::unique_ptr<store::Subscription> subscription;
  std::stop_source next;  // of the next() that runs
  bool over = false;
  ~Watching() = default;
};

class WatchState {
 public:
  explicit WatchState(Handle<Watching> handle) : watching(std::move(handle)) {}
  Handle<Watching> watching;
};

}  // namespace detail

namespace {

::lockstep::Task<Outcome<std::optional<KeyValue>>> get_body(CallContext context, std::string key) {
  store::RangeRequest request;
  request.key = std::move(key);
  LS_SDK_ASSIGN(
      store::RangeResponse response,
      co_await store::awaitable::range(context.store(), std::move(request), std::move(context.options)));
  std::optional<KeyValue> found;
  if (!response.kvs.empty()) found = detail::to_public(std::move(response.kvs.front()));
  co_return found;
}

::lockstep::Task<Outcome<KeyValues>> list_body(CallContext context, Keys keys, std::int64_t limit) {
  store::RangeRequest request;
  request.key = keys.from();
  request.range_end = keys.to();
  request.limit = limit;
  LS_SDK_ASSIGN(
      store::RangeResponse response,
      co_await store::awaitable::range(context.store(), std::move(request), std::move(context.options)));
  KeyValues found;
  found.count = response.count;
  found.revision = response.header.revision.value();
  for (store::KeyValue& kv : response.kvs) found.items.push_back(detail::to_public(std::move(kv)));
  co_return found;
}

::lockstep::Task<Outcome<Revision>> put_body(CallContext context, std::string key, std::string value) {
  store::PutRequest request;
  request.key = std::move(key);
  request.value = std::move(value);
  LS_SDK_ASSIGN(
      const store::PutResponse response,
      co_await store::awaitable::put(context.store(), std::move(request), std::move(context.options)));
  co_return response.header.revision.value();
}

::lockstep::Task<Outcome<std::int64_t>> remove_body(CallContext context, Keys keys) {
  store::DeleteRangeRequest request;
  request.key = keys.from();
  request.range_end = keys.to();
  LS_SDK_ASSIGN(const store::DeleteRangeResponse response,
                co_await store::awaitable::delete_range(context.store(), std::move(request),
                                                        std::move(context.options)));
  co_return response.deleted;
}

::lockstep::Task<Outcome<TxnResult>> commit_body(CallContext context, Txn txn) {
  store::TxnRequest request = txn.parts().request;
  LS_SDK_ASSIGN(
      const store::TxnResponse response,
      co_await store::awaitable::txn(context.store(), std::move(request), std::move(context.options)));
  co_return detail::to_public(response);
}

::lockstep::Task<Outcome<Watch>> watch_body(CallContext context, Keys keys, Revision start_revision) {
  store::WatchRequest request;
  request.key = keys.from();
  request.range_end = keys.to();
  request.start_revision = ::lockstep::Revision(start_revision);
  auto watching = std::make_shared<detail::Watching>();
  LS_SDK_ASSIGN(watching->subscription, context.store().watch(std::move(request), context.options));
  co_return Watch(std::make_shared<detail::WatchState>(detail::Handle(context.runtime, std::move(watching))));
}

Outcome<std::vector<Event>> events_of(store::WatchResponse answer, detail::Watching& watching) {
  if (answer.canceled) {
    watching.over = true;
    if (answer.compact_revision != ::lockstep::Revision{}) {
      return Error(Code::out_of_range,
                   "compacted up to revision " + std::to_string(answer.compact_revision.value()));
    }
    return Error(Code::failed_precondition, "the watch was ended: " + answer.cancel_reason);
  }
  std::vector<Event> events;
  for (store::Event& event : answer.events) {
    Event out;
    out.kind = event.kind == store::EventKind::put ? Event::Kind::put : Event::Kind::removed;
    out.item = detail::to_public(std::move(event.kv));
    events.push_back(std::move(out));
  }
  return events;
}

::lockstep::Task<Outcome<std::vector<Event>>> next_body(CallContext context,
                                                        std::shared_ptr<detail::WatchState> state) {
  const std::shared_ptr<detail::Watching> watching = state->watching.here();
  // A watch that is dropped must end although this knows it.
  state.reset();
  if (watching == nullptr || watching->over) co_return Error(Code::failed_precondition, "this watch is over");
  watching->next = std::stop_source();
  const std::stop_callback forward(context.options.cancellation, [&] { watching->next.request_stop(); });
  context.options.cancellation = watching->next.get_token();
  while (true) {
    LS_SDK_ASSIGN(
        store::WatchResponse answer,
        co_await service::next_answer(context.runtime->context(), *watching->subscription, context.options));
    if (!answer.canceled && answer.events.empty()) continue;
    co_return events_of(std::move(answer), *watching);
  }
}

store::Compare compare(std::string key, store::CompareTarget target) {
  store::Compare compare;
  compare.key = std::move(key);
  compare.target = target;
  return compare;
}

store::RequestOperation put_operation(std::string key, std::string value, LeaseId lease) {
  store::PutRequest put;
  put.key = std::move(key);
  put.value = std::move(value);
  put.lease = ::lockstep::LeaseId(lease);
  return {std::move(put)};
}

store::RequestOperation remove_operation(std::string from, std::string to) {
  store::DeleteRangeRequest removal;
  removal.key = std::move(from);
  removal.range_end = std::move(to);
  return {std::move(removal)};
}

}  // namespace

Keys Keys::prefix(std::string_view prefix) {
  if (prefix.empty()) return all();
  return {std::string(prefix), service::prefix_end(std::string(prefix))};
}

detail::TxnParts& detail::parts_of(Txn& txn) {
  return *txn.parts_;
}

Txn::Txn() : parts_(std::make_unique<detail::TxnParts>()) {}
Txn::Txn(const Txn& other) : parts_(std::make_unique<detail::TxnParts>(*other.parts_)) {}
Txn::Txn(Txn&&) noexcept = default;
Txn& Txn::operator=(const Txn& other) {
  if (this != &other) parts_ = std::make_unique<detail::TxnParts>(*other.parts_);
  return *this;
}
Txn& Txn::operator=(Txn&&) noexcept = default;
Txn::~Txn() = default;

Txn& Txn::if_value(std::string key, std::string value) {
  store::Compare condition = compare(std::move(key), store::CompareTarget::value);
  condition.value = std::move(value);
  parts_->request.compare.push_back(std::move(condition));
  return *this;
}
Txn& Txn::if_version(std::string key, std::int64_t version) {
  store::Compare condition = compare(std::move(key), store::CompareTarget::version);
  condition.number = version;
  parts_->request.compare.push_back(std::move(condition));
  return *this;
}
Txn& Txn::if_created_at(std::string key, Revision create_revision) {
  store::Compare condition = compare(std::move(key), store::CompareTarget::create_revision);
  condition.number = create_revision;
  parts_->request.compare.push_back(std::move(condition));
  return *this;
}
Txn& Txn::if_modified_at(std::string key, Revision mod_revision) {
  store::Compare condition = compare(std::move(key), store::CompareTarget::mod_revision);
  condition.number = mod_revision;
  parts_->request.compare.push_back(std::move(condition));
  return *this;
}

Txn& Txn::put(std::string key, std::string value, LeaseId lease) {
  parts_->request.success.push_back(put_operation(std::move(key), std::move(value), lease));
  return *this;
}
Txn& Txn::remove(std::string key) {
  parts_->request.success.push_back(remove_operation(std::move(key), {}));
  return *this;
}
Txn& Txn::remove(const Keys& keys) {
  parts_->request.success.push_back(remove_operation(keys.from(), keys.to()));
  return *this;
}
Txn& Txn::otherwise_put(std::string key, std::string value, LeaseId lease) {
  parts_->request.failure.push_back(put_operation(std::move(key), std::move(value), lease));
  return *this;
}
Txn& Txn::otherwise_remove(std::string key) {
  parts_->request.failure.push_back(remove_operation(std::move(key), {}));
  return *this;
}

Operation<Watch> Client::watch(const Keys& keys, Revision start_revision, CallOptions options) {
  return make_operation(runtime_, std::move(options), Waits::no, &watch_body, keys, start_revision);
}

Watch& Watch::operator=(Watch&&) noexcept = default;
Watch::~Watch() = default;

Operation<std::vector<Event>> Watch::next(CallOptions options) {
  return make_operation(state_->watching.runtime(), std::move(options), Waits::yes, &next_body, state_);
}

Operation<std::optional<KeyValue>> Client::get(std::string key, CallOptions options) {
  return make_operation(runtime_, std::move(options), Waits::no, &get_body, std::move(key));
}
Operation<KeyValues> Client::list(const Keys& keys, std::int64_t limit, CallOptions options) {
  return make_operation(runtime_, std::move(options), Waits::no, &list_body, keys, limit);
}
Operation<Revision> Client::put(std::string key, std::string value, CallOptions options) {
  return make_operation(runtime_, std::move(options), Waits::no, &put_body, std::move(key), std::move(value));
}
Operation<std::int64_t> Client::remove(const Keys& keys, CallOptions options) {
  return make_operation(runtime_, std::move(options), Waits::no, &remove_body, keys);
}
Operation<TxnResult> Client::commit(const Txn& txn, CallOptions options) {
  return make_operation(runtime_, std::move(options), Waits::no, &commit_body, txn);
}

}  // namespace lockstep::v1
