// Between the store's values and etcd's messages, as a client needs it.
//
// to_wire() moves strings out of the request, from_wire() out of the message. Answers are the server's word:
// from_wire() accepts whatever parses, and turns what it does not know into nothing.
#pragma once

#include <cstdint>

#include "base/time.h"
#include "proto/cluster.pb.h"
#include "proto/kv.pb.h"
#include "store/types.h"

namespace lockstep::remote {

namespace pb = ::etcdserverpb;

// The wire knows whole seconds only. Rounded up, so that a lease never ends earlier than asked.
std::int64_t whole_seconds(Duration duration);

void to_wire(store::RangeRequest&& request, pb::RangeRequest* message);
void to_wire(store::PutRequest&& request, pb::PutRequest* message);
void to_wire(store::DeleteRangeRequest&& request, pb::DeleteRangeRequest* message);
void to_wire(store::TxnRequest&& request, pb::TxnRequest* message);
void to_wire(store::CompactRequest&& request, pb::CompactionRequest* message);
void to_wire(store::LeaseGrantRequest&& request, pb::LeaseGrantRequest* message);
void to_wire(store::LeaseRevokeRequest&& request, pb::LeaseRevokeRequest* message);
void to_wire(store::LeaseTimeToLiveRequest&& request, pb::LeaseTimeToLiveRequest* message);
void to_wire(store::AlarmRequest&& request, pb::AlarmRequest* message);
void to_wire(const store::WatchRequest& request, pb::WatchCreateRequest* message);

store::Header from_wire(const pb::ResponseHeader& message);
store::KeyValue from_wire(mvccpb::KeyValue&& message);
void from_wire(pb::RangeResponse&& message, store::RangeResponse* response);
void from_wire(pb::PutResponse&& message, store::PutResponse* response);
void from_wire(pb::DeleteRangeResponse&& message, store::DeleteRangeResponse* response);
void from_wire(pb::TxnResponse&& message, store::TxnResponse* response);
void from_wire(pb::CompactionResponse&& message, store::CompactResponse* response);
void from_wire(pb::LeaseGrantResponse&& message, store::LeaseGrantResponse* response);
void from_wire(pb::LeaseRevokeResponse&& message, store::LeaseRevokeResponse* response);
void from_wire(pb::LeaseKeepAliveResponse&& message, store::LeaseKeepAliveResponse* response);
void from_wire(pb::LeaseTimeToLiveResponse&& message, store::LeaseTimeToLiveResponse* response);
void from_wire(pb::LeaseLeasesResponse&& message, store::LeaseLeasesResponse* response);
void from_wire(pb::AlarmResponse&& message, store::AlarmResponse* response);
// Neither the watch's id nor `created`.
void from_wire(pb::WatchResponse&& message, store::WatchResponse* response);

}  // namespace lockstep::remote
