// Errors as etcd's clients know them: a gRPC code and a text that they compare.
//
// The store's own errors already carry etcd's texts (store/errors.h). This adds those of the edge, and
// decides for each Status of ours which code goes over the wire.
#pragma once

#include "base/status.h"
#include "rpc/grpc_status.h"

namespace lockstep::gateway {

// unknown_outcome, and a read that ran out of the server's time, become UNAVAILABLE, as from etcd. A text
// that does not begin with "etcdserver: " or "lockstep: " is ours and gets the latter.
rpc::GrpcStatus to_etcd_status(const Status& status);

// As etcd words what ended a watch: with the name of the code.
std::string describe_cancellation(const rpc::GrpcStatus& status);

namespace etcd_errors {
rpc::GrpcStatus no_leader();
rpc::GrpcStatus not_for_learner();
rpc::GrpcStatus invalid_sort_option();
rpc::GrpcStatus too_many_requests();
rpc::GrpcStatus not_leader();
rpc::GrpcStatus bad_transferee();
rpc::GrpcStatus bad_member_urls();
rpc::GrpcStatus permission_not_given();
// Of a unary call and of a stream; gRPC's Go library words them differently.
rpc::GrpcStatus malformed_request();
rpc::GrpcStatus malformed_message();
}  // namespace etcd_errors

}  // namespace lockstep::gateway
