#include "rpc/grpc_status.h"

#include <array>

namespace lockstep::rpc {
namespace {

constexpr std::array<std::string_view, 17> names = {
    "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED"};

GrpcCode code_of(Code code) {
  switch (code) {
    case Code::ok:
      return GrpcCode::ok;
    case Code::invalid_argument:
      return GrpcCode::invalid_argument;
    case Code::not_found:
      return GrpcCode::not_found;
    case Code::already_exists:
      return GrpcCode::already_exists;
    case Code::failed_precondition:
      return GrpcCode::failed_precondition;
    case Code::out_of_range:
      return GrpcCode::out_of_range;
    case Code::resource_exhausted:
      return GrpcCode::resource_exhausted;
    case Code::permission_denied:
      return GrpcCode::permission_denied;
    case Code::unauthenticated:
      return GrpcCode::unauthenticated;
    case Code::unavailable:
    case Code::unknown_outcome:
      return GrpcCode::unavailable;
    case Code::deadline_exceeded:
      return GrpcCode::deadline_exceeded;
    case Code::cancelled:
      return GrpcCode::cancelled;
    case Code::corruption:
      return GrpcCode::data_loss;
    case Code::unimplemented:
      return GrpcCode::unimplemented;
    case Code::io_error:
    case Code::internal:
      return GrpcCode::internal;
  }
  LS_UNREACHABLE("not a code");
}

}  // namespace

std::string_view to_string(GrpcCode code) {
  const auto index = static_cast<std::size_t>(code);
  LS_MUST(index < names.size());
  return names[index];
}

GrpcStatus to_grpc(const Status& status) {
  return {code_of(status.code()), std::string(status.message()), {}};
}

}  // namespace lockstep::rpc
