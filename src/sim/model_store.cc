#include "sim/model_store.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace lockstep::sim {

using store::Compare;
using store::CompareResult;
using store::CompareTarget;
using store::KeyValue;
using store::SortOrder;
using store::SortTarget;

struct ModelStore::Run {
  std::int64_t revision = 0;
  std::vector<store::Event> events;
  std::vector<std::string> written;  // for taking it back
};

namespace {

bool filtered_out(const store::RangeRequest& request, const KeyValue& kv) {
  const auto outside = [](Revision value, Revision low, Revision high) {
    return (low.value() != 0 && value < low) || (high.value() != 0 && value > high);
  };
  return outside(kv.mod_revision, request.min_mod_revision, request.max_mod_revision) ||
         outside(kv.create_revision, request.min_create_revision, request.max_create_revision);
}

bool before(const KeyValue& a, const KeyValue& b, SortTarget target) {
  switch (target) {
    case SortTarget::key:
      return a.key < b.key;
    case SortTarget::version:
      return a.version < b.version;
    case SortTarget::create_revision:
      return a.create_revision < b.create_revision;
    case SortTarget::mod_revision:
      return a.mod_revision < b.mod_revision;
    case SortTarget::value:
      return a.value < b.value;
  }
  return false;
}

template <class T>
bool compares(const T& actual, const T& wanted, CompareResult result) {
  switch (result) {
    case CompareResult::equal:
      return actual == wanted;
    case CompareResult::not_equal:
      return actual != wanted;
    case CompareResult::greater:
      return actual > wanted;
    case CompareResult::less:
      return actual < wanted;
  }
  return false;
}

bool compare_one(const Compare& compare, const KeyValue& kv) {
  switch (compare.target) {
    case CompareTarget::version:
      return compares(kv.version, compare.number, compare.result);
    case CompareTarget::create_revision:
      return compares(kv.create_revision.value(), compare.number, compare.result);
    case CompareTarget::mod_revision:
      return compares(kv.mod_revision.value(), compare.number, compare.result);
    case CompareTarget::lease:
      return compares(kv.lease.value(), compare.number, compare.result);
    case CompareTarget::value:
      return compares(kv.value, compare.value, compare.result);
  }
  return false;
}

void strip_headers(AnyResponse& response);

void strip_headers(store::TxnResponse& response) {
  response.header = {};
  for (store::ResponseOperation& operation : response.responses) {
    std::visit(
        [](auto& nested) {
          using T = std::decay_t<decltype(nested)>;
          if constexpr (std::is_same_v<T, store::TxnResponse>) {
            strip_headers(nested);
          } else if constexpr (!std::is_same_v<T, std::monostate>) {
            nested.header = {};
          }
        },
        operation.response);
  }
}

void strip_headers(AnyResponse& response) {
  std::visit(
      [](auto& nested) {
        using T = std::decay_t<decltype(nested)>;
        if constexpr (std::is_same_v<T, store::TxnResponse>) {
          strip_headers(nested);
        } else if constexpr (!std::is_same_v<T, std::monostate>) {
          nested.header = {};
        }
      },
      response);
}

}  // namespace

std::vector<const KeyValue*> ModelStore::find(const std::string& key, const std::string& range_end,
                                              std::int64_t at) const {
  auto first = keys_.lower_bound(key);
  auto last = keys_.end();
  if (range_end.empty()) {
    last = keys_.upper_bound(key);
  } else if (range_end != std::string(1, '\0')) {
    if (range_end <= key) return {};
    last = keys_.lower_bound(range_end);
  }
  std::vector<const KeyValue*> found;
  for (; first != last; ++first) {
    const std::vector<Version>& versions = first->second;
    auto newer =
        std::upper_bound(versions.begin(), versions.end(), at,
                         [](std::int64_t revision, const Version& v) { return revision < v.revision; });
    if (newer == versions.begin()) continue;
    const Version& version = *std::prev(newer);
    if (version.kv.has_value()) found.push_back(&*version.kv);
  }
  return found;
}

const KeyValue* ModelStore::get(const std::string& key, Revision at) const {
  const auto found = find(key, "", at.value());
  return found.empty() ? nullptr : found.front();
}

std::vector<std::string> ModelStore::keys_of_lease(LeaseId lease) const {
  std::vector<std::string> keys;
  for (const auto& [key, versions] : keys_) {
    if (!versions.empty() && versions.back().kv && versions.back().kv->lease == lease) keys.push_back(key);
  }
  return keys;
}

