#include <utility>

#include "remote/convert.h"

namespace lockstep::remote {

store::Header from_wire(const pb::ResponseHeader& message) {
  return {ClusterId(message.cluster_id()), NodeId(message.member_id()), Revision(message.revision()),
          Term(message.raft_term())};
}

store::KeyValue from_wire(mvccpb::KeyValue&& message) {
  store::KeyValue kv;
  kv.key = std::move(*message.mutable_key());
  kv.value = std::move(*message.mutable_value());
  kv.create_revision = Revision(message.create_revision());
  kv.mod_revision = Revision(message.mod_revision());
  kv.version = message.version();
  kv.lease = LeaseId(message.lease());
  return kv;
}

void from_wire(pb::RangeResponse&& message, store::RangeResponse* response) {
  response->header = from_wire(message.header());
  response->kvs.reserve(static_cast<std::size_t>(message.kvs_size()));
  for (mvccpb::KeyValue& kv : *message.mutable_kvs()) response->kvs.push_back(from_wire(std::move(kv)));
  response->more = message.more();
  response->count = message.count();
}

void from_wire(pb::PutResponse&& message, store::PutResponse* response) {
  response->header = from_wire(message.header());
  if (message.has_prev_kv()) response->prev_kv = from_wire(std::move(*message.mutable_prev_kv()));
}

void from_wire(pb::DeleteRangeResponse&& message, store::DeleteRangeResponse* response) {
  response->header = from_wire(message.header());
  response->deleted = message.deleted();
  response->prev_kvs.reserve(static_cast<std::size_t>(message.prev_kvs_size()));
  for (mvccpb::KeyValue& kv : *message.mutable_prev_kvs())
    response->prev_kvs.push_back(from_wire(std::move(kv)));
}

namespace {

template <class Response, class Message>
Response converted(Message* message) {
  Response response;
  from_wire(std::move(*message), &response);
  return response;
}

store::ResponseOperation operation(pb::ResponseOp* message) {
  switch (message->response_case()) {
    case pb::ResponseOp::kResponseRange:
      return {converted<store::RangeResponse>(message->mutable_response_range())};
    case pb::ResponseOp::kResponsePut:
      return {converted<store::PutResponse>(message->mutable_response_put())};
    case pb::ResponseOp::kResponseDeleteRange:
      return {converted<store::DeleteRangeResponse>(message->mutable_response_delete_range())};
    case pb::ResponseOp::kResponseTxn:
      return {converted<store::TxnResponse>(message->mutable_response_txn())};
    case pb::ResponseOp::RESPONSE_NOT_SET:
      return {};
  }
  return {};
}

}  // namespace

void from_wire(pb::TxnResponse&& message, store::TxnResponse* response) {
  response->header = from_wire(message.header());
  response->succeeded = message.succeeded();
  response->responses.reserve(static_cast<std::size_t>(message.responses_size()));
  for (pb::ResponseOp& answer : *message.mutable_responses())
    response->responses.push_back(operation(&answer));
}

void from_wire(pb::CompactionResponse&& message, store::CompactResponse* response) {
  response->header = from_wire(message.header());
}

void from_wire(pb::LeaseGrantResponse&& message, store::LeaseGrantResponse* response) {
  response->header = from_wire(message.header());
  response->id = LeaseId(message.id());
  response->ttl = std::chrono::seconds(message.ttl());
}

void from_wire(pb::LeaseRevokeResponse&& message, store::LeaseRevokeResponse* response) {
  response->header = from_wire(message.header());
}

void from_wire(pb::LeaseKeepAliveResponse&& message, store::LeaseKeepAliveResponse* response) {
  response->header = from_wire(message.header());
  response->id = LeaseId(message.id());
  response->ttl = std::chrono::seconds(message.ttl());
}

void from_wire(pb::LeaseTimeToLiveResponse&& message, store::LeaseTimeToLiveResponse* response) {
  response->header = from_wire(message.header());
  response->id = LeaseId(message.id());
  response->found = message.ttl() >= 0;
  if (!response->found) return;
  response->remaining = std::chrono::seconds(message.ttl());
  response->granted_ttl = std::chrono::seconds(message.grantedttl());
  for (std::string& key : *message.mutable_keys()) response->keys.push_back(std::move(key));
}

void from_wire(pb::LeaseLeasesResponse&& message, store::LeaseLeasesResponse* response) {
  response->header = from_wire(message.header());
  for (const pb::LeaseStatus& lease : message.leases()) response->leases.emplace_back(lease.id());
}

void from_wire(pb::AlarmResponse&& message, store::AlarmResponse* response) {
  response->header = from_wire(message.header());
  for (const pb::AlarmMember& alarm : message.alarms())
    response->alarms.push_back({NodeId(alarm.memberid()), static_cast<store::AlarmKind>(alarm.alarm())});
}

void from_wire(pb::WatchResponse&& message, store::WatchResponse* response) {
  response->header = from_wire(message.header());
  response->fragment = message.fragment();
  response->canceled = message.canceled();
  response->compact_revision = Revision(message.compact_revision());
  response->cancel_reason = std::move(*message.mutable_cancel_reason());
  response->events.reserve(static_cast<std::size_t>(message.events_size()));
  for (mvccpb::Event& event : *message.mutable_events()) {
    store::Event& converted_event = response->events.emplace_back();
    converted_event.kind =
        event.type() == mvccpb::Event::DELETE ? store::EventKind::remove : store::EventKind::put;
    converted_event.kv = from_wire(std::move(*event.mutable_kv()));
    if (event.has_prev_kv()) converted_event.prev_kv = from_wire(std::move(*event.mutable_prev_kv()));
  }
}

}  // namespace lockstep::remote
