// Between etcd's messages and the store's values.
//
// from_wire() moves strings out of the message (it is parsed anew for the next call anyway); to_wire() moves
// them out of the answer. Both walk nested transactions, whose depth the protobuf decoder has bounded by
// then. Errors of from_wire(): the status that goes to the client.
#pragma once

#include <string>
#include <string_view>

#include "base/time.h"
#include "proto/cluster.pb.h"
#include "proto/kv.pb.h"
#include "rpc/grpc_status.h"
#include "store/types.h"

namespace lockstep::gateway {

namespace pb = ::etcdserverpb;

// Seconds of the wire. Rounded up where a lease is asked for, so that it never ends early; rounded down where
// one is told how long it will still be there, but a lease that is there is never told 0, which means gone.
std::int64_t whole_seconds(Duration duration);
std::int64_t ttl_seconds(Duration ttl);

rpc::GrpcStatus from_wire(pb::RangeRequest& message, store::RangeRequest* request);
rpc::GrpcStatus from_wire(pb::PutRequest& message, store::PutRequest* request);
rpc::GrpcStatus from_wire(pb::DeleteRangeRequest& message, store::DeleteRangeRequest* request);
rpc::GrpcStatus from_wire(pb::TxnRequest& message, store::TxnRequest* request);
rpc::GrpcStatus from_wire(pb::Compare& message, store::Compare* compare);
rpc::GrpcStatus from_wire(pb::RequestOp& message, store::RequestOperation* operation);
rpc::GrpcStatus from_wire(pb::CompactionRequest& message, store::CompactRequest* request);
rpc::GrpcStatus from_wire(pb::WatchCreateRequest& message, store::WatchRequest* request);
rpc::GrpcStatus from_wire(pb::LeaseRevokeRequest& message, store::LeaseRevokeRequest* request);
rpc::GrpcStatus from_wire(pb::LeaseTimeToLiveRequest& message, store::LeaseTimeToLiveRequest* request);
rpc::GrpcStatus from_wire(pb::AlarmRequest& message, store::AlarmRequest* request);

void to_wire(const store::Header& header, pb::ResponseHeader* message);
void to_wire(store::KeyValue&& kv, mvccpb::KeyValue* message);
void to_wire(store::RangeResponse&& response, pb::RangeResponse* message);
void to_wire(store::PutResponse&& response, pb::PutResponse* message);
void to_wire(store::DeleteRangeResponse&& response, pb::DeleteRangeResponse* message);
void to_wire(store::TxnResponse&& response, pb::TxnResponse* message);
void to_wire(store::ResponseOperation&& operation, pb::ResponseOp* message);
void to_wire(store::CompactResponse&& response, pb::CompactionResponse* message);
void to_wire(store::Event&& event, mvccpb::Event* message);
void to_wire(store::WatchResponse&& response, pb::WatchResponse* message);  // not the watch id
void to_wire(store::LeaseGrantResponse&& response, pb::LeaseGrantResponse* message);
void to_wire(store::LeaseRevokeResponse&& response, pb::LeaseRevokeResponse* message);
void to_wire(store::LeaseTimeToLiveResponse&& response, pb::LeaseTimeToLiveResponse* message);
void to_wire(store::LeaseLeasesResponse&& response, pb::LeaseLeasesResponse* message);
void to_wire(store::AlarmResponse&& response, pb::AlarmResponse* message);

}  // namespace lockstep::gateway
