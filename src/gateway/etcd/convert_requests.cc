// Requests: from etcd's messages to the store's values.
#include <utility>

#include "gateway/etcd/convert.h"
#include "gateway/etcd/etcd_status.h"
#include "gateway/etcd/reserved_keys.h"

namespace lockstep::gateway {
namespace {

using rpc::GrpcCode;
using rpc::GrpcStatus;

// An absent field has no string of its own to move from.
#define LS_TAKE_BYTES(message, field) \
  ((message).field().empty() ? std::string() : std::move(*(message).mutable_##field()))

GrpcStatus invalid(const char* text) {
  return {GrpcCode::invalid_argument, text};
}

template <class Wire, class Request>
GrpcStatus from_wire_operation(Wire* message, store::RequestOperation* operation) {
  return from_wire(*message, &operation->request.emplace<Request>());
}

template <class Wire, class Value>
GrpcStatus from_wire_list(Wire* messages, std::vector<Value>* values) {
  values->resize(static_cast<std::size_t>(messages->size()));
  for (int i = 0; i < messages->size(); ++i) {
    GrpcStatus status = from_wire(*messages->Mutable(i), &(*values)[static_cast<std::size_t>(i)]);
    if (!status.ok()) return status;
  }
  return {};
}

}  // namespace

GrpcStatus from_wire(pb::Compare& message, store::Compare* compare) {
  // etcd 3.4 takes these for true; a request that means nothing is refused instead.
  if (!pb::Compare::CompareResult_IsValid(message.result()))
    return invalid("lockstep: unknown compare result");
  if (!pb::Compare::CompareTarget_IsValid(message.target()))
    return invalid("lockstep: unknown compare target");
  compare->key = LS_TAKE_BYTES(message, key);
  compare->range_end = LS_TAKE_BYTES(message, range_end);
  compare->result = static_cast<store::CompareResult>(message.result());
  compare->target = static_cast<store::CompareTarget>(message.target());
  // A value given for another target counts as none: each accessor answers zero unless its field is set.
  switch (compare->target) {
    case store::CompareTarget::version:
      compare->number = message.version();
      break;
    case store::CompareTarget::create_revision:
      compare->number = message.create_revision();
      break;
    case store::CompareTarget::mod_revision:
      compare->number = message.mod_revision();
      break;
    case store::CompareTarget::lease:
      compare->number = message.lease();
      break;
    case store::CompareTarget::value:
      compare->value = LS_TAKE_BYTES(message, value);
      break;
  }
  return keep_to_client_keys(&compare->key, compare->range_end);
}

GrpcStatus from_wire(pb::RequestOp& message, store::RequestOperation* operation) {
  switch (message.request_case()) {
    case pb::RequestOp::kRequestRange:
      return from_wire_operation<pb::RangeRequest, store::RangeRequest>(message.mutable_request_range(),
                                                                        operation);
    case pb::RequestOp::kRequestPut:
      return from_wire_operation<pb::PutRequest, store::PutRequest>(message.mutable_request_put(), operation);
    case pb::RequestOp::kRequestDeleteRange:
      return from_wire_operation<pb::DeleteRangeRequest, store::DeleteRangeRequest>(
          message.mutable_request_delete_range(), operation);
    case pb::RequestOp::kRequestTxn:
      return from_wire_operation<pb::TxnRequest, store::TxnRequest>(message.mutable_request_txn(), operation);
    case pb::RequestOp::REQUEST_NOT_SET:
      return {};  // the store refuses it, after what it refuses before
  }
  return {};
}

GrpcStatus from_wire(pb::RangeRequest& message, store::RangeRequest* request) {
  if (!pb::RangeRequest::SortOrder_IsValid(message.sort_order()) ||
      !pb::RangeRequest::SortTarget_IsValid(message.sort_target())) {
    return etcd_errors::invalid_sort_option();
  }
  request->key = LS_TAKE_BYTES(message, key);
  request->range_end = LS_TAKE_BYTES(message, range_end);
  request->limit = message.limit();
  request->revision = Revision(message.revision());
  request->sort_order = static_cast<store::SortOrder>(message.sort_order());
  request->sort_target = static_cast<store::SortTarget>(message.sort_target());
  request->serializable = message.serializable();
  request->keys_only = message.keys_only();
  request->count_only = message.count_only();
  request->min_mod_revision = Revision(message.min_mod_revision());
  request->max_mod_revision = Revision(message.max_mod_revision());
  request->min_create_revision = Revision(message.min_create_revision());
  request->max_create_revision = Revision(message.max_create_revision());
  return keep_to_client_keys(&request->key, request->range_end);
}

GrpcStatus from_wire(pb::PutRequest& message, store::PutRequest* request) {
  request->key = LS_TAKE_BYTES(message, key);
  request->value = LS_TAKE_BYTES(message, value);
  request->lease = LeaseId(message.lease());
  request->prev_kv = message.prev_kv();
  request->ignore_value = message.ignore_value();
  request->ignore_lease = message.ignore_lease();
  return keep_to_client_keys(&request->key, {});
}

GrpcStatus from_wire(pb::DeleteRangeRequest& message, store::DeleteRangeRequest* request) {
  request->key = LS_TAKE_BYTES(message, key);
  request->range_end = LS_TAKE_BYTES(message, range_end);
  request->prev_kv = message.prev_kv();
  return keep_to_client_keys(&request->key, request->range_end);
}

GrpcStatus from_wire(pb::TxnRequest& message, store::TxnRequest* request) {
  GrpcStatus status = from_wire_list(message.mutable_compare(), &request->compare);
  if (status.ok()) status = from_wire_list(message.mutable_success(), &request->success);
  if (status.ok()) status = from_wire_list(message.mutable_failure(), &request->failure);
  return status;
}

GrpcStatus from_wire(pb::CompactionRequest& message, store::CompactRequest* request) {
  request->revision = Revision(message.revision());
  request->physical = message.physical();
  return {};
}

GrpcStatus from_wire(pb::WatchCreateRequest& message, store::WatchRequest* request) {
  request->key = LS_TAKE_BYTES(message, key);
  request->range_end = LS_TAKE_BYTES(message, range_end);
  request->start_revision = Revision(message.start_revision());
  request->prev_kv = message.prev_kv();
  request->progress_notify = message.progress_notify();
  request->fragment = message.fragment();
  for (const int filter : message.filters()) {
    if (filter == pb::WatchCreateRequest::NOPUT) request->no_put = true;
    if (filter == pb::WatchCreateRequest::NODELETE) request->no_delete = true;
  }
  // etcd takes a missing key for the smallest one, which no client of ours can have written.
  if (request->key.empty()) request->key.assign(1, '\0');
  if (request->key.size() == 1 && request->range_end.empty()) return {};
  return keep_to_client_keys(&request->key, request->range_end);
}

GrpcStatus from_wire(pb::LeaseRevokeRequest& message, store::LeaseRevokeRequest* request) {
  request->id = LeaseId(message.id());
  return {};
}

GrpcStatus from_wire(pb::LeaseTimeToLiveRequest& message, store::LeaseTimeToLiveRequest* request) {
  request->id = LeaseId(message.id());
  request->keys = message.keys();
  return {};
}

GrpcStatus from_wire(pb::AlarmRequest& message, store::AlarmRequest* request) {
  if (!pb::AlarmRequest::AlarmAction_IsValid(message.action()))
    return invalid("lockstep: unknown alarm action");
  if (!pb::AlarmType_IsValid(message.alarm())) return invalid("lockstep: unknown alarm");
  request->action = static_cast<store::AlarmAction>(message.action());
  request->alarm.member = NodeId(message.memberid());
  request->alarm.kind = static_cast<store::AlarmKind>(message.alarm());
  return {};
}

}  // namespace lockstep::gateway
