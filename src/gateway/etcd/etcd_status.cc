#include "gateway/etcd/etcd_status.h"

#include <string>
#include <string_view>

namespace lockstep::gateway {

using rpc::GrpcCode;
using rpc::GrpcStatus;

namespace {

constexpr std::string_view too_many_requests_text = "etcdserver: too many requests";

}  // namespace

GrpcStatus to_etcd_status(const Status& status) {
  GrpcStatus answer = rpc::to_grpc(status);
  const bool from_etcd = status.message().starts_with("etcdserver: ");
  if (status.code() == Code::deadline_exceeded && from_etcd) answer.code = GrpcCode::unavailable;
  if (status.message() == too_many_requests_text) answer.retry_after = rpc::overload_pause;
  if (!from_etcd && !status.message().starts_with("lockstep: ")) answer.message.insert(0, "lockstep: ");
  return answer;
}

// The codes that authentication uses; the names are Go's.
std::string describe_cancellation(const GrpcStatus& status) {
  switch (status.code) {
    case GrpcCode::permission_denied:
      return "rpc error: code = PermissionDenied desc = " + status.message;
    case GrpcCode::unauthenticated:
      return "rpc error: code = Unauthenticated desc = " + status.message;
    case GrpcCode::invalid_argument:
      return "rpc error: code = InvalidArgument desc = " + status.message;
    default:
      return status.message;
  }
}

namespace etcd_errors {

GrpcStatus no_leader() {
  return {GrpcCode::unavailable, "etcdserver: no leader"};
}
GrpcStatus not_for_learner() {
  return {GrpcCode::failed_precondition, "etcdserver: rpc not supported for learner"};
}
GrpcStatus invalid_sort_option() {
  return {GrpcCode::invalid_argument, "etcdserver: invalid sort option"};
}
GrpcStatus too_many_requests() {
  return {GrpcCode::resource_exhausted, std::string(too_many_requests_text), rpc::overload_pause};
}
GrpcStatus not_leader() {
  return {GrpcCode::failed_precondition, "etcdserver: not leader"};
}
GrpcStatus bad_transferee() {
  return {GrpcCode::failed_precondition, "etcdserver: bad leader transferee"};
}
GrpcStatus bad_member_urls() {
  return {GrpcCode::invalid_argument, "etcdserver: given member URLs are invalid"};
}
GrpcStatus permission_not_given() {
  return {GrpcCode::invalid_argument, "etcdserver: permission not given"};
}
GrpcStatus malformed_request() {
  return {GrpcCode::internal, "grpc: error unmarshalling request: malformed protocol buffer"};
}
GrpcStatus malformed_message() {
  return {GrpcCode::internal, "grpc: failed to unmarshal the received message malformed protocol buffer"};
}

}  // namespace etcd_errors
}  // namespace lockstep::gateway