store::RangeResponse ModelStore::range(const store::RangeRequest& request, Revision at) const {
  store::RangeResponse response;
  response.header.revision = at;
  const auto found = find(request.key, request.range_end,
                          request.revision.value() > 0 ? request.revision.value() : at.value());
  response.count = static_cast<std::int64_t>(found.size());
  if (request.count_only) return response;
  for (const KeyValue* kv : found) {
    if (!filtered_out(request, *kv)) response.kvs.push_back(*kv);
  }
  SortOrder order = request.sort_order;
  if (order == SortOrder::none && request.sort_target != SortTarget::key) order = SortOrder::ascend;
  if (order != SortOrder::none) {
    std::ranges::sort(response.kvs, [&](const KeyValue& a, const KeyValue& b) {
      const bool less = before(a, b, request.sort_target);
      const bool greater = before(b, a, request.sort_target);
      if (!less && !greater) return a.key < b.key;  // ties keep the order of keys
      return order == SortOrder::ascend ? less : greater;
    });
  }
  if (request.limit > 0 && static_cast<std::int64_t>(response.kvs.size()) > request.limit) {
    response.kvs.resize(static_cast<std::size_t>(request.limit));
    response.more = true;
  }
  if (request.keys_only) {
    for (KeyValue& kv : response.kvs) kv.value.clear();
  }
  return response;
}

void ModelStore::write(Run& run, const std::string& key, std::optional<KeyValue> kv) {
  store::Event event;
  if (kv.has_value()) {
    event.kind = store::EventKind::put;
    event.kv = *kv;
  } else {
    event.kind = store::EventKind::remove;
    event.kv.key = key;
    event.kv.mod_revision = Revision(run.revision);
  }
  run.events.push_back(std::move(event));
  run.written.push_back(key);
  keys_[key].push_back({run.revision, std::move(kv)});
}

void ModelStore::roll_back(const Run& run) {
  for (const std::string& key : run.written) {
    keys_[key].pop_back();
    if (keys_[key].empty()) keys_.erase(key);
  }
}

Code ModelStore::put(Run& run, const store::PutRequest& request, store::PutResponse* response) {
  const auto found = find(request.key, "", run.revision);
  const KeyValue* previous = found.empty() ? nullptr : found.front();
  if (previous == nullptr && (request.ignore_value || request.ignore_lease)) return Code::invalid_argument;
  KeyValue kv;
  kv.key = request.key;
  kv.value = request.ignore_value ? previous->value : request.value;
  kv.lease = request.ignore_lease ? previous->lease : request.lease;
  kv.mod_revision = Revision(run.revision);
  kv.create_revision = previous != nullptr ? previous->create_revision : kv.mod_revision;
  kv.version = previous != nullptr ? previous->version + 1 : 1;
  if (request.prev_kv && previous != nullptr) response->prev_kv = *previous;
  write(run, request.key, std::move(kv));
  return Code::ok;
}

void ModelStore::delete_range(Run& run, const store::DeleteRangeRequest& request,
                              store::DeleteRangeResponse* response) {
  std::vector<KeyValue> doomed;
  for (const KeyValue* kv : find(request.key, request.range_end, run.revision)) doomed.push_back(*kv);
  response->deleted = static_cast<std::int64_t>(doomed.size());
  for (KeyValue& kv : doomed) {
    write(run, kv.key, std::nullopt);
    if (request.prev_kv) response->prev_kvs.push_back(std::move(kv));
  }
}

bool ModelStore::holds(const Compare& compare, std::int64_t at) const {
  const auto found = find(compare.key, compare.range_end, at);
  if (found.empty()) return compare.target != CompareTarget::value && compare_one(compare, KeyValue{});
  return std::ranges::all_of(found, [&](const KeyValue* kv) { return compare_one(compare, *kv); });
}

Code ModelStore::txn(Run& run, const store::TxnRequest& request, store::TxnResponse* response) {
  response->succeeded = std::ranges::all_of(
      request.compare, [&](const Compare& compare) { return holds(compare, run.revision); });
  for (const store::RequestOperation& operation : response->succeeded ? request.success : request.failure) {
    store::ResponseOperation answer;
    Code code = Code::ok;
    if (const auto* range_request = std::get_if<store::RangeRequest>(&operation.request)) {
      answer.response = range(*range_request, Revision(run.revision));
    } else if (const auto* put_request = std::get_if<store::PutRequest>(&operation.request)) {
      store::PutResponse nested;
      code = put(run, *put_request, &nested);
      answer.response = std::move(nested);
    } else if (const auto* delete_request = std::get_if<store::DeleteRangeRequest>(&operation.request)) {
      store::DeleteRangeResponse nested;
      delete_range(run, *delete_request, &nested);
      answer.response = std::move(nested);
    } else if (const auto* txn_request = std::get_if<store::TxnRequest>(&operation.request)) {
      store::TxnResponse nested;
      code = txn(run, *txn_request, &nested);
      answer.response = std::move(nested);
    } else {
      code = Code::invalid_argument;
    }
    if (code != Code::ok) return code;
    response->responses.push_back(std::move(answer));
  }
  return Code::ok;
}

