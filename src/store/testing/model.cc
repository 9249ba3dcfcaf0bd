#include "store/testing/model.h"

#include <algorithm>
#include <utility>

#include "base/limits.h"

namespace lockstep::store::testing {
namespace {

const Status compacted_error(Code::out_of_range, "etcdserver: mvcc: required revision has been compacted");
const Status future_error(Code::out_of_range, "etcdserver: mvcc: required revision is a future revision");
const Status lease_error(Code::not_found, "etcdserver: requested lease not found");
const Status key_error(Code::invalid_argument, "etcdserver: key not found");

bool within(const std::string& key, const std::string& begin, const std::string& end) {
  if (end.empty()) return key == begin;
  if (end == std::string(1, '\0')) return key >= begin;
  return key >= begin && key < end;
}

template <class A>
bool decide(CompareResult result, const A& actual, const A& wanted) {
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

bool decide(const Compare& compare, const KeyValue& kv) {
  switch (compare.target) {
    case CompareTarget::version:
      return decide(compare.result, kv.version, compare.number);
    case CompareTarget::create_revision:
      return decide(compare.result, kv.create_revision.value(), compare.number);
    case CompareTarget::mod_revision:
      return decide(compare.result, kv.mod_revision.value(), compare.number);
    case CompareTarget::lease:
      return decide(compare.result, kv.lease.value(), compare.number);
    case CompareTarget::value:
      return decide(compare.result, kv.value, compare.value);
  }
  return false;
}

// Negative, zero or positive, as the sort target says.
int order(SortTarget target, const KeyValue& a, const KeyValue& b) {
  const auto by = [](const auto& x, const auto& y) { return x < y ? -1 : y < x ? 1 : 0; };
  switch (target) {
    case SortTarget::key:
      return by(a.key, b.key);
    case SortTarget::version:
      return by(a.version, b.version);
    case SortTarget::create_revision:
      return by(a.create_revision, b.create_revision);
    case SortTarget::mod_revision:
      return by(a.mod_revision, b.mod_revision);
    case SortTarget::value:
      return by(a.value, b.value);
  }
  return 0;
}

}  // namespace

void Model::commit(Draft draft) {
  if (draft.changed) states_.push_back(std::move(draft.keys));
}

void Model::begin_term() {
  term_began_ms_ = time_ms_ + limits::lease_confirmation_age_ms_max;
}

void Model::set_time(std::int64_t time_ms) {
  time_ms_ = std::max(time_ms_, time_ms);
  while (true) {
    std::optional<std::pair<std::int64_t, LeaseId>> first;
    for (const auto& [id, lease] : leases_) {
      if (lease.deadline_ms > time_ms_) continue;
      if (!first || std::pair(lease.deadline_ms, id) < *first) first = {lease.deadline_ms, id};
    }
    if (!first) return;
    Lease& lease = leases_.at(first->second);
    const std::int64_t whole_ms = term_began_ms_ + lease.ttl_ms + 1;
    if (whole_ms > time_ms_) {
      lease.deadline_ms = whole_ms;
    } else {
      end_lease(first->second);
    }
  }
}

void Model::end_lease(LeaseId id) {
  Draft draft{states_.back()};
  draft.changed = std::erase_if(draft.keys, [&](const auto& item) { return item.second.lease == id; }) > 0;
  commit(std::move(draft));
  leases_.erase(id);
}

RangeResponse Model::read(const RangeRequest& request, const Keys& keys, std::int64_t visible) const {
  RangeResponse response;
  response.header.revision = Revision(visible);
  std::vector<KeyValue> found;
  for (const auto& [key, kv] : keys) {
    if (within(key, request.key, request.range_end)) found.push_back(kv);
  }
  response.count = static_cast<std::int64_t>(found.size());
  if (request.count_only) return response;
  const bool filtered = request.min_mod_revision.value() != 0 || request.max_mod_revision.value() != 0 ||
                        request.min_create_revision.value() != 0 || request.max_create_revision.value() != 0;
  // etcd takes one more than the limit before sorting, if neither an order nor a filter is asked for.
  const auto limit = static_cast<std::size_t>(std::max<std::int64_t>(request.limit, 0));
  if (limit > 0 && request.sort_order == SortOrder::none && !filtered && found.size() > limit + 1) {
    found.resize(limit + 1);
  }
  std::erase_if(found, [&](const KeyValue& kv) {
    const auto outside = [](Revision actual, Revision low, Revision high) {
      return (low.value() != 0 && actual < low) || (high.value() != 0 && actual > high);
    };
    return outside(kv.mod_revision, request.min_mod_revision, request.max_mod_revision) ||
           outside(kv.create_revision, request.min_create_revision, request.max_create_revision);
  });
  std::ranges::sort(found, [&](const KeyValue& a, const KeyValue& b) {
    const int compared = order(request.sort_target, a, b);
    if (compared == 0) return a.key < b.key;
    return request.sort_order == SortOrder::descend ? compared > 0 : compared < 0;
  });
  if (limit > 0 && found.size() > limit) {
    response.more = true;
    found.resize(limit);
  }
  if (request.keys_only) {
    for (KeyValue& kv : found) kv.value.clear();
  }
  response.kvs = std::move(found);
  return response;
}

Result<RangeResponse> Model::range(const RangeRequest& request) const {
  std::int64_t at = request.revision.value();
  if (at > revision()) return future_error;
  if (at <= 0) at = revision();
  if (at < compacted_) return compacted_error;
  return read(request, this->at(at), revision());
}

Status Model::check_put(const PutRequest& request, const Keys& keys) const {
  if ((request.ignore_value || request.ignore_lease) && !keys.contains(request.key)) return key_error;
  if (request.lease.value() != 0 && !leases_.contains(request.lease)) return lease_error;
  return {};
}

PutResponse Model::write(const PutRequest& request, Draft* draft) const {
  PutResponse response;
  KeyValue kv;
  const auto before = draft->keys.find(request.key);
  const Revision now(revision() + 1);
  kv.create_revision = now;
  if (before != draft->keys.end()) {
    if (request.prev_kv) response.prev_kv = before->second;
    kv = before->second;
  }
  kv.key = request.key;
  if (!request.ignore_value) kv.value = request.value;
  if (!request.ignore_lease) kv.lease = request.lease;
  kv.mod_revision = now;
  ++kv.version;
  draft->keys[request.key] = kv;
  draft->changed = true;
  response.header.revision = now;
  return response;
}

CommandResult Model::put(const PutRequest& request) {
  // A single put looks for its lease first, a transaction's for its key.
  if (request.lease.value() != 0 && !leases_.contains(request.lease)) return lease_error;
  LS_RETURN_IF_ERROR(check_put(request, states_.back()));
  Draft draft{states_.back()};
  PutResponse response = write(request, &draft);
  commit(std::move(draft));
  return Response(std::move(response));
}

DeleteRangeResponse Model::erase(const DeleteRangeRequest& request, Draft* draft) const {
  DeleteRangeResponse response;
  for (auto item = draft->keys.begin(); item != draft->keys.end();) {
    if (!within(item->first, request.key, request.range_end)) {
      ++item;
      continue;
    }
    if (request.prev_kv) response.prev_kvs.push_back(item->second);
    item = draft->keys.erase(item);
    ++response.deleted;
    draft->changed = true;
  }
  response.header.revision = Revision(visible(*draft));
  return response;
}

CommandResult Model::delete_range(const DeleteRangeRequest& request) {
  Draft draft{states_.back()};
  DeleteRangeResponse response = erase(request, &draft);
  commit(std::move(draft));
  return Response(std::move(response));
}

bool Model::holds(const Compare& compare) const {
  bool found = false;
  for (const auto& [key, kv] : states_.back()) {
    if (!within(key, compare.key, compare.range_end)) continue;
    found = true;
    if (!decide(compare, kv)) return false;
  }
  return found || (compare.target != CompareTarget::value && decide(compare, KeyValue{}));
}

bool Model::succeeds(const TxnRequest& request) const {
  return std::ranges::all_of(request.compare, [&](const Compare& compare) { return holds(compare); });
}

Status Model::check_txn(const TxnRequest& request, bool puts) const {
  for (const RequestOperation& operation : succeeds(request) ? request.success : request.failure) {
    if (const auto* nested = std::get_if<TxnRequest>(&operation.request)) {
      LS_RETURN_IF_ERROR(check_txn(*nested, puts));
    }
    const auto* put = std::get_if<PutRequest>(&operation.request);
    if (puts && put != nullptr) LS_RETURN_IF_ERROR(check_put(*put, states_.back()));
    const auto* range = std::get_if<RangeRequest>(&operation.request);
    if (puts || range == nullptr || range->revision.value() == 0) continue;
    if (range->revision.value() > revision()) return future_error;
    if (range->revision.value() < compacted_) return compacted_error;
  }
  return {};
}

TxnResponse Model::run(const TxnRequest& request, Draft* draft) const {
  TxnResponse response;
  response.succeeded = succeeds(request);
  for (const RequestOperation& operation : response.succeeded ? request.success : request.failure) {
    ResponseOperation answer;
    if (const auto* range = std::get_if<RangeRequest>(&operation.request)) {
      const std::int64_t at = range->revision.value();
      answer.response = read(*range, at > 0 ? this->at(at) : draft->keys, visible(*draft));
    } else if (const auto* put = std::get_if<PutRequest>(&operation.request)) {
      answer.response = write(*put, draft);
    } else if (const auto* removal = std::get_if<DeleteRangeRequest>(&operation.request)) {
      answer.response = erase(*removal, draft);
    } else if (const auto* nested = std::get_if<TxnRequest>(&operation.request)) {
      answer.response = run(*nested, draft);
    }
    response.responses.push_back(std::move(answer));
  }
  return response;
}

CommandResult Model::txn(const TxnRequest& request) {
  LS_RETURN_IF_ERROR(check_txn(request, true));
  LS_RETURN_IF_ERROR(check_txn(request, false));
  Draft draft{states_.back()};
  TxnResponse response = run(request, &draft);
  commit(std::move(draft));
  response.header.revision = Revision(revision());
  return Response(std::move(response));
}

CommandResult Model::compact(const CompactRequest& request) {
  if (request.revision.value() <= compacted_) return compacted_error;
  if (request.revision.value() > revision()) return future_error;
  compacted_ = request.revision.value();
  return Response(CompactResponse{{.revision = Revision(revision())}});
}

CommandResult Model::lease_grant(const LeaseGrantRequest& request) {
  if (leases_.contains(request.id)) {
    return Status(Code::failed_precondition, "etcdserver: lease already exists");
  }
  const std::int64_t ttl_ms = request.ttl / 1ms;
  leases_[request.id] = {ttl_ms, time_ms_ + ttl_ms + 1};
  return Response(LeaseGrantResponse{{.revision = Revision(revision())}, request.id, request.ttl});
}

CommandResult Model::lease_revoke(const LeaseRevokeRequest& request) {
  if (!leases_.contains(request.id)) return lease_error;
  end_lease(request.id);
  return Response(LeaseRevokeResponse{{.revision = Revision(revision())}});
}

CommandResult Model::lease_renew(LeaseId id) {
  LeaseRenewResponse response;
  response.header.revision = Revision(revision());
  response.renewals.push_back({.id = id});
  const auto lease = leases_.find(id);
  if (lease != leases_.end()) {
    lease->second.deadline_ms = std::max(lease->second.deadline_ms, time_ms_ + lease->second.ttl_ms + 1);
    response.renewals[0].ttl = std::chrono::milliseconds(lease->second.ttl_ms);
  }
  return Response(std::move(response));
}

CommandResult Model::alarm(const AlarmRequest& request) {
  AlarmResponse response;
  response.header.revision = Revision(revision());
  switch (request.action) {
    case AlarmAction::get:
      for (const Alarm& alarm : alarms_) {
        if (request.alarm.kind == AlarmKind::none || alarm.kind == request.alarm.kind) {
          response.alarms.push_back(alarm);
        }
      }
      break;
    case AlarmAction::activate:
      alarms_.insert(request.alarm);
      response.alarms.push_back(request.alarm);
      break;
    case AlarmAction::deactivate:
      if (alarms_.erase(request.alarm) > 0) response.alarms.push_back(request.alarm);
      break;
  }
  return Response(std::move(response));
}

std::set<std::string> Model::keys_of(LeaseId id) const {
  std::set<std::string> keys;
  for (const auto& [key, kv] : states_.back()) {
    if (kv.lease == id) keys.insert(key);
  }
  return keys;
}

std::vector<LeaseId> Model::leases() const {
  std::vector<LeaseId> ids;
  for (const auto& [id, lease] : leases_) ids.push_back(id);
  return ids;
}

}  // namespace lockstep::store::testing
