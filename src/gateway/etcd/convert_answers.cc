// Answers: from the store's values to etcd's messages.
#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "gateway/etcd/convert.h"

namespace lockstep::gateway {
namespace {

template <class Values, class Messages>
void to_wire_list(Values&& values, Messages* messages) {
  messages->Reserve(static_cast<int>(values.size()));
  for (auto& value : values) to_wire(std::move(value), messages->Add());
}

}  // namespace

std::int64_t whole_seconds(Duration duration) {
  LS_MUST(duration >= Duration::zero());
  return std::chrono::floor<std::chrono::seconds>(duration).count();
}

std::int64_t ttl_seconds(Duration ttl) {
  if (ttl <= Duration::zero()) return 0;
  return std::max<std::int64_t>(1, whole_seconds(ttl));
}

void to_wire(store::Event&& event, mvccpb::Event* message) {
  message->set_type(event.kind == store::EventKind::put ? mvccpb::Event::PUT : mvccpb::Event::DELETE);
  to_wire(std::move(event.kv), message->mutable_kv());
  if (event.prev_kv.has_value()) to_wire(*std::move(event.prev_kv), message->mutable_prev_kv());
}

void to_wire(store::ResponseOperation&& operation, pb::ResponseOp* message) {
  if (auto* range = std::get_if<store::RangeResponse>(&operation.response)) {
    to_wire(std::move(*range), message->mutable_response_range());
  } else if (auto* put = std::get_if<store::PutResponse>(&operation.response)) {
    to_wire(std::move(*put), message->mutable_response_put());
  } else if (auto* removal = std::get_if<store::DeleteRangeResponse>(&operation.response)) {
    to_wire(std::move(*removal), message->mutable_response_delete_range());
  } else if (auto* txn = std::get_if<store::TxnResponse>(&operation.response)) {
    to_wire(std::move(*txn), message->mutable_response_txn());
  }
}

void to_wire(const store::Header& header, pb::ResponseHeader* message) {
  message->set_cluster_id(header.cluster.value());
  message->set_member_id(header.member.value());
  message->set_revision(header.revision.value());
  message->set_raft_term(header.term.value());
}

void to_wire(store::KeyValue&& kv, mvccpb::KeyValue* message) {
  *message->mutable_key() = std::move(kv.key);
  message->set_create_revision(kv.create_revision.value());
  message->set_mod_revision(kv.mod_revision.value());
  message->set_version(kv.version);
  if (!kv.value.empty()) *message->mutable_value() = std::move(kv.value);
  message->set_lease(kv.lease.value());
}

void to_wire(store::RangeResponse&& response, pb::RangeResponse* message) {
  to_wire(response.header, message->mutable_header());
  to_wire_list(std::move(response.kvs), message->mutable_kvs());
  message->set_more(response.more);
  message->set_count(response.count);
}

void to_wire(store::PutResponse&& response, pb::PutResponse* message) {
  to_wire(response.header, message->mutable_header());
  if (response.prev_kv.has_value()) to_wire(*std::move(response.prev_kv), message->mutable_prev_kv());
}

void to_wire(store::DeleteRangeResponse&& response, pb::DeleteRangeResponse* message) {
  to_wire(response.header, message->mutable_header());
  message->set_deleted(response.deleted);
  to_wire_list(std::move(response.prev_kvs), message->mutable_prev_kvs());
}

void to_wire(store::TxnResponse&& response, pb::TxnResponse* message) {
  to_wire(response.header, message->mutable_header());
  message->set_succeeded(response.succeeded);
  to_wire_list(std::move(response.responses), message->mutable_responses());
}

void to_wire(store::CompactResponse&& response, pb::CompactionResponse* message) {
  to_wire(response.header, message->mutable_header());
}

void to_wire(store::WatchResponse&& response, pb::WatchResponse* message) {
  to_wire(response.header, message->mutable_header());
  message->set_canceled(response.canceled);
  message->set_compact_revision(response.compact_revision.value());
  if (!response.cancel_reason.empty()) message->set_cancel_reason(std::move(response.cancel_reason));
  message->set_fragment(response.fragment);
  to_wire_list(std::move(response.events), message->mutable_events());
}

void to_wire(store::LeaseGrantResponse&& response, pb::LeaseGrantResponse* message) {
  to_wire(response.header, message->mutable_header());
  message->set_id(response.id.value());
  message->set_ttl(ttl_seconds(response.ttl));
}

void to_wire(store::LeaseRevokeResponse&& response, pb::LeaseRevokeResponse* message) {
  to_wire(response.header, message->mutable_header());
}

void to_wire(store::LeaseTimeToLiveResponse&& response, pb::LeaseTimeToLiveResponse* message) {
  to_wire(response.header, message->mutable_header());
  message->set_id(response.id.value());
  if (!response.found) {
    message->set_ttl(-1);
    return;
  }
  message->set_ttl(whole_seconds(std::max(response.remaining, Duration::zero())));
  message->set_grantedttl(ttl_seconds(response.granted_ttl));
  for (std::string& key : response.keys) message->add_keys(std::move(key));
}

void to_wire(store::LeaseLeasesResponse&& response, pb::LeaseLeasesResponse* message) {
  to_wire(response.header, message->mutable_header());
  message->mutable_leases()->Reserve(static_cast<int>(response.leases.size()));
  for (const LeaseId lease : response.leases) message->add_leases()->set_id(lease.value());
}

void to_wire(store::AlarmResponse&& response, pb::AlarmResponse* message) {
  to_wire(response.header, message->mutable_header());
  for (const store::Alarm& alarm : response.alarms) {
    pb::AlarmMember* member = message->add_alarms();
    member->set_memberid(alarm.member.value());
    member->set_alarm(static_cast<pb::AlarmType>(alarm.kind));
  }
}

}  // namespace lockstep::gateway