ModelStore::Applied ModelStore::execute(Run& run, const AnyRequest& request) {
  Applied applied;
  if (const auto* put_request = std::get_if<store::PutRequest>(&request)) {
    store::PutResponse response;
    applied.code = put(run, *put_request, &response);
    applied.response = std::move(response);
  } else if (const auto* delete_request = std::get_if<store::DeleteRangeRequest>(&request)) {
    store::DeleteRangeResponse response;
    delete_range(run, *delete_request, &response);
    applied.response = std::move(response);
  } else if (const auto* txn_request = std::get_if<store::TxnRequest>(&request)) {
    store::TxnResponse response;
    applied.code = txn(run, *txn_request, &response);
    applied.response = std::move(response);
  } else if (const auto* revoke = std::get_if<store::LeaseRevokeRequest>(&request)) {
    for (const std::string& key : keys_of_lease(revoke->id)) write(run, key, std::nullopt);
    applied.response = store::LeaseRevokeResponse{};
  } else {
    applied.code = Code::unimplemented;
  }
  const std::int64_t revision = applied.code == Code::ok && !run.events.empty() ? run.revision : revision_;
  std::visit(
      [revision](auto& response) {
        if constexpr (!std::is_same_v<std::decay_t<decltype(response)>, std::monostate>) {
          response.header.revision = Revision(revision);
        }
      },
      applied.response);
  if (applied.code == Code::ok) applied.events = run.events;
  return applied;
}

ModelStore::Applied ModelStore::apply(const AnyRequest& request) {
  Run run;
  run.revision = revision_ + 1;
  Applied applied = execute(run, request);
  if (applied.code != Code::ok) {
    roll_back(run);
  } else if (!run.events.empty()) {
    revision_ = run.revision;
  }
  return applied;
}

ModelStore::Applied ModelStore::dry_run(const AnyRequest& request) {
  Run run;
  run.revision = revision_ + 1;
  Applied applied = execute(run, request);
  roll_back(run);
  return applied;
}

std::optional<store::TxnResponse> ModelStore::read_only_txn(const store::TxnRequest& request,
                                                            Revision at) const {
  store::TxnResponse response;
  response.header.revision = at;
  response.succeeded = std::ranges::all_of(
      request.compare, [&](const Compare& compare) { return holds(compare, at.value()); });
  for (const store::RequestOperation& operation : response.succeeded ? request.success : request.failure) {
    store::ResponseOperation answer;
    if (const auto* range_request = std::get_if<store::RangeRequest>(&operation.request)) {
      answer.response = range(*range_request, at);
    } else if (const auto* delete_request = std::get_if<store::DeleteRangeRequest>(&operation.request)) {
      if (!find(delete_request->key, delete_request->range_end, at.value()).empty()) return std::nullopt;
      answer.response = store::DeleteRangeResponse{};
    } else if (const auto* txn_request = std::get_if<store::TxnRequest>(&operation.request)) {
      auto nested = read_only_txn(*txn_request, at);
      if (!nested.has_value()) return std::nullopt;
      answer.response = *std::move(nested);
    } else {
      return std::nullopt;
    }
    response.responses.push_back(std::move(answer));
  }
  return response;
}

void ModelStore::remove_keys(const std::vector<std::string>& keys) {
  LS_MUST(!keys.empty());
  Run run;
  run.revision = revision_ + 1;
  for (const std::string& key : keys) write(run, key, std::nullopt);
  revision_ = run.revision;
}

bool same_answer(const AnyResponse& a, const AnyResponse& b) {
  AnyResponse left = a;
  AnyResponse right = b;
  strip_headers(left);
  strip_headers(right);
  return left == right;
}

bool same_events(std::vector<store::Event> a, std::vector<store::Event> b) {
  const auto by_key = [](const store::Event& x, const store::Event& y) { return x.kv.key < y.kv.key; };
  std::ranges::sort(a, by_key);
  std::ranges::sort(b, by_key);
  return std::ranges::equal(
      a, b, [](const store::Event& x, const store::Event& y) { return x.kind == y.kind && x.kv == y.kv; });
}

Revision revision_of(const AnyResponse& response) {
  return std::visit(
      [](const auto& nested) {
        if constexpr (std::is_same_v<std::decay_t<decltype(nested)>, std::monostate>) {
          return Revision{};
        } else {
          return nested.header.revision;
        }
      },
      response);
}

}  // namespace lockstep::sim
