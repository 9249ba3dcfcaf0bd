#include <utility>
#include <variant>

#include "remote/convert.h"

namespace lockstep::remote {

std::int64_t whole_seconds(Duration duration) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(duration);
  return seconds.count() + (seconds < duration ? 1 : 0);
}

void to_wire(store::RangeRequest&& request, pb::RangeRequest* message) {
  message->set_key(std::move(request.key));
  message->set_range_end(std::move(request.range_end));
  message->set_limit(request.limit);
  message->set_revision(request.revision.value());
  message->set_sort_order(static_cast<pb::RangeRequest::SortOrder>(request.sort_order));
  message->set_sort_target(static_cast<pb::RangeRequest::SortTarget>(request.sort_target));
  message->set_serializable(request.serializable);
  message->set_keys_only(request.keys_only);
  message->set_count_only(request.count_only);
  message->set_min_mod_revision(request.min_mod_revision.value());
  message->set_max_mod_revision(request.max_mod_revision.value());
  message->set_min_create_revision(request.min_create_revision.value());
  message->set_max_create_revision(request.max_create_revision.value());
}
static_assert(static_cast<int>(store::SortOrder::descend) == pb::RangeRequest::DESCEND);
static_assert(static_cast<int>(store::SortTarget::key) == pb::RangeRequest::KEY);
static_assert(static_cast<int>(store::SortTarget::mod_revision) == pb::RangeRequest::MOD);
static_assert(static_cast<int>(store::SortTarget::value) == pb::RangeRequest::VALUE);

void to_wire(store::PutRequest&& request, pb::PutRequest* message) {
  message->set_key(std::move(request.key));
  message->set_value(std::move(request.value));
  message->set_lease(request.lease.value());
  message->set_prev_kv(request.prev_kv);
  message->set_ignore_value(request.ignore_value);
  message->set_ignore_lease(request.ignore_lease);
}

void to_wire(store::DeleteRangeRequest&& request, pb::DeleteRangeRequest* message) {
  message->set_key(std::move(request.key));
  message->set_range_end(std::move(request.range_end));
  message->set_prev_kv(request.prev_kv);
}

namespace {

void to_wire(store::Compare&& compare, pb::Compare* message) {
  message->set_key(std::move(compare.key));
  message->set_range_end(std::move(compare.range_end));
  message->set_result(static_cast<pb::Compare::CompareResult>(compare.result));
  switch (compare.target) {
    case store::CompareTarget::version:
      message->set_target(pb::Compare::VERSION);
      return message->set_version(compare.number);
    case store::CompareTarget::create_revision:
      message->set_target(pb::Compare::CREATE);
      return message->set_create_revision(compare.number);
    case store::CompareTarget::mod_revision:
      message->set_target(pb::Compare::MOD);
      return message->set_mod_revision(compare.number);
    case store::CompareTarget::value:
      message->set_target(pb::Compare::VALUE);
      return message->set_value(std::move(compare.value));
    case store::CompareTarget::lease:
      message->set_target(pb::Compare::LEASE);
      return message->set_lease(compare.number);
  }
}
static_assert(static_cast<int>(store::CompareResult::not_equal) == pb::Compare::NOT_EQUAL);
static_assert(static_cast<int>(store::CompareResult::less) == pb::Compare::LESS);

struct OperationToWire {
  pb::RequestOp* message;
  void operator()(std::monostate) const {}
  void operator()(store::RangeRequest& request) const {
    remote::to_wire(std::move(request), message->mutable_request_range());
  }
  void operator()(store::PutRequest& request) const {
    remote::to_wire(std::move(request), message->mutable_request_put());
  }
  void operator()(store::DeleteRangeRequest& request) const {
    remote::to_wire(std::move(request), message->mutable_request_delete_range());
  }
  void operator()(store::TxnRequest& request) const {
    remote::to_wire(std::move(request), message->mutable_request_txn());
  }
};

}  // namespace

void to_wire(store::TxnRequest&& request, pb::TxnRequest* message) {
  for (store::Compare& compare : request.compare) to_wire(std::move(compare), message->add_compare());
  for (store::RequestOperation& operation : request.success)
    std::visit(OperationToWire{message->add_success()}, operation.request);
  for (store::RequestOperation& operation : request.failure)
    std::visit(OperationToWire{message->add_failure()}, operation.request);
}

void to_wire(store::CompactRequest&& request, pb::CompactionRequest* message) {
  message->set_revision(request.revision.value());
  message->set_physical(request.physical);
}

void to_wire(store::LeaseGrantRequest&& request, pb::LeaseGrantRequest* message) {
  message->set_ttl(whole_seconds(request.ttl));
  message->set_id(request.id.value());
}

void to_wire(store::LeaseRevokeRequest&& request, pb::LeaseRevokeRequest* message) {
  message->set_id(request.id.value());
}

void to_wire(store::LeaseTimeToLiveRequest&& request, pb::LeaseTimeToLiveRequest* message) {
  message->set_id(request.id.value());
  message->set_keys(request.keys);
}

void to_wire(store::AlarmRequest&& request, pb::AlarmRequest* message) {
  message->set_action(static_cast<pb::AlarmRequest::AlarmAction>(request.action));
  message->set_memberid(request.alarm.member.value());
  message->set_alarm(static_cast<pb::AlarmType>(request.alarm.kind));
}
static_assert(static_cast<int>(store::AlarmAction::deactivate) == pb::AlarmRequest::DEACTIVATE);
static_assert(static_cast<int>(store::AlarmKind::corrupt) == pb::CORRUPT);

void to_wire(const store::WatchRequest& request, pb::WatchCreateRequest* message) {
  message->set_key(request.key);
  message->set_range_end(request.range_end);
  message->set_start_revision(request.start_revision.value());
  message->set_progress_notify(request.progress_notify);
  message->set_prev_kv(request.prev_kv);
  message->set_fragment(request.fragment);
  if (request.no_put) message->add_filters(pb::WatchCreateRequest::NOPUT);
  if (request.no_delete) message->add_filters(pb::WatchCreateRequest::NODELETE);
}

}  // namespace lockstep::remote
