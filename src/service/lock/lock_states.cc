#include "service/lock/lock_states.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "service/flat_json.h"
#include "service/names.h"
#include "service/repeating.h"
#include "service/store_requests.h"
#include "service/waiting.h"
#include "store/awaitable.h"

namespace lockstep::service {
namespace {

constexpr std::size_t scan_page_keys = 1000;
// Few: what others wrote below a name may be large.
constexpr std::size_t locks_read_at_once = 10;
static_assert(locks_read_at_once < limits::txn_operations_max, "one transaction reads them");
// Keys that one transaction made, below one name.
constexpr std::size_t same_token_max = limits::txn_operations_max;

store::RangeRequest contenders_of(const std::string& name, std::size_t count) {
  store::RangeRequest request;
  request.key = name + "/";
  request.range_end = prefix_end(request.key);
  request.sort_target = store::SortTarget::create_revision;
  request.sort_order = store::SortOrder::ascend;
  request.limit = static_cast<std::int64_t>(count);
  return request;
}

// `range`: all contenders, oldest first. Readers' keys, and what else lies behind the digits, wait for
// writers only.
LockState state_of(std::string name, const store::RangeResponse& range) {
  LockState state;
  state.revision = range.header.revision;
  state.more = range.more;
  const std::string readers = name + "/r/";
  bool writer_before = false;
  for (const store::KeyValue& kv : range.kvs) {
    LockContender contender;
    contender.key = kv.key;
    contender.mode = kv.key < readers ? LockMode::exclusive : LockMode::shared;
    contender.session = kv.lease;
    contender.token = kv.create_revision;
    contender.value = decode_holder(kv.value);
    const bool is_writer = contender.mode == LockMode::exclusive;
    contender.holds = is_writer ? state.contenders.empty() : !writer_before;
    writer_before |= is_writer;
    state.contenders.push_back(std::move(contender));
  }
  state.name = std::move(name);
  return state;
}

// The lock whose contender has this key; empty: it is none.
std::string lock_of(const store::KeyValue& kv) {
  if (kv.lease == LeaseId()) return {};
  const std::string tail = contender_key("", kv.lease);
  if (!kv.key.ends_with(tail)) return {};
  std::string name = kv.key.substr(0, kv.key.size() - tail.size());
  if (name.ends_with("/r")) name.resize(name.size() - 2);
  return name;
}

Task<Result<LockState>> show(Context context, std::string name, store::CallOptions options,
                             std::size_t contenders_max) {
  if (Status wrong = check_name(name); !wrong.ok()) co_return wrong;
  const Result<store::RangeResponse> range = co_await store::awaitable::range(
      context.store, contenders_of(name, contenders_max), std::move(options));
  if (!range.ok()) co_return range.status();
  co_return state_of(std::move(name), *range);
}

struct FoundNames {
  std::set<std::string> names;
  std::string next;
};

// Looks through keys until there are enough names.
Task<Result<FoundNames>> find_names(Context context, LockListRequest request, store::CallOptions options) {
  FoundNames found;
  store::RangeRequest page;
  page.key = std::max(request.from, request.prefix);
  if (page.key.empty()) page.key = std::string(1, '\0');
  page.range_end = prefix_end(request.prefix);
  page.limit = scan_page_keys;
  page.keys_only = true;
  for (std::size_t scanned = 0; scanned < lock_keys_scanned_max; scanned += scan_page_keys) {
    const Result<store::RangeResponse> keys = co_await store::awaitable::range(context.store, page, options);
    if (!keys.ok()) co_return keys.status();
    for (const store::KeyValue& kv : keys->kvs) {
      std::string name = lock_of(kv);
      if (!name.empty() && name.starts_with(request.prefix)) found.names.insert(std::move(name));
      if (found.names.size() < locks_listed_max) continue;
      found.next = kv.key + '\0';
      co_return found;
    }
    if (!keys->more || keys->kvs.empty()) co_return found;
    page.key = keys->kvs.back().key + '\0';
  }
  found.next = page.key;
  co_return found;
}

// In one transaction; how many bytes were read.
Task<Result<std::size_t>> read_states(Context context, std::span<const std::string> names,
                                      store::CallOptions options, LockList* page) {
  store::TxnRequest txn;
  for (const std::string& name : names) {
    txn.success.push_back(operation(contenders_of(name, lock_contenders_listed_max)));
  }
  const Result<store::TxnResponse> answer =
      co_await store::awaitable::txn(context.store, std::move(txn), std::move(options));
  if (!answer.ok()) co_return answer.status();
  std::size_t bytes = 0;
  for (std::size_t place = 0; place < names.size(); ++place) {
    const store::RangeResponse* range = range_at(*answer, place);
    if (range == nullptr) co_return errors::answer_of_other_shape();
    for (const store::KeyValue& kv : range->kvs) bytes += kv.key.size() + kv.value.size();
    if (!range->kvs.empty()) page->locks.push_back(state_of(names[place], *range));
  }
  co_return bytes;
}

Task<Result<LockList>> list(Context context, LockListRequest request, store::CallOptions options) {
  const std::string from = request.from;
  const Result<FoundNames> found = co_await find_names(context, std::move(request), options);
  if (!found.ok()) co_return found.status();
  std::vector<std::string> names(found->names.begin(), found->names.end());
  // In the order of their keys, so that a page may end behind any of them.
  std::ranges::sort(names, {}, [](const std::string& name) { return name + "/"; });
  LockList page;
  page.next = found->next;
  std::size_t bytes = 0;
  for (std::size_t at = 0; at < names.size(); at += locks_read_at_once) {
    // Names above others are found again by each page: one that ends where it began would come for ever.
    if (bytes >= lock_list_bytes_max && names[at] + "/" > from) {
      page.next = names[at] + "/";
      break;
    }
    const std::size_t count = std::min(locks_read_at_once, names.size() - at);
    const Result<std::size_t> read =
        co_await read_states(context, std::span(names).subspan(at, count), options, &page);
    if (!read.ok()) co_return read.status();
    bytes += *read;
  }
  co_return page;
}

std::string audit_record(const ForceRelease& request, const store::KeyValue& kv, std::int64_t now_ms) {
  const HolderValue holder = decode_holder(kv.value);
  FlatJsonWriter json;
  json.text("action", "force_release");
  if (is_utf8(request.name)) {
    json.text("name", request.name);
  } else {
    json.text("name_hex", to_hex(request.name));
  }
  json.number("token", request.token.value());
  json.number("session", kv.lease.value());
  json.text("holder", holder.description.holder);
  json.text("host", holder.description.host);
  json.number("pid", holder.description.pid);
  json.text("held_for", holder.description.reason);
  json.number("since_ms", holder.since_ms);
  json.text("by", request.by);
  json.text("reason", request.reason);
  json.number("at_ms", now_ms);
  return json.str();
}

std::string audit_key(const Context& context, std::int64_t now_ms) {
  std::array<char, 64> text{};
  const int size = std::snprintf(text.data(), text.size(), "lockstep/audit/%016llx-%016llx",
                                 static_cast<unsigned long long>(now_ms),
                                 static_cast<unsigned long long>(context.random.next()));
  return {text.data(), static_cast<std::size_t>(size)};
}

Task<Result<ForcedRelease>> remove_on_record(Context context, std::string key, Revision token,
                                             std::string record, std::string record_key,
                                             store::CallOptions options) {
  Repeating repeating(context, std::move(options));
  while (true) {
    store::TxnRequest txn;
    txn.compare.push_back(created_at(key, token));
    txn.success.push_back(operation(removal_of(key)));
    txn.success.push_back(operation(put_of(record_key, record, {})));
    txn.failure.push_back(operation(one_key(record_key)));
    const Result<store::TxnResponse> answer =
        co_await store::awaitable::txn(context.store, std::move(txn), repeating.call());
    if (answer.ok()) {
      const store::RangeResponse* recorded = range_at(*answer, 0);
      const bool was_ours = !answer->succeeded && recorded != nullptr && !recorded->kvs.empty();
      if (!answer->succeeded && !was_ours) co_return errors::not_holder();
      co_return ForcedRelease{answer->header, record_key};
    }
    // Its record tells whether it has happened: repeating is safe.
    if (Status end = co_await repeating.after(answer.status()); !end.ok()) co_return end;
  }
}

Task<Result<ForcedRelease>> force(Context context, ForceRelease request, store::CallOptions options) {
  if (Status wrong = check_name(request.name); !wrong.ok()) co_return wrong;
  Description texts;
  texts.holder = request.by;
  texts.reason = request.reason;
  if (Status wrong = check(texts); !wrong.ok()) co_return wrong;
  options.request_id = {};
  store::RangeRequest find = contenders_of(request.name, same_token_max);
  find.min_create_revision = request.token;
  find.max_create_revision = request.token;
  if (request.token <= Revision()) co_return errors::not_holder();
  const Result<store::RangeResponse> found =
      co_await store::awaitable::range(context.store, std::move(find), options);
  if (!found.ok()) co_return found.status();
  const auto kv = std::ranges::find(found->kvs, request.name, lock_of);
  if (kv == found->kvs.end()) co_return errors::not_holder();  // or of a lock whose name contains this one
  const std::int64_t now_ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(context.clock.wall_now()).count();
  std::string record = audit_record(request, *kv, now_ms);
  co_return co_await remove_on_record(context, kv->key, request.token, std::move(record),
                                      audit_key(context, now_ms), std::move(options));
}

}  // namespace

Task<Result<LockState>> show_lock(Context context, std::string name, store::CallOptions options,
                                  std::size_t contenders_max) {
  return show(context, std::move(name), std::move(options), contenders_max);
}

Task<Result<LockList>> list_locks(Context context, LockListRequest request, store::CallOptions options) {
  return list(context, std::move(request), std::move(options));
}

Task<Result<ForcedRelease>> force_release(Context context, ForceRelease request, store::CallOptions options) {
  return force(context, std::move(request), std::move(options));
}

}  // namespace lockstep::service
